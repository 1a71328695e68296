"""Connections that come back: what becomes of calls, how often it is tried, and what is told."""

import asyncio
import math
import socket
import ssl
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import enkaku
import pytest
from enkaku.client.connection import Connection
from enkaku.client.reconnect import Connector
from enkaku.connections import connect_socket
from enkaku.testing.faults import Faults
from enkaku.transports.base import Oversized, Transport
from enkaku.transports.memory import memory_pair
from support import (
    ASK,
    ECHO,
    MESSAGE_SIZE,
    TALK,
    TELL,
    VOID,
    WATCH,
    WITHIN,
    Lifetime,
    Serving,
    collect,
    facing,
    open_sockets,
    raw_server,
    soon,
    tcp_port,
    turns,
    until,
)

QUICK = enkaku.Reconnect(first=0.001, longest=0.01)
SLOW = enkaku.Reconnect(first=1000, longest=1000)
ASK_AGAIN = enkaku.Request[int, int]("ask", param=int, result=int, idempotent=True)


async def same(value: Any) -> Any:
    return value


class Place:
    """An address at which servers come and go."""

    def __init__(
        self,
        path: Path | None,
        server_tls: ssl.SSLContext | None,
        client_tls: ssl.SSLContext | None,
    ) -> None:
        self._path = path
        self._server_tls = server_tls
        self._client_tls = client_tls
        self._port = 0

    @asynccontextmanager
    async def serve(self, handler: enkaku.Handler) -> AsyncGenerator[enkaku.Server, None]:
        if self._path is not None:
            async with enkaku.serve_unix(handler, self._path) as server:
                yield server
        else:
            async with enkaku.serve_tcp(handler, port=self._port, ssl=self._server_tls) as server:
                self._port = tcp_port(server)
                yield server

    def connect(self, **options: Any) -> AbstractAsyncContextManager[enkaku.Connection]:
        if self._path is not None:
            return enkaku.connect_unix(self._path, **options)
        return enkaku.connect_tcp("127.0.0.1", self._port, ssl=self._client_tls, **options)


@pytest.fixture(params=["unix", "tcp", "tls"])
def place(
    request: pytest.FixtureRequest,
    socket_path: Path,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
) -> Place:
    if request.param == "unix":
        return Place(socket_path, None, None)
    if request.param == "tcp":
        return Place(None, None, None)
    return Place(None, server_tls, client_tls)


def state_is(connection: enkaku.Connection, state: str) -> Callable[[], bool]:
    return lambda: connection.state == state


@asynccontextmanager
async def lost(
    path: Path, reconnect: enkaku.Reconnect = QUICK, **options: Any
) -> AsyncGenerator[enkaku.Connection, None]:
    """A connection whose server has gone."""
    async with raw_server(path) as server:
        connecting = enkaku.connect_unix(path, reconnect=reconnect, **options)
        connection = await connecting.__aenter__()
        await server.accept()
    try:
        await until(state_is(connection, "connecting"))
        yield connection
    finally:
        await connecting.__aexit__(None, None, None)


# What becomes of calls


async def test_reconnect_new_call_waits_for_next_connection(place: Place) -> None:
    async with place.serve(Serving(echo=same)):
        connecting = place.connect(reconnect=QUICK)
        connection = await connecting.__aenter__()
        assert await connection.request(ECHO, "a") == "a"
    await until(state_is(connection, "connecting"))
    assert not connection.is_open
    told: list[int] = []
    heard = asyncio.Event()

    async def tell(number: int) -> None:
        told.append(number)
        heard.set()

    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        await stream.send(number)
        return number + 1

    async def streamed() -> list[int]:
        async with connection.stream(WATCH, 1) as stream:
            return [await anext(stream), await stream.result()]

    async def talked() -> int:
        async with connection.channel(TALK, 1) as channel:
            return await channel.close()

    calls = [
        connection.request(ECHO, "b"),
        connection.event(TELL, 7),
        streamed(),
        talked(),
    ]
    waiting = [asyncio.ensure_future(call) for call in calls]
    await turns()
    assert not any(call.done() for call in waiting)
    async with place.serve(Serving(echo=same, tell=tell, watch=watch, talk=lambda n, _: same(n))):
        assert await collect(waiting) == ["b", None, [1, 2], 1]
        await soon(heard)
        assert told == [7]
        assert connection.state == "open"
        await connecting.__aexit__(None, None, None)


