"""Handlers that ignore cancellation: the caller gets an error, observers are notified, the limits count the handler until it ends."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

import enkaku
import pytest
from silence.timing import Stopwatch, pass_time
from support import ASK, TALK, TELL, VOID, WATCH, Lifetime, Serving, soon, turns, until
from watching import Recorder

CLEANUP = 0.15
BOUND = 0.2


@dataclass
class Stubborn:
    """Serves calls whose handlers ignore cancellation until the test releases them."""

    released: asyncio.Event = field(default_factory=asyncio.Event)
    began: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, *_: object) -> int:
        self.began.set()
        while not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                continue
        return 1


@asynccontextmanager
async def stuck(
    path: Path, **options: float
) -> AsyncGenerator[tuple[enkaku.Server, Stubborn, Recorder], None]:
    """Run a server that accepts one call."""
    handler, observed = Stubborn(), Recorder()
    limits = enkaku.Limits(
        cleanup=CLEANUP,
        server_calls=1,
        server_handlers=1,
        request_time=options.get("request_time", 60.0),
    )
    server_options: enkaku.ServerOptions = {
        "limits": limits,
        "observers": [observed],
        "close_timeout": options.get("close_timeout", 60.0),
    }
    serving = Serving(
        ask=handler.serve, watch=handler.serve, talk=handler.serve, tell=handler.serve
    )
    async with enkaku.serve_unix(serving, path, **server_options) as server:
        try:
            yield server, handler, observed
        finally:
            handler.released.set()


async def stays_counted_until_it_ends(
    path: Path, server: enkaku.Server, handler: Stubborn, observed: Recorder
) -> None:
    async with enkaku.connect_unix(path) as another:
        with pytest.raises(enkaku.CallError) as refused:
            await another.request(VOID, None)
        assert refused.value.code in {"EK03", "EK04"}
        await until(lambda: observed.names("stuck") != [])
        assert [len(each.calls) for each in server.connections] == [1, 0]
        with pytest.raises(enkaku.CallError):
            await another.request(VOID, None)
        assert observed.ended == []
        handler.released.set()
        await until(lambda: len(observed.ended) == 1)
        assert observed.names("stuck") == [observed.ended[0].procedure.name]
        await another.request(VOID, None)


async def ask(connection: enkaku.Connection, seconds: float | None) -> None:
    await connection.request(ASK, 1, timeout=seconds)


async def watch(connection: enkaku.Connection, seconds: float | None) -> None:
    async with connection.stream(WATCH, 1, timeout=seconds) as stream:
        await stream.result()


async def talk(connection: enkaku.Connection, seconds: float | None) -> None:
    async with connection.channel(TALK, 1, timeout=seconds) as channel:
        await channel.result()


async def close(connection: enkaku.Connection, seconds: float | None) -> None:
    async with connection.stream(WATCH, 1, timeout=seconds) as stream:
        await stream.close()


CALLS = pytest.mark.parametrize(
    "call", [ask, watch, pytest.param(talk, marks=pytest.mark.slow), close]
)
Calling = Callable[[enkaku.Connection, float | None], Awaitable[None]]


@CALLS
async def test_stuck_handler_call_ends_at_deadline(socket_path: Path, call: Calling) -> None:
    async with stuck(socket_path) as (server, handler, observed):
        async with enkaku.connect_unix(socket_path) as connection:
            passed = Stopwatch()
            with pytest.raises(enkaku.DeadlineExceeded):
                await call(connection, BOUND)
            passed.require(BOUND)
            await stays_counted_until_it_ends(socket_path, server, handler, observed)


@CALLS
async def test_stuck_handler_cancelled_caller_returns(socket_path: Path, call: Calling) -> None:
    async with stuck(socket_path) as (server, handler, observed):
        async with enkaku.connect_unix(socket_path) as connection:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(BOUND):
                    await call(connection, None)
            if call is close:
                # The first abort wins: the call was closed, so its handler is not cancelled yet.
                await connection.close()
            await stays_counted_until_it_ends(socket_path, server, handler, observed)


@CALLS
async def test_stuck_handler_keeps_lost_connection_counted(
    socket_path: Path, call: Calling
) -> None:
    async with stuck(socket_path) as (server, handler, observed):
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(enkaku.connect_unix(socket_path))
            calling = asyncio.ensure_future(call(connection, None))
            await soon(handler.began)
            await stack.aclose()
            with pytest.raises(enkaku.ConnectionLost):
                await calling
        await stays_counted_until_it_ends(socket_path, server, handler, observed)
        await until(lambda: server.connections == ())


async def test_stuck_handler_request_ends_at_server_request_time(socket_path: Path) -> None:
    async with stuck(socket_path, request_time=BOUND) as (server, handler, observed):
        async with enkaku.connect_unix(socket_path) as connection:
            passed = Stopwatch()
            with pytest.raises(enkaku.DeadlineExceeded):
                await connection.request(ASK, 1)
            passed.require(BOUND)
            await stays_counted_until_it_ends(socket_path, server, handler, observed)


async def test_stuck_handler_close_ends_at_server_close_timeout(socket_path: Path) -> None:
    async with stuck(socket_path, close_timeout=BOUND) as (server, handler, observed):
        async with enkaku.connect_unix(socket_path) as connection:
            passed = Stopwatch()
            with pytest.raises(enkaku.DeadlineExceeded):
                await close(connection, None)
            passed.require(BOUND)
            await stays_counted_until_it_ends(socket_path, server, handler, observed)


async def test_stuck_handler_of_event_is_counted(socket_path: Path) -> None:
    async with stuck(socket_path, request_time=BOUND) as (server, handler, observed):
        async with enkaku.connect_unix(socket_path) as connection:
            await connection.event(TELL, 1)
            await soon(handler.began)
            await until(lambda: observed.names("stuck") == ["tell"])
            async with enkaku.connect_unix(socket_path) as another:
                await another.event(TELL, 2)
                await until(lambda: [len(each.calls) for each in server.connections] == [1, 1])
                handler.released.set()
                await until(lambda: len(observed.ended) == 2)


async def test_stuck_handler_is_reported_only_after_cleanup_time(
    socket_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stuck(socket_path) as (_, handler, observed):
        async with enkaku.connect_unix(socket_path) as connection:
            with pytest.raises(enkaku.DeadlineExceeded):
                await connection.request(ASK, 1, timeout=0.05)
            await soon(handler.began)
            passed = Stopwatch()
            await until(lambda: observed.names("stuck") != [])
            passed.require(CLEANUP - 0.05)
            assert "ask: the handler ignores its cancellation" in caplog.text


async def test_handler_cleaning_up_in_time_is_not_reported(socket_path: Path) -> None:
    async with stuck(socket_path) as (_, handler, observed):
        async with enkaku.connect_unix(socket_path) as connection:
            with pytest.raises(enkaku.DeadlineExceeded):
                await connection.request(ASK, 1, timeout=0.05)
            handler.released.set()
            await until(lambda: len(observed.ended) == 1)
            await pass_time(2 * CLEANUP)
            assert observed.names("stuck") == []


async def test_stuck_handler_does_not_hang_stop_and_caller_is_answered(socket_path: Path) -> None:
    async with stuck(socket_path) as (server, handler, observed):
        async with enkaku.connect_unix(socket_path) as connection:
            asking = asyncio.create_task(connection.request(ASK, 1))
            await soon(handler.began)
            passed = Stopwatch()
            await server.stop(grace=BOUND)
            passed.require(BOUND + CLEANUP, or_more=1)
            with pytest.raises(enkaku.CallError) as rejected:
                await asking
            assert rejected.value.code == "EKP01"
            assert observed.names("stuck") == ["ask"]
            handler.released.set()
            await until(lambda: server.connections == ())
            assert len(observed.ended) == 1


async def lose(connection: enkaku.Connection, server: enkaku.Server) -> None:
    await connection.close()
    await until(lambda: server.connections == () or not connection.is_open)
    await turns()


async def stop(_: enkaku.Connection, server: enkaku.Server) -> None:
    asyncio.get_running_loop().call_later(0.05, CLEANED.get().set)
    await server.stop(grace=0)


async def abort(_: enkaku.Connection, server: enkaku.Server) -> None:
    server.abort()
    await turns()


CLEANED: ContextVar[asyncio.Event] = ContextVar("cleaned")


@pytest.mark.parametrize("then", [lose, stop, abort])
async def test_handler_cleaning_up_is_not_cancelled_again(
    socket_path: Path, then: Callable[[enkaku.Connection, enkaku.Server], Awaitable[None]]
) -> None:
    life, cleaning, cleaned = Lifetime(), Lifetime(), asyncio.Event()
    CLEANED.set(cleaned)

    async def serve(*_: object) -> int:
        try:
            return await life.forever()
        finally:
            with cleaning:
                await cleaned.wait()

    async with enkaku.serve_unix(Serving(watch=serve), socket_path) as server:
        async with enkaku.connect_unix(socket_path) as connection:
            async with connection.stream(WATCH, 1):
                await soon(life.began)
            await soon(cleaning.began)
            await then(connection, server)
            cleaned.set()
            await soon(cleaning.ended)
            assert not cleaning.cancelled.is_set()


async def test_handler_ignoring_cancellation_is_cancelled_again_later(
    socket_path: Path,
) -> None:
    first, second, observed = Lifetime(), Lifetime(), Recorder()

    async def serve(*_: object) -> int:
        with suppress(asyncio.CancelledError):
            await first.forever()
        return await second.forever()

    async with enkaku.serve_unix(
        Serving(watch=serve),
        socket_path,
        limits=enkaku.Limits(cleanup=CLEANUP),
        observers=[observed],
    ):
        async with enkaku.connect_unix(socket_path) as connection:
            async with connection.stream(WATCH, 1):
                await soon(first.began)
            await until(lambda: observed.names("stuck") != [])
            assert not second.ended.is_set()
        await soon(second.cancelled)
