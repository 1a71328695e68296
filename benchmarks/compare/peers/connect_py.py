"""connect-py over HTTP/2, its client on pyqwest, its server on Hypercorn.

pyqwest has no Unix sockets, so that this is TCP, and a file at the path has the port. Hypercorn sends all ready items of a
stream in one frame. On pyvoy, the server that connect-py's authors recommend, each item has its own frame and wakes the
client: several times the rate of requests in flight, and a small part of the rate of stream items.

Messages and methods are like those of connect-py's generator, without unused parts. Compression, which is on by default, is
off.
"""

# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false
# (its imports are installed in another environment)

import asyncio
import atexit
import socket
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import hypercorn.asyncio
from connectrpc.client import ConnectClient
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.server import ConnectASGIApplication, Endpoint
from hypercorn.config import Config
from protobuf import Message
from protobuf._codegen import file_desc
from pyqwest import Client as HttpClient
from pyqwest import HTTPTransport, HTTPVersion

from compare import record

REQUIREMENTS: Final = (
    "connectrpc==0.13.0",
    "pyqwest==0.12.0",
    "hypercorn==0.18.0",
    "h2==4.4.1",
    "protobuf-py==0.7.0",
)

# A thread of pyqwest that ends a request during interpreter shutdown aborts the process: wait for them.
atexit.register(time.sleep, 0.2)


class Record(Message):
    """The record."""

    __slots__ = ("cpu", "label", "memory", "timestamp")


class Pour(Message):
    """Opens a stream."""

    __slots__ = ("count", "label_size")


_FILE: Final = file_desc(
    b'\n\x0bbench.proto\x12\x05bench"f\n\x06Record\x12\x10\n\x03cpu\x18\x01 \x01(\x01R\x03cpu\x12\x16\n\x06memory'
    b"\x18\x02 \x01(\x03R\x06memory\x12\x1c\n\ttimestamp\x18\x03 \x01(\x01R\ttimestamp\x12\x14\n\x05label\x18\x04"
    b' \x01(\tR\x05label";\n\x04Pour\x12\x14\n\x05count\x18\x01 \x01(\x03R\x05count\x12\x1d\n\nlabel_size\x18\x02'
    b" \x01(\x03R\tlabelSizeb\x06proto3",
    [],
    {"Record": Record, "Pour": Pour},
)


def _method(name: str, request: type[Message], kind: StreamType) -> MethodInfo[Any, Any]:
    return MethodInfo(
        name=name,
        service_name="bench.Bench",
        input=request,
        output=Record,
        idempotency_level=IdempotencyLevel.UNKNOWN,
        stream_type=kind,
    )


_ECHO: Final = _method("Echo", Record, StreamType.UNARY)
_POUR: Final = _method("Pour", Pour, StreamType.SERVER_STREAM)
_ECHOES: Final = _method("Echoes", Record, StreamType.BIDI_STREAM)


def make(number: int, label_size: int = 0) -> Record:
    """Return the record of a number."""
    return Record(
        cpu=12.5,
        memory=record.BASE + number,
        timestamp=1764000000.123,
        label=record.make_label(label_size),
    )


async def _echo(request: Record, _context: object) -> Record:
    return request


async def _pour(
    request: Any,  # noqa: ANN401 # its attributes exist at run time only
    _context: object,
) -> AsyncGenerator[Record, None]:
    for number in range(request.count):
        yield make(number, request.label_size)


async def _echoes(
    requests: AsyncIterator[Record], _context: object
) -> AsyncGenerator[Record, None]:
    async for request in requests:
        yield request


class Application(ConnectASGIApplication[None]):
    """The service."""

    @property
    def path(self) -> str:
        """The path of the service."""
        return "/bench.Bench"


def _endpoints(_: None) -> dict[str, Endpoint[Any, Any]]:
    return {
        "/bench.Bench/Echo": Endpoint.unary(_ECHO, _echo),
        "/bench.Bench/Pour": Endpoint.server_stream(_POUR, _pour),
        "/bench.Bench/Echoes": Endpoint.bidi_stream(_ECHOES, _echoes),
    }


app: Final = Application(service=None, endpoints=_endpoints, compressions=())


async def serve(path: str, ready: Callable[[], None]) -> None:
    """Serve until cancelled."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1000)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    Path(path).write_text(address)  # noqa: ASYNC240 # before the first client connects
    config = Config()
    config.bind = [f"fd://{listening.detach()}"]  # Hypercorn closes it
    config.backlog = 1000
    config.loglevel = "ERROR"
    config.keep_alive_timeout = 600
    config.keep_alive_max_requests = sys.maxsize  # by default, a connection is closed after 1,000
    ready()
    await hypercorn.asyncio.serve(app, config)


class Client:
    """A connection."""

    def __init__(self, client: ConnectClient) -> None:
        self._client = client

    async def request(self, record: Record, /) -> Record:
        """Send a record, and return the server's copy."""
        return await self._client.execute_unary(request=record, method=_ECHO)

    @asynccontextmanager
    async def stream(
        self, count: int, label_size: int
    ) -> AsyncGenerator[AsyncIterator[Record], None]:
        """Open a stream."""
        request = Pour(count=count, label_size=label_size)
        yield self._client.execute_server_stream(request=request, method=_POUR)

    @asynccontextmanager
    async def channel(self) -> AsyncGenerator["Channel", None]:
        """Open a channel."""
        queue: asyncio.Queue[Record | None] = asyncio.Queue()
        answers = self._client.execute_bidi_stream(request=_take(queue), method=_ECHOES)
        yield Channel(queue, answers)
        await queue.put(None)
        async for _ in answers:
            pass


async def _take(queue: asyncio.Queue[Record | None]) -> AsyncGenerator[Record, None]:
    while (record := await queue.get()) is not None:
        yield record


class Channel:
    """An open channel."""

    def __init__(self, queue: asyncio.Queue[Record | None], answers: AsyncIterator[Record]) -> None:
        self._queue = queue
        self._answers = answers

    async def round_trip(self, record: Record, /) -> Record:
        """Send a record, and wait until it comes back."""
        self._queue.put_nowait(record)
        return await anext(self._answers)


@asynccontextmanager
async def connect(path: str) -> AsyncGenerator[Client, None]:
    """Connect."""
    address = Path(path).read_text()  # noqa: ASYNC240 # before the measurement
    async with HTTPTransport(http_version=HTTPVersion.HTTP2, enable_otel=False) as transport:
        yield Client(
            ConnectClient(
                address,
                http_client=HttpClient(transport),
                accept_compression=(),
                send_compression=None,
            )
        )
