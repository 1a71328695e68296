"""The floor: the least that asyncio can do to send validated records as Enkaku's lines. Nobody would live here.

The envelope is read by msgspec, which leaves the value as the text that it is; pydantic reads that, and writes it. What
is written within one turn of the loop goes out at once. There is no dispatch, no credit, no limit, no deadline, no
observer, and no answer to what is wrong.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final, Self, cast

import msgspec
from typing_extensions import override

from compare.record import Record, make

REQUIREMENTS: Final = ()

_CHUNK: Final = 64 * 1024  # about what a socket takes at once
_HEAD: Final = b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":'
_read: Final = Record.__pydantic_validator__.validate_json
_write: Final = Record.__pydantic_serializer__.to_json


class Request(msgspec.Struct, tag_field="typ", tag="request"):
    """Asks for a record."""

    rid: str
    prc: str
    prm: msgspec.Raw


class Stream(msgspec.Struct, tag_field="typ", tag="stream"):
    """Asks for records."""

    rid: str
    prc: str
    prm: tuple[int, int]


class Open(msgspec.Struct, tag_field="typ", tag="channel"):
    """Opens a channel."""

    rid: str
    prc: str


class Send(msgspec.Struct, tag_field="typ", tag="send"):
    """A record into a channel."""

    prc: str
    rid: str
    val: msgspec.Raw


class Receive(msgspec.Struct, tag_field="typ", tag="receive"):
    """A record of a stream or channel."""

    rid: str
    val: msgspec.Raw


class Result(msgspec.Struct, tag_field="typ", tag="result"):
    """The end of a call."""

    rid: str
    val: msgspec.Raw = msgspec.Raw()  # empty at the end of a stream


class Header(msgspec.Struct):
    """The header."""

    typ: str
    alg: str


class FromClient(msgspec.Struct):
    """A line of the client's."""

    header: Header
    payload: Request | Stream | Open | Send


class FromServer(msgspec.Struct):
    """A line of the server's."""

    header: Header
    payload: Receive | Result


_from_client: Final = msgspec.json.Decoder(FromClient).decode
_from_server: Final = msgspec.json.Decoder(FromServer).decode


class Lines(asyncio.Protocol):
    """Splits what comes into lines, and joins what goes out."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._out: list[bytes] = []
        self.room = asyncio.Event()
        self.room.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)  # by its looks: uvloop has its own

    def pause_writing(self) -> None:
        """Let the senders of streams wait."""
        self.room.clear()

    def resume_writing(self) -> None:
        """Let them go on."""
        self.room.set()

    def put(self, line: bytes) -> None:
        """Write a line at the end of the loop's turn."""
        if not self._out:
            self._loop.call_soon(self.flush)
        self._out.append(line)

    def flush(self) -> None:
        """Write what was put."""
        self.transport.write(b"".join(self._out))
        self._out.clear()

    def split(self, data: bytes) -> list[bytes]:
        """Take the next bytes, and give the lines that they complete."""
        lines = data.split(b"\n")
        lines[0] = self._rest + lines[0]
        self._rest = lines.pop()
        return lines


