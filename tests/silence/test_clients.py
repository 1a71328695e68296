"""Server behaviour when clients crash or stop responding during their calls."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import enkaku
import pytest
from enkaku.testing.memory import Faults, faulty_unix
from silence.process import Child, running
from silence.protocol import PING, POUR, QUIET
from silence.server import Silent
from silence.table import open_calls
from silence.timing import SLACK, Stopwatch, pass_time
from support import LONG, VOID, WITHIN, Lifetime, Serving, line, raw_client, soon, turns, until
from watching import Recorder

TIME = 0.25


@asynccontextmanager
async def serving(
    path: Path, **limits: Any
) -> AsyncGenerator[tuple[enkaku.Server, Recorder], None]:
    handler, observed = Silent(), Recorder()
    options: enkaku.ServerOptions = {
        "limits": enkaku.Limits(cleanup=TIME, **limits),
        "observers": [observed],
    }
    async with enkaku.serve_unix(handler, path, **options) as server:
        handler.servers = (server,)
        async with asyncio.timeout(LONG):
            yield server, observed


@asynccontextmanager
async def client(path: Path, **settings: Any) -> AsyncGenerator[Child, None]:
    """Run a process with open calls, one per connection."""
    async with running("silence.client", str(path), json.dumps(settings)) as child:
        assert await child.says() == "ready"
        yield child


def open_now(server: enkaku.Server) -> list[enkaku.Call]:
    return [call for connection in server.connections for call in connection.calls]


async def all_gone(server: enkaku.Server, observed: Recorder) -> None:
    """Check that the clients' calls and connections have ended, and that a new client is served."""
    await until(lambda: server.connections == ())
    assert {id(call) for call in observed.started} == {id(call) for call in observed.ended}
    assert len(observed.opened) == len(observed.lost)
    async with enkaku.connect_unix(server.addresses[0].removeprefix("unix:")) as connection:
        await connection.request(PING, None)


async def test_killed_client_leaves_nothing(socket_path: Path) -> None:
    async with serving(socket_path) as (server, observed), client(socket_path) as child:
        before = open_now(server)
        assert len(before) == len(server.connections) == len(open_calls())
        child.kill()
        watch = Stopwatch()
        await until(lambda: server.connections == ())
        watch.require(0)
        assert {call.outcome for call in before} == {"lost"}
        await all_gone(server, observed)


async def test_stopped_client_calls_end_at_deadline(socket_path: Path) -> None:
    async with (
        serving(socket_path) as (server, observed),
        client(socket_path, timeout=0.8) as child,
    ):
        before = open_now(server)
        assert before
        child.stop()
        await until(lambda: open_now(server) == [])
        assert {(call.outcome, call.code) for call in before} == {("error", "EK05")}
        assert all(call.duration >= 0.75 for call in before)
        assert len(server.connections) == len(open_calls())
        child.wake()
        child.unblock()
        assert await child.ended() == 0
        await all_gone(server, observed)


async def test_stopped_client_calls_without_timeout_wait(socket_path: Path) -> None:
    quiet = [state for state in open_calls() if state != "a stream is between two items"]
    async with serving(socket_path, unread_time=TIME) as (server, observed):
        async with client(socket_path, states=quiet) as child:
            before = open_now(server)
            child.stop()
            await pass_time(2 * TIME)
            assert open_now(server) == before
            child.wake()
            child.unblock()
            assert await child.ended() == 0
            await all_gone(server, observed)


async def test_stopped_client_with_unread_bytes_is_dropped(socket_path: Path) -> None:
    async with serving(socket_path, unread_time=TIME) as (server, observed):
        async with client(socket_path, floods=True) as child:
            child.stop()
            await until(lambda: server.connections == ())
            assert observed.lost == ["write timeout: the peer read nothing for 0.25 s"]
            await all_gone(server, observed)


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_continued_client_loses_only_its_full_connection(
    socket_path: Path, loop: str
) -> None:
    seconds = 2.0  # the client's limit as well, which it exceeds while it is stopped
    async with (
        serving(socket_path, unread_time=seconds) as (server, observed),
        running("silence.stopped_client", loop, str(socket_path), str(seconds)) as child,
    ):
        assert await child.says() == "ready"
        child.stop()
        watch = Stopwatch()
        await until(lambda: len(server.connections) == 1)
        watch.require(seconds, or_more=0.25)
        assert observed.lost == ["write timeout: the peer read nothing for 2 s"]
        await pass_time(seconds)
        assert [call.procedure for call in open_now(server)] == [QUIET]
        async with enkaku.connect_unix(socket_path) as another:
            await another.request(PING, None)
        child.wake()
        assert await child.says() == "ended"
        child.unblock()
        assert await child.says() == "alive"
        assert await child.ended() == 0
        await all_gone(server, observed)


async def test_stopped_client_does_not_delay_stop(socket_path: Path) -> None:
    async with serving(socket_path) as (server, observed), client(socket_path) as child:
        child.stop()
        watch = Stopwatch()
        await server.stop(grace=TIME)
        assert TIME <= watch.passed <= 3 * TIME + SLACK
        assert server.connections == ()
        assert len(observed.started) == len(observed.ended)


