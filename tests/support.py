"""What the behaviour tests share: a small protocol, handlers made of functions, peers that speak raw lines."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, Self

import enkaku
import pytest
from enkaku.both_ways import make_server, serve_peer
from enkaku.transports.base import Oversized
from enkaku.transports.stdio.pipes import Pipes
from enkaku.transports.stdio.transport import PipeTransport

ON_ASYNCIO = pytest.mark.asyncio(loop_factories=["asyncio"])
"""Marks a test that is of asyncio's own event loop, and runs on no other."""
WITH_EACH_TASK_FACTORY = pytest.mark.parametrize(
    "factory",
    [
        pytest.param(None, id="tasks"),
        *(
            [pytest.param(asyncio.eager_task_factory, id="eager tasks")]
            if sys.version_info >= (3, 12)
            else []
        ),
    ],
)
"""Runs a test with the usual tasks, and with tasks that begin inside ``create_task`` where Python has them."""
WITHIN = 10.0
"""Seconds that anything may take before a test calls it hung."""
LONG = 45.0
"""Seconds that the whole use of a connection may take."""
DESCRIPTORS = Path("/proc/self/fd")
"""What this process has open, on Linux."""


class Shortage(enkaku.Model):
    missing: int


class OutOfStock(enkaku.DeclaredDataError[Shortage], code="OUT_OF_STOCK", data=Shortage):
    """A declared error with data."""


class Tired(enkaku.DeclaredError, code="TIRED"):
    """A declared error without data."""


class Foreign(enkaku.DeclaredError, code="FOREIGN"):
    """An error that no procedure here declares."""


_ERRORS = (OutOfStock, Tired)
ASK = enkaku.Request[int, int]("ask", param=int, result=int, errors=_ERRORS)
WATCH = enkaku.Stream[int, int, int]("watch", param=int, receive=int, result=int, errors=_ERRORS)
TALK = enkaku.Channel[int, int, int, int](
    "talk", param=int, send=int, receive=int, result=int, errors=_ERRORS
)
TELL = enkaku.Event[int]("tell", data=int)
ECHO = enkaku.Request[str, str]("echo", param=str, result=str)
POUR = enkaku.Stream[int, str, int]("pour", param=int, receive=str, result=int)
FILL = enkaku.Channel[int, str, str, int]("fill", param=int, send=str, receive=str, result=int)
VOID = enkaku.Request[None, None]("void")
NULL = enkaku.Request[None, None]("null", result=type(None))
PING = enkaku.Event[None]("ping")
TICK = enkaku.Stream[None, int, None]("tick", receive=int)
HUM = enkaku.Channel[None, int, int, None]("hum", send=int, receive=int)

_ROUTES: dict[str, Callable[..., enkaku.Route]] = {
    "ask": lambda method: enkaku.Route.request(ASK, method),
    "watch": lambda method: enkaku.Route.stream(WATCH, method),
    "talk": lambda method: enkaku.Route.channel(TALK, method),
    "tell": lambda method: enkaku.Route.event(TELL, method),
    "echo": lambda method: enkaku.Route.request(ECHO, method),
    "pour": lambda method: enkaku.Route.stream(POUR, method),
    "fill": lambda method: enkaku.Route.channel(FILL, method),
    "null": lambda method: enkaku.Route.request(NULL, method),
    "ping": lambda method: enkaku.Route.event(PING, method),
    "tick": lambda method: enkaku.Route.stream(TICK, method),
    "hum": lambda method: enkaku.Route.channel(HUM, method),
}


class Serving(enkaku.Handler):
    """A handler made of functions, named as the procedures that they serve; ``void`` is always served."""

    def __init__(self, **methods: Callable[..., Awaitable[Any]]) -> None:
        self._methods = methods

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        made = [_ROUTES[name](method) for name, method in self._methods.items()]
        return (*made, enkaku.Route.request(VOID, self._void))

    async def _void(self) -> None:
        return None


MESSAGE_SIZE = 10_000_000
"""Bytes that a message may have, for transports that a test starts by itself."""


