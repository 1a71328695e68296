"""Workloads of the comparison: each one checks and counts the records that it receives.

Entering a workload connects; then it can run several times.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from compare.peer import Client, Peer
from compare.record import WrongRecord, check

__all__ = ["WORKLOADS", "Run", "Workload"]

Run: TypeAlias = Callable[[int], Coroutine[Any, Any, None]]
"""Exchanges a number of messages."""

IN_FLIGHT: Final = 64
STREAMS: Final = 20
CONNECTIONS: Final = 500
SESSIONS: Final = 1_000
ITEM: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload.

    Attributes:
        name: Its name on the command line.
        title: Its title in the tables, with the unit.
        enter: Connects, and returns the function to run.
        warmup: Messages of the warm-up; its rate determines the number of measured messages.
        fixed: The number of measured messages, if it is part of the workload.
        batch: The number of measured messages is a multiple of it.
        size: Bytes of a message, if the rate is in MB/s; 0 if messages are counted.
        least: The minimum number of messages.
        memory: Whether the metric is the server's memory, so that less is better.
    """

    name: str
    title: str
    enter: Callable[[Peer, str], AbstractAsyncContextManager[Run]]
    warmup: int
    fixed: int = 0
    batch: int = 1
    size: int = 0
    least: int = 1
    memory: bool = False

    @property
    def unit(self) -> float:
        """The weight of a message in the rate: 1, or its megabytes."""
        return self.size / 1e6 if self.size else 1.0


@asynccontextmanager
async def one_at_a_time(peer: Peer, path: str) -> AsyncGenerator[Run, None]:
    """Make sequential requests."""
    async with peer.connect(path) as client:

        async def run(count: int) -> None:
            await _call(peer, client, range(count))

        yield run


@asynccontextmanager
async def many_in_flight(peer: Peer, path: str) -> AsyncGenerator[Run, None]:
    """Keep 64 requests of one connection in flight."""
    async with peer.connect(path) as client:

        async def run(count: int) -> None:
            async with asyncio.TaskGroup() as tasks:
                for first in range(IN_FLIGHT):
                    tasks.create_task(_call(peer, client, range(first, count, IN_FLIGHT)))

        yield run


@asynccontextmanager
async def one_stream(peer: Peer, path: str) -> AsyncGenerator[Run, None]:
    """Read one stream."""
    async with peer.connect(path) as client:

        async def run(count: int) -> None:
            await _read(client, count, 0)

        yield run


@asynccontextmanager
async def many_streams(peer: Peer, path: str) -> AsyncGenerator[Run, None]:
    """Read 20 streams of one connection at once."""
    async with peer.connect(path) as client:

        async def run(count: int) -> None:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(STREAMS):
                    tasks.create_task(_read(client, count // STREAMS, 0))

        yield run


@asynccontextmanager
async def round_trips(peer: Peer, path: str) -> AsyncGenerator[Run, None]:
    """Send each record into a channel after the last one has come back."""
    async with peer.connect(path) as client, client.channel() as channel:

        async def run(count: int) -> None:
            for number in range(count):
                check(await channel.round_trip(peer.make(number, 0)), number)

        yield run


@asynccontextmanager
async def large_items(peer: Peer, path: str) -> AsyncGenerator[Run, None]:
    """Read one stream of items of 64 KiB."""
    async with peer.connect(path) as client:

        async def run(count: int) -> None:
            await _read(client, count, ITEM)

        yield run


@asynccontextmanager
async def many_connections(peer: Peer, path: str) -> AsyncGenerator[Run, None]:
    """Make sequential requests on each of 500 connections at once."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(peer.connect(path)) for _ in range(CONNECTIONS)]

        async def run(count: int) -> None:
            async with asyncio.TaskGroup() as tasks:
                for client in clients:
                    tasks.create_task(_call(peer, client, range(count // CONNECTIONS)))

        yield run


@asynccontextmanager
async def idle_sessions(peer: Peer, path: str) -> AsyncGenerator[Run, None]:
    """Open sessions, one after the other, and keep them open."""
    async with AsyncExitStack() as stack:

        async def run(count: int) -> None:
            for _ in range(count):
                await stack.enter_async_context(peer.hold(path))

        yield run


async def _call(peer: Peer, client: Client[Any], numbers: range) -> None:
    for number in numbers:
        check(await client.request(peer.make(number, 0)), number)


async def _read(client: Client[Any], count: int, label_size: int) -> None:
    number = 0
    async with client.stream(count, label_size) as records:
        async for record in records:
            check(record, number)
            if label_size and len(record.label) < label_size:
                raise WrongRecord(f"got a label of {len(record.label):,} characters")
            number += 1
    if number != count:
        raise WrongRecord(f"expected {count:,} records, got {number:,}")


WORKLOADS: Final = {
    each.name: each
    for each in (
        Workload("request", "one at a time, calls/s", one_at_a_time, 500),
        Workload("flight", "64 in flight, calls/s", many_in_flight, 2_000, batch=IN_FLIGHT),
        Workload("stream", "one stream, items/s", one_stream, 5_000),
        Workload("streams", "20 streams, items/s", many_streams, 5_000, batch=STREAMS),
        Workload("channel", "channel, round trips/s", round_trips, 500),
        Workload("large", "64 KiB items, MB/s", large_items, 200, size=ITEM),
        Workload(
            "connections",
            "500 connections x 20, calls/s",
            many_connections,
            1_000,
            fixed=10_000,
            least=CONNECTIONS,
        ),
        Workload(
            "sessions",
            "idle sessions, KiB/session",
            idle_sessions,
            20,
            fixed=SESSIONS,
            memory=True,
        ),
    )
}
"""The workloads by name, in the order of the table."""