class Serving(Lines):
    """The server's side of a connection."""

    def __init__(self) -> None:
        super().__init__()
        self._pouring: set[asyncio.Task[None]] = set()

    def data_received(self, data: bytes) -> None:
        """Answer every line."""
        for line in self.split(data):
            match _from_client(line).payload:
                case Request(rid=rid, prm=prm):
                    self.put(_value("result", rid, _write(_read(bytes(prm)))))
                case Send(rid=rid, val=val):
                    self.put(_value("receive", rid, _write(_read(bytes(val)))))
                case Stream(rid=rid, prm=(count, label_size)):
                    task = self._loop.create_task(self._pour(rid, count, label_size))
                    self._pouring.add(task)
                    task.add_done_callback(self._pouring.discard)
                case Open():
                    pass

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Send no more."""
        for task in self._pouring:
            task.cancel()

    async def _pour(self, rid: str, count: int, label_size: int) -> None:
        head = b'%b"receive","rid":"%b","val":' % (_HEAD, rid.encode())
        parts: list[bytes] = []
        size = 0
        for number in range(count):
            value = _write(make(number, label_size))
            parts += head, value, b"}}\n"
            size += len(value)
            if size > _CHUNK:
                self.transport.write(b"".join(parts))
                parts.clear()
                size = 0
                await asyncio.sleep(0)
                await self.room.wait()
        parts.append(b'%b"result","rid":"%b"}}\n' % (_HEAD, rid.encode()))
        self.transport.write(b"".join(parts))


class Records:
    """The records of a call, as they come."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._found: deque[Record] = deque()
        self._wanted: asyncio.Future[None] | None = None
        self._ended = False

    def put(self, record: Record) -> None:
        """Take what has come."""
        self._found.append(record)
        if self._wanted is not None:
            self._wake(self._wanted)

    def end(self) -> None:
        """Know that no more will come."""
        self._ended = True
        if self._wanted is not None:
            self._wake(self._wanted)

    def _wake(self, wanted: asyncio.Future[None]) -> None:
        self._wanted = None
        if not wanted.done():
            wanted.set_result(None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Record:
        while not self._found:
            if self._ended:
                raise StopAsyncIteration
            self._wanted = self._loop.create_future()
            await self._wanted
        return self._found.popleft()


class Calling(Lines):
    """The client's side of a connection."""

    def __init__(self) -> None:
        super().__init__()
        self._rids = 0
        self._requests: dict[str, asyncio.Future[Record]] = {}
        self._streams: dict[str, Records] = {}

    def data_received(self, data: bytes) -> None:
        """Pass every line on."""
        for line in self.split(data):
            payload = _from_server(line).payload
            if type(payload) is Receive:
                self._streams[payload.rid].put(_read(bytes(payload.val)))
            elif not payload.val:
                self._streams.pop(payload.rid).end()
            else:
                self._requests.pop(payload.rid).set_result(_read(bytes(payload.val)))

    async def request(self, record: Record, /) -> Record:
        """Have it given back."""
        self._rids += 1
        rid = f"{self._rids}"
        answer = self._requests[rid] = self._loop.create_future()
        self.put(
            b'%b"request","rid":"%b","prc":"echo","prm":%b}}\n'
            % (_HEAD, rid.encode(), _write(record))
        )
        return await answer

    @asynccontextmanager
    async def stream(self, count: int, label_size: int) -> AsyncGenerator[Records, None]:
        """Open a stream."""
        self._rids += 1
        rid = f"{self._rids}"
        records = self._streams[rid] = Records(self._loop)
        self.put(
            b'%b"stream","rid":"%b","prc":"samples","prm":[%d,%d]}}\n'
            % (_HEAD, rid.encode(), count, label_size)
        )
        yield records

    @asynccontextmanager
    async def channel(self) -> AsyncGenerator["Channel", None]:
        """Open a channel."""
        self._rids += 1
        rid = f"{self._rids}"
        self._streams[rid] = Records(self._loop)
        self.put(b'%b"channel","rid":"%b","prc":"echoes"}}\n' % (_HEAD, rid.encode()))
        yield Channel(self, rid, self._streams[rid])


class Channel:
    """An open channel."""

    def __init__(self, lines: Lines, rid: str, records: Records) -> None:
        self._lines = lines
        self._head = b'%b"send","prc":"echoes","rid":"%b","val":' % (_HEAD, rid.encode())
        self._records = records

    async def round_trip(self, record: Record, /) -> Record:
        """Send it, and take it back."""
        self._lines.put(b"%b%b}}\n" % (self._head, _write(record)))
        return await anext(self._records)


def _value(typ: str, rid: str, value: bytes) -> bytes:
    return b'%b"%b","rid":"%b","val":%b}}\n' % (_HEAD, typ.encode(), rid.encode(), value)


async def serve(path: str, ready: Callable[[], None]) -> None:
    """Serve until cancelled."""
    loop = asyncio.get_running_loop()
    async with await loop.create_unix_server(Serving, path, backlog=1000) as server:
        ready()
        await server.serve_forever()


@asynccontextmanager
async def connect(path: str) -> AsyncGenerator[Calling, None]:
    """Connect."""
    loop = asyncio.get_running_loop()
    transport, calling = await loop.create_unix_connection(Calling, path)
    try:
        yield calling
    finally:
        transport.close()
