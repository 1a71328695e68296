"""Backpressure benchmark: the cost of a slow reader for other calls and in memory, and the fairness of a connection.

    make bench-backpressure

Two processes share a Unix socket. Every figure is the median of several rounds, unless stated otherwise.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import enkaku
import psutil
from producer import ASK, CANCELLED, COUNT, ITEM, LOOP, POUR, SENT

MIB: Final = 2**20
SIZE: Final = 1000  # characters of an item
NAP: Final = 0.01  # seconds per item of the slow reader
ITEMS: Final = 200_000  # of the stream whose reader pauses


class Bench:
    """A server process, and how to connect to it."""

    def __init__(self, path: str, server: psutil.Process, options: argparse.Namespace) -> None:
        self.path = path
        self.seconds: float = options.seconds
        self.round: float = options.round
        self.rounds: int = options.rounds
        self._processes = (server, psutil.Process())

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[enkaku.Connection, None]:
        """Connect."""
        async with enkaku.connect_unix(self.path) as connection:
            yield connection

    def memory(self) -> tuple[float, float]:
        """Return the resident memory of the server and of this process, in MiB."""
        server, client = (process.memory_info().rss / MIB for process in self._processes)
        return server, client

    async def median(self, measure: Callable[[], Awaitable[float]]) -> float:
        """Return the median of several measurements."""
        return statistics.median([await measure() for _ in range(self.rounds)])


def show(name: str, value: str, note: str = "") -> None:
    """Print a line of the table."""
    print(f"  {name:<58}{value:>16}  {note}".rstrip(), flush=True)


async def read(connection: enkaku.Connection, seconds: float, *, nap: float = 0.0) -> float:
    """Read a stream for a while, and return the items per second."""
    start, taken = time.monotonic(), 0
    async with connection.stream(POUR, SIZE) as stream:
        async for _ in stream:
            taken += 1
            if nap:
                await asyncio.sleep(nap)
            if time.monotonic() - start > seconds:
                break
    return taken / (time.monotonic() - start)


@asynccontextmanager
async def during(work: Awaitable[Any]) -> AsyncGenerator[None, None]:
    """Run other work during the block, and cancel it at the end."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0.1)
    try:
        yield
        if task.done():
            print(f"    (the work during the measurement ended: {task.exception()!r})")
    finally:
        task.cancel()
        await asyncio.wait({task})


async def slow_and_fast(bench: Bench) -> None:
    """One slow and one fast stream on one connection."""
    async with bench.connected() as connection:

        async def alone() -> float:
            return await read(connection, bench.round)

        async def with_slow() -> float:
            async with during(read(connection, 1e9, nap=NAP)):
                return await read(connection, bench.round)

        one = await bench.median(alone)
        both = await bench.median(with_slow)
        show("fast stream, alone", f"{one:,.0f} items/s")
        show("fast stream, next to a slow one", f"{both:,.0f} items/s", f"{both / one:.2f} x")
        await read(connection, 1.0, nap=NAP)
        before = bench.memory()
        async with during(read(connection, 1e9, nap=NAP)):
            await asyncio.sleep(bench.seconds)
            after = bench.memory()
    for who, first, last in zip(("server", "client"), before, after, strict=True):
        name = f"memory of the {who}, {bench.seconds:g} s of a slow reader"
        show(name, f"{last - first:+.1f} MiB", f"of {last:.0f} MiB")


async def request_for_each(bench: Bench) -> None:
    """A loop over a flooding stream whose body makes a request on the same connection."""

    async def with_credit() -> float:
        async with bench.connected() as connection:
            done, start = 0, time.monotonic()
            async with connection.stream(POUR, SIZE) as stream:
                async for _ in stream:
                    done += await connection.request(ASK, 1)
                    if time.monotonic() - start > bench.round:
                        break
            return done / (time.monotonic() - start)

    before = bench.memory()
    try:
        show("request for each item", f"{await bench.median(with_credit):,.0f} /s")
    except enkaku.EnkakuError as error:
        show("request for each item", "fails", f"{error}")
    after = bench.memory()
    for who, first, last in zip(("server", "client"), before, after, strict=True):
        show(f"  memory of the {who}", f"{last - first:+.1f} MiB")
    backlogs: list[int] = []

    async def without_credit() -> float:
        rate, backlog = await raw_loop(bench.path, bench.round)
        backlogs.append(backlog)
        return rate

    show("request for each item, no window", f"{await bench.median(without_credit):,.0f} /s")
    show("  items buffered in such a client", f"{statistics.median(backlogs):,.0f}")


