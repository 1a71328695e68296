"""Server process: ``python -m compare.serve PEER PATH`` prints ``ready``, and serves until SIGTERM."""

import argparse
import asyncio
import importlib
import resource
import signal
from collections.abc import Callable
from typing import Final

from compare.peer import MODULES, Peer, load_peer

__all__ = ["LOOPS", "allow_many_files", "loop_factory"]

LOOPS: Final = ("asyncio", "uvloop")


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return the factory of an event loop."""
    if name == "asyncio":
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module(name).new_event_loop
    return factory


def allow_many_files() -> None:
    """Raise the limit of open files to the maximum."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def serve(peer: Peer, path: str) -> None:
    """Serve until SIGTERM."""
    serving = asyncio.ensure_future(peer.serve(path, lambda: print("ready", flush=True)))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
    await asyncio.wait({serving})
    if not serving.cancelled():
        serving.result()


def main() -> None:
    """Run the server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=MODULES)
    parser.add_argument("path", help="of the Unix socket")
    parser.add_argument("--loop", choices=LOOPS, default=LOOPS[0])
    options = parser.parse_args()
    allow_many_files()
    with asyncio.Runner(loop_factory=loop_factory(options.loop)) as runner:
        runner.run(serve(load_peer(options.peer), options.path))


if __name__ == "__main__":
    main()
