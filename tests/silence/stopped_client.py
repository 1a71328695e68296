"""Client process with a flooded and a quiet connection, which a test stops for longer than every limit, and continues.

It prints ``ready`` when its calls are open, and ``ended`` when the flooded connection is lost. A line on its standard input
makes it use the quiet connection, and print ``alive``.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack

import enkaku

from .protocol import PING, POUR, QUIET

_CALLS = 20  # whose windows together are more than the socket takes


async def _run(path: str, seconds: str) -> None:
    limits = enkaku.Limits(silence=json.loads(seconds))
    async with (
        enkaku.connect_unix(path, limits=limits) as flooded,
        enkaku.connect_unix(path, limits=limits) as connection,
        AsyncExitStack() as stack,
        connection.stream(QUIET, None) as quiet,
    ):
        pouring = [
            await stack.enter_async_context(flooded.stream(POUR, None)) for _ in range(_CALLS)
        ]
        for each in pouring:
            await anext(each)
        waiting = asyncio.create_task(quiet.result())
        _say("ready")
        ends = [await _end(each) for each in pouring]
        _say(
            "ended" if all(isinstance(each, enkaku.ConnectionLost) for each in ends) else f"{ends}"
        )
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        await connection.request(PING, None)
        _say("alive" if not waiting.done() else "the quiet call has ended")
        waiting.cancel()


async def _end(call: enkaku.ClientStream[str, None]) -> BaseException | None:
    try:
        async for _ in call:
            pass
    except enkaku.EnkakuError as error:
        return error
    return None


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run = enkaku.run if sys.argv.pop(1) == "uvloop" else asyncio.run
    run(_run(*sys.argv[1:]))
