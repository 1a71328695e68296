"""Streams that are opened again: the gap is told, other ends are ends, and nothing is left behind."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import enkaku
import pytest
from enkaku.testing.faults import Faults
from support import (
    ASK,
    TALK,
    WATCH,
    WITHIN,
    Lifetime,
    Serving,
    Tired,
    collect,
    facing,
    raw_server,
    turns,
    until,
)

QUICK = enkaku.Reconnect(first=0.001, longest=0.01)
Items = enkaku.Reopening[int, int]


@asynccontextmanager
async def connected(
    handler: enkaku.Handler, **options: Any
) -> AsyncGenerator[tuple[enkaku.Connection, Faults], None]:
    """A connection in memory that comes back, and what cuts it."""
    faults = Faults()
    made = enkaku.connect_memory(
        handler,
        faults=faults,
        connection_options={"reconnect": QUICK, **options},  # type: ignore[typeddict-item] # which they are
    )
    async with made as connection, asyncio.timeout(WITHIN):
        yield connection, faults


class Counting:
    """Serves ``watch``: counts on from the param, and waits where it is told to."""

    def __init__(self, last: int) -> None:
        self.params: list[int] = []
        self.life = Lifetime()
        self._last = last

    async def watch(self, first: int, stream: enkaku.ServerStream[int]) -> int:
        self.params.append(first)
        with self.life:
            for number in range(first, self._last):
                await stream.send(number)
                if number % 2:
                    await asyncio.Event().wait()
        return self._last


async def take(items: Items, count: int) -> list[int | enkaku.Gap]:
    return [await anext(items) for _ in range(count)]


async def test_reopening_continues_at_opener_position_and_reports_gaps() -> None:
    counting = Counting(last=6)
    seen: list[int | enkaku.Gap] = []
    async with connected(Serving(watch=counting.watch)) as (connection, faults):
        last = -1

        def opener() -> enkaku.ClientStream[int, int]:
            return connection.stream(WATCH, last + 1)

        async with enkaku.reopening(opener) as items:
            async for item in items:
                seen.append(item)
                if not isinstance(item, enkaku.Gap):
                    last = item
                    if last % 2:
                        faults.cut()
            assert items.result == 6
        assert connection.calls == ()
    gaps = [item for item in seen if isinstance(item, enkaku.Gap)]
    assert [item for item in seen if isinstance(item, int)] == list(range(6))
    assert [seen.index(gap) for gap in gaps] == [2, 5, 8]
    assert [gap.number for gap in gaps] == [1, 2, 3]
    for gap in gaps:
        assert isinstance(gap.error, enkaku.ConnectionLost)
        assert 0 < gap.seconds < WITHIN
    assert counting.params == [0, 2, 4, 6]
    assert counting.life.began_count == counting.life.ended_count == 4


async def test_reopening_gap_lasts_as_long_as_no_stream(socket_path: Path) -> None:
    async with raw_server(socket_path) as server:
        connecting = enkaku.connect_unix(socket_path, reconnect=QUICK)
        connection = await connecting.__aenter__()
        items = await enkaku.reopening(lambda: connection.stream(WATCH, 0)).__aenter__()
        await server.accept()
    began = asyncio.get_running_loop().time()
    await until(lambda: connection.state == "connecting")
    await collect([asyncio.wait_for(connection.request(ASK, 1), 0.2)])
    async with raw_server(socket_path) as server:
        (gap,) = await take(items, 1)
        assert isinstance(gap, enkaku.Gap)
        assert 0.2 <= gap.seconds <= asyncio.get_running_loop().time() - began + 0.1
        peer = await server.accept()
        assert (await peer.read())["typ"] == "stream"
        await items.__aexit__(None, None, None)
        assert [each["typ"] for each in await peer.outlive(connection)] == ["abort"]
        await connecting.__aexit__(None, None, None)


async def test_reopening_accepts_channel() -> None:
    async def talk(number: int, channel: enkaku.ServerChannel[int, int]) -> int:
        await channel.send(number)
        return number

    async with connected(Serving(talk=talk)) as (connection, _):
        async with enkaku.reopening(lambda: connection.channel(TALK, 3)) as items:
            assert [item async for item in items] == [3]
            assert items.result == 3


async def test_reopening_other_error_is_raised() -> None:
    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        await stream.send(number)
        raise Tired("enough")

    async with connected(Serving(watch=watch)) as (connection, _):
        async with enkaku.reopening(lambda: connection.stream(WATCH, 1)) as items:
            assert await take(items, 1) == [1]
            for _ in range(2):
                with pytest.raises(Tired):
                    await anext(items)
            with pytest.raises(enkaku.UsageError, match="no result before"):
                items.result  # noqa: B018 # reading it is what raises


async def test_reopening_error_of_first_opening_is_raised() -> None:
    def opener() -> enkaku.ClientStream[int, int]:
        return connection.stream(WATCH, "one")  # type: ignore[arg-type] # which is the point

    async with connected(Serving()) as (connection, _):
        with pytest.raises(enkaku.EncodeError):
            async with enkaku.reopening(opener):
                raise AssertionError("unreachable")


async def test_reopening_without_reconnect_raises_loss(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        async with enkaku.reopening(lambda: connection.stream(WATCH, 0)) as items:
            peer.send(typ="receive", rid=(await peer.read())["rid"], val=1)
            assert await take(items, 1) == [1]
            peer.writer.close()
            for _ in range(2):
                with pytest.raises(enkaku.ConnectionLost, match="watch: the server ended"):
                    await anext(items)


async def test_reopening_exhausted_attempts_raise_connection_lost(socket_path: Path) -> None:
    reconnect = enkaku.Reconnect(first=0.01, longest=0.01, attempts=2)
    async with raw_server(socket_path) as server:
        connecting = enkaku.connect_unix(socket_path, reconnect=reconnect)
        connection = await connecting.__aenter__()
        items = await enkaku.reopening(lambda: connection.stream(WATCH, 0)).__aenter__()
        await server.accept()
    for _ in range(2):
        with pytest.raises(enkaku.ConnectionLost, match="2 attempts in a row"):
            async with asyncio.timeout(WITHIN):
                await anext(items)
    await items.__aexit__(None, None, None)
    await connecting.__aexit__(None, None, None)


async def test_reopening_wait_ends_when_connection_closes(socket_path: Path) -> None:
    async with raw_server(socket_path) as server:
        connecting = enkaku.connect_unix(
            socket_path, reconnect=enkaku.Reconnect(first=999, longest=999)
        )
        connection = await connecting.__aenter__()
        items = await enkaku.reopening(lambda: connection.stream(WATCH, 0)).__aenter__()
        await server.accept()
    waiting = asyncio.create_task(take(items, 1))
    await until(lambda: connection.state == "connecting")
    await turns()
    await connection.close()
    (end,) = await collect([waiting])
    assert isinstance(end, enkaku.ConnectionLost)
    assert "this side closed the connection" in str(end)
    await items.__aexit__(None, None, None)
    await connecting.__aexit__(None, None, None)


async def test_reopening_waits_for_stopping_server_without_retry(socket_path: Path) -> None:
    """It refuses new calls until its last handler has ended; a client that asked on would only be refused."""
    opened = 0

    def opener() -> enkaku.ClientStream[int, int]:
        nonlocal opened
        opened += 1
        return connection.stream(WATCH, opened)

    async with raw_server(socket_path) as server:
        async with enkaku.connect_unix(socket_path, reconnect=QUICK) as connection:
            old = await server.accept()
            async with enkaku.reopening(opener) as items:
                stopping = {"typ": "error", "code": "EKP01", "msg": "The server is stopping"}
                old.send(rid=(await old.read())["rid"], data={}, **stopping)
                waiting = asyncio.create_task(take(items, 2))
                await turns(50)
                assert opened == 1
                old.writer.close()
                new = await server.accept()
                new.send(typ="receive", rid=(await new.read())["rid"], val=7)
                ((gap, item),) = await collect([waiting])
                assert isinstance(gap.error, enkaku.CallError)
                assert gap.error.code == "EKP01"
                assert (item, opened) == (7, 2)
            assert [each["typ"] for each in await new.outlive(connection)] == ["abort"]


async def test_reopening_continues_on_next_server_after_stop(socket_path: Path) -> None:
    counting = Counting(last=2)
    async with enkaku.serve_unix(Serving(watch=counting.watch), socket_path) as server:
        connecting = enkaku.connect_unix(socket_path, reconnect=QUICK)
        connection = await connecting.__aenter__()
        items = await enkaku.reopening(lambda: connection.stream(WATCH, 1)).__aenter__()
        assert await take(items, 1) == [1]
        await server.stop(grace=0)
    async with enkaku.serve_unix(Serving(watch=counting.watch), socket_path):
        async with asyncio.timeout(WITHIN):
            gap, item = await take(items, 2)
        assert isinstance(gap, enkaku.Gap)
        assert item == 1
        await items.__aexit__(None, None, None)
        await connecting.__aexit__(None, None, None)


async def test_reopening_cancelled_wait_can_be_repeated(socket_path: Path) -> None:
    async with raw_server(socket_path) as server:
        connecting = enkaku.connect_unix(socket_path, reconnect=QUICK)
        connection = await connecting.__aenter__()
        items = await enkaku.reopening(lambda: connection.stream(WATCH, 0)).__aenter__()
        await server.accept()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await anext(items)
    async with raw_server(socket_path) as server:
        waiting = asyncio.create_task(take(items, 1))
        peer = await server.accept()
        assert (await peer.read())["typ"] == "stream"
        ((gap,),) = await collect([waiting])
        assert gap.number == 1
        assert gap.seconds >= 0.06
        await items.__aexit__(None, None, None)
        assert [each["typ"] for each in await peer.outlive(connection)] == ["abort"]
        await connecting.__aexit__(None, None, None)


async def test_reopening_block_exit_aborts_stream() -> None:
    counting = Counting(last=2)
    async with connected(Serving(watch=counting.watch)) as (connection, faults):
        async with enkaku.reopening(lambda: connection.stream(WATCH, 1)) as items:
            async for _ in items:
                break
            faults.cut()
            await take(items, 2)
        await until(lambda: counting.life.ended_count == 2)
        assert connection.calls == ()
        with pytest.raises(enkaku.UsageError, match="iterate inside"):
            await anext(items)
        with pytest.raises(enkaku.UsageError, match="entered once"):
            await items.__aenter__()


async def test_reopening_block_exit_without_stream_leaves_nothing(socket_path: Path) -> None:
    async with raw_server(socket_path) as server:
        connecting = enkaku.connect_unix(socket_path, reconnect=QUICK)
        connection = await connecting.__aenter__()

        items = enkaku.reopening(lambda: connection.stream(WATCH, 0))

        async def use() -> None:
            async with items:
                await take(items, 1)

        using = asyncio.create_task(use())
        await server.accept()
    await until(lambda: connection.state == "connecting")
    await turns()
    using.cancel()
    assert isinstance((await collect([using]))[0], asyncio.CancelledError)
    with pytest.raises(enkaku.UsageError, match="iterate inside"):
        await anext(items)
    async with raw_server(socket_path) as server:
        peer = await server.accept()
        await until(lambda: connection.state == "open")
        assert await peer.outlive(connection) == []
    await connecting.__aexit__(None, None, None)


async def test_reopening_second_reader_raises_usage_error() -> None:
    counting = Counting(last=2)
    async with connected(Serving(watch=counting.watch)) as (connection, _):
        async with enkaku.reopening(lambda: connection.stream(WATCH, 1)) as items:
            await take(items, 1)
            waiting = asyncio.create_task(take(items, 1))
            await turns()
            with pytest.raises(enkaku.UsageError, match="another task is already waiting"):
                await anext(items)
            waiting.cancel()
            await asyncio.wait([waiting])


async def test_reopening_interceptors_wrap_each_opening() -> None:
    counting = Counting(last=2)
    ends: list[str] = []

    @asynccontextmanager
    async def noting(call: enkaku.Call) -> AsyncGenerator[None, None]:
        try:
            yield
        except enkaku.ConnectionLost:
            ends.append("lost")
            raise
        else:
            ends.append("left")

    options: Any = {"interceptors": [noting]}
    async with connected(Serving(watch=counting.watch), **options) as (connection, faults):
        async with enkaku.reopening(lambda: connection.stream(WATCH, 1)) as items:
            assert await take(items, 1) == [1]
            faults.cut()
            _, item = await take(items, 2)
            assert item == 1
            assert ends == ["lost"]
    assert ends == ["lost", "left"]
