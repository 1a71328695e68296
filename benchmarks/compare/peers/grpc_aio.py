"""grpc.aio over a Unix socket, with protobuf messages, whose types validate the records.

The schema is built here, and the handlers are the generic ones that generated code would register, so that no compiler is
needed. Generators and ``async for`` are as fast as its ``write`` and ``read``.
"""

# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false
# (its imports are installed in another environment)

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc.aio
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from compare import record

REQUIREMENTS: Final = ("grpcio==1.85.1", "protobuf==7.36.2")

_Field: Final = descriptor_pb2.FieldDescriptorProto
_SCHEMA: Final = {
    "Record": {
        "cpu": _Field.TYPE_DOUBLE,
        "memory": _Field.TYPE_INT64,
        "timestamp": _Field.TYPE_DOUBLE,
        "label": _Field.TYPE_STRING,
    },
    "Pour": {"count": _Field.TYPE_INT64, "label_size": _Field.TYPE_INT64},
}
_FILE: Final = descriptor_pb2.FileDescriptorProto(
    name="bench.proto",
    package="bench",
    syntax="proto3",
    message_type=[
        descriptor_pb2.DescriptorProto(
            name=name,
            field=[
                _Field(name=field, number=number, type=kind, label=_Field.LABEL_OPTIONAL)
                for number, (field, kind) in enumerate(fields.items(), 1)
            ],
        )
        for name, fields in _SCHEMA.items()
    ],
)
_pool: Final = descriptor_pool.DescriptorPool()
_messages: Final = message_factory.GetMessageClassesForFiles(
    [_pool.AddSerializedFile(_FILE.SerializeToString()).name], _pool
)
Record: Final[Any] = _messages["bench.Record"]
Pour: Final[Any] = _messages["bench.Pour"]

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # each client has a connection of its own
)


def make(number: int, label_size: int = 0) -> Any:  # noqa: ANN401 # the class exists at run time
    """Return the record of a number."""
    return Record(
        cpu=12.5,
        memory=record.BASE + number,
        timestamp=1764000000.123,
        label=record.make_label(label_size),
    )


async def _echo(request: Any, _context: object) -> Any:  # noqa: ANN401 # as above
    return request


async def _pour(
    request: Any,  # noqa: ANN401 # as above
    _context: object,
) -> AsyncGenerator[Any, None]:
    for number in range(request.count):
        yield make(number, request.label_size)


async def _echoes(requests: AsyncIterator[Any], _context: object) -> AsyncGenerator[Any, None]:
    async for request in requests:
        yield request


async def serve(path: str, ready: Callable[[], None]) -> None:
    """Serve until cancelled."""
    server = grpc.aio.server(options=_OPTIONS)
    read, write = Record.FromString, Record.SerializeToString
    handlers = {
        "Echo": grpc.unary_unary_rpc_method_handler(_echo, read, write),
        "Pour": grpc.unary_stream_rpc_method_handler(_pour, Pour.FromString, write),
        "Echoes": grpc.stream_stream_rpc_method_handler(_echoes, read, write),
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("bench.Bench", handlers),)
    )
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    ready()
    try:
        await server.wait_for_termination()
    finally:
        await server.stop(None)


class Client:
    """A connection."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        read, write = Record.FromString, Record.SerializeToString
        self._pour = channel.unary_stream("/bench.Bench/Pour", Pour.SerializeToString, read)
        self._echoes = channel.stream_stream("/bench.Bench/Echoes", write, read)
        self.request: Any = channel.unary_unary("/bench.Bench/Echo", write, read)

    @asynccontextmanager
    async def stream(self, count: int, label_size: int) -> AsyncGenerator[AsyncIterator[Any], None]:
        """Open a stream."""
        yield aiter(self._pour(Pour(count=count, label_size=label_size)))

    @asynccontextmanager
    async def channel(self) -> AsyncGenerator["Channel", None]:
        """Open a channel."""
        call = self._echoes()
        yield Channel(call)
        await call.done_writing()
        await call.read()


class Channel:
    """An open channel."""

    def __init__(self, call: Any) -> None:  # noqa: ANN401 # as above
        self._call = call

    async def round_trip(self, record: Any, /) -> Any:  # noqa: ANN401 # as above
        """Send a record, and wait until it comes back."""
        await self._call.write(record)
        return await self._call.read()


@asynccontextmanager
async def connect(path: str) -> AsyncGenerator[Client, None]:
    """Connect."""
    async with grpc.aio.insecure_channel(f"unix:{path}", _OPTIONS) as channel:
        await channel.channel_ready()
        yield Client(channel)