async def test_reconnect_hundred_calls_wait_and_are_sent(place: Place) -> None:
    async with place.serve(Serving(ask=same)):
        connecting = place.connect(reconnect=QUICK)
        connection = await connecting.__aenter__()
    await until(state_is(connection, "connecting"))
    waiting = [asyncio.ensure_future(connection.request(ASK, number)) for number in range(100)]
    await turns()
    async with place.serve(Serving(ask=same)):
        assert await collect(waiting) == list(range(100))
        await connecting.__aexit__(None, None, None)


async def test_reconnect_running_calls_fail_at_once_without_retry(socket_path: Path) -> None:
    async with raw_server(socket_path) as server:
        async with enkaku.connect_unix(socket_path, reconnect=QUICK) as connection:
            first = await server.accept()
            request = asyncio.create_task(connection.request(ASK, 1))
            async with (
                connection.stream(WATCH, 1) as stream,
                connection.channel(TALK, 1) as channel,
            ):
                assert {(await first.read())["typ"] for _ in range(3)} == {
                    "request",
                    "stream",
                    "channel",
                }
                first.writer.close()
                ends = await collect([request, anext(stream), anext(channel)])
                ends += await collect([stream.close(), channel.send(1), channel.close()])
            assert [type(end) for end in ends] == [enkaku.ConnectionLost] * 6
            second = await server.accept()
            await until(state_is(connection, "open"))
            assert connection.calls == ()
            assert await second.outlive(connection) == []


async def test_reconnect_waiting_call_ends_at_deadline(socket_path: Path) -> None:
    async with lost(socket_path) as connection:
        with pytest.raises(enkaku.DeadlineExceeded, match="ask") as caught:
            await connection.request(ASK, 1, timeout=0.05)
        with pytest.raises(enkaku.DeadlineExceeded):
            await connection.event(TELL, 1, timeout=0.05)
        with pytest.raises(enkaku.DeadlineExceeded):
            async with connection.stream(WATCH, 1, timeout=0.05):
                raise AssertionError("unreachable")
        with enkaku.deadline(0.05), pytest.raises(enkaku.DeadlineExceeded):
            async with connection.channel(TALK, 1):
                raise AssertionError("unreachable")
        assert connection.state == "connecting"
        assert isinstance(caught.value.__cause__, enkaku.ConnectFailed)
        assert str(socket_path) in str(caught.value.__cause__)


async def test_reconnect_cancelled_waiting_call_is_never_sent(socket_path: Path) -> None:
    async with lost(socket_path) as connection:
        waiting = asyncio.create_task(connection.request(ASK, 1))
        await turns()
        waiting.cancel()
        assert isinstance((await collect([waiting]))[0], asyncio.CancelledError)
        async with raw_server(socket_path) as server:
            peer = await server.accept()
            await until(state_is(connection, "open"))
            assert await peer.outlive(connection) == []


async def test_idempotent_request_is_retried_until_answered(socket_path: Path) -> None:
    async with raw_server(socket_path) as server:
        async with enkaku.connect_unix(socket_path, reconnect=QUICK) as connection:
            asking = asyncio.create_task(connection.request(ASK_AGAIN, 1))
            for _ in range(5):
                peer = await server.accept()
                assert (await peer.read())["prc"] == "ask"
                peer.writer.close()
            peer = await server.accept()
            peer.send(typ="result", rid=(await peer.read())["rid"], val=8)
            assert await collect([asking]) == [8]
            assert await peer.outlive(connection) == []


