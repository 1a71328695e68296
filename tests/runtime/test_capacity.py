"""The memory that clients make a server hold is bounded, and some of every server-wide limit is left for other clients."""

import asyncio
import gc
import json
import tracemalloc
from collections.abc import Awaitable, Callable, Generator
from contextlib import AsyncExitStack, closing, contextmanager, suppress
from pathlib import Path

import enkaku
import pytest
from enkaku.server.capacity import Capacity, ServerCapacity
from enkaku.server.session import Session
from enkaku.transports.lines import Lines
from enkaku.transports.memory import MemoryTransport, memory_pair
from stateful.loop import Clock, SteppedLoop
from support import (
    ASK,
    ECHO,
    MESSAGE_SIZE,
    TALK,
    VOID,
    WITHIN,
    Lifetime,
    Log,
    Raw,
    Serving,
    line,
    raw_client,
    turns,
    until,
)

MIB = 1024 * 1024


class Recorder(enkaku.Observer):
    """Records what it is told of limits."""

    def __init__(self) -> None:
        self.overloads: list[str] = []

    def overloaded(self, connection: enkaku.ConnectionInfo, procedure: str, problem: str) -> None:
        """Record."""
        self.overloads.append(problem)


@contextmanager
def clock() -> Generator[tuple[SteppedLoop, Callable[[float], Awaitable[None]]], None, None]:
    """Provide an event loop, and a function that lets time pass in it."""
    time = Clock()
    loop = SteppedLoop(time)

    async def pass_time(seconds: float) -> None:
        time.now += seconds
        await turns()

    with closing(loop), pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.monotonic", time.monotonic)
        yield loop, pass_time


async def double(number: int) -> int:
    return 2 * number


def held(server: enkaku.Server) -> int:
    """Return how many bytes of memory the server counts."""
    return server._policy.capacity.held  # no public figure: only its effects are


async def ended(peer: Raw) -> bool:
    """Wait until the server has ended the connection."""
    async with asyncio.timeout(WITHIN):
        with suppress(ConnectionError):
            assert await peer.reader.read() == b""
    return True


async def ask(peer: Raw, rid: str, text: str) -> None:
    peer.send(typ="request", rid=rid, prc="echo", prm=text)
    await peer.writer.drain()


async def test_memory_used_up_pauses_clients_that_hold_some(socket_path: Path) -> None:
    release = asyncio.Event()

    async def echo(text: str) -> str:
        await release.wait()
        return text

    limits = enkaku.Limits(memory=1 * MIB, buffered=32 * MIB)
    handler = Serving(echo=echo, ask=double)
    async with enkaku.serve_unix(handler, socket_path, limits=limits) as server:
        async with raw_client(socket_path) as peer, enkaku.connect_unix(socket_path) as other:
            asking = [asyncio.create_task(ask(peer, str(n), "x" * 100_000)) for n in range(40)]
            await until(lambda: held(server) > 900_000)
            assert await other.request(ASK, 2) == 4  # it holds nothing
            assert len(server.connections[0].calls) < 15
            release.set()
            async with asyncio.timeout(WITHIN):
                for _ in range(40):
                    assert (await peer.read())["typ"] == "result"
                await asyncio.gather(*asking)
        await until(lambda: not server.connections)
        assert held(server) == 0


async def test_memory_that_is_never_freed_ends_largest_connection(socket_path: Path) -> None:
    seen, life = Recorder(), Lifetime()
    limits = enkaku.Limits(memory=1 * MIB, stall=0.1)
    handler = Serving(echo=life.forever, ask=double)
    async with enkaku.serve_unix(handler, socket_path, limits=limits, observers=[seen]) as server:
        async with raw_client(socket_path) as small, raw_client(socket_path) as large:
            await ask(small, "1", "x" * 50_000)
            assert await small.settle() == []
            for number in range(20):
                large.send(typ="request", rid=str(number), prc="echo", prm="x" * 100_000)
            assert await ended(large)
            assert any("memory" in each for each in seen.overloads)
            await until(lambda: len(server.connections) == 1)
            assert await small.settle() == []


