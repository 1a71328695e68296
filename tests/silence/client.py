"""Client process with a call in each state, which tests stop and kill.

It prints ``ready`` when all calls are in their states; a line on its standard input ends it.
"""

import asyncio
import json
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import enkaku

from .protocol import POUR
from .states import STATES, Place
from .table import open_calls
from .ways import Settings, Stage, nothing, ping


async def _pour_for_nobody(at: Place) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(20):
            await stack.enter_async_context(at.connection.stream(POUR, None))
        await at.arrive()
        await asyncio.Event().wait()


async def _be(path: str, settings: str) -> None:
    told: dict[str, Any] = json.loads(settings)
    doings = [STATES[state] for state in told.get("states", open_calls())]
    if told.get("floods"):
        doings = [_pour_for_nobody]
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        tasks = list[asyncio.Task[None]]()
        for doing in doings:
            connection = await stack.enter_async_context(
                enkaku.connect_unix(path, timeout=told.get("timeout", 60.0))
            )
            stage = Stage(lambda _: enkaku.connect_unix(path), nothing, {}, ping)
            place = Place(connection, stage, Settings(stream=told.get("timeout")))
            tasks.append(loop.create_task(_quietly(doing(place))))
            await place.arrived.wait()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await loop.run_in_executor(None, sys.stdin.readline)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _quietly(doing: Coroutine[Any, Any, None]) -> None:
    with suppress(enkaku.EnkakuError):
        await doing


if __name__ == "__main__":
    asyncio.run(_be(str(Path(sys.argv[1])), sys.argv[2]))