class Log:
    """Receives what a transport delivers, and remembers it."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ends: list[Exception | None] = []

    @property
    def data(self) -> bytes:
        """All that came, without what was between messages."""
        return b"".join(self.pieces)

    def messages_received(self, batch: Sequence[bytes | Oversized]) -> None:
        assert not self.ends
        assert not any(isinstance(message, Oversized) for message in batch)
        self.pieces += [message for message in batch if isinstance(message, bytes)]

    def connection_lost(self, error: Exception | None) -> None:
        self.ends.append(error)


class Lifetime:
    """Records what becomes of a handler: whether it began, and how it ended."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.ended = asyncio.Event()
        self.began_count = 0
        self.ended_count = 0

    def __enter__(self) -> Self:
        self.began_count += 1
        self.began.set()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is asyncio.CancelledError:
            self.cancelled.set()
        self.ended_count += 1
        self.ended.set()

    async def forever(self, *_: object) -> int:
        """Serve any call by waiting until it is cancelled."""
        with self:
            await asyncio.Event().wait()
        raise AssertionError("unreachable")


class Sliced:
    """A receiver of ``TimeSlices`` that handles messages by a function."""

    def __init__(self, handle: Callable[[Sequence[Any]], None]) -> None:
        self.messages_received = handle

    def on_slices(self) -> None:
        pass


async def soon(*events: asyncio.Event) -> None:
    """Wait for events, but not for ever."""
    async with asyncio.timeout(WITHIN):
        for event in events:
            await event.wait()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what has no event, turn by turn of the loop, but not for ever."""
    async with asyncio.timeout(WITHIN):
        # The condition is the operating system's, or the loop's: nobody could set an event.
        while not condition():  # noqa: ASYNC110 # there is no event
            await asyncio.sleep(0)


async def turns(count: int = 10) -> None:
    """Let everything that can run now run."""
    for _ in range(count):
        await asyncio.sleep(0)


class Connect(Protocol):
    """Connects to a handler in this process.

    The options are the server's; those whose names begin with ``client_`` are the client's, and so are the limits.
    """

    def __call__(self, handler: enkaku.Handler, **options: Any) -> Any: ...


def line(**payload: object) -> bytes:
    """Write a line as a client would, with whatever payload."""
    envelope = {"header": {"typ": "JWT", "alg": "none"}, "payload": payload}
    return json.dumps(envelope, separators=(",", ":")).encode() + b"\n"


class Raw:
    """One end of a socket, as lines: a peer that need not keep to the protocol."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._rounds = 0

    def send(self, **payload: object) -> None:
        self.writer.write(line(**payload))

    def send_line(self, header: dict[str, Any], payload: dict[str, Any]) -> None:
        self.writer.write(json.dumps({"header": header, "payload": payload}).encode() + b"\n")

    def send_bytes(self, data: bytes) -> None:
        self.writer.write(data)

    def stall(self) -> None:
        """Read nothing more from the socket than what fits one read."""
        buffer_limit = 1024
        # The public way to give a stream reader another limit is to make another one.
        self.reader._limit = buffer_limit

    async def read_line(self) -> dict[str, Any]:
        """Return the next line."""
        async with asyncio.timeout(WITHIN):
            data = await self.reader.readline()
        assert data.endswith(b"\n"), f"the connection ended after {data!r}"
        message: dict[str, Any] = json.loads(data)
        return message

    async def read(self) -> dict[str, Any]:
        """Return the payload of the next line."""
        payload: dict[str, Any] = (await self.read_line())["payload"]
        return payload

    async def read_all(self) -> list[dict[str, Any]]:
        """Return the payloads that come until the end of the connection."""
        async with asyncio.timeout(WITHIN):
            data = await self.reader.read()
        assert data == b"" or data.endswith(b"\n")
        return [json.loads(text)["payload"] for text in data.splitlines()]

    async def settle(self) -> list[dict[str, Any]]:
        """Let a server handle all that was sent; return what it has sent until then."""
        self._rounds += 1
        rid = f"settle-{self._rounds}"
        self.send(typ="request", rid=rid, prc="void")
        seen: list[dict[str, Any]] = []
        while (payload := await self.read()) != {"typ": "result", "rid": rid}:
            seen.append(payload)
        return seen

    async def outlive(self, connection: enkaku.Connection) -> list[dict[str, Any]]:
        """Let the connection that this is the server of close; return what it has still sent."""
        closing = asyncio.create_task(connection.close())
        payloads = await self.read_all()
        self.writer.close()
        await closing
        return payloads

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            return