async def test_memory_that_others_free_does_not_delay_stall(socket_path: Path) -> None:
    life = Lifetime()
    limits = enkaku.Limits(memory=1 * MIB, stall=0.2)
    handler = Serving(echo=life.forever, ask=double)
    async with enkaku.serve_unix(handler, socket_path, limits=limits) as server:
        async with raw_client(socket_path) as other, raw_client(socket_path) as large:
            for number in range(20):
                large.send(typ="request", rid=str(number), prc="echo", prm="x" * 100_000)
            async with asyncio.timeout(WITHIN):
                number = 0
                while len(server.connections) != 1 or number == 0:  # it frees memory meanwhile
                    number += 1
                    other.send(typ="request", rid=f"r{number}", prc="ask", prm=1)
                    assert (await other.read())["rid"] == f"r{number}"
            assert await ended(large)


async def test_memory_of_incomplete_messages_counts_until_they_end(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path) as server:
        async with AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(raw_client(socket_path)) for _ in range(3)]
            for peer in peers:
                peer.send_bytes(b"x" * MIB)
                await peer.writer.drain()
            await until(lambda: held(server) == 3 * MIB)
            peers[0].send_bytes(b"\n")
            await until(lambda: held(server) == 2 * MIB)
        await until(lambda: held(server) == 0)


async def test_memory_of_items_counts_until_they_are_taken(socket_path: Path) -> None:
    take = asyncio.Event()

    async def talk(param: int, channel: enkaku.ServerChannel[int, int]) -> int:
        await take.wait()
        return sum([item async for item in channel])

    async with enkaku.serve_unix(Serving(talk=talk), socket_path) as server:
        async with enkaku.connect_unix(socket_path) as connection:
            async with connection.channel(TALK, 1) as channel:
                for _ in range(10):
                    await channel.send(1)
                await until(lambda: held(server) > 10 * 2_048)
                take.set()
                await until(lambda: held(server) < 10 * 2_048)
                await channel.end()
                assert await channel.result() == 10
            await until(lambda: held(server) == 0)


@pytest.mark.parametrize(
    "value",
    [
        [[]] * 3_000,
        [{}] * 3_000,
        ["x"] * 3_000,
        "x" * 9_000,
        "\U0001f600" * 3_000,
        {str(number): number for number in range(3_000)},
        [{str(number): 0.5} for number in range(3_000)],
        [number + 0.5 for number in range(3_000)],
        [[number + 1_000] for number in range(3_000)],
        ["\ud55c\ub2e4"] * 3_000,
        [2**70 + number for number in range(3_000)],
        [str(number) for number in range(1_000, 4_000)],
    ],
    ids=lambda value: str(value)[:12],
)
async def test_memory_estimate_exceeds_what_a_value_takes(socket_path: Path, value: object) -> None:
    life = Lifetime()
    any_ask = enkaku.Request[object, int]("ask", param=object, result=int)

    class Handler(enkaku.Handler):
        def __routes__(self) -> tuple[enkaku.Route, ...]:
            return (enkaku.Route.request(any_ask, life.forever),)

    async with enkaku.serve_unix(Handler(), socket_path) as server:
        async with raw_client(socket_path) as peer:
            peer.send(typ="request", rid="0", prc="ask", prm=1)
            await until(lambda: life.began_count == 1)
            before = held(server)
            payload = {"typ": "request", "rid": "1", "prc": "ask", "prm": value}
            text = json.dumps({"header": {"typ": "JWT", "alg": "none"}, "payload": payload})
            tracemalloc.start()
            try:
                peer.send_bytes(text.encode() + b"\n")
                await until(lambda: life.began_count == 2)
                taken, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert held(server) - before > taken * 0.8


