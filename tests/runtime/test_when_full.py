"""Readers and handlers that would rather drop items than have their sender wait."""

import asyncio
from pathlib import Path
from typing import Any

import enkaku
import pytest
from support import (
    POUR,
    WATCH,
    Connect,
    Serving,
    raw_client,
    soon,
    until,
)
from watching import Recorder

SMALL = enkaku.Limits(window=10_000)


async def test_when_full_latest_keeps_newest_and_counts_others(
    connect: Connect,
) -> None:
    done = asyncio.Event()
    seen = Recorder()

    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        for item in range(number):
            await stream.send(item)
        done.set()
        return number

    async with connect(Serving(watch=watch), limits=SMALL, client_observers=[seen]) as connection:
        async with connection.stream(WATCH, 10_000, when_full="latest") as stream:
            await soon(done)
            assert await stream.result() == 10_000
            assert [item async for item in stream] == [9999]
            assert stream.dropped == 9999
            assert seen.dropped == 9999


async def test_when_full_drop_oldest_keeps_what_fits(connect: Connect) -> None:
    done = asyncio.Event()

    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        for item in range(number):
            await stream.send(item)
        done.set()
        return number

    async with connect(Serving(watch=watch), limits=SMALL) as connection:
        async with connection.stream(WATCH, 5000, when_full="drop_oldest") as stream:
            await soon(done)
            assert await stream.result() == 5000
            kept = [item async for item in stream]
            assert kept == list(range(5000 - len(kept), 5000))
            assert 50 < len(kept) < 200
            assert stream.dropped == 5000 - len(kept)


async def test_when_full_of_one_stream_leaves_other_complete(connect: Connect) -> None:
    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        for item in range(number):
            await stream.send(item)
        return number

    async with connect(Serving(watch=watch), limits=SMALL) as connection:
        async with (
            connection.stream(WATCH, 3000, when_full="latest") as lossy,
            connection.stream(WATCH, 3000) as exact,
        ):
            assert [item async for item in exact] == list(range(3000))
            assert exact.dropped == 0
            assert await lossy.result() == 3000


@pytest.mark.parametrize("when_full", ["latest", "drop_oldest"])
async def test_when_full_of_handler_does_not_wait_for_reader(
    connect: Connect, when_full: enkaku.WhenFull
) -> None:
    seen = Recorder()
    dropped: list[int] = []

    async def pour(number: int, stream: enkaku.ServerStream[str]) -> int:
        stream.when_full = when_full
        for item in range(number):
            await stream.send(f"{item} {'x' * 1000}")
        dropped.append(stream.dropped)
        return number

    async with connect(Serving(pour=pour), limits=SMALL, observers=[seen]) as connection:
        async with connection.stream(POUR, 1000) as stream:
            await until(lambda: bool(dropped))
            items = [int(item.split()[0]) async for item in stream]
            assert await stream.result() == 1000
    assert items == sorted(items)
    assert items[-1] == 999, "the newest item is lost"
    assert len(items) + dropped[0] == 1000
    assert seen.dropped == dropped[0] > 900
    assert len(items) <= (12 if when_full == "latest" else 22)


async def test_when_full_buffered_items_are_discarded_on_abort(
    socket_path: Path,
) -> None:
    seen = Recorder()
    sent = asyncio.Event()

    async def pour(number: int, stream: enkaku.ServerStream[str]) -> int:
        stream.when_full = "drop_oldest"
        for _ in range(number):
            await stream.send("x" * 1000)
        sent.set()
        await asyncio.Event().wait()
        return number

    async with enkaku.serve_unix(Serving(pour=pour), socket_path, observers=[seen]):
        async with raw_client(socket_path) as peer:
            header = {"typ": "JWT", "alg": "none", "win": 5000}
            peer.send_line(header, {"typ": "stream", "rid": "a", "prc": "pour", "prm": 50})
            await soon(sent)
            peer.send(typ="abort", rid="a")
            await until(lambda: len(seen.ended) == 1)
            got = [message["typ"] for message in await peer.settle()]
            assert got[0] == "credit"
            assert len(got) <= 6
    assert seen.ended[0].outcome == "aborted"


async def test_when_full_of_handler_may_return_to_wait(connect: Connect) -> None:
    async def pour(number: int, stream: enkaku.ServerStream[str]) -> int:
        stream.when_full = "drop_oldest"
        for item in range(10):
            await stream.send(str(item))
        stream.when_full = "wait"
        for item in range(10, number):
            await stream.send(str(item))
        return number

    async with connect(Serving(pour=pour)) as connection:
        async with connection.stream(POUR, 500) as stream:
            assert [int(item) async for item in stream] == list(range(500))


async def test_dropped_counts_items_discarded_by_close(connect: Connect) -> None:
    async def watch(number: int, stream: Any) -> int:
        for item in range(number):
            await stream.send(item)
        return number

    async with connect(Serving(watch=watch), limits=SMALL) as connection:
        async with connection.stream(WATCH, 2000) as stream:
            assert await stream.result() == 2000
            assert stream.dropped + len([item async for item in stream]) == 2000
            assert stream.dropped > 1000
