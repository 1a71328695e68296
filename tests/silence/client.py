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
from .states import STATES, CallContext
from .table import open_calls
from .ways import Settings, Stage, nothing, ping


async def _flood(at: CallContext) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(20):
            await stack.enter_async_context(at.connection.stream(POUR, None))
        await at.arrive()
        await asyncio.Event().wait()


async def _run(path: str, settings: str) -> None:
    options: dict[str, Any] = json.loads(settings)
    actions = [STATES[state] for state in options.get("states", open_calls())]
    if options.get("floods"):
        actions = [_flood]
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        tasks = list[asyncio.Task[None]]()
        for action in actions:
            connection = await stack.enter_async_context(
                enkaku.connect_unix(path, timeout=options.get("timeout", 60.0))
            )
            stage = Stage(lambda _: enkaku.connect_unix(path), nothing, {}, ping)
            context = CallContext(connection, stage, Settings(stream=options.get("timeout")))
            tasks.append(loop.create_task(_quietly(action(context))))
            await context.arrived.wait()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await loop.run_in_executor(None, sys.stdin.readline)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _quietly(action: Coroutine[Any, Any, None]) -> None:
    with suppress(enkaku.EnkakuError):
        await action


if __name__ == "__main__":
    asyncio.run(_run(str(Path(sys.argv[1])), sys.argv[2]))
