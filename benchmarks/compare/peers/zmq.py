"""pyzmq's asyncio sockets with msgspec's MessagePack over a Unix socket (ipc); pydantic validates messages.

A ROUTER socket drops messages above its high-water mark, so that neither side has a high-water mark.
"""

# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false, reportAttributeAccessIssue=false
# (its imports are installed in another environment, and the type checker takes this file for the library)

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import zmq
import zmq.asyncio

from compare.peers.by_hand import ASK, Answer, Ask, Calls, answer_one

REQUIREMENTS: Final = ("pyzmq==27.3.0",)

_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder().decode


async def serve(path: str, ready: Callable[[], None]) -> None:
    """Serve until cancelled."""
    with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.set_hwm(0)
        socket.setsockopt(zmq.BACKLOG, 1000)
        socket.bind(f"ipc://{path}")
        ready()
        async with asyncio.TaskGroup() as tasks:
            while True:
                peer, data = await socket.recv_multipart()

                async def send(answer: Answer, peer: bytes = peer) -> None:
                    await socket.send_multipart((peer, _pack(answer.model_dump())))

                await answer_one(ASK.validate_python(_unpack(data)), send, tasks)


_context: Final = zmq.asyncio.Context()


@asynccontextmanager
async def connect(path: str) -> AsyncGenerator[Calls, None]:
    """Connect."""
    with _context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.set_hwm(0)
        socket.connect(f"ipc://{path}")

        async def send(ask: Ask) -> None:
            await socket.send(_pack(ask.model_dump()))

        calls = Calls(send)

        async def read() -> None:
            while True:
                calls.take(Answer.model_validate(_unpack(await socket.recv())))

        reading = asyncio.create_task(read())
        try:
            yield calls
        finally:
            reading.cancel()
            await asyncio.wait({reading})
