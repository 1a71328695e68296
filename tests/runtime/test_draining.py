"""``Server.drain()``, and what the representations of servers, connections, streams and calls say of where they stand."""

import asyncio
from pathlib import Path

import enkaku
import pytest
from support import ASK, TALK, VOID, WATCH, Lifetime, Serving, soon, turns, until


class Counting(enkaku.Observer):
    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def draining(self, connections: int, calls: int) -> None:
        self.told.append((connections, calls))


def asked(life: Lifetime, release: asyncio.Event) -> Serving:
    async def ask(number: int) -> int:
        with life:
            await release.wait()
        return number

    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        async with stream.until_closed():
            while True:
                await stream.send(number)
                await asyncio.sleep(0)
        return number

    return Serving(ask=ask, watch=watch)


async def test_drain_waits_for_open_calls_and_counts_them(socket_path: Path) -> None:
    life, release, observer = Lifetime(), asyncio.Event(), Counting()
    handler = asked(life, release)
    async with (
        enkaku.serve_unix(handler, socket_path, observers=[observer]) as server,
        enkaku.connect_unix(socket_path) as connection,
    ):
        asking = asyncio.create_task(connection.request(ASK, 1))
        await soon(life.began)
        async with connection.stream(WATCH, 7) as stream:
            assert await anext(stream) == 7
            draining = server.drain()
            assert repr(draining) == "<draining: 2 open calls>"
            left = [await anext(draining)]
            assert await anext(stream) == 7  # nobody asked the handler to finish
            with pytest.raises(enkaku.CallError, match="stopping") as caught:
                await connection.request(VOID, None)
            assert caught.value.code == "EKP01"
            assert await stream.close() == 7
        left.append(await anext(draining))
        release.set()
        assert await asking == 1
        left += [each async for each in draining]
        assert connection.is_open
    assert left == [2, 1, 0]
    assert observer.told[:3] == [(1, 2), (1, 1), (1, 0)]


async def test_drain_of_server_without_calls_ends_at_once(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path) as server:
        await server.drain()
        assert [left async for left in server.drain()] == [0]
        assert server.stopping
        with pytest.raises(enkaku.ConnectFailed):
            async with enkaku.connect_unix(socket_path):
                pass


async def test_stop_ends_a_drain(socket_path: Path) -> None:
    life, release = Lifetime(), asyncio.Event()
    async with enkaku.serve_unix(asked(life, release), socket_path) as server:
        async with enkaku.connect_unix(socket_path) as connection:
            asking = asyncio.create_task(connection.request(ASK, 1))
            await soon(life.began)
            draining = asyncio.ensure_future(server.drain())
            await turns()
            assert not draining.done()
            await server.stop(grace=0)
            with pytest.raises(enkaku.CallError, match="stopping"):
                await asking
            await draining


async def test_drain_in_a_handler_is_rejected(socket_path: Path) -> None:
    problems: list[str] = []

    async def ask(number: int) -> int:
        with pytest.raises(enkaku.UsageError) as caught:
            server.drain()
        problems.append(str(caught.value))
        return number

    async with (
        enkaku.serve_unix(Serving(ask=ask), socket_path) as server,
        enkaku.connect_unix(socket_path) as connection,
    ):
        assert await connection.request(ASK, 1) == 1
        assert not server.stopping
    assert problems == [
        "drain(): a handler cannot wait for its own server to end; start a task that waits"
    ]


async def test_drain_over_http_answers_new_calls_with_503() -> None:
    life, release = Lifetime(), asyncio.Event()
    async with (
        enkaku.serve_http(asked(life, release), "127.0.0.1", 0) as server,
        enkaku.connect_http(f"http://127.0.0.1:{server.port}/") as connection,
    ):
        asking = asyncio.create_task(connection.request(ASK, 1))
        await soon(life.began)
        draining = server.drain()
        with pytest.raises(enkaku.CallError, match="503"):
            await connection.request(VOID, None)
        release.set()
        assert await asking == 1
        await draining


async def test_representations_say_where_things_stand(socket_path: Path) -> None:
    calls: list[enkaku.ServerChannel[int, int]] = []

    async def talk(number: int, channel: enkaku.ServerChannel[int, int]) -> int:
        calls.append(channel)
        async for item in channel:
            await channel.send(item)
        return number

    async with enkaku.serve_unix(Serving(talk=talk), socket_path) as server:
        assert repr(server) == f"<server: unix:{socket_path}, 0 connections, 0 open calls>"
        async with enkaku.connect_unix(socket_path) as connection:
            channel = connection.channel(TALK, 1)
            assert repr(channel) == "<channel talk: not open>"
            async with channel:
                await channel.send(5)
                assert await anext(channel) == 5
                where = f"unix:{socket_path}"
                assert repr(connection) == f"<connection to {where}: open, 1 open calls>"
                start = f"<channel talk of {where}: open, 1 items sent, 1 received, "
                assert repr(channel).startswith(start)
                assert "running, 1 items sent, 1 received" in repr(calls[0])
                await channel.end()
                assert ": half-closed, " in repr(channel)
                await until(lambda: ": half-closed, " in repr(calls[0]))
                assert await channel.result() == 1
            assert ": result, 1 items sent, 1 received, " in repr(channel)
            await until(lambda: ": result, " in repr(calls[0].call))
            await connection.close()
            assert repr(connection) == f"<connection to {where}: closed, 0 open calls>"
        draining = server.drain()
        assert repr(server).startswith("<server: draining, ")
        await draining
    assert repr(server) == "<server: stopping, 0 connections, 0 open calls>"
