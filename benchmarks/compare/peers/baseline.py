"""The baseline: the minimum that an asyncio program does to exchange validated records in Enkaku's messages.

msgspec decodes the envelope and leaves the value encoded; pydantic validates and encodes the value. All writes of one
event-loop iteration are coalesced. There is no dispatch, flow control, limit, deadline, observer or error handling, so that
it is not a usable server: it shows the cost of the messages alone.
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

_CHUNK: Final = 64 * 1024  # bytes, about the size of one write to a socket
_HEAD: Final = b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":'
_read: Final = Record.__pydantic_validator__.validate_json
_write: Final = Record.__pydantic_serializer__.to_json


class Request(msgspec.Struct, tag_field="typ", tag="request"):
    """Requests a record."""

    rid: str
    prc: str
    prm: msgspec.Raw


class Stream(msgspec.Struct, tag_field="typ", tag="stream"):
    """Opens a stream of records."""

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
    """A message of the client."""

    header: Header
    payload: Request | Stream | Open | Send


class FromServer(msgspec.Struct):
    """A message of the server."""

    header: Header
    payload: Receive | Result


_from_client: Final = msgspec.json.Decoder(FromClient).decode
_from_server: Final = msgspec.json.Decoder(FromServer).decode


class Lines(asyncio.Protocol):
    """Splits received bytes into lines, and coalesces writes."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._out: list[bytes] = []
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop has its own class

    def pause_writing(self) -> None:
        """Suspend the senders of streams."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """Resume the senders of streams."""
        self.writable.set()

    def put(self, line: bytes) -> None:
        """Write a line at the end of the event-loop iteration."""
        if not self._out:
            self._loop.call_soon(self.flush)
        self._out.append(line)

    def flush(self) -> None:
        """Send the buffered lines."""
        self.transport.write(b"".join(self._out))
        self._out.clear()

    def split(self, data: bytes) -> list[bytes]:
        """Return the lines that the next bytes complete."""
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
        """Reply to every message."""
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
        """Stop the senders."""
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
                await self.writable.wait()
        parts.append(b'%b"result","rid":"%b"}}\n' % (_HEAD, rid.encode()))
        self.transport.write(b"".join(parts))


class Records:
    """Iterator over the records of a call."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._found: deque[Record] = deque()
        self._wanted: asyncio.Future[None] | None = None
        self._ended = False

    def put(self, record: Record) -> None:
        """Add a received record."""
        self._found.append(record)
        if self._wanted is not None:
            self._wake(self._wanted)

    def end(self) -> None:
        """End the iteration."""
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
        """Pass every message to its call."""
        for line in self.split(data):
            payload = _from_server(line).payload
            if type(payload) is Receive:
                self._streams[payload.rid].put(_read(bytes(payload.val)))
            elif not payload.val:
                self._streams.pop(payload.rid).end()
            else:
                self._requests.pop(payload.rid).set_result(_read(bytes(payload.val)))

    async def request(self, record: Record, /) -> Record:
        """Send a record, and return the server's copy."""
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
        """Send a record, and wait until it comes back."""
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
