"""Write timeout: a peer that reads nothing loses its connection after ``Limits.unread_time``, not earlier."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import enkaku
import pytest
from enkaku.testing.memory import Faults, connect_memory, faulty_tcp
from enkaku.transports.base import Oversized
from enkaku.transports.memory import memory_pair
from enkaku.transports.write_queue import WriteTimeout
from silence.timing import Stopwatch, pass_time
from support import (
    ECHO,
    MESSAGE_SIZE,
    VOID,
    Lifetime,
    Serving,
    collect,
    facing,
    raw_client,
    soon,
    tcp_port,
    turns,
    until,
)
from watching import Recorder

TIME = 0.2
LIMITS = enkaku.Limits(unread_time=TIME)
READS_NOTHING = "write timeout: the peer read nothing for 0.2 s"
BIG = "x" * 100_000


NOTE = enkaku.Event[str]("note", data=str)


def serving(life: Lifetime) -> Serving:
    async def pour(_: int, stream: enkaku.ServerStream[str]) -> int:
        with life:
            while True:
                await stream.send(BIG)

    async def echo(text: str) -> str:
        return text

    return Serving(pour=pour, echo=echo)


@asynccontextmanager
async def disturbed(
    how: str, faults: Faults, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> AsyncGenerator[tuple[enkaku.Connection, Recorder, Recorder], None]:
    """Connect through fault injection; yield the connection and the observers of both sides."""
    handler = serving(Lifetime())
    server_observed, client_observed = Recorder(), Recorder()
    server_side: enkaku.ServerOptions = {"limits": LIMITS, "observers": [server_observed]}
    client_side: enkaku.ConnectionOptions = {"limits": LIMITS, "observers": [client_observed]}
    if how == "memory":
        async with connect_memory(
            handler, faults=faults, connection_options=client_side, **server_side
        ) as connection:
            yield connection, client_observed, server_observed
        return
    async with enkaku.serve_tcp(
        handler, ssl=tls[0] if how == "tls" else None, **server_side
    ) as server:
        async with faulty_tcp("127.0.0.1", tcp_port(server), faults) as port:
            async with enkaku.connect_tcp(
                "127.0.0.1", port, ssl=tls[1] if how == "tls" else None, **client_side
            ) as connection:
                yield connection, client_observed, server_observed
                faults.cut()


TRANSPORTS = pytest.mark.parametrize("how", ["memory", "tcp", "tls"])
TCP_ELSE_SLOW = pytest.mark.parametrize(
    "how", ["tcp", *(pytest.param(how, marks=pytest.mark.slow) for how in ("memory", "tls"))]
)


async def ask_until_lost(connection: enkaku.Connection) -> enkaku.ConnectionLost:
    """Send more requests than any kernel buffers, until the connection is lost."""
    asking = [asyncio.create_task(connection.request(ECHO, BIG)) for _ in range(300)]
    ends = await collect(asking)
    lost = [end for end in ends if end != BIG]
    assert lost
    assert all(isinstance(end, enkaku.ConnectionLost) for end in lost)
    assert isinstance(lost[0], enkaku.ConnectionLost)
    return lost[0]


@TRANSPORTS
async def test_client_drops_server_that_reads_nothing(
    how: str, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    faults = Faults()
    async with disturbed(how, faults, (server_tls, client_tls)) as (connection, observed, _):
        await connection.request(VOID, None)
        faults.to_server.stall()
        watch = Stopwatch()
        lost = await ask_until_lost(connection)
        watch.require(TIME, or_more=0.25)
        assert str(lost.__cause__) == READS_NOTHING
        assert observed.lost == [f"the connection was lost: {READS_NOTHING}"]
        assert len(observed.started) == len(observed.ended)


@TRANSPORTS
async def test_server_drops_client_that_reads_nothing(
    how: str, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    faults = Faults()
    async with disturbed(how, faults, (server_tls, client_tls)) as (connection, _, observed):
        await connection.request(VOID, None)
        faults.to_client.stall()
        watch = Stopwatch()
        asking = asyncio.create_task(ask_until_lost(connection))
        await until(lambda: observed.lost != [])
        watch.require(TIME, or_more=0.25)
        assert observed.lost == [READS_NOTHING]
        assert len(observed.started) == len(observed.ended)
        faults.cut()
        await asking


async def test_handler_waiting_for_buffer_is_cancelled_with_client(
    socket_path: Path,
) -> None:
    life = Lifetime()
    async with enkaku.serve_unix(serving(life), socket_path, limits=LIMITS) as server:
        async with raw_client(socket_path) as client:
            client.stall()
            client.send(typ="stream", rid="a", prc="pour", prm=1)
            await soon(life.began)
            watch = Stopwatch()
            await soon(life.cancelled)
            watch.require(TIME, or_more=0.25)
            await until(lambda: server.connections == ())


async def test_event_waiting_for_buffer_raises_with_cause(
    socket_path: Path,
) -> None:
    async with facing(socket_path, limits=LIMITS) as (connection, server):
        server.stall()
        with pytest.raises(enkaku.ConnectionLost) as caught:
            while True:
                await connection.event(NOTE, BIG)
        assert str(caught.value.__cause__) == READS_NOTHING


async def test_slow_reader_is_not_dropped(socket_path: Path) -> None:
    life = Lifetime()
    async with enkaku.serve_unix(serving(life), socket_path, limits=LIMITS):
        async with raw_client(socket_path) as client:
            client.stall()
            client.send(typ="stream", rid="a", prc="pour", prm=1)
            await soon(life.began)
            watch = Stopwatch()
            while watch.passed < 3 * TIME:
                await client.reader.readexactly(len(BIG) * 4)
                await pass_time(TIME / 4)
            assert not life.ended.is_set()


@TCP_ELSE_SLOW
async def test_reader_that_catches_up_is_not_dropped(
    how: str, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    faults = Faults()
    async with disturbed(how, faults, (server_tls, client_tls)) as (connection, observed, other):
        faults.stall()
        asking = [asyncio.create_task(connection.request(ECHO, BIG)) for _ in range(100)]
        await pass_time(TIME / 3)
        faults.resume()
        assert await collect(asking) == [BIG] * 100
        await pass_time(2 * TIME)
        assert await connection.request(ECHO, "") == ""
        assert observed.lost == other.lost == []


@TCP_ELSE_SLOW
async def test_unread_time_ignores_bytes_written_meanwhile(
    how: str, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    faults = Faults()
    async with disturbed(how, faults, (server_tls, client_tls)) as (connection, observed, _):
        faults.to_server.stall()
        asking = [asyncio.create_task(connection.request(ECHO, BIG)) for _ in range(300)]
        watch = Stopwatch()
        while observed.lost == [] and watch.passed < 5 * TIME:
            asking.append(asyncio.create_task(connection.request(ECHO, "")))
            await pass_time(TIME / 20)
        watch.require(TIME, or_more=0.25)
        assert observed.lost == [f"the connection was lost: {READS_NOTHING}"]
        await collect(asking)


@pytest.mark.parametrize(("within", "expected"), [(0.1, 0.1), (30.0, TIME)])
async def test_close_ends_after_shorter_of_within_and_unread_time(
    socket_path: Path, within: float, expected: float
) -> None:
    async with facing(socket_path, limits=LIMITS) as (connection, server):
        server.stall()
        watch = Stopwatch()
        asking = [asyncio.create_task(connection.request(ECHO, BIG)) for _ in range(100)]
        await turns()
        await connection.close(within=within)
        watch.require(expected)
        assert all(isinstance(end, enkaku.ConnectionLost) for end in await collect(asking))


async def test_memory_close_ends_after_shorter_of_both_times() -> None:
    ours, theirs = memory_pair()
    receiver, deaf = Received(), Received()
    theirs.start(deaf, message_size=MESSAGE_SIZE)
    theirs.pause_reading()
    ours.start(receiver, message_size=MESSAGE_SIZE, unread_time=TIME)
    ours.write(bytes(100_000))
    watch = Stopwatch()
    await ours.close(within=30.0)
    watch.require(TIME)
    assert str(receiver.ended_with) == READS_NOTHING
    theirs.resume_reading()
    await until(lambda: deaf.ended)


async def test_transport_without_unread_time_waits_without_timeout() -> None:
    ours, theirs = memory_pair()
    receiver, deaf = Received(), Received()
    theirs.start(deaf, message_size=MESSAGE_SIZE)
    theirs.pause_reading()
    ours.start(receiver, message_size=MESSAGE_SIZE)
    ours.write(bytes(100_000))
    await pass_time(2 * TIME)
    assert not receiver.ended
    await ours.close(within=0)


class Received:
    """A receiver that records the end."""

    def __init__(self) -> None:
        self.ended = False
        self.ended_with: Exception | None = None

    def messages_received(self, batch: Sequence[bytes | Oversized]) -> None:
        return

    def connection_lost(self, error: Exception | None) -> None:
        self.ended, self.ended_with = True, error


async def test_unread_time_is_checked_only_while_bytes_wait() -> None:
    looks, ended = list[None](), asyncio.Event()

    def look() -> int:
        looks.append(None)
        return 0

    timeout = WriteTimeout(look, lambda _: ended.set())
    timeout.seconds = 0.04
    await pass_time(0.08)
    assert looks == []
    timeout.start()
    timeout.start()
    await soon(ended)
    assert len(looks) == 5
    timeout.start()
    timeout.stop()
    timeout.stop()
    await pass_time(0.08)
    assert len(looks) == 6


async def test_unread_time_none_is_without_timeout() -> None:
    timeout = WriteTimeout(lambda: 0, lambda _: pytest.fail("the write timeout expired"))
    timeout.start()
    await pass_time(0.05)


async def test_unread_time_restarts_when_bytes_leave() -> None:
    left, since = 0, Stopwatch()

    def leave() -> int:
        nonlocal left, since
        if left < 5:
            left, since = left + 1, Stopwatch()
        return left

    ended = asyncio.Event()
    timeout = WriteTimeout(leave, lambda _: ended.set())
    timeout.seconds = TIME
    timeout.start()
    await soon(ended)
    since.require(TIME)
    assert left == 5
