"""The websockets library with one JSON text per message, without compression, over a Unix socket."""

# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false
# (its imports are installed in another environment)

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.asyncio.server import ServerConnection, unix_serve

from compare.peers.by_hand import ASK, Answer, Ask, Calls, answer_one

REQUIREMENTS: Final = ("websockets==17.4",)


async def serve_one(socket: ServerConnection) -> None:
    """Reply to the messages of a connection."""

    async def send(answer: Answer) -> None:
        await socket.send(answer.model_dump_json())

    async with asyncio.TaskGroup() as tasks:
        async for text in socket:
            await answer_one(ASK.validate_json(text), send, tasks)


async def serve(path: str, ready: Callable[[], None]) -> None:
    """Serve until cancelled."""
    async with unix_serve(serve_one, path, compression=None, backlog=1000) as server:
        ready()
        await server.serve_forever()


@asynccontextmanager
async def open_calls(socket: ClientConnection) -> AsyncGenerator[Calls, None]:
    """Make calls on a connection, and close it."""

    async def send(ask: Ask) -> None:
        await socket.send(ask.model_dump_json())

    calls = Calls(send)

    async def read() -> None:
        async for text in socket:
            calls.take(Answer.model_validate_json(text))

    reading = asyncio.create_task(read())
    try:
        yield calls
    finally:
        await socket.close()
        await reading


@asynccontextmanager
async def connect(path: str) -> AsyncGenerator[Calls, None]:
    """Connect."""
    async with unix_connect(path, compression=None) as socket, open_calls(socket) as calls:
        yield calls
