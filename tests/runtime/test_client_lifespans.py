"""Lifespans of a client's connection: once for each session, before other calls, and left before the connection is closed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import enkaku
import pytest
from support import ASK, ECHO, WATCH, WITHIN, Connect, Serving, soon, turns, until

QUICK = enkaku.Reconnect(first=0.001, longest=0.01)


class Log:
    """Serves ``echo``, and keeps what was echoed."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def echo(self, value: Any) -> Any:
        self.heard.append(value)
        return value


@asynccontextmanager
async def greet(connection: enkaku.Connection) -> AsyncGenerator[None, None]:
    await connection.request(ECHO, "hello")
    yield
    await connection.request(ECHO, "bye")


async def test_lifespan_surrounds_every_call(connect_anyhow: Connect) -> None:
    log = Log()
    async with connect_anyhow(Serving(echo=log.echo), client_lifespan=greet) as connection:
        await connection.request(ECHO, "between")
    assert log.heard == ["hello", "between", "bye"]


async def test_lifespan_runs_again_after_reconnect(socket_path: Path) -> None:
    log = Log()
    left = 0
    began = asyncio.Event()

    @asynccontextmanager
    async def lifespan(connection: enkaku.Connection) -> AsyncGenerator[None, None]:
        nonlocal left
        began.set()
        await connection.request(ECHO, "hello")
        yield
        left += 1
        with pytest.raises(enkaku.ConnectionLost):
            await connection.request(ECHO, "never")
        assert connection.state == "failed"

    async with enkaku.serve_unix(Serving(echo=log.echo), socket_path):
        connecting = enkaku.connect_unix(socket_path, reconnect=QUICK, lifespan=lifespan)
        connection = await connecting.__aenter__()
        await connection.request(ECHO, "one")
    await until(lambda: connection.state == "connecting")
    waiting = asyncio.create_task(connection.request(ECHO, "two"))
    await turns()
    assert left == 1
    async with enkaku.serve_unix(Serving(echo=log.echo), socket_path) as server:
        async with asyncio.timeout(WITHIN):
            assert await waiting == "two"
        await server.stop()  # the block is left without a server
    await connecting.__aexit__(None, None, None)
    assert log.heard == ["hello", "one", "hello", "two"]
    assert left == 2


async def test_failing_lifespan_fails_the_connection(connect: Connect) -> None:
    @asynccontextmanager
    async def lifespan(connection: enkaku.Connection) -> AsyncGenerator[None, None]:
        await connection.request(ASK, 1)
        raise PermissionError("wrong password")
        yield

    async def ask(number: int) -> int:
        return number

    with pytest.raises(PermissionError, match="wrong password"):
        async with connect(Serving(ask=ask), client_lifespan=lifespan):
            pytest.fail("the block was entered")