async def test_idempotent_request_is_retried_until_deadline(socket_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    async with raw_server(socket_path) as server:

        async def die_again_and_again() -> None:
            while True:
                peer = await server.accept()
                seen.append(await peer.read())
                peer.writer.close()

        async with enkaku.connect_unix(socket_path, reconnect=QUICK) as connection:
            dying = asyncio.create_task(die_again_and_again())
            with pytest.raises(enkaku.DeadlineExceeded):
                async with asyncio.timeout(WITHIN):
                    await connection.request(ASK_AGAIN, 1, timeout=0.3)
            dying.cancel()
            await asyncio.wait([dying])
            await connection.close(within=0)
    assert len(seen) > 1


async def test_idempotent_request_ends_when_connection_closes(socket_path: Path) -> None:
    async with lost(socket_path) as connection:
        asking = asyncio.create_task(connection.request(ASK_AGAIN, 1))
        await turns()
        await connection.close()
        with pytest.raises(enkaku.ConnectionLost, match="ask: this side closed the connection"):
            await asking


async def test_idempotent_request_without_reconnect_is_not_retried(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        asking = asyncio.create_task(connection.request(ASK_AGAIN, 1))
        await peer.read()
        peer.writer.close()
        with pytest.raises(enkaku.ConnectionLost):
            await asking


async def test_idempotent_request_foreign_loss_is_not_retried(
    socket_path: Path,
) -> None:
    entered = 0

    @asynccontextmanager
    async def failing(_: enkaku.Call) -> AsyncGenerator[None, None]:
        nonlocal entered
        entered += 1
        raise enkaku.ConnectionLost("of another connection")
        yield

    options: Any = {"reconnect": QUICK, "interceptors": [failing]}
    async with facing(socket_path, **options) as (connection, _):
        with pytest.raises(enkaku.ConnectionLost, match="of another connection"):
            await connection.request(ASK_AGAIN, 1, timeout=1)
        assert entered == 1


# How often it is tried


async def test_reconnect_attempts_exhausted_fails_calls_with_reason(socket_path: Path) -> None:
    bounded = enkaku.Reconnect(first=0.02, longest=0.02, attempts=3)
    async with lost(socket_path, bounded) as connection:
        calls = [connection.request(ASK, 1), connection.request(ASK_AGAIN, 2)]
        ends = await collect([*calls, connection.event(TELL, 1)])
        assert connection.state == "failed"
        with pytest.raises(enkaku.ConnectionLost) as caught:
            async with connection.stream(WATCH, 1):
                raise AssertionError("unreachable")
        for end in [*ends, caught.value]:
            assert isinstance(end, enkaku.ConnectionLost)
            assert "the connection was lost, and reconnecting failed: 3 attempts in a row" in str(
                end
            )
            assert f"{socket_path}: " in str(end)
            assert isinstance(end.__cause__, enkaku.ConnectFailed)
        assert [state async for state in connection.states()] == ["failed"]
        await connection.close()
        assert connection.state == "failed"


async def test_reconnect_first_connection_is_retried(place: Place) -> None:
    async with place.serve(Serving()):
        pass

    async def use() -> None:
        async with place.connect(reconnect=QUICK) as connection:
            await connection.request(VOID, None)

    using = asyncio.create_task(use())
    await turns(100)
    assert not using.done()
    async with place.serve(Serving()):
        assert await collect([using]) == [None]


async def test_reconnect_first_connection_ends_at_connect_timeout(socket_path: Path) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(
        enkaku.ConnectFailed,
        match=r"no connection within 0.1 s; the last attempt failed: .*No such",
    ):
        async with enkaku.connect_unix(socket_path, connect_timeout=0.1, reconnect=QUICK):
            raise AssertionError("unreachable")
    assert 0.09 < loop.time() - began < WITHIN  # uvloop's clock has steps of a millisecond


async def test_reconnect_first_connection_ends_after_attempts(socket_path: Path) -> None:
    thrice = enkaku.Reconnect(first=0.001, attempts=3)
    with pytest.raises(enkaku.ConnectFailed, match="3 attempts in a row failed; the last: unix:"):
        async with enkaku.connect_unix(socket_path, reconnect=thrice):
            raise AssertionError("unreachable")


async def test_reconnect_invalid_address_is_not_retried() -> None:
    with pytest.raises(enkaku.UsageError, match="port must be from 0 to 65535; got 70000"):
        async with enkaku.connect_tcp("127.0.0.1", 70_000, reconnect=SLOW):
            raise AssertionError("unreachable")


async def test_reconnect_first_connection_can_be_cancelled(socket_path: Path) -> None:
    async def use() -> None:
        async with enkaku.connect_unix(socket_path, reconnect=SLOW):
            raise AssertionError("unreachable")

    using = asyncio.create_task(use())
    await turns()
    using.cancel()
    assert isinstance((await collect([using]))[0], asyncio.CancelledError)


class Bounds(Random):
    """No randomness, and no waits; remembers how long they could have been."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def uniform(self, a: float, b: float) -> float:
        assert a == 0
        self.seen.append(b)
        return 0.0


def refusing(times: int) -> Callable[[], Any]:
    """Dials in vain, so many times."""
    left = iter(range(times))

    async def dial() -> Transport:
        if next(left, None) is None:
            return memory_pair()[0]
        raise enkaku.ConnectFailed("nobody")

    return dial


async def test_backoff_grows_up_to_longest() -> None:
    bounds = Bounds()
    await Connector(refusing(11), enkaku.Reconnect(random=bounds), "there").reconnect(lasted=1)
    expected = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30, 30]
    assert bounds.seen == pytest.approx(expected)


async def test_backoff_first_attempt_is_immediate() -> None:
    bounds = Bounds()
    await Connector(refusing(2), enkaku.Reconnect(random=bounds), "there").connect(within=WITHIN)
    assert bounds.seen == pytest.approx([0.1, 0.2])


async def test_connector_forgets_failure_after_success() -> None:
    connector = Connector(refusing(1), enkaku.Reconnect(random=Bounds()), "there")
    await connector.connect(within=WITHIN)
    assert connector.failure is None


async def test_connector_allows_any_number_of_failed_attempts() -> None:
    bounds = Bounds()
    reconnect = enkaku.Reconnect(random=bounds, factor=10)
    await Connector(refusing(2000), reconnect, "there").reconnect(lasted=0)
    assert bounds.seen[-1] == 30


async def test_backoff_resets_after_lasting_connection() -> None:
    bounds = Bounds()
    connector = Connector(refusing(0), enkaku.Reconnect(random=bounds), "there")
    for lasted in (0, 0, 0.1, 0.3, 0.8, 0.05):
        await connector.reconnect(lasted=lasted)
    #  at first; then 0 < 0.1; 0.1 < 0.2; 0.3 < 0.4; 0.8 >= 0.8: anew; 0.05 < 0.1
    assert bounds.seen == pytest.approx([0.1, 0.2, 0.4, 0.8, 0.1, 0.2])


async def test_reconnect_immediate_loss_counts_as_attempt(socket_path: Path) -> None:
    async with raw_server(socket_path) as server:
        reconnect = enkaku.Reconnect(first=1000, longest=1000, attempts=3, random=Bounds())
        async with enkaku.connect_unix(socket_path, reconnect=reconnect) as connection:
            for _ in range(4):  # the first one had nothing to prove
                (await server.accept()).writer.close()
            await until(state_is(connection, "failed"))
            with pytest.raises(enkaku.ConnectionLost, match=r"3 attempts .* lost again after \d"):
                await connection.request(ASK, 1)


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ({"first": 0}, "first must be more than 0 s; got 0"),
        ({"first": math.nan}, "first"),
        ({"factor": 0.5}, "factor must be finite and 1 or more; got 0.5"),
        ({"factor": math.inf}, "factor"),
        ({"factor": math.nan}, "factor"),
        ({"longest": 0.01}, r"longest must be at least first \(0.1 s\); got 0.01"),
        ({"longest": math.inf}, "longest"),
        ({"longest": math.nan}, "longest"),
        ({"first": math.inf, "longest": math.inf}, "first must be a number of seconds"),
        ({"attempts": 0}, "attempts must be 1 or more; got 0"),
    ],
)
def test_reconnect_invalid_option_raises_usage_error(mistake: dict[str, Any], told: str) -> None:
    with pytest.raises(enkaku.UsageError, match=told):
        enkaku.Reconnect(**mistake)


def test_reconnect_equal_options_are_equal() -> None:
    assert enkaku.Reconnect(random=Random()) == enkaku.Reconnect()
    assert "random" not in repr(enkaku.Reconnect())


async def test_reconnect_with_given_socket_raises_usage_error(socket_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with pytest.raises(enkaku.UsageError, match="reconnect must be None"):
            async with connect_socket(ours, reconnect=QUICK):
                raise AssertionError("unreachable")
        ours.send(b"as it was")
        assert theirs.recv(100) == b"as it was"


# The end


async def test_close_while_reconnecting_ends_waiting_calls(socket_path: Path) -> None:
    async with lost(socket_path, SLOW) as connection:
        calls = [connection.request(ASK, 1, timeout=None), connection.event(TELL, 1)]
        waiting = [asyncio.ensure_future(call) for call in calls]
        await turns()
        async with asyncio.timeout(WITHIN):
            await connection.close()
        assert {task for task in asyncio.all_tasks() if not task.done()} - {*waiting} == {
            asyncio.current_task()
        }
        for end in await collect(waiting):
            assert isinstance(end, enkaku.ConnectionLost)
            assert "this side closed the connection" in str(end)
        with pytest.raises(enkaku.ConnectionLost, match="this side closed the connection"):
            await connection.request(ASK, 1)
        assert connection.state == "closed"
        await connection.close()


async def test_close_during_reconnect_handshake_leaves_nothing(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with enkaku.serve_tcp(Serving(), ssl=server_tls) as server:
        port = tcp_port(server)
        options: Any = {"ssl": client_tls, "reconnect": QUICK, "connect_timeout": 1000}
        connecting = enkaku.connect_tcp("127.0.0.1", port, **options)
        connection = await connecting.__aenter__()
    accepted = asyncio.Event()
    writers: list[asyncio.StreamWriter] = []

    def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        accepted.set()

    async with await asyncio.start_server(accept, "127.0.0.1", port):
        await soon(accepted)
        async with asyncio.timeout(WITHIN):
            await connecting.__aexit__(None, None, None)
        for writer in writers:
            writer.close()
    assert connection.state == "closed"


async def test_close_cancelled_while_reconnecting_leaves_nothing(socket_path: Path) -> None:
    async with lost(socket_path, SLOW) as connection:
        closing = asyncio.create_task(connection.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        assert connection.state == "closed"


async def test_reconnect_old_connection_does_not_harm_new_one(socket_path: Path) -> None:
    """The old one ends in two steps here, and the second comes after its replacement."""
    async with raw_server(socket_path) as server:
        async with enkaku.connect_unix(socket_path, reconnect=QUICK) as connection:
            old = await server.accept()
            old.writer.write_eof()
            new = await server.accept()
            await until(state_is(connection, "open"))
            old.writer.transport.abort()
            await turns(50)
            asking = asyncio.create_task(connection.request(ASK, 1))
            new.send(typ="result", rid=(await new.read())["rid"], val=2)
            assert await collect([asking]) == [2]
            assert connection.state == "open"
            assert await new.outlive(connection) == []


async def test_reconnect_second_end_of_old_transport_is_ignored() -> None:
    mine, theirs = memory_pair()
    new_mine, new_theirs = memory_pair()

    async def dial() -> Transport:
        return new_mine

    class Answering:
        def messages_received(self, batch: Sequence[bytes | Oversized]) -> None:
            for message in batch:
                assert isinstance(message, bytes)
                answer = message.replace(b'"request"', b'"result"').replace(b'"prm"', b'"val"')
                new_theirs.write(answer)

        def connection_lost(self, error: Exception | None) -> None:
            pass

    new_theirs.start(Answering(), message_size=MESSAGE_SIZE)
    connection = Connection(mine, Connector(dial, QUICK, "memory"))
    theirs.abort()
    await until(state_is(connection, "connecting"))
    await until(state_is(connection, "open"))
    mine.abort()
    theirs.abort()
    await turns()
    assert await connection.request(ASK, 5) == 5
    await connection.close()
    assert connection.state == "closed"


async def test_reconnect_unexpected_dial_error_fails_connection() -> None:
    mine, theirs = memory_pair()

    async def dial() -> Transport:
        raise RuntimeError("this was not foreseen")

    connection = Connection(mine, Connector(dial, QUICK, "memory"))
    theirs.abort()
    async with asyncio.timeout(WITHIN):
        assert [state async for state in connection.states()] == ["open", "connecting", "failed"]
    with pytest.raises(enkaku.ConnectionLost, match="not foreseen") as caught:
        await connection.request(ASK, 5)
    assert isinstance(caught.value.__cause__, RuntimeError)
    await connection.close()


# What is told


async def test_states_of_reconnecting_connection(place: Place) -> None:
    states: list[str] = []
    async with place.serve(Serving()):
        connecting = place.connect(reconnect=QUICK)
        connection = await connecting.__aenter__()

        async def follow() -> None:
            async for state in connection.states():
                states.append(state)  # noqa: PERF401 # they are looked at while it goes on

        following = asyncio.create_task(follow())
        await until(lambda: states == ["open"])
    await until(lambda: states == ["open", "connecting"])
    async with place.serve(Serving()):
        await until(lambda: states == ["open", "connecting", "open"])
        await connecting.__aexit__(None, None, None)
        assert await collect([following]) == [None]
    assert states == ["open", "connecting", "open", "closed"]


@pytest.mark.parametrize("how", ["failed", "closed"])
async def test_states_of_connection_without_reconnect(socket_path: Path, how: str) -> None:
    async with facing(socket_path) as (connection, peer):
        states = connection.states()
        assert await anext(states) == connection.state == "open"
        if how == "closed":
            await peer.outlive(connection)
        else:
            peer.writer.close()
        async with asyncio.timeout(WITHIN):
            assert [state async for state in states] == [how]
        assert connection.state == how
        assert [state async for state in connection.states()] == [how]


async def test_states_late_reader_sees_newest() -> None:
    faults = Faults()
    options: enkaku.ConnectionOptions = {"reconnect": QUICK}
    async with enkaku.connect_memory(
        Serving(), faults=faults, connection_options=options
    ) as connection:
        late = connection.states()
        for _ in range(20):
            faults.cut()
            await until(state_is(connection, "connecting"))
            await until(state_is(connection, "open"))
        await connection.close()
        seen = [state async for state in late]
    assert seen == [*["connecting", "open"] * 8, "closed"][-16:]


async def test_states_several_readers_may_follow_and_leave(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, _):

        async def follow() -> list[str]:
            return [state async for state in connection.states()]

        following = [asyncio.create_task(follow()) for _ in range(3)]
        left = asyncio.create_task(follow())
        async for state in connection.states():
            assert state == "open"
            break
        await turns()
        left.cancel()
        await connection.close(within=0)
        assert await collect(following) == [["open", "closed"]] * 3


class Noting(enkaku.Observer):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def connection_opened(self, connection: enkaku.ConnectionInfo) -> None:
        self.notes.append("opened")

    def connection_lost(self, connection: enkaku.ConnectionInfo, reason: str) -> None:
        self.notes.append(reason)


async def test_observers_see_each_connection_after_reconnect(socket_path: Path) -> None:
    noting = Noting()
    async with raw_server(socket_path) as server:
        options: Any = {"reconnect": QUICK, "observers": [noting]}
        async with enkaku.connect_unix(socket_path, **options) as connection:
            first = await server.accept()
            info = connection.info
            first.writer.close()
            second = await server.accept()
            await until(state_is(connection, "open"))
            assert connection.info is not info
            await second.outlive(connection)
    end = "the server ended the connection"
    assert noting.notes == ["opened", end, "opened", "this side closed the connection"]


async def test_reconnect_after_cut_in_memory() -> None:
    faults, life = Faults(), Lifetime()
    options: enkaku.ConnectionOptions = {"reconnect": QUICK}
    async with enkaku.connect_memory(
        Serving(ask=life.forever, echo=same), faults=faults, connection_options=options
    ) as connection:
        asking = asyncio.create_task(connection.request(ASK, 1))
        await soon(life.began)
        faults.cut()
        with pytest.raises(enkaku.ConnectionLost):
            await asking
        await soon(life.cancelled)
        assert await connection.request(ECHO, "again") == "again"
        assert life.began_count == 1


async def test_reconnect_after_half_open_connection() -> None:
    faults = Faults()
    options: enkaku.ConnectionOptions = {
        "reconnect": QUICK,
        "limits": enkaku.Limits(silence=0.05),
    }
    async with enkaku.connect_memory(
        Serving(ask=same, talk=lambda number, _: same(number)),
        faults=faults,
        connection_options=options,
    ) as connection:
        async with connection.channel(TALK, 1) as channel:  # shows that the server counts credits
            assert await channel.close() == 1
        faults.cut(told="server")
        with pytest.raises(enkaku.ConnectionLost, match=r"the server has sent nothing for 0\.1 s"):
            async with asyncio.timeout(WITHIN):
                await connection.request(ASK, 1)
        faults.cut()  # or what is half-open would stay so until the end
        assert await collect([connection.request(ASK, 2)]) == [2]


async def test_reconnect_unsent_bytes_keep_nothing_open(
    socket_path: Path,
) -> None:
    async with raw_server(socket_path) as server:
        async with enkaku.connect_unix(socket_path, reconnect=QUICK) as connection:
            old = await server.accept()
            before = open_sockets()
            old.stall()
            asking = asyncio.create_task(connection.request(ECHO, "x" * 5_000_000))
            await turns()
            old.writer.write_eof()
            assert isinstance((await collect([asking]))[0], enkaku.ConnectionLost)
            new = await server.accept()
            await until(state_is(connection, "open"))
            # Both ends of the new connection have come, and this side's of the old one has gone.
            await until(lambda: open_sockets() <= before + 2 - 1)
            await new.outlive(connection)


# Servers that are killed

SERVER = """
import asyncio, sys
import enkaku
from support import Serving

KIND, WHERE = sys.argv[1:]

async def ask(number):
    print("asked", flush=True)
    if number == 0:
        await asyncio.Event().wait()
    return number

async def main():
    handler = Serving(ask=ask)
    if KIND == "unix":
        serving = enkaku.serve_unix(handler, WHERE)
    else:
        serving = enkaku.serve_tcp(handler, port=int(WHERE))
    async with serving as server:
        print(server.addresses[0].rpartition(":")[2], flush=True)
        await server.serve_forever()

asyncio.run(main())
"""


@asynccontextmanager
async def server_process(kind: str, where: str) -> AsyncGenerator[Process, None]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, kind, where, stdout=PIPE, cwd=Path(__file__).parent.parent
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def line_of(child: Process) -> str:
    assert child.stdout is not None
    async with asyncio.timeout(WITHIN * 2):
        return (await child.stdout.readline()).decode().strip()


@pytest.mark.parametrize("kind", ["unix", "tcp"])
async def test_reconnect_to_restarted_server_process(socket_path: Path, kind: str) -> None:
    where = str(socket_path) if kind == "unix" else "0"
    async with server_process(kind, where) as first:
        where = await line_of(first)
        if kind == "unix":
            connecting = enkaku.connect_unix(where, reconnect=QUICK)
        else:
            connecting = enkaku.connect_tcp("127.0.0.1", int(where), reconnect=QUICK)
        connection = await connecting.__aenter__()
        once = asyncio.create_task(connection.request(ASK, 0))
        again = asyncio.create_task(connection.request(ASK_AGAIN, 0))
        assert [await line_of(first), await line_of(first)] == ["asked", "asked"]
        first.kill()
        with pytest.raises(enkaku.ConnectionLost):
            await once
        # While it dies, it may still take a connection: a call on that one would be lost with it.
        await first.wait()
        await turns(100)
        await until(state_is(connection, "connecting"))
        waiting = asyncio.create_task(connection.request(ASK, 5))
        async with server_process(kind, where) as second:
            assert await line_of(second) == where
            assert await collect([waiting]) == [5]
            assert not again.done()
            assert [await line_of(second), await line_of(second)] == ["asked", "asked"]
            await connecting.__aexit__(None, None, None)
            with pytest.raises(enkaku.ConnectionLost):
                await again
