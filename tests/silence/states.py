"""States of a call when its peer stops responding: how a test reaches each state, and waits in it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import enkaku
from support import until

from .protocol import NOTE, POUR, QUIET, TALK, WAIT
from .timing import Stopwatch
from .ways import Settings, Stage

NOTICE = "x" * 10_000
ITEM = "x" * 1000
LINE = len(ITEM) + 200  # bytes, the maximum size of an item's message


@dataclass
class CallContext:
    """The context of one call.

    Attributes:
        connection: The connection of the call.
        stage: The server and its failure mode.
        settings: The shortened limits and timeouts.
        arrived: Whether the call is in its state.
        struck: Whether the peer has failed.
        watch: Measures from the time when the call begins to wait.
        since_strike: Measures from the peer's failure.
    """

    connection: enkaku.Connection
    stage: Stage
    settings: Settings
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    struck: asyncio.Event = field(default_factory=asyncio.Event)
    watch: Stopwatch = field(default_factory=Stopwatch)
    since_strike: Stopwatch = field(default_factory=Stopwatch)

    async def sync(self) -> None:
        await self.stage.sync(self.connection)

    async def arrive(self) -> None:
        await self.sync()
        self.arrived.set()

    def start_again(self) -> None:
        self.watch = Stopwatch()

    def strike(self) -> None:
        self.since_strike = Stopwatch()
        self.struck.set()


@asynccontextmanager
async def beside(doing: Coroutine[Any, Any, None]) -> AsyncGenerator[asyncio.Task[None], None]:
    task = asyncio.create_task(doing)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def event(at: CallContext) -> None:
    await at.arrive()
    while True:
        at.start_again()
        await at.connection.event(NOTE, NOTICE)


async def request(at: CallContext) -> None:
    async with beside(at.connection.request(WAIT, None)) as asking:
        await at.arrive()
        await asking


async def first_item(at: CallContext) -> None:
    async with at.connection.stream(QUIET, None, timeout=at.settings.stream) as stream:
        await at.arrive()
        async for _ in stream:
            pass


async def next_item(at: CallContext) -> None:
    async with at.connection.stream(POUR, None, timeout=at.settings.stream) as stream:
        await anext(stream)
        await at.arrive()
        async for _ in stream:
            pass


async def stream_result(at: CallContext) -> None:
    async with at.connection.stream(QUIET, None, timeout=at.settings.stream) as stream:
        async with beside(stream.result()) as waiting:
            await at.arrive()
            await waiting


async def stream_close(at: CallContext) -> None:
    async with at.connection.stream(QUIET, None, timeout=at.settings.stream) as stream:
        async with beside(stream.close()) as closing:
            await at.arrive()
            await closing


async def no_credit(at: CallContext) -> None:
    async def send_on() -> None:
        while True:
            await channel.send(ITEM)

    async with at.connection.channel(TALK, None, timeout=at.settings.stream) as channel:
        await at.sync()
        async with beside(send_on()) as sending:
            window = channel.window
            assert window is not None
            await until(lambda: not window.fits(LINE))
            await at.arrive()
            await sending


async def channel_item(at: CallContext) -> None:
    async with at.connection.channel(TALK, None, timeout=at.settings.stream) as channel:
        await channel.send(ITEM)
        await at.arrive()
        async for _ in channel:
            pass


async def half_closed(at: CallContext) -> None:
    async with at.connection.channel(TALK, None, timeout=at.settings.stream) as channel:
        await channel.end()
        await at.arrive()
        async for _ in channel:
            pass


async def end_of_side(at: CallContext) -> None:
    async with at.connection.channel(TALK, None, timeout=at.settings.stream) as channel:
        await at.arrive()
        at.start_again()
        await channel.end(within=at.settings.within)


async def channel_close(at: CallContext) -> None:
    async with at.connection.channel(TALK, None, timeout=at.settings.stream) as channel:
        async with beside(channel.close()) as closing:
            await at.arrive()
            await closing


async def closing(at: CallContext) -> None:
    await at.arrive()
    await at.struck.wait()
    at.start_again()
    await at.connection.close(within=at.settings.within)


async def connecting(at: CallContext) -> None:
    await at.arrive()
    await at.struck.wait()
    at.start_again()
    async with at.stage.connect(at.settings):
        return


WaitsIn: TypeAlias = Callable[[CallContext], Coroutine[Any, Any, None]]

STATES: dict[str, WaitsIn] = {
    "an event is being sent": event,
    "a request waits for its result": request,
    "a stream waits for its first item": first_item,
    "a stream is between two items": next_item,
    "a stream waits for its result": stream_result,
    "a stream is closing": stream_close,
    "a channel waits for credit": no_credit,
    "a channel waits for an item": channel_item,
    "a channel is half-closed": half_closed,
    "a channel is half-closing": end_of_side,
    "a channel is closing": channel_close,
    "the connection is closing": closing,
    "a client is connecting": connecting,
}