async def test_lifespan_failing_after_reconnect_is_a_failed_attempt(
    socket_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = 0

    @asynccontextmanager
    async def lifespan(connection: enkaku.Connection) -> AsyncGenerator[None, None]:
        nonlocal attempts
        attempts += 1
        if attempts > 1:
            raise PermissionError("expired")
        yield

    reconnect = enkaku.Reconnect(first=0.001, longest=0.01, attempts=3)
    async with enkaku.serve_unix(Serving(), socket_path):
        connecting = enkaku.connect_unix(socket_path, reconnect=reconnect, lifespan=lifespan)
        connection = await connecting.__aenter__()
    async with enkaku.serve_unix(Serving(), socket_path):
        async with asyncio.timeout(WITHIN):
            with pytest.raises(enkaku.ConnectionLost, match="expired") as caught:
                await connection.request(ASK, 1)
    await connecting.__aexit__(None, None, None)
    assert isinstance(caught.value.__cause__, enkaku.ConnectFailed)
    assert 2 <= attempts <= 4
    assert "the lifespan of the connection failed" in caplog.text


async def test_lifespan_that_fails_while_open_ends_the_connection(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    fail = asyncio.Event()

    async def work() -> None:
        await fail.wait()
        raise ArithmeticError("the subscription broke")

    @asynccontextmanager
    async def lifespan(connection: enkaku.Connection) -> AsyncGenerator[None, None]:
        async with asyncio.TaskGroup() as group:
            group.create_task(work())
            yield

    async with connect(Serving(), client_lifespan=lifespan) as connection:
        fail.set()
        await until(lambda: connection.state == "failed")
        with pytest.raises(enkaku.ConnectionLost, match="the lifespan of the connection failed"):
            await connection.request(ASK, 1)
    assert "the subscription broke" in caplog.text


async def test_lifespan_is_cancelled_when_session_is_lost_meanwhile(socket_path: Path) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def lifespan(connection: enkaku.Connection) -> AsyncGenerator[None, None]:
        began.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()
        yield

    async def dial() -> None:
        async with enkaku.connect_unix(socket_path, lifespan=lifespan):
            pytest.fail("the block was entered")

    async with enkaku.serve_unix(Serving(), socket_path):
        dialing = asyncio.create_task(dial())
        await soon(began)
    async with asyncio.timeout(WITHIN):
        with pytest.raises(enkaku.ConnectionLost, match="the lifespan"):
            await dialing
    assert ended.is_set()


async def test_subscription_of_lifespan_goes_on_beside_other_calls(connect: Connect) -> None:
    seen: list[int] = []

    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        async with stream.until_closed():
            for item in range(1000):
                await stream.send(item)
                await asyncio.sleep(0)
        return number

    async def read(stream: enkaku.ClientStream[int, int]) -> None:
        async for item in stream:
            seen.append(item)  # noqa: PERF401 # the test reads it meanwhile

    @asynccontextmanager
    async def lifespan(connection: enkaku.Connection) -> AsyncGenerator[None, None]:
        async with connection.stream(WATCH, 1) as stream, asyncio.TaskGroup() as group:
            reading = group.create_task(read(stream))
            yield
            reading.cancel()

    async with connect(Serving(watch=watch), client_lifespan=lifespan) as connection:
        async with connection.stream(WATCH, 1) as other:
            assert [await anext(other) for _ in range(3)] == [0, 1, 2]
        await until(lambda: len(seen) > 3)
        await connection.close()
    assert seen == list(range(len(seen)))


async def test_closing_the_connection_in_its_lifespan_is_rejected(connect: Connect) -> None:
    problems: list[str] = []

    @asynccontextmanager
    async def lifespan(inner: enkaku.Connection) -> AsyncGenerator[None, None]:
        with pytest.raises(enkaku.UsageError) as caught:
            await inner.close()
        problems.append(str(caught.value))
        yield
        with pytest.raises(enkaku.UsageError) as caught:
            await connection.close()
        problems.append(str(caught.value))

    async with connect(Serving(), client_lifespan=lifespan) as connection:
        pass
    assert problems == [
        "close(): the connection of a lifespan is closed by leaving the block that opened it",
        "close(): a lifespan cannot wait for the end of its own connection; start a task that closes it",
    ]


async def test_lifespan_that_does_not_end_is_cancelled(connect: Connect) -> None:
    cancelled = asyncio.Event()

    @asynccontextmanager
    async def lifespan(_: enkaku.Connection) -> AsyncGenerator[None, None]:
        yield
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with connect(Serving(), client_lifespan=lifespan) as connection:
        async with asyncio.timeout(WITHIN):
            await connection.close(within=0.01)
    assert cancelled.is_set()


async def test_lifespan_of_another_kind_is_rejected(socket_path: Path) -> None:
    async def wrong(_: enkaku.Connection) -> None:
        """Return no context manager."""

    with pytest.raises(enkaku.UsageError, match="a lifespan"):
        async with enkaku.connect_unix(socket_path, lifespan=wrong):  # type: ignore[arg-type] # on purpose
            pass
