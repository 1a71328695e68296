"""Client process: ``python -m compare.drive PEER PATH WORKLOAD SERVER_PID`` runs one workload, and prints a line of JSON.

After a warm-up it measures the CPU time of both processes. Wall-clock time on a shared machine depends on the other
processes as much as on the measured one.
"""

import argparse
import asyncio
import os
import re
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from compare.peer import MODULES, Peer, load_peer
from compare.serve import LOOPS, allow_many_files, loop_factory
from compare.workloads import WORKLOADS, Workload

__all__ = ["Measured"]


class Measured(BaseModel):
    """Measurements of one round of a workload.

    Attributes:
        messages: The number of messages, all of them checked.
        wall: Seconds of wall-clock time.
        client_cpu: CPU seconds of the client's process.
        server_cpu: CPU seconds of the server's process.
        client_rss: Peak memory of the client's process since its start, in bytes.
        server_rss: Peak memory of the server's process since its start, in bytes.
        server_growth: By how much the server's memory has grown, in bytes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    messages: int
    wall: float
    client_cpu: float
    server_cpu: float
    client_rss: int
    server_rss: int
    server_growth: int = 0


class Clocks:
    """CPU time of both processes, and wall-clock time, since the creation of this object."""

    def __init__(self, server: int) -> None:
        self._server = (~server) << 3 | 2  # Linux: the CPU clock of another process
        self._start = self._now()

    def _now(self) -> tuple[float, float, float]:
        return time.perf_counter(), time.process_time(), time.clock_gettime(self._server)

    def read(self) -> tuple[float, float, float]:
        """Return the seconds since the start: wall clock, client, server."""
        wall, client, server = (
            now - start for now, start in zip(self._now(), self._start, strict=True)
        )
        return wall, client, server


async def drive(peer: Peer, path: str, workload: Workload, server: int, scale: float) -> Measured:
    """Measure one round, of about ``scale`` seconds of the busier process."""
    async with workload.enter(peer, path) as run:
        await run(workload.warmup)
        clocks = Clocks(server)
        await run(workload.warmup)
        rate = workload.warmup / max(clocks.read())
        count = workload.fixed or max(1, round(rate * scale / workload.batch)) * workload.batch
        before = _memory_of(server)
        clocks = Clocks(server)
        await run(count)
        wall, client_cpu, server_cpu = clocks.read()
        growth = _memory_of(server) - before
    return Measured(
        messages=count,
        wall=wall,
        client_cpu=client_cpu,
        server_cpu=server_cpu,
        client_rss=_memory_of(os.getpid(), "VmHWM"),
        server_rss=_memory_of(server, "VmHWM"),
        server_growth=growth,
    )


def _memory_of(pid: int, kind: str = "VmRSS") -> int:
    # Not getrusage: its figure includes the peak of the parent process before exec.
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{kind}:\s*(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def main() -> None:
    """Run the client."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=MODULES)
    parser.add_argument("path", help="of the server's Unix socket")
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("server", type=int, help="the server's process id")
    parser.add_argument("--loop", choices=LOOPS, default=LOOPS[0])
    parser.add_argument("--scale", type=float, default=1.0, help="seconds to measure, about")
    options = parser.parse_args()
    allow_many_files()
    peer, workload = load_peer(options.peer), WORKLOADS[options.workload]
    with asyncio.Runner(loop_factory=loop_factory(options.loop)) as runner:
        found = runner.run(drive(peer, options.path, workload, options.server, options.scale))
    print(found.model_dump_json(), flush=True)


if __name__ == "__main__":
    main()
