"""Process of the regression check: runs client and server of one peer in one event loop, over a Unix socket.

``python -m compare.counted PEER`` runs under callgrind. Between two marks there is one workload, after a warm-up. One thread
and a simulated clock make the counts reproducible.
"""

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from itertools import count
from typing import Final

from compare.peer import MODULES, Peer, load_peer
from compare.workloads import WORKLOADS

__all__ = ["COUNTS", "MARK"]

MARK: Final = "_PyEval_CallTracing"
"""The C function at which callgrind dumps its counts; no other code calls it."""

COUNTS: Final = {
    "request": 200,
    "flight": 640,
    "stream": 1_000,
    "streams": 1_000,
    "channel": 200,
    "large": 30,
    "connections": 500,
}
"""The messages of each workload."""


_TICK: Final = 20e-6  # seconds, about the time between two reads of the clock without callgrind
_tick: Final = count(0.0, _TICK).__next__
"""A clock that advances at each read: code that depends on time behaves the same at any speed of the machine.

It is a C function, as ``time.monotonic`` is: a Python function would cost eight times as much.
"""


def mark() -> None:
    """Make callgrind dump its counts and reset them."""
    sys.call_tracing(int, ())


async def run(peer: Peer, path: str) -> None:
    """Run every workload, each after a shorter warm-up run."""
    ready = asyncio.Event()
    serving = asyncio.ensure_future(peer.serve(path, ready.set))
    await ready.wait()
    for name, messages in COUNTS.items():
        async with WORKLOADS[name].enter(peer, path) as work:
            await work(max(messages // 4, WORKLOADS[name].least))
            gc.collect()
            mark()
            await work(messages)
            mark()
    serving.cancel()
    await asyncio.wait({serving})


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=MODULES)
    options = parser.parse_args()
    time.monotonic = _tick  # before the import of the peer, which may bind the function
    with tempfile.TemporaryDirectory(prefix="enk-") as directory:
        asyncio.run(run(load_peer(options.peer), f"{directory}/s"))


if __name__ == "__main__":
    main()