async def test_client_ending_inside_line_leaves_nothing(
    socket_path: Path,
) -> None:
    async with serving(socket_path) as (server, observed):
        async with raw_client(socket_path) as raw:
            raw.send(typ="channel", rid="a", prc="talk")
            await until(lambda: len(observed.started) == 1)
            raw.send_bytes(line(typ="send", prc="talk", rid="a", val="x")[:-5])
        await all_gone(server, observed)
        assert observed.started[0].outcome == "lost"
        assert observed.started[0].items_received == 0


async def test_half_open_connection_with_unread_bytes_is_dropped(socket_path: Path) -> None:
    faults = Faults()
    async with serving(socket_path, unread_time=TIME) as (server, observed):
        async with (
            faulty_unix(socket_path, faults) as faulty,
            enkaku.connect_unix(faulty) as connection,
        ):
            async with asyncio.TaskGroup() as group:
                for _ in range(20):
                    group.create_task(_be_lost(connection))
                await until(lambda: len(observed.started) == 20)
                faults.cut(told="client")
            watch = Stopwatch()
            await until(lambda: server.connections == ())
            assert watch.passed <= 1.25 * TIME + SLACK
            await all_gone(server, observed)
            faults.cut()


async def _be_lost(connection: enkaku.Connection) -> None:
    with pytest.raises(enkaku.ConnectionLost):
        async with connection.stream(POUR, None) as stream:
            await stream.result()


@pytest.mark.parametrize("sent", [b"garbage\n" * 100, b"\xff\xfe\n", b'{"payload":{}}\n'])
async def test_invalid_messages_are_reported_and_calls_continue(
    socket_path: Path, sent: bytes
) -> None:
    async with serving(socket_path) as (server, observed), raw_client(socket_path) as raw:
        raw.send(typ="stream", rid="a", prc="quiet")
        raw.send_bytes(sent)
        raw.send(typ="request", rid="b", prc="ping")
        assert (await raw.read())["rid"] == "b"
        assert len(observed.invalid) == sent.count(b"\n")
        assert [call.rid for call in open_now(server)] == ["a"]


async def test_endless_line_ends_connection(socket_path: Path) -> None:
    async with serving(socket_path, message_size=1000) as (server, observed):
        async with raw_client(socket_path) as another, raw_client(socket_path) as raw:
            raw.send(typ="stream", rid="a", prc="quiet")
            raw.send_bytes(b"x" * 10_000)
            await until(
                lambda: observed.lost
                == ["the peer sent a message of more than four times the size limit"]
            )
            another.send(typ="request", rid="b", prc="ping")
            assert (await another.read())["rid"] == "b"
        await all_gone(server, observed)


async def test_stop_ends_lifespan_that_never_starts(socket_path: Path) -> None:
    life = Lifetime()

    @asynccontextmanager
    async def lifespan(_: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
        await life.forever()
        yield

    limits = enkaku.Limits(cleanup=TIME)
    async with enkaku.serve_unix(
        Serving(), socket_path, lifespan=lifespan, limits=limits
    ) as server:
        async with enkaku.connect_unix(socket_path, timeout=TIME) as connection:
            watch = Stopwatch()
            with pytest.raises(enkaku.DeadlineExceeded):
                await connection.request(VOID, None)
            watch.require(TIME)
            async with asyncio.timeout(WITHIN):
                await server.stop(grace=0)
        assert life.cancelled.is_set()
        assert server.connections == ()


async def test_stop_leaves_lifespan_that_does_not_end(socket_path: Path) -> None:
    life = Lifetime()

    @asynccontextmanager
    async def lifespan(_: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
        yield
        await life.forever()

    limits = enkaku.Limits(cleanup=TIME)
    async with enkaku.serve_unix(
        Serving(), socket_path, lifespan=lifespan, limits=limits
    ) as server:
        async with enkaku.connect_unix(socket_path) as connection:
            await connection.request(VOID, None)
        await soon(life.began)
        watch = Stopwatch()
        async with asyncio.timeout(WITHIN):
            await server.stop(grace=0)
        watch.require(TIME, or_more=2)
        assert life.cancelled.is_set()
        assert server.connections == ()


async def test_client_with_blocked_event_loop_keeps_connection(
    socket_path: Path,
) -> None:
    limits = enkaku.Limits(silence=0.2, unread_time=0.2)
    async with (
        running("silence.server", str(socket_path), "{}") as child,
        asyncio.timeout(LONG),
    ):
        await child.says()
        async with enkaku.connect_unix(socket_path, limits=limits) as connection:
            async with connection.stream(POUR, None) as pouring, connection.stream(QUIET, None):
                await anext(pouring)
                asking = asyncio.create_task(connection.request(PING, None))
                await turns()
                time.sleep(0.6)  # noqa: ASYNC251 # simulates a program that blocks its event loop
                await asking
                for _ in range(1000):
                    await anext(pouring)
                await connection.request(PING, None)
