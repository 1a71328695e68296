"""Many items from the server, then one result."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import enkaku
import pytest
from support import (
    ASK,
    POUR,
    TICK,
    WATCH,
    WITHIN,
    Connect,
    Lifetime,
    Serving,
    collect,
    facing,
    raw_client,
    soon,
    turns,
)

Stream = enkaku.ServerStream[int]


async def count_up(number: int, stream: Stream) -> int:
    for item in range(number):
        await stream.send(item)
    return number


async def count(number: int) -> int:
    return number


async def tick_until_closed(_: int, stream: Stream) -> int:
    sent = 0
    async with stream.until_closed():
        while True:
            await stream.send(sent)
            sent += 1
            await asyncio.sleep(0)
    return sent


@pytest.mark.parametrize("number", [0, 1, 1000])
async def test_stream_items_arrive_in_order_then_result(
    connect_anyhow: Connect, number: int
) -> None:
    async with connect_anyhow(Serving(watch=count_up)) as connection:
        async with connection.stream(WATCH, number) as stream:
            assert [item async for item in stream] == list(range(number))
            assert await stream.result() == number


async def test_stream_close_returns_result_of_handler(connect_anyhow: Connect) -> None:
    async with connect_anyhow(Serving(watch=tick_until_closed)) as connection:
        async with connection.stream(WATCH, 0) as stream:
            seen = [await anext(stream) for _ in range(3)]
            assert seen == [0, 1, 2]
            async with asyncio.timeout(WITHIN):
                assert await stream.close() >= 3


async def test_stream_items_before_close_can_still_be_read(connect: Connect) -> None:
    async with connect(Serving(watch=tick_until_closed)) as connection:
        async with connection.stream(WATCH, 0) as stream:
            assert await anext(stream) == 0
            sent = await stream.close()
            rest = [item async for item in stream]
            assert rest == list(range(1, sent))


async def test_stream_without_param_and_result(connect: Connect) -> None:
    async def tick(stream: Stream) -> None:
        await stream.send(1)

    async with connect(Serving(tick=tick)) as connection:
        async with connection.stream(TICK, None) as stream:
            assert [item async for item in stream] == [1]
            assert await stream.result() is None


async def test_stream_result_is_returned_without_reading_items(connect: Connect) -> None:
    async with connect(Serving(watch=count_up)) as connection:
        async with connection.stream(WATCH, 50_000) as stream:
            async with asyncio.timeout(WITHIN):
                assert await stream.result() == 50_000


async def test_stream_result_may_be_awaited_several_times(connect: Connect) -> None:
    async with connect(Serving(watch=count_up)) as connection:
        async with connection.stream(WATCH, 3) as stream:
            assert await collect([stream.result(), stream.result()]) == [3, 3]
            assert await stream.result() == 3
            assert await stream.close() == 3


async def test_stream_close_twice_returns_same_result(connect: Connect) -> None:
    async with connect(Serving(watch=tick_until_closed)) as connection:
        async with connection.stream(WATCH, 0) as stream:
            first, second = await collect([stream.close(), stream.close()])
            assert first == second == await stream.close()


async def test_stream_close_is_sent_once_and_no_abort_after_it(socket_path: Any) -> None:
    async with facing(socket_path) as (connection, peer):
        async with connection.stream(WATCH, 1) as stream:
            opening = await peer.read()
            closing = [asyncio.create_task(stream.close()) for _ in range(2)]
            assert await peer.read() == {"typ": "abort", "rid": opening["rid"], "rsn": "Close"}
            stream.abort("enough")
            for task in closing:
                with pytest.raises(enkaku.CallClosed):
                    await task
        asking = asyncio.create_task(connection.request(ASK, 1))
        assert (await peer.read())["typ"] == "request"
        peer.send(typ="result", rid="2", val=1)
        assert await asking == 1


@pytest.mark.parametrize("error", [None, KeyError("mine")], ids=["end", "exception"])
async def test_stream_block_exit_cancels_handler(connect: Connect, error: Exception | None) -> None:
    life = Lifetime()
    async with connect(Serving(watch=life.forever)) as connection:
        with suppress(KeyError):
            async with connection.stream(WATCH, 0):
                await soon(life.began)
                if error is not None:
                    raise error
            assert error is None, "the exception does not come out of the block"
        await soon(life.cancelled)


async def test_stream_break_out_of_iteration_leaks_nothing(connect: Connect) -> None:
    lives = [Lifetime() for _ in range(20)]

    async def watch(number: int, stream: Stream) -> int:
        with lives[number]:
            while True:
                await stream.send(1)

    async with connect(Serving(watch=watch)) as connection:
        for number in range(20):
            async with connection.stream(WATCH, number) as stream:
                async for _ in stream:
                    break
        await soon(*(life.cancelled for life in lives))


async def test_stream_abort_sends_cut_reason(socket_path: Any) -> None:
    async with facing(socket_path) as (connection, peer), connection.stream(WATCH, 1) as stream:
        await peer.read()
        stream.abort("x" * 2000)
        assert (await peer.read())["rsn"] == "x" * 1024
        with pytest.raises(enkaku.CallClosed):
            await stream.result()
        with pytest.raises(enkaku.CallClosed):
            await anext(stream)


async def test_stream_abort_discards_received_items(connect: Connect) -> None:
    life = Lifetime()

    async def watch(number: int, stream: Stream) -> int:
        await count_up(number, stream)
        return await life.forever()

    async with connect(Serving(watch=watch, ask=count)) as connection:
        async with connection.stream(WATCH, 10) as stream:
            await soon(life.began)
            assert await anext(stream) == 0
            await connection.request(ASK, 1)  # the other items have come as well
            stream.abort()
            with pytest.raises(enkaku.CallClosed):
                await anext(stream)


async def test_stream_abort_with_reason_close_raises_usage_error(connect: Connect) -> None:
    async with connect(Serving(watch=count_up)) as connection:
        async with connection.stream(WATCH, 1) as stream:
            with pytest.raises(enkaku.UsageError):
                stream.abort("Close")


async def test_stream_opened_twice_raises_usage_error(connect: Connect) -> None:
    async with connect(Serving(watch=count_up)) as connection:
        stream = connection.stream(WATCH, 1)
        async with stream:
            with pytest.raises(enkaku.UsageError):
                await stream.__aenter__()
        with pytest.raises(enkaku.UsageError):
            await stream.__aenter__()


async def test_stream_not_opened_raises_usage_error_and_sends_nothing(
    connect: Connect,
) -> None:
    life = Lifetime()
    async with connect(Serving(watch=life.forever)) as connection:
        stream = connection.stream(WATCH, 1)
        with pytest.raises(enkaku.UsageError, match="async with"):
            await anext(stream)
        with pytest.raises(enkaku.UsageError, match="async with"):
            await stream.result()
        with pytest.raises(enkaku.UsageError, match="async with"):
            await stream.close()
        stream.abort()
    assert not life.began.is_set()


async def test_stream_second_reader_raises_usage_error(connect: Connect) -> None:
    async with connect(Serving(watch=Lifetime().forever)) as connection:
        async with connection.stream(WATCH, 1) as stream:
            waiting = asyncio.create_task(anext(stream))  # type: ignore[arg-type] # it is a coroutine
            await turns()
            with pytest.raises(enkaku.UsageError):
                await anext(stream)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting


async def test_stream_two_hundred_at_once_get_own_items(connect: Connect) -> None:
    async def pour(number: int, stream: enkaku.ServerStream[str]) -> int:
        for item in range(50):
            await stream.send(f"{number}/{item}")
        return number

    async def read(number: int) -> tuple[list[str], int]:
        async with connection.stream(POUR, number) as stream:
            return [item async for item in stream], await stream.result()

    async with connect(Serving(pour=pour)) as connection:
        got = await collect(read(number) for number in range(200))
    assert got == [([f"{n}/{i}" for i in range(50)], n) for n in range(200)]


async def test_stream_send_after_end_raises_and_sends_nothing(socket_path: Any) -> None:
    kept: list[Stream] = []

    async def watch(number: int, stream: Stream) -> int:
        kept.append(stream)
        return number

    async with enkaku.serve_unix(Serving(watch=watch), socket_path):
        async with raw_client(socket_path) as peer:
            peer.send(typ="stream", rid="a", prc="watch", prm=1)
            assert await peer.settle() == [{"typ": "result", "rid": "a", "val": 1}]
            with pytest.raises(enkaku.CallClosed):
                await kept[0].send(1)
            assert kept[0].closed
            assert await peer.settle() == []


async def test_stream_send_from_child_task_after_end_raises(connect: Connect) -> None:
    go = asyncio.Event()
    outcomes: list[object] = []
    children: list[asyncio.Task[None]] = []

    async def watch(number: int, stream: Stream) -> int:
        async def later() -> None:
            await go.wait()
            try:
                await stream.send(99)
            except enkaku.CallClosed as error:
                outcomes.append(error)

        children.append(asyncio.create_task(later()))
        await stream.send(number)
        return number

    async with connect(Serving(watch=watch)) as connection:
        async with connection.stream(WATCH, 5) as stream:
            assert [item async for item in stream] == [5]
        go.set()
        await asyncio.wait_for(children[0], WITHIN)
        assert await connection.request(_void(), None) is None
    assert len(outcomes) == 1


async def test_stream_items_of_two_handler_tasks_all_arrive(connect: Connect) -> None:
    async def watch(number: int, stream: Stream) -> int:
        async def part(start: int) -> None:
            for item in range(start, number, 2):
                await stream.send(item)

        await asyncio.gather(part(0), part(1))
        return number

    async with connect(Serving(watch=watch)) as connection:
        async with connection.stream(WATCH, 500) as stream:
            items = [item async for item in stream]
    assert sorted(items) == list(range(500))
    assert [item for item in items if item % 2] == list(range(1, 500, 2))


async def test_stream_items_sent_before_return_all_arrive(connect: Connect) -> None:
    async def pour(number: int, stream: enkaku.ServerStream[str]) -> int:
        for _ in range(number):
            await stream.send("x" * 60_000)
        return number

    async with connect(Serving(pour=pour)) as connection, connection.stream(POUR, 40) as stream:
        assert [len(item) async for item in stream] == [60_000] * 40
        assert await stream.result() == 40


def _void() -> enkaku.Request[None, None]:
    return enkaku.Request[None, None]("void")


async def test_stream_opening_failed_has_no_result(
    socket_path: Path,
) -> None:
    connections: list[enkaku.Connection] = []

    @asynccontextmanager
    async def closing(_: enkaku.Call) -> AsyncGenerator[None, None]:
        await connections[0].close()
        yield

    async with (
        enkaku.serve_unix(Serving(), socket_path),
        enkaku.connect_unix(socket_path, interceptors=[closing]) as connection,
    ):
        connections.append(connection)
        stream = connection.stream(WATCH, 1)
        with pytest.raises(enkaku.ConnectionLost):
            await stream.__aenter__()
        async with asyncio.timeout(WITHIN):
            for ask in (stream.result, stream.close, stream.__anext__):
                with pytest.raises(enkaku.ConnectionLost):
                    await ask()