async def test_calls_beyond_shared_part_are_left_for_others(socket_path: Path) -> None:
    life = Lifetime()
    limits = enkaku.Limits(server_calls=20, handlers=100)
    handler = Serving(echo=life.forever, ask=double)
    async with enkaku.serve_unix(handler, socket_path, limits=limits):
        async with raw_client(socket_path) as peer, enkaku.connect_unix(socket_path) as other:
            for number in range(30):
                peer.send(typ="request", rid=str(number), prc="echo", prm="x")
            replies = [await peer.read() for _ in range(12)]
            assert {each["code"] for each in replies} == {"EK03"}
            assert life.began_count == 18
            assert await other.request(ASK, 2) == 4


async def test_handlers_beyond_shared_part_are_left_for_others(socket_path: Path) -> None:
    life = Lifetime()
    limits = enkaku.Limits(server_handlers=20, handlers=100)
    handler = Serving(echo=life.forever, ask=double)
    async with enkaku.serve_unix(handler, socket_path, limits=limits):
        async with (
            enkaku.connect_unix(socket_path) as greedy,
            enkaku.connect_unix(socket_path) as other,
        ):
            async with asyncio.TaskGroup() as tasks:
                asking = [tasks.create_task(greedy.request(ECHO, "x")) for _ in range(30)]
                await until(lambda: life.began_count == 18)
                assert await other.request(ASK, 2) == 4
                await asyncio.sleep(0)
                assert life.began_count == 18
                for each in asking:
                    each.cancel()


async def test_invalid_messages_beyond_limit_end_the_connection(socket_path: Path) -> None:
    seen = Recorder()
    limits = enkaku.Limits(invalid=50)
    async with enkaku.serve_unix(Serving(), socket_path, limits=limits, observers=[seen]):
        async with raw_client(socket_path) as peer, enkaku.connect_unix(socket_path) as other:
            peer.send_bytes(b"no message\n" * 50)
            assert await peer.settle() == []
            peer.send_bytes(b"no message\n" * 200)
            assert await ended(peer)
            assert any("too many invalid" in each for each in seen.overloads)
            await other.request(VOID, None)


@pytest.mark.parametrize("line", [b"1\n", b"\n", b"{}\n"])
async def test_lines_too_short_for_messages_end_the_connection(
    socket_path: Path, line: bytes
) -> None:
    async with enkaku.serve_unix(Serving(), socket_path):
        async with raw_client(socket_path) as peer, enkaku.connect_unix(socket_path) as other:
            peer.send_bytes(line * 100_000)
            assert await ended(peer)
            await other.request(VOID, None)


async def test_message_that_takes_too_long_ends_the_connection(socket_path: Path) -> None:
    limits = enkaku.Limits(message_time=0.1)
    async with enkaku.serve_unix(Serving(), socket_path, limits=limits) as server:
        async with raw_client(socket_path) as peer, raw_client(socket_path) as small:
            small.send_bytes(b"x" * 100)
            peer.send_bytes(b"x" * 10_000)
            assert await ended(peer)
            assert len(server.connections) == 1
            small.send_bytes(b"\n")
            assert await small.settle() == []


@pytest.mark.parametrize(("count", "accepted"), [(5_500, True), (5_600, False), (2_000_000, False)])
async def test_message_with_too_many_values_gets_ek06(
    socket_path: Path, count: int, accepted: bool
) -> None:
    seen = Recorder()
    call = enkaku.Request[list[object], int]("ask", param=list[object], result=int)

    class Handler(enkaku.Handler):
        async def ask(self, param: list[object]) -> int:
            return len(param)

        def __routes__(self) -> tuple[enkaku.Route, ...]:
            return (enkaku.Route.request(call, self.ask),)

    async with enkaku.serve_unix(Handler(), socket_path, observers=[seen]):
        async with raw_client(socket_path) as peer:
            start = b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"request","rid":"1",'
            peer.send_bytes(start + b'"prc":"ask","prm":[%b]}}\n' % b",".join([b"{}"] * count))
            reply = await peer.read()
    if accepted:
        assert reply == {"typ": "result", "rid": "1", "val": count}
    else:
        assert (reply["rid"], reply["code"]) == ("1", "EK06")
        assert "values" in reply["msg"]


