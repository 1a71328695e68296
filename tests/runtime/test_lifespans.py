"""Lifespans: what stands around a connection on its server, and the state that it keeps for its handlers."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import enkaku
import pytest
from support import (
    ECHO,
    VOID,
    WATCH,
    WITH_EACH_TASK_FACTORY,
    WITHIN,
    Connect,
    Lifetime,
    Serving,
    soon,
    until,
)

USER = enkaku.StateKey[str]("user")


COUNT = enkaku.StateKey[int]("count")


async def test_lifespan_and_handlers_share_connection_state(
    connect: Connect,
) -> None:
    ended: list[str] = []

    @asynccontextmanager
    async def lifespan(connection: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
        await asyncio.sleep(0)
        connection.state[USER] = "ada"
        try:
            yield
        finally:
            ended.append(f"{connection.state[USER]} {connection.state.get(COUNT, 0)}")

    async def echo(text: str) -> str:
        state = enkaku.current_call().connection.state
        state[COUNT] = state.get(COUNT, 0) + 1
        return f"{text} {state[USER]}"

    async with connect(Serving(echo=echo), lifespan=lifespan) as connection:
        assert await connection.request(ECHO, "hello") == "hello ada"
        assert await connection.request(ECHO, "again") == "again ada"
        assert ended == []
        await connection.close()
        await until(lambda: ended == ["ada 2"])


def test_state_is_looked_up_by_key_not_by_name() -> None:
    state = enkaku.State()
    other = enkaku.StateKey[str]("user")
    state[USER] = "ada"
    assert USER in state
    assert other not in state
    assert state.get(other) is None
    assert state.get(other, 7) == 7
    with pytest.raises(KeyError):
        state[other]
    del state[USER]
    assert USER not in state
    assert repr(USER) == "StateKey('user')"


async def test_lifespan_ends_after_the_last_handler(connect: Connect) -> None:
    order: list[str] = []
    life = Lifetime()

    @asynccontextmanager
    async def lifespan(_: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
        yield
        order.append("lifespan")

    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        try:
            await life.forever()
        finally:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            order.append("handler")
        return number

    async with connect(Serving(watch=watch), lifespan=lifespan) as connection:
        async with connection.stream(WATCH, 1):
            await soon(life.began)
            await connection.close()
    assert order == ["handler", "lifespan"]


async def _refuse() -> None:
    raise PermissionError("nobody knows this client")


async def _find_it_cancelled() -> None:
    """Wait for a future that is cancelled: that looks as if the task that waits were cancelled."""
    gone = asyncio.get_running_loop().create_future()
    gone.cancel()
    await gone


@WITH_EACH_TASK_FACTORY
@pytest.mark.parametrize("fail", [_refuse, _find_it_cancelled])
async def test_lifespan_failing_to_start_ends_connection(
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
    fail: Callable[[], Awaitable[None]],
    factory: Any,
) -> None:
    asyncio.get_running_loop().set_task_factory(factory)

    @asynccontextmanager
    async def lifespan(_: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
        await fail()
        yield

    async with connect(Serving(), lifespan=lifespan) as connection:
        with pytest.raises(enkaku.ConnectionLost):
            await connection.request(VOID, None, timeout=WITHIN)
    if fail is _refuse:
        assert "nobody knows this client" in caplog.text


@asynccontextmanager
async def _idle(_: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
    yield


async def test_connection_lost_before_lifespan_starts_is_removed(
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


async def test_first_byte_timeout_starts_after_lifespan(connect: Connect) -> None:
    ready = asyncio.Event()

    @asynccontextmanager
    async def lifespan(_: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
        await ready.wait()
        yield

    limits = enkaku.Limits(first_byte=0.05)
    async with connect(Serving(), lifespan=lifespan, limits=limits) as connection:
        asyncio.get_running_loop().call_later(0.1, ready.set)
        await connection.request(VOID, None)


async def test_connection_with_lifespan_ignoring_cancel_is_removed(
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