@asynccontextmanager
async def raw_client(path: Path, *, limit: int = 2**24) -> AsyncGenerator[Raw, None]:
    """Connect to a Unix socket without the library."""
    raw = Raw(*await asyncio.open_unix_connection(path, limit=limit))
    try:
        async with asyncio.timeout(LONG):
            yield raw
    finally:
        await raw.close()


class RawServer:
    """A server that does only what a test says."""

    def __init__(self, accepted: "asyncio.Queue[Raw]") -> None:
        self._accepted = accepted
        self.peers: list[Raw] = []

    async def accept(self) -> Raw:
        async with asyncio.timeout(WITHIN):
            raw = await self._accepted.get()
        self.peers.append(raw)
        return raw


@asynccontextmanager
async def raw_server(path: Path) -> AsyncGenerator[RawServer, None]:
    """Listen at a Unix socket without the library; afterwards nothing is there."""
    accepted: asyncio.Queue[Raw] = asyncio.Queue()
    listener = await asyncio.start_unix_server(
        lambda reader, writer: accepted.put_nowait(Raw(reader, writer)), path, limit=2**24
    )
    server = RawServer(accepted)
    try:
        yield server
    finally:
        listener.close()
        while not accepted.empty():
            server.peers.append(accepted.get_nowait())
        for peer in server.peers:
            peer.writer.transport.abort()
        path.unlink(missing_ok=True)  # Python 3.13 has done so


@asynccontextmanager
async def facing(path: Path, **options: Any) -> AsyncGenerator[tuple[enkaku.Connection, Raw], None]:
    """A connection of this library, and the raw server that it is connected to."""
    async with raw_server(path) as server, enkaku.connect_unix(path, **options) as connection:
        peer = await server.accept()
        try:
            async with asyncio.timeout(LONG):
                yield connection, peer
        finally:
            peer.writer.transport.abort()


def socket_descriptors() -> list[int]:
    """Return the descriptors of this process that are sockets; none where the system does not say."""
    if not DESCRIPTORS.exists():
        return []
    return [int(path.name) for path in DESCRIPTORS.iterdir() if _is_socket(path)]


def open_sockets() -> int:
    """Return how many sockets this process has open; always 0 where the system does not say."""
    return len(socket_descriptors())


def _is_socket(descriptor: Path) -> bool:
    try:
        return str(descriptor.readlink()).startswith("socket:")
    except OSError:
        return False


def names_in(directory: Path) -> list[str]:
    """What lies in a directory."""
    return sorted(path.name for path in directory.iterdir())


def tcp_port(server: enkaku.Server) -> int:
    """The port of a server that took a free one."""
    return int(server.addresses[0].rpartition(":")[2])


@asynccontextmanager
async def over_pipes(
    handler: enkaku.Handler, options: dict[str, Any], client: dict[str, Any]
) -> AsyncGenerator[enkaku.Connection, None]:
    """Connect to a handler over two pipes of this process, whose ends are a connection's."""
    to_server, to_client = os.pipe(), os.pipe()
    server = make_server(handler, options)  # type: ignore[arg-type] # of a test
    server_end, client_end = PipeTransport("stdio"), PipeTransport("process:server")
    Pipes(server_end, to_server[0], to_client[1])
    Pipes(client_end, to_client[0], to_server[1])
    server.connected_alone(server_end)
    async with server.running(None, ("stdio",)):
        served = await serve_peer(client)  # type: ignore[arg-type] # of a test
        connection = enkaku.Connection(client_end, None, served, **client)
        try:
            await connection.entered()
            yield connection
        finally:
            await connection.close()


async def collect(items: Iterable[Awaitable[Any]]) -> list[Any]:
    """Wait for many things at once, but not for ever; exceptions are results."""
    async with asyncio.timeout(WITHIN * 3):
        return await asyncio.gather(*items, return_exceptions=True)
