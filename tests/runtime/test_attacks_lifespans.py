"""Lifespans, observers and interceptors that fail in unusual ways: no connection is left waiting for them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NoReturn

import enkaku
import pytest
from support import ASK, VOID, Connect, Serving, soon, until


async def _cancelled() -> NoReturn:
    """Wait for what somebody has cancelled: that is no cancellation of who waits, and looks like one."""
    gone = asyncio.get_running_loop().create_future()
    gone.cancel()
    await gone
    raise AssertionError("unreachable")


@asynccontextmanager
async def _idle(_: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
    yield


async def test_a_lifespan_that_is_cancelled_from_inside_turns_its_client_away(
    connect: Connect,
) -> None:
    @asynccontextmanager
    async def lifespan(_: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
        await _cancelled()
        yield

    async with connect(Serving(), lifespan=lifespan) as connection:
        with pytest.raises(enkaku.ConnectionLost):
            await connection.request(VOID, None, timeout=5)


async def test_a_connection_that_ends_before_its_lifespan_begins_is_forgotten(
    socket_path: Path,
) -> None:
    class Aborting(enkaku.Observer):
        def connection_opened(self, connection: enkaku.ConnectionInfo) -> None:
            server.abort()

    async with enkaku.serve_unix(
        Serving(), socket_path, lifespan=_idle, observers=[Aborting()]
    ) as server:
        async with enkaku.connect_unix(socket_path) as connection:
            with pytest.raises(enkaku.ConnectionLost):
                await connection.request(VOID, None)
        await until(lambda: not server.connections)


async def test_a_client_that_waits_for_its_lifespan_is_not_silent(connect: Connect) -> None:
    ready = asyncio.Event()

    @asynccontextmanager
    async def lifespan(_: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
        await ready.wait()
        yield

    limits = enkaku.Limits(first_byte=0.05)
    async with connect(Serving(), lifespan=lifespan, limits=limits) as connection:
        asyncio.get_running_loop().call_later(0.2, ready.set)
        await connection.request(VOID, None)


async def test_a_client_that_leaves_before_a_stubborn_lifespan_has_begun_is_forgotten(
    socket_path: Path,
) -> None:
    began, over = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def lifespan(_: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
        began.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        yield
        over.set()

    limits = enkaku.Limits(first_byte=0.05)
    async with enkaku.serve_unix(
        Serving(), socket_path, lifespan=lifespan, limits=limits
    ) as server:
        async with enkaku.connect_unix(socket_path):
            await soon(began)
            server.abort()
        await soon(over)
        await until(lambda: not server.connections)


async def test_an_observer_that_looks_at_what_was_cancelled_harms_no_call(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    class Looking(enkaku.Observer):
        def call_started(self, call: enkaku.Call) -> None:
            self._look(call)

        def call_ended(self, call: enkaku.Call) -> None:
            self._look(call)

        def _look(self, _: enkaku.Call) -> None:
            gone = asyncio.get_running_loop().create_future()
            gone.cancel()
            gone.result()

    observers = [Looking()]
    handler = Serving(ask=_echo)
    async with connect(handler, observers=observers, client_observers=observers) as connection:
        for _ in range(2):
            assert await connection.request(ASK, 1) == 1
        assert connection.calls == ()
    assert caplog.text.count("an observer failed") == 8


async def _echo(number: int) -> int:
    return number
