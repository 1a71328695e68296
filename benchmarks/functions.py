"""Simplicity metric: the number of runtime functions that one message calls, on both sides: ``make bench-functions``.

The count is exactly reproducible. Client and server run in one event loop, over a Unix socket, and ``sys.setprofile`` counts
every call of a Python function of the runtime, after a warm-up. ``--list`` prints the functions.
"""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final

import enkaku

__all__ = ["count_all"]

RUNTIME: Final = str(Path(enkaku.__file__).parent)
WARM: Final = 20
TIMES: Final = 50

ECHO: Final = enkaku.Request[int, int]("echo", param=int, result=int)
COUNT: Final = enkaku.Stream[int, int, None]("count", param=int, receive=int)
TALK: Final = enkaku.Channel[None, int, int, None]("talk", send=int, receive=int)
SLEEP: Final = enkaku.Request[None, None]("sleep")


class Handler(enkaku.Handler):
    """Serves the measured procedures."""

    def __init__(self) -> None:
        self.sleeping = asyncio.Event()

    async def echo(self, param: int) -> int:
        """Return the param."""
        return param

    async def count(self, param: int, stream: enkaku.ServerStream[int]) -> None:
        """Send a number of items."""
        for number in range(param):
            await stream.send(number)

    async def talk(self, channel: enkaku.ServerChannel[int, int]) -> None:
        """Send each item back."""
        async for item in channel:
            await channel.send(item)

    async def sleep(self) -> None:
        """Report the start, and wait for the cancellation."""
        self.sleeping.set()
        await asyncio.Event().wait()

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        """Return the routes."""
        return (
            enkaku.Route.request(ECHO, self.echo),
            enkaku.Route.stream(COUNT, self.count),
            enkaku.Route.channel(TALK, self.talk),
            enkaku.Route.request(SLEEP, self.sleep),
        )


async def count_entered(work: Callable[[], Coroutine[None, None, None]]) -> Counter[str]:
    """Return how often a piece of work calls each function of the runtime."""
    entered = Counter[str]()

    def profile(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(RUNTIME):
            module = Path(code.co_filename).relative_to(RUNTIME).with_suffix("")
            entered[f"{module}: {code.co_qualname}"] += 1

    sys.setprofile(profile)
    try:
        await work()
    finally:
        sys.setprofile(None)
    return entered


async def count_more(work: Callable[[int], Coroutine[None, None, None]]) -> Counter[str]:
    """Return the calls of ``TIMES`` more items, without those of opening and ending the call."""
    await work(WARM)
    fewer = await count_entered(lambda: work(3 * TIMES))
    return await count_entered(lambda: work(4 * TIMES)) - fewer


async def count_all() -> dict[str, Counter[str]]:
    """Return the calls of ``TIMES`` requests, items, round trips and aborted requests, by function."""
    with tempfile.TemporaryDirectory(prefix="enk-") as folder:
        path = Path(folder, "s")
        handler = Handler()
        async with enkaku.serve_unix(handler, path), enkaku.connect_unix(path) as connection:

            async def request(times: int = TIMES) -> None:
                for number in range(times):
                    await connection.request(ECHO, number)

            async def items(times: int) -> None:
                async with connection.stream(COUNT, times) as stream:
                    async for _ in stream:
                        pass
                    await stream.result()

            async def round_trips(times: int) -> None:
                async with connection.channel(TALK, None) as channel:
                    for number in range(times):
                        await channel.send(number)
                        await anext(channel)

            async def abort(times: int = TIMES) -> None:
                for _ in range(times):
                    task = asyncio.ensure_future(connection.request(SLEEP, None))
                    await handler.sleeping.wait()
                    handler.sleeping.clear()
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
                await connection.request(ECHO, 1)

            await request(WARM)
            await abort(WARM)
            return {
                "request": await count_entered(request),
                "item": await count_more(items),
                "round trip": await count_more(round_trips),
                "abort": await count_entered(abort),
            }


def main() -> None:
    """Count, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the functions, too")
    options = parser.parse_args()
    for name, entered in asyncio.run(count_all()).items():
        print(f"{name:<10}{entered.total() / TIMES:8.1f} functions")
        if options.list:
            for function, times in entered.most_common():
                if times >= TIMES // 10:
                    print(f"{times / TIMES:10.2f}  {function}")


if __name__ == "__main__":
    main()
