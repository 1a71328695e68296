"""The process whose instructions the guard counts: client and server of one peer in one loop, over a Unix socket.

``python -m compare.counted PEER``, under callgrind: between two marks there is one workload, warmed up before. All of it
is in one thread, and on a clock of its own, so that a run counts what the one before has counted.
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
"""The C function that callgrind writes its counts down at: nobody else calls it."""

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


_TICK: Final = 20e-6  # seconds, about what passes between two looks at the clock without callgrind
_tick: Final = count(0.0, _TICK).__next__
"""A clock that goes on whenever it is read: what depends on time is the same however slow the machine is.

It is a C function, as ``time.monotonic`` is: a Python function would cost eight times as much as what it replaces.
"""


def mark() -> None:
    """Have callgrind write down what it has counted, and begin anew."""
    sys.call_tracing(int, ())


async def run(peer: Peer, path: str) -> None:
    """Run every workload, after a shorter run that is like it."""
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
    time.monotonic = _tick  # before the peer is imported, which may keep the function
    with tempfile.TemporaryDirectory(prefix="enk-") as directory:
        asyncio.run(run(load_peer(options.peer), f"{directory}/s"))


if __name__ == "__main__":
    main()
