"""The service of connect-py, and its client on pyqwest, for the peers connect-py and connect-uvicorn.

Messages and methods are like those of connect-py's generator, without unused parts.
"""

# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false
# (its imports are installed in another environment)

import asyncio
import atexit
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from connectrpc.client import ConnectClient
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.server import ConnectASGIApplication, Endpoint
from protobuf import Message
from protobuf._codegen import file_desc
from pyqwest import Client as HttpClient
from pyqwest import HTTPTransport, HTTPVersion

from compare import record

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
    if not request.count:  # an idle stream
        yield make(0)
        await asyncio.Event().wait()


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
"""The service; compression, which is on by default, is off."""


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
async def open_client(address: str, version: HTTPVersion) -> AsyncGenerator[Client, None]:
    """Connect to a URL."""
    async with HTTPTransport(http_version=version, enable_otel=False) as transport:
        yield Client(
            ConnectClient(
                address,
                http_client=HttpClient(transport),
                accept_compression=(),
                send_compression=None,
            )
        )


@asynccontextmanager
async def hold_stream(client: Client) -> AsyncGenerator[None, None]:
    """Open a session: a stream that sends one record, and no more."""
    async with client.stream(0, 0) as records:
        await anext(records)
        yield
