"""Enkaku with a generated client and handler, an observer on each side, and the default options."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import enkaku
from typing_extensions import override

from compare import record
from compare.bench_protocol import BenchClient, BenchHandler, Sample, SamplesParam

REQUIREMENTS: Final = ()


def make(number: int, label_size: int = 0) -> Sample:
    """Return the record of a number."""
    return Sample(
        cpu=12.5,
        memory=record.BASE + number,
        timestamp=1764000000.123,
        label=record.make_label(label_size),
    )


class Counter(enkaku.Observer):
    """Counts the calls that ended."""

    def __init__(self) -> None:
        self.ended = 0

    @override
    def call_ended(self, call: enkaku.Call) -> None:
        """Count."""
        self.ended += 1


class Bench(BenchHandler):
    """Echoes records, and sends streams of them."""

    async def echo(self, param: Sample) -> Sample:
        """Return the record."""
        return param

    async def echoes(self, channel: enkaku.ServerChannel[Sample, Sample]) -> None:
        """Send each record back."""
        async for sample in channel:
            await channel.send(sample)

    async def samples(self, param: SamplesParam, stream: enkaku.ServerStream[Sample]) -> None:
        """Send a number of records."""
        for number in range(param.count):
            await stream.send(make(number, param.label_size))
        if not param.count:  # an idle stream
            await stream.send(make(0))
            await asyncio.Event().wait()


class Channel:
    """An open channel."""

    def __init__(self, channel: enkaku.ClientChannel[Sample, Sample, None]) -> None:
        self._channel = channel

    async def round_trip(self, record: Sample, /) -> Sample:
        """Send a record, and wait until it comes back."""
        await self._channel.send(record)
        return await anext(self._channel)


class Client:
    """A connection."""

    def __init__(self, client: BenchClient) -> None:
        self.request = client.echo
        self._client = client

    def stream(
        self, count: int, label_size: int
    ) -> AbstractAsyncContextManager[AsyncIterator[Sample]]:
        """Open a stream."""
        return self._client.samples(SamplesParam(count=count, label_size=label_size))

    @asynccontextmanager
    async def channel(self) -> AsyncGenerator[Channel, None]:
        """Open a channel."""
        async with self._client.echoes() as channel:
            yield Channel(channel)


async def serve(path: str, ready: Callable[[], None]) -> None:
    """Serve until cancelled."""
    async with enkaku.serve_unix(Bench(), path, observers=[Counter()]) as server:
        ready()
        await server.serve_forever()


@asynccontextmanager
async def connect(path: str) -> AsyncGenerator[Client, None]:
    """Connect."""
    async with enkaku.connect_unix(path, observers=[Counter()]) as connection:
        yield Client(BenchClient(connection))
