"""Deadlines: how long a call may take, said by its caller, seen by its handler, and kept on both sides."""

import asyncio
import time
from pathlib import Path
from typing import Any

import enkaku
import pytest
from support import (
    ASK,
    FILL,
    TALK,
    TELL,
    VOID,
    WATCH,
    WITHIN,
    Connect,
    Lifetime,
    Serving,
    facing,
    raw_client,
    soon,
    until,
)

SHORT = 0.05


async def test_request_timeout_ends_call_on_both_sides(
    connect: Connect,
) -> None:
    life = Lifetime()
    async with connect(Serving(ask=life.forever)) as connection:
        began = time.monotonic()
        with pytest.raises(enkaku.DeadlineExceeded, match="ask: The deadline") as caught:
            await connection.request(ASK, 1, timeout=SHORT)
        assert SHORT <= time.monotonic() - began < WITHIN
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.code == "EK05"
        await soon(life.cancelled)
        assert connection.calls == ()


async def test_stream_timeout_raises_at_every_wait(
    connect: Connect,
) -> None:
    life = Lifetime()
    async with connect(Serving(watch=life.forever, fill=life.forever)) as connection:
        async with connection.stream(WATCH, 1, timeout=SHORT) as stream:
            with pytest.raises(enkaku.DeadlineExceeded):
                await anext(stream)
            for again in (stream.result, stream.close):
                with pytest.raises(enkaku.DeadlineExceeded):
                    await again()
        await soon(life.cancelled)
        async with connection.channel(FILL, 1, timeout=SHORT) as channel:
            with pytest.raises(enkaku.DeadlineExceeded):
                while True:
                    await channel.send("x" * 10_000)
            with pytest.raises(enkaku.DeadlineExceeded):
                await channel.close()
        await until(lambda: life.ended_count == 2)


async def test_deadline_block_bounds_all_its_calls(connect: Connect) -> None:
    async def ask(number: int) -> int:
        await asyncio.sleep(number / 1000)
        return number

    async with connect(Serving(ask=ask)) as connection:
        with enkaku.deadline(0.15):
            assert await connection.request(ASK, 1) == 1
            assert await connection.request(ASK, 2, timeout=WITHIN) == 2
            with pytest.raises(enkaku.DeadlineExceeded):
                await connection.request(ASK, 100_000, timeout=WITHIN)
            with pytest.raises(enkaku.DeadlineExceeded):
                await connection.request(ASK, 1)
        assert await connection.request(ASK, 3) == 3


async def test_deadline_inner_block_only_shortens(
    connect: Connect,
) -> None:
    remaining: list[float | None] = []

    async def void() -> None:
        return None

    class Asked(Serving):
        async def _void(self) -> None:
            remaining.append(enkaku.current_call().remaining)

    async with connect(Asked()) as connection:
        with enkaku.deadline(5):
            with enkaku.deadline(100):
                await connection.request(VOID, None)
            with enkaku.deadline(2):
                await connection.request(VOID, None, timeout=None)
            with enkaku.deadline(None):
                await connection.request(VOID, None, timeout=50)
    first, second, third = remaining
    assert first is not None
    assert second is not None
    assert third is not None
    assert 2 < first <= 5
    assert 0 < second <= 2
    assert 5 < third <= 50


