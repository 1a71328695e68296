"""Server process whose calls do not end by themselves, which tests stop and kill.

It prints its TCP port when it is ready. Each line on its standard input ends one ``block``.
"""

import asyncio
import json
import sys
from pathlib import Path

import enkaku
from watching import Recorder

from .protocol import BLOCK, FIGURES, NOTE, PING, POUR, QUIET, TALK, WAIT, Figures

GRACE = 0.3
WINDOW = 16 * 1024
ITEM = "x" * 1000


class Silent(enkaku.Handler):
    """Serves calls that wait without end, and do not read items."""

    def __init__(self) -> None:
        self.servers: tuple[enkaku.Server, ...] = ()
        self.observed = Recorder()

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return (
            enkaku.Route.event(NOTE, self._note),
            enkaku.Route.request(PING, self._return),
            enkaku.Route.request(WAIT, self._wait),
            enkaku.Route.request(BLOCK, self._block),
            enkaku.Route.request(FIGURES, self._figures),
            enkaku.Route.stream(QUIET, self._wait),
            enkaku.Route.stream(POUR, self._pour),
            enkaku.Route.channel(TALK, self._wait),
        )

    async def _return(self) -> None:
        return

    async def _note(self, _: str) -> None:
        return

    async def _wait(self, *_: object) -> None:
        await asyncio.Event().wait()

    async def _block(self) -> None:
        _say("blocked")
        sys.stdin.readline()

    async def _pour(self, stream: enkaku.ServerStream[str]) -> None:
        while not stream.closed:
            await stream.send(ITEM)

    async def _figures(self) -> Figures:
        return Figures(
            connections=sum(len(server.connections) for server in self.servers),
            calls=len(self.observed.started) - len(self.observed.ended),
            tasks=len(asyncio.all_tasks()),
            descriptors=len(list(Path("/proc/self/fd").iterdir())),
        )


async def _serve(path: str, settings: str) -> None:
    handler = Silent()
    times: dict[str, float] = json.loads(settings)
    options: enkaku.ServerOptions = {
        "observers": [handler.observed],
        "close_timeout": times.get("close_timeout", 30.0),
        "limits": enkaku.Limits(
            window=WINDOW, cleanup=GRACE, request_time=times.get("request_time")
        ),
    }
    async with (
        enkaku.serve_unix(handler, path, **options) as unix,
        enkaku.serve_tcp(handler, keepalive=2, **options) as tcp,
    ):
        handler.servers = (unix, tcp)
        loop = asyncio.get_running_loop()
        # Two iterations later, when serve_forever has installed its signal handlers.
        loop.call_soon(loop.call_soon, _say, str(tcp.port))
        await asyncio.gather(*(each.serve_forever(grace=GRACE) for each in handler.servers))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
