"""Calls from the server: what ends them, and what they end; lifespans of clients that end halfway."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import enkaku
import pytest
from enkaku.calls.halves import Halves
from enkaku.transports.memory import memory_pair
from support import (
    ASK,
    ECHO,
    MESSAGE_SIZE,
    VOID,
    WATCH,
    WITHIN,
    Lifetime,
    Log,
    Serving,
    collect,
    line,
    raw_client,
    soon,
    turns,
    until,
)


def peer() -> enkaku.Connection:
    """The connection to the peer of the handler that runs."""
    return enkaku.current_call().connection.client(lambda connection: connection)


async def double(number: int) -> int:
    return 2 * number


async def test_idle_client_that_is_called_is_not_dropped(socket_path: Path) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def ask(number: int) -> int:
        began.set()
        await go_on.wait()
        return number

    limits = enkaku.Limits(idle=0.1)
    async with enkaku.serve_unix(Serving(), socket_path, limits=limits) as server:
        async with enkaku.connect_unix(socket_path, handler=Serving(ask=ask)) as connection:
            await connection.request(VOID, None)
            called = server.connections[0].client(lambda each: each)
            asking = asyncio.create_task(called.request(ASK, 3))
            await soon(began)
            async with raw_client(socket_path) as other:
                other.send(typ="request", rid="1", prc="void")
                await other.read()
                assert await other.read_all() == []  # it is dropped
            go_on.set()
            assert await asking == 3


async def test_client_that_is_called_is_not_dropped_for_another(socket_path: Path) -> None:
    life = Lifetime()
    limits = enkaku.Limits(connections=2)
    async with enkaku.serve_unix(Serving(), socket_path, limits=limits) as server:
        async with enkaku.connect_unix(
            socket_path, handler=Serving(ask=life.forever)
        ) as connection:
            await connection.request(VOID, None)
            called = server.connections[0].client(lambda each: each)
            asking = asyncio.create_task(collect([called.request(ASK, 3)]))
            await soon(life.began)
            async with enkaku.connect_unix(socket_path) as second:
                await second.request(VOID, None)
                async with enkaku.connect_unix(socket_path) as third:
                    await third.request(VOID, None)
                assert connection.is_open
                assert not second.is_open
            asking.cancel()
            await asyncio.wait([asking])


async def test_stop_lets_calls_of_no_handler_end(socket_path: Path) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def ask(number: int) -> int:
        began.set()
        await go_on.wait()
        return number

    async with enkaku.serve_unix(Serving(), socket_path) as server:
        async with enkaku.connect_unix(socket_path, handler=Serving(ask=ask)) as connection:
            await connection.request(VOID, None)
            called = server.connections[0].client(lambda each: each)
            asking = asyncio.create_task(called.request(ASK, 3))
            await soon(began)
            stopping = asyncio.create_task(server.stop(grace=WITHIN))
            await turns()
            go_on.set()
            assert await asking == 3
            await stopping


async def test_lifespan_that_cancels_itself_says_so(socket_path: Path) -> None:
    @asynccontextmanager
    async def lifespan(_: enkaku.Connection) -> AsyncGenerator[None, None]:
        raise asyncio.CancelledError
        yield

    async with enkaku.serve_unix(Serving(), socket_path):
        with pytest.raises(enkaku.ConnectionLost, match="the lifespan was cancelled"):
            async with enkaku.connect_unix(socket_path, lifespan=lifespan):
                pass


async def test_cancelled_close_cancels_the_lifespan(socket_path: Path) -> None:
    leaving, cancelled = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def lifespan(_: enkaku.Connection) -> AsyncGenerator[None, None]:
        yield
        leaving.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with enkaku.serve_unix(Serving(), socket_path):
        connecting = enkaku.connect_unix(socket_path, lifespan=lifespan)
        await connecting.__aenter__()
        closing = asyncio.create_task(connecting.__aexit__(None, None, None))
        await soon(leaving)
        closing.cancel()
        await asyncio.wait([closing])
        await soon(cancelled)


async def test_handler_can_call_while_lifespan_is_entered_again(socket_path: Path) -> None:
    """The login of a lifespan calls the client back, whose handler calls the server."""

    @asynccontextmanager
    async def lifespan(connection: enkaku.Connection) -> AsyncGenerator[None, None]:
        assert await connection.request(ASK, 1) == 3
        yield

    async def login(number: int) -> int:
        return await peer().request(ASK, number)

    async def challenge(number: int) -> int:
        return len(await peer().request(ECHO, "abc")) * number

    async def echo(text: str) -> str:
        return text

    again = enkaku.Reconnect(first=0.001, longest=0.01)
    async with enkaku.serve_unix(Serving(ask=login, echo=echo), socket_path):
        connecting = enkaku.connect_unix(
            socket_path, reconnect=again, lifespan=lifespan, handler=Serving(ask=challenge)
        )
        connection = await connecting.__aenter__()
    async with enkaku.serve_unix(Serving(ask=login, echo=echo), socket_path):
        async with asyncio.timeout(WITHIN):
            assert await connection.request(ECHO, "later") == "later"
        await connecting.__aexit__(None, None, None)


async def test_closed_connection_to_client_lets_it_call(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(ask=double), socket_path) as server:
        async with enkaku.connect_unix(socket_path, handler=Serving(ask=double)) as connection:
            await connection.request(VOID, None)
            called = server.connections[0].client(lambda each: each)
            assert await called.request(ASK, 3) == 6
            await called.close()
            with pytest.raises(enkaku.ConnectionLost):
                await called.request(ASK, 3)
            assert await connection.request(ASK, 3) == 6


async def test_close_ends_calls_that_wait_for_first_message(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path) as server, raw_client(socket_path):
        await until(lambda: bool(server.connections))
        called = server.connections[0].client(lambda each: each)

        async def watch() -> None:
            async with called.stream(WATCH, 1):
                pass

        watching = asyncio.create_task(watch())
        await turns()
        await called.close()
        async with asyncio.timeout(WITHIN):
            with pytest.raises(enkaku.ConnectionLost):
                await watching


async def test_end_of_full_half_resumes_reading() -> None:
    near, far = memory_pair()
    near.start(Log(), message_size=MESSAGE_SIZE)
    halves = Halves(near, Log(), lambda _: None, at_server=False, most=10)
    halves.begin()
    halves.guest.start(Log(), message_size=MESSAGE_SIZE)
    halves.guest.pause_reading()
    halves.messages_received([line(typ="request", rid="s:1", prc="void")])
    assert halves.paused
    await halves.guest.close(within=WITHIN)
    assert not halves.paused
    near.abort()
    far.abort()