async def test_large_message_is_decoded_without_garbage_collection(socket_path: Path) -> None:
    call = enkaku.Request[list[object], int]("ask", param=list[object], result=int)
    collecting: list[bool] = []

    class Handler(enkaku.Handler):
        async def ask(self, param: list[object]) -> int:
            return len(param)

        def __routes__(self) -> tuple[enkaku.Route, ...]:
            return (enkaku.Route.request(call, self.ask),)

    class Watching(enkaku.Observer):
        def call_started(self, call: enkaku.Call) -> None:
            collecting.append(gc.isenabled())

    async with enkaku.serve_unix(Handler(), socket_path, observers=[Watching()]):
        async with enkaku.connect_unix(socket_path) as connection:
            assert await connection.request(call, [[]] * 9_000) == 9_000
            assert await connection.request(call, [[]] * 9) == 9
    assert collecting == [False, True]
    assert gc.isenabled()


def capacity_of(
    memory: int, *, stall: float | None = None, on_stall: Callable[[], None] = lambda: None
) -> ServerCapacity:
    return ServerCapacity(enkaku.Limits(memory=memory, stall=stall), on_stall)


def one_of(whole: ServerCapacity, changes: list[bool] | None = None) -> Capacity:
    """Return the capacity of a connection, which writes down whether it is paused."""

    class Holder:
        def on_memory(self) -> None:
            if changes is not None:
                changes.append(capacity.paused)

    capacity = Capacity(whole, calls=100, holder=Holder())
    return capacity


async def test_full_memory_ends_when_unpaused_connections_free_it(socket_path: Path) -> None:
    limits = enkaku.Limits(memory=1_000_000, stall=None)
    async with enkaku.serve_unix(Serving(ask=double), socket_path, limits=limits) as server:
        whole = server._policy.capacity
        first, second = one_of(whole), one_of(whole)
        first.hold(1_500_000)  # all that it holds, so that it is not paused
        second.hold(600_000)
        second.hold(-600_000)
        second.close()
        first.hold(-1_500_000)
        assert whole.held == 0
        async with enkaku.connect_unix(socket_path) as connection:
            assert await connection.request(ASK, 2, timeout=1.0) == 4


def test_connection_that_ends_while_memory_is_full_is_not_paused() -> None:
    whole = capacity_of(1_000)
    first, second = one_of(whole), one_of(whole)
    first.hold(3_000)
    second.set_unfinished(0)
    assert not second.paused
    second.close()
    assert not second.paused


def test_small_calls_do_not_defer_the_end_of_the_largest() -> None:
    with clock() as (loop, pass_time):
        stalls: list[float] = []
        whole = capacity_of(1_000, stall=10.0, on_stall=lambda: stalls.append(loop.time()))
        largest, other = one_of(whole), one_of(whole)

        async def main() -> None:
            largest.hold(1_000)
            largest.hold(100)
            assert largest.paused
            for _ in range(11):
                other.hold(20)
                other.hold(-20)
                await pass_time(1.0)
            whole.close()

        loop.run_until_complete(main())
    assert len(stalls) == 1


def test_memory_that_shrinks_ends_no_connection() -> None:
    with clock() as (loop, pass_time):
        stalls: list[float] = []
        whole = capacity_of(1_000, stall=10.0, on_stall=lambda: stalls.append(loop.time()))
        largest = one_of(whole)

        async def main() -> None:
            largest.hold(1_000)
            largest.hold(1_000)
            for _ in range(10):
                largest.hold(-100)
                await pass_time(11.0)

        loop.run_until_complete(main())
    assert stalls == []
    assert not largest.paused
    assert loop.live_timers() == []


