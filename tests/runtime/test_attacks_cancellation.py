"""A call that is cancelled at any of its awaits leaves nothing: no call, no room that was promised to it, no slot."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import enkaku
import pytest
from enkaku.gate import ReadGate
from enkaku.server import Server
from enkaku.testing import connect_and_serve
from support import ASK, FILL, POUR, TALK, TELL, WITHIN, Serving, turns

_ITEM = "x" * 3000
_LIMITS = enkaku.Limits(window=8192)

Use: TypeAlias = Callable[[enkaku.Connection], Awaitable[object]]


async def _ask(number: int) -> int:
    await asyncio.sleep(0)
    return number


async def _tell(_: int) -> None:
    await asyncio.sleep(0)


async def _pour(count: int, stream: enkaku.ServerStream[str]) -> int:
    async with stream.until_closed():
        for number in range(count):
            stream.when_full = "wait" if number % 3 else "drop_oldest"
            await stream.send(_ITEM)
    return count


async def _talk(_: int, channel: enkaku.ServerChannel[int, int]) -> int:
    async for number in channel:
        await channel.send(number)
    return 0


async def _fill(_: int, channel: enkaku.ServerChannel[str, str]) -> int:
    return len([item async for item in channel])


_HANDLER = Serving(ask=_ask, tell=_tell, pour=_pour, talk=_talk, fill=_fill)


async def _request(connection: enkaku.Connection) -> None:
    await connection.request(ASK, 1)


async def _event(connection: enkaku.Connection) -> None:
    await connection.event(TELL, 1)


async def _read(connection: enkaku.Connection) -> None:
    async with connection.stream(POUR, 12) as stream:
        async for _ in stream:
            pass
        await stream.result()


async def _read_latest(connection: enkaku.Connection) -> None:
    async with connection.stream(POUR, 12, when_full="latest", timeout=WITHIN) as stream:
        async for _ in stream:
            await asyncio.sleep(0)


async def _close(connection: enkaku.Connection) -> None:
    async with connection.stream(POUR, 10_000) as stream:
        await anext(stream)
        await stream.close()


async def _exchange(connection: enkaku.Connection) -> None:
    async with connection.channel(TALK, 1) as channel:
        for number in range(3):
            await channel.send(number)
            await anext(channel)
        await channel.end()
        await channel.result()


async def _send_from_two_tasks(connection: enkaku.Connection) -> None:
    async def send() -> None:
        for _ in range(10):
            await channel.send(_ITEM)

    async with connection.channel(FILL, 1) as channel:
        async with asyncio.TaskGroup() as senders:
            senders.create_task(send())
            senders.create_task(send())
        await channel.close()


async def _reopen(connection: enkaku.Connection) -> None:
    async with enkaku.reopening(lambda: connection.stream(POUR, 3)) as items:
        async for _ in items:
            pass


@asynccontextmanager
async def _around(_: enkaku.Call) -> AsyncGenerator[None, None]:
    await asyncio.sleep(0)
    try:
        yield
    finally:
        await asyncio.sleep(0)


@pytest.mark.parametrize("interceptors", [[], [_around]], ids=["", "in an interceptor"])
@pytest.mark.parametrize(
    "use",
    [_request, _event, _read, _read_latest, _close, _exchange, _send_from_two_tasks, _reopen],
)
async def test_whatever_is_cancelled_after_any_number_of_turns_leaves_nothing(
    use: Use, interceptors: list[enkaku.Interceptor]
) -> None:
    client: enkaku.ConnectionOptions = {"interceptors": interceptors}
    serving: enkaku.ServerOptions = {"interceptors": interceptors, "limits": _LIMITS}
    async with connect_and_serve(_HANDLER, None, client, serving) as (connection, server):
        others = asyncio.all_tasks()
        count, done = 0, False
        while not done:
            task = asyncio.create_task(_start(use, connection))
            await turns(count)
            done = task.done()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait_for(task, WITHIN)
            await turns(60)
            assert asyncio.all_tasks() == others
            assert _left(connection, server) == [], f"cancelled after {count} turns"
            count += 1
        assert await connection.request(ASK, 7) == 7


async def _start(use: Use, connection: enkaku.Connection) -> None:
    await use(connection)


def _left(connection: enkaku.Connection, server: Server) -> list[object]:
    """What anybody still counts."""
    sessions = list(server._sessions)
    capacities = [server._policy.capacity, *(session._calls.capacity for session in sessions)]
    gates = [connection._links.link.gate, *(session._life.gate for session in sessions)]
    calls = [*connection.calls, *(call for info in server.connections for call in info.calls)]
    timers = [timer for session in sessions for timer in session._calls._timers.values()]
    expiries = [connection._links.link.expiries, server._policy.expiries]
    counts = [count for gate in gates for count in _counts(gate)]
    counts += [capacity.running for capacity in capacities]
    counts += [len(each) for each in expiries]
    return [*calls, *timers, *filter(None, counts)]


def _counts(gate: ReadGate) -> tuple[int, ...]:
    return gate.unread, gate._promised, gate._waiting, gate._full
