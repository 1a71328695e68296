"""Server process of the soak: serves at a Unix socket and over TCP until SIGTERM.

It prints its TCP port when it is ready, and its last figures, as JSON, when it has stopped.
"""

import argparse
import asyncio
import signal
import sys

import enkaku

from .counting import Counting
from .handler import Soaked
from .process import Faults, allocated, descriptors, memory
from .protocol import FIGURES, Figures


class _Watched:
    """Collects the figures."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.counting = Counting(FIGURES)
        self.servers: tuple[enkaku.Server, ...] = ()

    def figures(self, handler: Soaked) -> Figures:
        connections = [each for server in self.servers for each in server.connections]
        calls = [call for connection in connections for call in connection.calls]
        objects, heap = allocated()
        return Figures(
            started=dict(self.counting.started),
            ended=dict(self.counting.ended),
            handlers=handler.began,
            running=handler.began - handler.ended,
            connections=len(connections),
            calls=sum(call.procedure is not FIGURES for call in calls),
            tasks=len(asyncio.all_tasks()),
            descriptors=descriptors(),
            memory=memory(),
            objects=objects,
            heap=heap,
            faults=self.faults.texts,
        )


async def _serve(path: str, port: int) -> None:
    watched = _Watched()
    watched.faults.watch()
    handler = Soaked(watched.figures)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    options: enkaku.ServerOptions = {"observers": [watched.counting], "close_timeout": 60.0}
    async with (
        enkaku.serve_unix(handler, path, **options) as unix,
        enkaku.serve_tcp(handler, port=port, **options) as tcp,
    ):
        watched.servers = (unix, tcp)
        _print(str(tcp.port))
        await stop.wait()
        await asyncio.gather(unix.stop(grace=3.0), tcp.stop(grace=3.0))
    _print(watched.figures(handler).model_dump_json())


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m soak.server", description=__doc__)
    parser.add_argument("path", help="of the Unix socket")
    parser.add_argument("port", type=int, help="for TCP; 0 takes a free one")
    options = parser.parse_args()
    asyncio.run(_serve(options.path, options.port))