async def test_messages_that_wait_for_slices_do_not_use_up_memory(socket_path: Path) -> None:
    life = Lifetime()

    async def echo(text: str) -> str:
        if text == "wait":
            await life.forever()
        return text

    limits = enkaku.Limits(memory=300_000, stall=None)
    async with enkaku.serve_unix(Serving(echo=echo), socket_path, limits=limits):
        async with raw_client(socket_path) as peer:
            await ask(peer, "0", "wait")
            for rid in "123":
                await ask(peer, rid, "x" * 20_000)
            async with asyncio.timeout(WITHIN):
                assert {(await peer.read())["rid"] for _ in range(3)} == {*"123"}


async def test_stall_ends_as_many_connections_as_necessary(socket_path: Path) -> None:
    seen, life = Recorder(), Lifetime()
    limits = enkaku.Limits(memory=1 * MIB, stall=0.5)
    handler = Serving(echo=life.forever, ask=double)
    async with enkaku.serve_unix(handler, socket_path, limits=limits, observers=[seen]) as server:
        async with AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(raw_client(socket_path)) for _ in range(8)]
            for peer in peers:
                await ask(peer, "0", "x" * 250_000)
            await until(lambda: sum(len(each.calls) for each in server.connections) == 8)
            await ask(peers[0], "1", "x" * 250_000)
            await until(lambda: bool(seen.overloads))
            assert len(seen.overloads) == 4
            await until(lambda: held(server) < MIB)
            await until(lambda: len(server.connections) == 4)


async def test_stall_ends_others_if_a_handler_ignores_its_end(socket_path: Path) -> None:
    ignored = asyncio.Event()

    async def echo(text: str) -> str:
        if len(text) > 500_000:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await ignored.wait()
            return text
        await asyncio.Event().wait()
        return text

    limits = enkaku.Limits(memory=1_000_000, stall=0.3, cleanup=0.1)
    async with enkaku.serve_unix(Serving(echo=echo), socket_path, limits=limits) as server:
        async with raw_client(socket_path) as large, raw_client(socket_path) as other:
            await ask(large, "0", "x" * 900_000)
            await until(lambda: len(server.connections[0].calls) == 1)
            await ask(other, "0", "x" * 100_000)
            await ask(other, "1", "x" * 100_000)
            assert await ended(large)
            assert await ended(other)
            ignored.set()


async def test_connection_lost_while_memory_is_full_drops_what_waits() -> None:
    note = enkaku.Event[str]("note", data=str)
    noted: list[str] = []

    class Handler(enkaku.Handler):
        async def note(self, data: str) -> None:
            noted.append(data[:1])

        def __routes__(self) -> tuple[enkaku.Route, ...]:
            return (enkaku.Route.event(note, self.note),)

    server = enkaku.Server(Handler(), limits=enkaku.Limits(memory=2_000_000, stall=None))
    whole = server._policy.capacity
    client, end = memory_pair(server=Lines)
    client.start(Log(), message_size=MESSAGE_SIZE)
    server.connected(end)
    events = (line(typ="event", prc="note", data=each * 30_000) for each in "12345678")
    client.write(b"".join(events))
    (session,) = server._sessions
    await until(lambda: session._slices.waiting)
    end.abort()
    await until(lambda: session._lost)
    assert session._slices.waiting
    other = one_of(whole)
    other.hold(5_000_000)
    await until(lambda: not server.connections)
    assert len(noted) < 8
    other.hold(-5_000_000)
    await server.stop()


