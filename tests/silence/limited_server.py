"""Server process with little address space (RLIMIT_AS), which hostile clients try to exhaust.

It prints ``ready``, and runs until it is terminated.
"""

import asyncio
import resource
import sys
from pathlib import Path

import enkaku

HOLD = enkaku.Request[object, None]("hold", param=object)
ECHO = enkaku.Request[str, str]("echo", param=str, result=str)


class Holding(enkaku.Handler):
    """Holds the params of requests, and echoes those of others."""

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return (enkaku.Route.request(HOLD, self._hold), enkaku.Route.request(ECHO, self._echo))

    async def _hold(self, _: object) -> None:
        await asyncio.Event().wait()

    async def _echo(self, text: str) -> str:
        return text


async def _serve(path: str, headroom: str) -> None:
    limits = enkaku.Limits(
        stall=0.5
    )  # else memory of clients that hold on to it is freed after 30 s
    async with enkaku.serve_unix(Holding(), path, limits=limits) as server:
        async with enkaku.connect_unix(path) as connection:
            await connection.request(ECHO, "")
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limit = used + int(headroom)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await server.serve_forever()


if __name__ == "__main__":
    run = enkaku.run if sys.argv.pop(1) == "uvloop" else asyncio.run
    run(_serve(*sys.argv[1:]))
