"""The soak's server, a process of its own: serves at a Unix socket and over TCP until SIGTERM.

It writes its TCP port when it is ready, and its last figures, as JSON, when it has stopped.
"""

import argparse
import asyncio
import signal
import sys

import enkaku

from .handler import Soaked
from .process import Faults, descriptors, memory
from .protocol import Figures


class _Watched:
    """Puts the figures together."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.servers: tuple[enkaku.Server, ...] = ()

    def figures(self, handler: Soaked) -> Figures:
        return Figures(
            started=dict(handler.started),
            ended=dict(handler.ended),
            connections=0,
            calls=0,
            tasks=len(asyncio.all_tasks()),
            descriptors=descriptors(),
            memory=memory(),
            faults=self.faults.texts,
        )


async def _serve(path: str, port: int) -> None:
    watched = _Watched()
    watched.faults.watch()
    handler = Soaked(watched.figures)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with (
        enkaku.serve_unix(handler, path, close_timeout=10.0) as unix,
        enkaku.serve_tcp(handler, port=port, close_timeout=10.0) as tcp,
    ):
        watched.servers = (unix, tcp)
        _say(str(tcp.port))
        await stop.wait()
        await asyncio.gather(unix.stop(grace=3.0), tcp.stop(grace=3.0))
    _say(watched.figures(handler).model_dump_json())


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m soak.server", description=__doc__)
    parser.add_argument("path", help="of the Unix socket")
    parser.add_argument("port", type=int, help="for TCP; 0 takes a free one")
    options = parser.parse_args()
    asyncio.run(_serve(options.path, options.port))