async def test_connections_near_limit_end_those_silent_for_longest() -> None:
    server = enkaku.Server(Serving(), limits=enkaku.Limits(connections=20))
    logs: list[Log] = []
    clients: list[MemoryTransport] = []

    def connect() -> None:
        client, end = memory_pair()
        logs.append(Log())
        clients.append(client)
        client.start(logs[-1], message_size=MESSAGE_SIZE)
        server.connected(end)

    for _ in range(18):
        connect()
    connect()
    connect()
    clients[2].write(line(typ="request", rid="1", prc="void"))
    await until(lambda: bool(logs[0].ends) and bool(logs[1].ends) and bool(logs[2].pieces))
    connect()
    connect()
    await until(lambda: bool(logs[3].ends))
    await turns()
    assert [index for index, log in enumerate(logs) if log.ends] == [0, 1, 3, 4]
    await server.stop()


async def test_many_connects_near_limit_search_silent_ones_seldom() -> None:
    searched = 0
    plain = Session.silent_since.fget
    assert plain is not None

    def silent_since(session: Session) -> float:
        nonlocal searched
        searched += 1
        return float(plain(session))

    server = enkaku.Server(Serving(), limits=enkaku.Limits(connections=200))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "silent_since", property(silent_since))
        ends = [memory_pair() for _ in range(240)]
        for _, end in ends:
            server.connected(end)
    assert searched < 1_000
    await until(lambda: len(server.connections) == 180)
    await server.stop()


def test_idle_timeout_spares_clients_that_wait_for_memory() -> None:
    with clock() as (loop, pass_time):
        log = Log()

        async def main() -> None:
            limits = enkaku.Limits(memory=1_000_000, stall=None, idle=10.0, first_byte=10.0)
            server = enkaku.Server(Serving(), limits=limits)
            other = one_of(server._policy.capacity)
            other.hold(3_000_000)
            client, end = memory_pair()
            client.start(log, message_size=MESSAGE_SIZE)
            server.connected(end)
            client.write(line(typ="request", rid="1", prc="void"))
            for _ in range(3):
                await pass_time(11.0)
            assert log.ends == []
            other.hold(-3_000_000)
            await turns()
            assert b'"rid":"1"' in log.data
            for _ in range(3):
                await pass_time(11.0)
            assert log.ends == [None]
            await server.stop()

        loop.run_until_complete(main())


async def test_memory_of_discarded_message_is_not_counted(socket_path: Path) -> None:
    limits = enkaku.Limits(message_size=100_000)
    async with enkaku.serve_unix(Serving(), socket_path, limits=limits) as server:
        async with raw_client(socket_path) as peer:
            peer.send_bytes(b"x" * 90_000)
            await until(lambda: held(server) == 90_000)
            peer.send_bytes(b"x" * 90_000)
            await until(lambda: held(server) == 0)
            peer.send_bytes(b"x" * 90_000 + b"\n" + b"x" * 50_000)
            await until(lambda: held(server) == 50_000)


def test_pauses_do_not_extend_the_time_for_a_message(socket_path: Path) -> None:
    with clock() as (loop, pass_time):

        async def main() -> None:
            limits = enkaku.Limits(message_time=10.0)
            async with enkaku.serve_unix(Serving(), socket_path, limits=limits) as server:
                _, writer = await asyncio.open_unix_connection(socket_path)
                writer.write(b"x" * 10_000)
                await turns(100)
                assert held(server) == 10_000
                (session,) = server._sessions
                session._transport.pause_reading()
                await pass_time(60.0)
                session._transport.resume_reading()
                for _ in range(3):
                    assert server.connections
                    await pass_time(4.0)
                    session._transport.pause_reading()
                    session._transport.resume_reading()
                await turns(100)
                assert not server.connections
                writer.close()

        loop.run_until_complete(main())


async def test_memory_of_unread_replies_counts_without_another_message(socket_path: Path) -> None:
    async def echo(text: str) -> str:
        return text * 300_000

    async with enkaku.serve_unix(Serving(echo=echo), socket_path) as server:
        async with raw_client(socket_path) as peer:
            peer.stall()
            for number in range(20):
                peer.send(typ="request", rid=str(number), prc="echo", prm="x")
            await until(lambda: held(server) > 1 * MIB)
        await until(lambda: held(server) == 0)