async def raw_loop(path: str, seconds: float) -> tuple[float, int]:
    """Run the same loop without flow control, and buffer all items; return requests per second and buffered items."""
    reader, writer = await asyncio.open_unix_connection(path, limit=MIB)
    writer.write(line(typ="stream", rid="s", prc="pour", prm=SIZE))
    kept, done, start = 0, 0, time.monotonic()
    while time.monotonic() - start < seconds:
        writer.write(line(typ="request", rid=f"{done}", prc="ask", prm=1))
        while b'"result"' not in await reader.readline():
            kept += 1
        done += 1
    took = time.monotonic() - start
    writer.transport.abort()
    return done / took, kept - done


def line(**payload: object) -> bytes:
    """Encode a message."""
    message = {"header": {"typ": "JWT", "alg": "none"}, "payload": payload}
    return json.dumps(message).encode() + b"\n"


async def latencies(connection: enkaku.Connection, seconds: float) -> list[float]:
    """Make sequential requests, and return the time of each in seconds."""
    found: list[float] = []
    end = time.monotonic() + seconds
    while (start := time.monotonic()) < end:
        await connection.request(ASK, 1)
        found.append(time.monotonic() - start)
    return found


async def newest(connection: enkaku.Connection) -> None:
    """Read the newest item now and then, so that its producer never waits."""
    async with connection.stream(POUR, SIZE, when_full="latest") as stream:
        async for _ in stream:
            await asyncio.sleep(0.05)


async def fairness(bench: Bench) -> None:
    """Requests while a producer never waits."""
    async with bench.connected() as connection, bench.connected() as other:
        alone = await latencies(connection, bench.round * bench.rounds)
        show_latencies("requests, alone", alone)
        cases = {
            "during a stream on the same connection": read(connection, 1e9),
            "during a stream on another connection": read(other, 1e9),
            "during a stream that keeps the newest": newest(connection),
        }
        for name, work in cases.items():
            async with during(work):
                found = await latencies(connection, bench.round * bench.rounds)
            show_latencies(f"  {name}", found, statistics.median(found) / statistics.median(alone))
        times = [await abort(connection, other) for _ in range(5 * bench.rounds)]
    show(
        "abort of an endless send loop, until its cancellation",
        f"{statistics.median(times) * 1e3:.2f} ms",
        f"worst of {len(times)}: {max(times) * 1e3:.2f} ms",
    )


def show_latencies(name: str, found: list[float], ratio: float | None = None) -> None:
    """Print the latency of requests."""
    hundredth = statistics.quantiles(found, n=100)[-1]
    show(
        name,
        f"{statistics.median(found) * 1e6:,.0f} us",
        f"p99 {hundredth * 1e6:,.0f} us, {1 / statistics.mean(found):,.0f} /s"
        + ("" if ratio is None else f", {ratio:.1f} x"),
    )


async def abort(connection: enkaku.Connection, other: enkaku.Connection) -> float:
    """Abort an endless stream, and return the seconds until its handler is cancelled."""
    start = 0.0
    async with connection.stream(LOOP, SIZE) as stream:
        for _ in range(1000):
            await anext(stream)
        start = time.monotonic()
        stream.abort()
    return await other.request(CANCELLED, None) - start


async def stopped_reader(bench: Bench) -> None:
    """A reader that pauses, and then reads all items."""
    async with bench.connected() as connection, bench.connected() as other:
        before = after = bench.memory()
        expected = waiting = 0
        async with connection.stream(COUNT, ITEMS) as stream:
            async for item in stream:
                if int(item) != expected:
                    raise SystemExit(f"expected item {expected}, got {item}")
                expected += 1
                if expected == 1000:
                    await asyncio.sleep(bench.round * 3)
                    waiting = await other.request(SENT, None) - expected
                    after = bench.memory()
            if await stream.result() != expected:
                raise SystemExit(f"got {expected} items, which is not the result")
    show(
        "items in transit while the reader pauses",
        f"{waiting:,}",
        f"{waiting * ITEM / 1024:,.0f} KiB",
    )
    for who, first, last in zip(("server", "client"), before, after, strict=True):
        show(f"  memory of the {who}", f"{last - first:+.1f} MiB")
    show("items received in total, in order", f"{expected:,}")


async def measure(path: str, server: psutil.Process, options: argparse.Namespace) -> None:
    """Print the table."""
    bench = Bench(path, server, options)
    for part in (slow_and_fast, request_for_each, fairness, stopped_reader):
        print(f"\n{part.__doc__}")
        await part(bench)


def main() -> None:
    """Start the server, measure, and stop the server."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--round", type=float, default=1.0, help="seconds of each round")
    parser.add_argument("--seconds", type=float, default=30.0, help="of the slow reader")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="enk-") as directory:
        path = f"{directory}/s"
        command = [sys.executable, str(Path(__file__).with_name("producer.py")), path]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603 # ours
        with process as server:
            try:
                if server.stdout is None or not server.stdout.readline():
                    raise SystemExit("the server did not start")
                asyncio.run(measure(path, psutil.Process(server.pid), options))
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
