"""Actions of a soak user: each makes calls of one kind and ends them in one way.

An action raises ``Wrong`` if a reply is not the expected one; it does not catch the library's errors.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final, TypeAlias

import enkaku

from .protocol import COLLECT, COUNT, ECHO, ENDLESS, RELAY, TELL, WAIT, Job, Span

__all__ = ["ACTIONS", "Action", "Wrong", "warm_up"]

Action: TypeAlias = Callable[[enkaku.Connection, Random], Awaitable[None]]


class Wrong(Exception):
    """A reply differs from the expected one."""


def _require(found: object, expected: object) -> None:
    if found != expected:
        raise Wrong(f"expected {expected!r:.200}, got {found!r:.200}")


async def _tell(connection: enkaku.Connection, random: Random) -> None:
    for number in range(random.randrange(1, 20)):
        await connection.event(TELL, f"{number}")


async def _ask(connection: enkaku.Connection, random: Random) -> None:
    for _ in range(random.randrange(1, 5)):
        text = "é" * random.choice((0, 1, 100, 20_000))
        job = Job(text=text, seconds=random.choice((0.0, 0.0, 0.02)))
        answer = await connection.request(ECHO, job)
        _require(answer, text)


async def _cancel(connection: enkaku.Connection, random: Random) -> None:
    asking = asyncio.ensure_future(connection.request(WAIT, None))
    await asyncio.sleep(random.choice((0, 0, 0.01, 0.05)))
    asking.cancel()
    await asyncio.wait({asking})
    if not asking.cancelled():
        asking.result()  # raises if the connection ended first
        raise Wrong("an endless request ended")


async def _expire(connection: enkaku.Connection, random: Random) -> None:
    try:
        await connection.request(WAIT, None, timeout=random.choice((0.001, 0.02, 0.1)))
    except enkaku.DeadlineExceeded:
        return
    raise Wrong("an endless request ended")


async def _expire_stream(connection: enkaku.Connection, random: Random) -> None:
    try:
        async with connection.stream(ENDLESS, _span(random), timeout=0.1) as stream:
            await _take(stream, 10**9)
    except enkaku.DeadlineExceeded:
        return
    raise Wrong("an endless stream ended")


def _span(random: Random) -> Span:
    return Span(items=random.randrange(1, 100), size=random.choice((0, 10, 1_000)))


async def _take(
    stream: enkaku.ClientStream[str, int], most: int, *, pause: float = 0.0, every: int = 10
) -> int:
    """Read items, and check that their numbers have no gap."""
    expected = 0
    async for item in stream:
        _require(item.strip(), str(expected))
        expected += 1
        if expected >= most:
            break
        if pause and expected % every == 0:
            await asyncio.sleep(pause)
    return expected


async def _count(connection: enkaku.Connection, random: Random) -> None:
    span = _span(random)
    async with connection.stream(COUNT, span) as stream:
        _require(await _take(stream, 10**9), span.items)
        _require(await stream.result(), span.items)


async def _read_slowly(connection: enkaku.Connection, random: Random) -> None:
    span = Span(items=400, size=1_000)  # more than a window
    async with connection.stream(COUNT, span) as stream:
        _require(await _take(stream, 10**9, pause=0.02, every=50), span.items)
        _require(await stream.result(), span.items)


async def _read_newest(connection: enkaku.Connection, random: Random) -> None:
    await _sample(connection.stream(ENDLESS, _span(random), when_full=_policy(random)))


async def _read_undropped(connection: enkaku.Connection, random: Random) -> None:
    span = Span(items=50, size=1_000, when_full=_policy(random))
    await _sample(connection.stream(ENDLESS, span))


def _policy(random: Random) -> enkaku.WhenFull:
    return "latest" if random.random() < 0.5 else "drop_oldest"


async def _sample(call: enkaku.ClientStream[str, int]) -> None:
    """Read an item now and then; gaps are allowed."""
    last = -1
    async with call as stream:
        for _ in range(10):
            number = int((await anext(stream, "-1")).strip())
            if number <= last:
                raise Wrong(f"item {number} after {last}")
            last = number
            await asyncio.sleep(0.02)


async def _leave(connection: enkaku.Connection, random: Random) -> None:
    async with connection.stream(ENDLESS, _span(random)) as stream:
        await _take(stream, random.randrange(1, 150))


async def _close(connection: enkaku.Connection, random: Random) -> None:
    async with connection.stream(ENDLESS, _span(random)) as stream:
        taken = await _take(stream, random.randrange(1, 150))
        if await stream.close() < taken:
            raise Wrong("the handler has sent fewer items than were received")


async def _ignore(connection: enkaku.Connection, random: Random) -> None:
    async with connection.stream(COUNT, Span(items=300, size=1_000)) as stream:
        _require(await stream.result(), 300)


async def _relay(connection: enkaku.Connection, random: Random) -> None:
    items = random.randrange(1, 100)
    size = random.choice((0, 1_000))
    async with connection.channel(RELAY, None) as channel, asyncio.TaskGroup() as group:

        async def send() -> None:
            for number in range(items):
                await channel.send(f"{number}".ljust(size))

        group.create_task(send())
        _require(await _take(channel, items), items)
        _require(await channel.close(), items)


async def _collect(connection: enkaku.Connection, random: Random) -> None:
    items = random.randrange(1, 400)
    pause = random.choice((0.0, 0.005))
    async with connection.channel(COLLECT, pause) as channel:
        for number in range(items):
            await channel.send(f"{number}".ljust(1_000))
        _require(await channel.close(), items)


async def _half_close(connection: enkaku.Connection, random: Random) -> None:
    items = random.randrange(1, 100)
    async with connection.channel(RELAY, None) as channel:
        for number in range(items):
            await channel.send(f"{number}")
        await channel.end()
        _require(await _take(channel, 10**9), items)
        _require(await channel.result(), items)


async def _abandon(connection: enkaku.Connection, random: Random) -> None:
    async with connection.channel(COLLECT, 0.05) as channel:
        for number in range(random.randrange(200)):
            await channel.send(f"{number}".ljust(1_000))


ACTIONS: Final[dict[str, Action]] = {
    "events": _tell,
    "requests": _ask,
    "request cancelled": _cancel,
    "request past its deadline": _expire,
    "stream": _count,
    "stream, slow reader": _read_slowly,
    "stream, newest items": _read_newest,
    "stream, handler drops": _read_undropped,
    "stream, result only": _ignore,
    "stream left early": _leave,
    "stream closed": _close,
    "stream past its deadline": _expire_stream,
    "channel, both ways": _relay,
    "channel, half closed": _half_close,
    "channel, slow handler": _collect,
    "channel left early": _abandon,
}


async def warm_up(connection: enkaku.Connection) -> None:
    """Do everything a few times, so that both processes have allocated what they keep."""
    async with asyncio.TaskGroup() as group:
        for act in (*ACTIONS.values(),) * 3:
            group.create_task(_run(act, connection))


async def _run(act: Action, connection: enkaku.Connection) -> None:
    await act(connection, Random(1))
