"""asyncio's streams with one line of JSON per message: a program without a library."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

from compare.peers.by_hand import ASK, Answer, Ask, Calls, answer_one

REQUIREMENTS: Final = ()

_LIMIT: Final = 2**20  # a line may be longer than the 64 KiB of asyncio's default


async def _serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async def send(answer: Answer) -> None:
        writer.write(answer.model_dump_json().encode() + b"\n")
        await writer.drain()

    try:
        async with asyncio.TaskGroup() as tasks:
            async for line in reader:
                await answer_one(ASK.validate_json(line), send, tasks)
    finally:
        writer.close()


async def serve(path: str, ready: Callable[[], None]) -> None:
    """Serve until cancelled."""
    server = await asyncio.start_unix_server(_serve_one, path, limit=_LIMIT, backlog=1000)
    async with server:
        ready()
        await server.serve_forever()


@asynccontextmanager
async def connect(path: str) -> AsyncGenerator[Calls, None]:
    """Connect."""
    reader, writer = await asyncio.open_unix_connection(path, limit=_LIMIT)

    async def send(ask: Ask) -> None:
        writer.write(ask.model_dump_json().encode() + b"\n")
        await writer.drain()

    calls = Calls(send)

    async def read() -> None:
        async for line in reader:
            calls.take(Answer.model_validate_json(line))

    reading = asyncio.create_task(read())
    try:
        yield calls
    finally:
        writer.close()
        await reading