async def test_call_after_deadline_is_not_sent(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        with pytest.raises(enkaku.DeadlineExceeded):
            await connection.request(VOID, None, timeout=0)
        with enkaku.deadline(0):
            with pytest.raises(enkaku.DeadlineExceeded):
                await connection.request(VOID, None)
            with pytest.raises(enkaku.DeadlineExceeded):
                await connection.event(TELL, 1)
            with pytest.raises(enkaku.DeadlineExceeded):
                async with connection.stream(WATCH, 1):
                    pass
        assert await peer.outlive(connection) == []


async def test_request_sends_remaining_time_by_default(
    socket_path: Path,
) -> None:
    async with facing(socket_path, timeout=7.0) as (connection, peer):
        tasks = [
            asyncio.create_task(connection.request(VOID, None, **options))
            for options in ({}, {"timeout": 2.0}, {"timeout": None})
        ]
        headers = [(await peer.read_line())["header"] for _ in tasks]
        assert 6000 < headers[0]["ttl"] <= 7000
        assert 1000 < headers[1]["ttl"] <= 2000
        assert "ttl" not in headers[2]
        async with connection.stream(WATCH, 1):
            assert "ttl" not in (await peer.read_line())["header"]
        for task in tasks:
            task.cancel()


async def test_server_enforces_deadline_of_client(socket_path: Path) -> None:
    life = Lifetime()
    async with enkaku.serve_unix(Serving(watch=life.forever), socket_path):
        async with raw_client(socket_path) as peer:
            header = {"typ": "JWT", "alg": "none", "ttl": 50}
            peer.send_line(header, {"typ": "stream", "rid": "a", "prc": "watch", "prm": 1})
            last = await peer.read()
            assert (last["rid"], last["code"]) == ("a", "EK05")
            await soon(life.cancelled)
            assert await peer.settle() == []


async def test_request_with_zero_ttl_is_rejected_before_handler(socket_path: Path) -> None:
    life = Lifetime()
    async with enkaku.serve_unix(Serving(ask=life.forever), socket_path):
        async with raw_client(socket_path) as peer:
            header = {"typ": "JWT", "alg": "none", "ttl": 0}
            peer.send_line(header, {"typ": "request", "rid": "a", "prc": "ask", "prm": 1})
            assert (await peer.read())["code"] == "EK05"
            assert await peer.settle() == []
    assert not life.began.is_set()


async def test_handler_calls_inherit_deadline(socket_path: Path) -> None:
    inner = Lifetime()
    outcomes: list[BaseException] = []
    path = socket_path.with_name("inner")
    async with (
        enkaku.serve_unix(Serving(ask=inner.forever), path),
        enkaku.connect_unix(path) as behind,
    ):

        async def ask(number: int) -> int:
            remaining = enkaku.current_call().remaining
            assert remaining is not None
            assert remaining <= 0.2
            try:
                return await behind.request(ASK, number)
            except (asyncio.CancelledError, enkaku.DeadlineExceeded) as error:
                outcomes.append(error)
                raise

        async with (
            enkaku.serve_unix(Serving(ask=ask), socket_path),
            enkaku.connect_unix(socket_path) as connection,
        ):
            with pytest.raises(enkaku.DeadlineExceeded):
                await connection.request(ASK, 1, timeout=0.2)
            await soon(inner.cancelled)
            await until(lambda: len(outcomes) == 1)


async def test_handler_does_not_inherit_deadline_of_server_creator(connect: Connect) -> None:
    remaining: list[float | None] = []

    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        remaining.append(enkaku.current_call().remaining)
        return number

    with enkaku.deadline(100):
        async with connect(Serving(watch=watch)) as connection:
            with enkaku.deadline(None):
                async with connection.stream(WATCH, 1) as stream:
                    await stream.result()
    assert remaining == [None]


async def test_event_buffer_full_until_timeout_raises(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        peer.stall()
        with pytest.raises(enkaku.DeadlineExceeded):
            async with asyncio.timeout(WITHIN):
                while True:
                    await connection.event(
                        enkaku.Event[str]("note", data=str), "x" * 100_000, timeout=SHORT
                    )


async def test_deadline_in_the_past_raises_deadline_exceeded(connect: Connect) -> None:
    async with connect(Serving()) as connection:
        for over in (-1.0, 0):  # the difference of two points in time, perhaps
            with enkaku.deadline(over), pytest.raises(enkaku.DeadlineExceeded):
                await connection.request(VOID, None)
            with pytest.raises(enkaku.DeadlineExceeded):
                await connection.request(VOID, None, timeout=over)


@pytest.mark.parametrize("kind", ["stream", "channel"])
async def test_close_does_not_extend_deadline(connect: Connect, kind: str) -> None:
    life = Lifetime()

    async def stubborn(number: int, stream: Any) -> int:
        await life.forever()
        return number

    async with connect(Serving(watch=stubborn, talk=stubborn), close_timeout=WITHIN) as connection:
        opening: Any = (
            connection.stream(WATCH, 1, timeout=0.2)
            if kind == "stream"
            else connection.channel(TALK, 1, timeout=0.2)
        )
        async with opening as call:
            await soon(life.began)
            with pytest.raises(enkaku.DeadlineExceeded):
                await call.close()
        await soon(life.cancelled)


async def test_task_that_outlives_its_call_is_not_bound_by_it(connect: Connect) -> None:
    tasks: list[asyncio.Task[int]] = []
    due, go = asyncio.Event(), asyncio.Event()

    async def later(connection: enkaku.Connection) -> int:
        await go.wait()
        with enkaku.deadline(WITHIN):
            await connection.request(VOID, None)
        return await connection.request(ASK, 2, timeout=WITHIN)

    async def ask(number: int) -> int:
        if number == 1:
            tasks.append(asyncio.create_task(later(connections[0])))
            remaining = enkaku.current_call().remaining
            assert remaining is not None
            asyncio.get_running_loop().call_later(remaining, due.set)
        return number

    connections: list[enkaku.Connection] = []
    async with connect(Serving(ask=ask)) as connection:
        connections.append(connection)
        assert await connection.request(ASK, 1, timeout=0.05) == 1
        await soon(due)
        go.set()
        assert await tasks[0] == 2


async def test_task_is_bound_by_its_call_while_that_is_open(connect: Connect) -> None:
    left: list[float | None] = []

    async def ask(number: int) -> int:
        call = enkaku.current_call()
        if number == 1:
            await asyncio.create_task(connections[0].request(ASK, 2, timeout=None))
        left.append(call.remaining)
        return number

    connections: list[enkaku.Connection] = []
    async with connect(Serving(ask=ask)) as connection:
        connections.append(connection)
        await connection.request(ASK, 1, timeout=WITHIN)
    assert left[0] is not None
    assert left[0] <= WITHIN
