"""A test can disturb a connection in every way in which a network does, and nothing else happens to it."""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import enkaku
import pytest
from enkaku.testing.faults import faulty_memory_pair
from enkaku.testing.faulty_wire import Pieces
from enkaku.testing.memory import Faults, Flow, connect_memory, faulty_tcp, faulty_unix
from enkaku.transports.base import Transport
from support import (
    ASK,
    ECHO,
    FILL,
    MESSAGE_SIZE,
    POUR,
    TELL,
    VOID,
    WATCH,
    WITHIN,
    Lifetime,
    Log,
    Serving,
    collect,
    raw_client,
    raw_server,
    soon,
    tcp_port,
    turns,
    until,
)

WORDS = ["", "one", "zwölf", "😀" * 50, "x" * 3000, '\n"\\']
AT_ONCE = 1.5  # seconds; less than anything in the library waits for a peer that is gone

Disturbed = Callable[[enkaku.Handler, Faults], AbstractAsyncContextManager[enkaku.Connection]]


@pytest.fixture(
    params=["memory", "tcp"]
)  # a proxy of Unix sockets has another address, and all else of TCP's
def disturbed(request: pytest.FixtureRequest) -> Disturbed:
    """Connect to a handler with faults in between: a wire in memory, and a proxy."""

    @asynccontextmanager
    async def connect(
        handler: enkaku.Handler, faults: Faults
    ) -> AsyncGenerator[enkaku.Connection, None]:
        if request.param == "memory":
            async with connect_memory(handler, faults=faults) as connection:
                yield connection
        else:
            async with (
                enkaku.serve_tcp(handler) as server,
                faulty_tcp("127.0.0.1", tcp_port(server), faults) as port,
                enkaku.connect_tcp("127.0.0.1", port) as connection,
            ):
                yield connection

    return connect


async def same(text: str) -> str:
    return text


async def repeat(_: int, channel: enkaku.ServerChannel[str, str]) -> int:
    count = 0
    async for item in channel:
        count += 1
        await channel.send(item)
    return count


async def lost(call: Awaitable[object]) -> enkaku.ConnectionLost:
    async with asyncio.timeout(WITHIN):
        with pytest.raises(enkaku.ConnectionLost) as caught:
            await call
    return caught.value


def open_stream(connection: enkaku.Connection) -> enkaku.ClientStream[int, int]:
    return connection.stream(WATCH, 1)


# pieces


@pytest.mark.parametrize(
    "disturb",
    [
        lambda _: None,
        lambda flow: flow.split(1),
        lambda flow: flow.split(7),
        lambda flow: flow.split(),
        lambda flow: flow.join(),
        lambda flow: flow.delay(0.001),
        lambda flow: flow.delay(turns=3),
        lambda flow: (flow.delay(turns=2), flow.split()),
    ],
    ids=["perfect", "bytes", "sevens", "anywhere", "joined", "late", "turns", "both"],
)
async def test_faults_split_and_delay_keep_calls_intact(
    disturbed: Disturbed, disturb: Callable[[Flow], object]
) -> None:
    faults = Faults(seed=3)
    disturb(faults)
    async with disturbed(Serving(echo=same, fill=repeat), faults) as connection:
        assert await collect(connection.request(ECHO, word) for word in WORDS) == WORDS
        async with connection.channel(FILL, 1) as channel:
            for word in WORDS:
                await channel.send(word)
            assert [await anext(channel) for _ in WORDS] == WORDS
            assert await channel.close() == len(WORDS)
    assert faults.passed == faults.to_client.passed + faults.to_server.passed > 1000


@asynccontextmanager
async def pair(faults: Faults) -> AsyncGenerator[tuple[Transport, Log, Transport, Log], None]:
    async with faulty_memory_pair(faults, Pieces) as (client, server, _):
        client_log, server_log = Log(), Log()
        client.start(client_log, message_size=MESSAGE_SIZE)
        server.start(server_log, message_size=MESSAGE_SIZE)
        yield client, client_log, server, server_log


async def pieces_of(text: bytes, disturb: Callable[[Faults], None], seed: int = 0) -> list[bytes]:
    faults = Faults(seed)
    disturb(faults)
    async with pair(faults) as (client, _, _, log):
        client.write(text)
        await until(lambda: log.data == text)
        return log.pieces


async def test_faults_split_delivers_pieces_of_given_size() -> None:
    text = bytes(range(100))
    assert await pieces_of(text, lambda _: None) == [text]
    assert await pieces_of(text, lambda faults: faults.split(1)) == [bytes([n]) for n in range(100)]
    assert await pieces_of(text, lambda faults: faults.split(30)) == [
        text[:30],
        text[30:60],
        text[60:90],
        text[90:],
    ]
    assert await pieces_of(text, lambda faults: faults.to_client.split(1)) == [text]


async def test_faults_seed_determines_split_positions() -> None:
    text = bytes(1000)
    first = [await pieces_of(text, lambda faults: faults.split(), seed) for seed in range(5)]
    again = [await pieces_of(text, lambda faults: faults.split(), seed) for seed in range(5)]
    assert first == again
    assert len({tuple(map(len, pieces)) for pieces in first}) == 5


async def test_faults_join_merges_waiting_bytes() -> None:
    faults = Faults()
    faults.to_server.join()
    async with pair(faults) as (client, _, _, log):
        faults.to_server.stall()
        for text in (b"a", b"b", b"c"):
            client.write(text)
            await turns()
        assert log.pieces == []
        faults.to_server.resume()
        await turns()
        assert log.pieces == [b"abc"]


async def test_faults_split_applies_to_sockets(socket_path: Path) -> None:
    log: list[bytes] = []

    class Server(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            log.append(data)

    faults = Faults()
    faults.split(1)
    loop = asyncio.get_running_loop()
    listener = await loop.create_unix_server(Server, socket_path)
    async with faulty_unix(socket_path, faults) as path, raw_client(path) as peer:
        peer.send_bytes(b"hello")
        await until(lambda: len(b"".join(log)) == 5)
    listener.close()
    assert log == [b"h", b"e", b"l", b"l", b"o"]


# delays


async def test_faults_delay_applies_per_message_not_in_sum(
    disturbed: Disturbed,
) -> None:
    faults = Faults()
    loop = asyncio.get_running_loop()
    async with disturbed(Serving(echo=same), faults) as connection:
        faults.to_server.delay(0.1)
        began = loop.time()
        assert await collect(connection.request(ECHO, word) for word in WORDS * 5) == WORDS * 5
        assert 0.1 <= loop.time() - began < 1


async def test_faults_delay_removed_delivers_at_once() -> None:
    faults = Faults()
    async with connect_memory(Serving(echo=same), faults=faults) as connection:
        faults.delay(1000)
        asking = asyncio.create_task(connection.request(ECHO, "x"))
        await turns(100)
        assert not asking.done()
        faults.delay()
        async with asyncio.timeout(WITHIN):
            assert await asking == "x"


async def test_faults_delay_counts_iterations() -> None:
    async def taken(count: int) -> int:
        faults = Faults()
        faults.to_client.delay(turns=count)
        async with connect_memory(Serving(echo=same), faults=faults) as connection:
            asking = asyncio.create_task(connection.request(ECHO, "x"))
            passed = 0
            while not asking.done():
                passed += 1
                await asyncio.sleep(0)
            return passed

    at_once = await taken(0)
    assert at_once < 30
    assert at_once + 50 <= await taken(50) <= at_once + 60


# stalls


async def test_faults_stall_holds_one_direction_until_resume(disturbed: Disturbed) -> None:
    faults = Faults()
    heard: list[int] = []

    async def ask(number: int) -> int:
        heard.append(number)
        return -number

    async with disturbed(Serving(ask=ask), faults) as connection:
        faults.to_client.stall()
        asking = asyncio.create_task(connection.request(ASK, 1))
        await until(lambda: heard == [1])
        await turns(100)
        assert not asking.done()
        faults.to_client.resume()
        async with asyncio.timeout(WITHIN):
            assert await asking == -1
        faults.to_server.stall()
        asking = asyncio.create_task(connection.request(ASK, 2))
        await turns(100)
        assert heard == [1]
        faults.resume()
        async with asyncio.timeout(WITHIN):
            assert await asking == -2


async def test_faults_stall_blocks_client_writes_and_loses_nothing(disturbed: Disturbed) -> None:
    faults = Faults()
    sent = 0

    async with disturbed(Serving(fill=repeat), faults) as connection:
        async with connection.channel(FILL, 1) as channel:
            faults.to_server.stall()

            async def send() -> None:
                nonlocal sent
                for number in range(300):
                    await channel.send(f"{number} {'x' * 10_000}")
                    sent += 1

            sending = asyncio.create_task(send())
            await asyncio.wait([sending], timeout=0.2)
            assert 0 < sent < 200
            faults.to_server.resume()
            async with asyncio.timeout(WITHIN):
                received = [int((await anext(channel)).split()[0]) for _ in range(300)]
                await sending
            assert received == list(range(300))


async def test_faults_stall_blocks_handler_writes(disturbed: Disturbed) -> None:
    faults = Faults()
    sent = 0

    async def pour(count: int, stream: enkaku.ServerStream[str]) -> int:
        nonlocal sent
        for number in range(count):
            await stream.send(f"{number} {'x' * 10_000}")
            sent += 1
        return sent

    async with disturbed(Serving(pour=pour), faults) as connection:
        faults.to_client.stall()
        async with connection.stream(POUR, 300) as stream:
            reading = asyncio.create_task(anext(stream))
            await asyncio.wait([reading], timeout=0.2)
            assert 0 < sent < 200
            faults.to_client.resume()
            async with asyncio.timeout(WITHIN):
                received = [
                    (await reading).split()[0],
                    *[(await anext(stream)).split()[0] for _ in range(299)],
                ]
                assert await stream.result() == 300
        assert received == [str(number) for number in range(300)]


async def test_faults_stall_memory_transport_counts_buffered_bytes() -> None:
    faults = Faults()
    async with pair(faults) as (client, _, _, log):
        faults.to_server.stall()
        client.write(b"x" * 100_000)
        await turns()
        assert (client.buffered, log.data) == (100_000, b"")
        draining = asyncio.create_task(client.drain())
        await turns()
        assert not draining.done()
        faults.to_server.resume()
        async with asyncio.timeout(WITHIN):
            await draining
        await until(lambda: client.buffered == 0 and len(log.data) == 100_000)


async def test_faults_stall_delays_end_after_bytes() -> None:
    faults = Faults()
    async with pair(faults) as (client, client_log, _, server_log):
        faults.to_server.stall()
        client.write(b"last")
        closing = asyncio.create_task(client.close(within=WITHIN))
        await turns(50)
        assert (server_log.data, server_log.ends, client_log.ends) == (b"", [], [])
        faults.to_server.resume()
        await closing
        await turns()
        assert (server_log.data, server_log.ends, client_log.ends) == (b"last", [None], [None])


async def test_close_with_stalled_peer_times_out() -> None:
    faults = Faults()
    async with pair(faults) as (client, client_log, _, server_log):
        faults.stall()
        async with asyncio.timeout(WITHIN):
            await client.close(within=0.02)
        await turns()
        assert (client_log.ends, server_log.ends) == ([None], [])


async def test_faults_paused_reader_blocks_writer() -> None:
    async with pair(Faults()) as (client, _, server, log):
        server.pause_reading()
        sent = 0

        async def write() -> None:
            nonlocal sent
            for _ in range(100):
                client.write(b"x" * 10_000)
                sent += 10_000
                await client.drain()

        writing = asyncio.create_task(write())
        await turns(1000)
        assert 100_000 < sent < 400_000
        server.resume_reading()
        async with asyncio.timeout(WITHIN):
            await writing
        await until(lambda: len(log.data) == 1_000_000)


async def test_faults_heal_removes_all_faults(disturbed: Disturbed) -> None:
    faults = Faults()
    async with disturbed(Serving(echo=same), faults) as connection:
        faults.delay(1000, turns=1000)
        faults.split(1)
        faults.stall()
        faults.cut(after=30)
        asking = asyncio.create_task(connection.request(ECHO, "x" * 1000))
        await turns(100)
        faults.heal()
        async with asyncio.timeout(WITHIN):
            assert await asking == "x" * 1000
            assert await connection.request(ECHO, "y") == "y"


# losses


async def test_faults_drop_loses_bytes_without_notification(disturbed: Disturbed) -> None:
    faults = Faults()
    heard: list[int] = []

    async def tell(number: int) -> None:
        heard.append(number)

    async with disturbed(Serving(echo=same, tell=tell), faults) as connection:
        await connection.event(TELL, 1)
        await until(lambda: heard == [1])
        faults.to_server.drop()
        await connection.event(TELL, 2)
        for _ in range(30):  # never waits: it is not a stall
            await asyncio.wait_for(connection.event(TELL, 3), WITHIN)
        asking = asyncio.create_task(connection.request(ECHO, "x" * 1_000_000))
        await asyncio.wait([asking], timeout=0.05)
        assert not asking.done()
        assert connection.is_open
        assert heard == [1]
        faults.cut()
        await lost(asking)


async def test_faults_drop_loses_end_of_connection() -> None:
    faults = Faults()
    async with pair(faults) as (client, client_log, _, server_log):
        faults.to_server.drop()
        client.abort()
        await turns(50)
        assert (client_log.ends, server_log.ends) == ([None], [])
        faults.resume()
        await turns(50)
        assert server_log.ends == []
    await turns()
    assert server_log.ends == [None]


async def test_faults_dropped_end_is_reported_when_wire_is_released() -> None:
    faults = Faults()
    async with faulty_memory_pair(faults, Pieces) as (client, server, wire):
        log = Log()
        client.start(Log(), message_size=MESSAGE_SIZE)
        server.start(log, message_size=MESSAGE_SIZE)
        faults.drop()
        client.write(b"lost")
        client.abort()
        await turns(50)
        wire.release()
        await until(lambda: bool(log.ends))
        assert log.data == b""


# ends


async def test_faults_cut_ends_connection_on_both_sides(disturbed: Disturbed) -> None:
    faults = Faults()
    life = Lifetime()
    async with disturbed(Serving(ask=life.forever), faults) as connection:
        asking = asyncio.create_task(connection.request(ASK, 1))
        await soon(life.began)
        faults.cut()
        error = await lost(asking)
        await soon(life.cancelled)
        assert not connection.is_open
        assert error.__cause__ is None
        faults.cut()  # nobody is left


async def test_faults_cut_leaves_later_connections_whole(socket_path: Path) -> None:
    faults = Faults()
    async with (
        enkaku.serve_unix(Serving(echo=same), socket_path),
        faulty_unix(socket_path, faults) as path,
    ):
        for _ in range(3):
            async with enkaku.connect_unix(path) as first, enkaku.connect_unix(path) as second:
                assert await first.request(ECHO, "a") == "a"
                assert await second.request(ECHO, "b") == "b"
                faults.cut()
                await lost(first.request(VOID, None))
                await lost(second.request(VOID, None))


async def test_faults_reset_is_connection_reset_error(socket_path: Path) -> None:
    life = Lifetime()
    faults = Faults()
    handler = Serving(ask=life.forever)
    async with connect_memory(handler, faults=faults) as connection:
        asking = asyncio.create_task(connection.request(ASK, 1))
        await soon(life.began)
        faults.cut(reset=True)
        assert isinstance((await lost(asking)).__cause__, ConnectionResetError)
    async with (
        enkaku.serve_tcp(handler) as server,
        faulty_tcp("127.0.0.1", tcp_port(server), faults) as port,
        enkaku.connect_tcp("127.0.0.1", port) as connection,
    ):
        asking = asyncio.create_task(connection.request(ASK, 1))
        await until(lambda: life.began_count == 2)
        faults.cut(reset=True)
        assert isinstance((await lost(asking)).__cause__, ConnectionResetError)
        await until(lambda: life.ended_count == 2)


async def test_faults_reset_by_server_is_forwarded() -> None:
    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    listener = await asyncio.start_server(reset, "127.0.0.1", 0)
    async with (
        faulty_tcp("127.0.0.1", listener.sockets[0].getsockname()[1], Faults()) as port,
        enkaku.connect_tcp("127.0.0.1", port) as connection,
    ):
        error = await lost(connection.request(ASK, 1))
        assert isinstance(error.__cause__, ConnectionResetError)
    listener.close()


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("side", ["client", "server"])
async def test_faults_cut_after_delivers_given_bytes_first(side: str, reset: bool) -> None:
    for count in range(1, 40):
        faults = Faults()
        (faults.to_client if side == "client" else faults.to_server).cut(after=count, reset=reset)
        async with pair(faults) as (client, client_log, server, server_log):
            source, log = (server, client_log) if side == "client" else (client, server_log)
            for _ in range(10):
                source.write(b"abcd")
            await until(lambda: bool(client_log.ends and server_log.ends))
            assert log.data == (b"abcd" * 10)[:count]
            assert [type(end) for end in (*client_log.ends, *server_log.ends)] == [
                ConnectionResetError if reset else type(None)
            ] * 2
            for end in (client, server):
                with pytest.raises(enkaku.ConnectionLost):
                    await end.drain()
                end.write(b"ignored")


async def test_faults_cut_anywhere_in_reply_ends_call(disturbed: Disturbed) -> None:
    faults = Faults()
    async with disturbed(Serving(echo=same), faults) as connection:
        assert await connection.request(ECHO, "räder") == "räder"
    size = faults.to_client.passed
    assert size > 50
    outcomes: list[object] = []
    for count in (*range(1, size, 9), size - 1, size, size + 1):
        faults = Faults()
        faults.to_client.cut(after=count)
        async with disturbed(Serving(echo=same), faults) as connection:
            outcomes += await collect([connection.request(ECHO, "räder")])
        assert faults.to_client.passed == min(count, size)
    assert all(isinstance(outcome, enkaku.ConnectionLost) for outcome in outcomes[:-2])
    assert outcomes[-2:] == ["räder", "räder"]


async def test_faults_cut_after_counts_both_directions() -> None:
    faults = Faults()
    async with pair(faults) as (client, client_log, server, server_log):
        faults.cut(after=5)
        client.write(b"abc")
        await turns()
        server.write(b"defg")
        await until(lambda: bool(client_log.ends and server_log.ends))
        assert (server_log.data, client_log.data, faults.passed) == (b"abc", b"de", 5)


async def test_faults_cut_inside_message_does_not_execute_it(disturbed: Disturbed) -> None:
    faults = Faults()
    heard: list[int] = []

    async def tell(number: int) -> None:
        heard.append(number)

    async with disturbed(Serving(tell=tell), faults) as connection:
        for number in (0, 1):  # the first message is larger
            before = faults.to_server.passed
            await connection.event(TELL, number)
            await until(lambda number=number: heard[-1:] == [number])
        size = faults.to_server.passed - before
        faults.to_server.cut(after=size - 1)  # all but the newline
        await connection.event(TELL, 2)
        await until(lambda: not connection.is_open)
    assert heard == [0, 1]


# half-open connections


async def test_faults_cut_server_notified_only_blocks_client(disturbed: Disturbed) -> None:
    faults = Faults()
    life = Lifetime()

    async def fill(_: int, __: enkaku.ServerChannel[str, str]) -> int:
        return await life.forever()

    async with disturbed(Serving(fill=fill), faults) as connection:
        async with connection.channel(FILL, 1) as channel:
            await soon(life.began)
            faults.cut(told="server")
            await soon(life.cancelled)
            reading = asyncio.create_task(anext(channel))

            async def send() -> None:
                for _ in range(500):
                    await channel.send("x" * 10_000)

            sending = asyncio.create_task(send())
            await asyncio.wait([reading, sending], timeout=0.2)
            assert not reading.done()
            assert not sending.done()
            assert connection.is_open
            sending.cancel()
            reading.cancel()
            await asyncio.wait([reading, sending])
            faults.cut()  # or closing would wait for the server


async def test_faults_cut_client_notified_only_keeps_server_running(disturbed: Disturbed) -> None:
    faults = Faults()
    life = Lifetime()
    async with disturbed(Serving(ask=life.forever), faults) as connection:
        asking = asyncio.create_task(connection.request(ASK, 1))
        await soon(life.began)
        faults.cut(told="client")
        await lost(asking)
        await turns(100)
        assert not life.ended.is_set()
    await soon(life.cancelled)


async def test_faults_half_open_may_start_inside_reply() -> None:
    faults = Faults()
    async with connect_memory(Serving(echo=same), faults=faults) as connection:
        faults.to_client.cut(after=20, told="server")
        asking = asyncio.create_task(connection.request(ECHO, "x"))
        await turns(100)
        assert faults.to_client.passed == 20
        assert not asking.done()
        faults.heal()
        await turns(100)
        assert not asking.done()  # what is half-open stays so
        faults.cut()  # until somebody ends it
        await lost(asking)


# the end of a test


@pytest.mark.parametrize(
    "disturb",
    [
        lambda faults: faults.stall(),
        lambda faults: faults.drop(),
        lambda faults: faults.delay(1000),
        lambda faults: faults.cut(told="client"),
        lambda faults: faults.cut(told="server"),
        lambda faults: faults.cut(after=50),
        lambda faults: faults.to_client.stall(),
        lambda faults: (faults.to_server.drop(), faults.to_client.split(1)),
    ],
)
async def test_connection_block_ends_at_once_despite_faults(
    disturb: Callable[[Faults], object],
) -> None:
    life = Lifetime()
    faults = Faults()
    loop = asyncio.get_running_loop()
    async with connect_memory(Serving(ask=life.forever), faults=faults) as connection:
        first = asyncio.create_task(connection.request(ASK, 1))
        await soon(life.began)
        disturb(faults)
        second = asyncio.create_task(connection.request(ASK, 2))
        await turns()
        ending = loop.time()
    assert loop.time() - ending < AT_ONCE
    await lost(first)
    await lost(second)
    assert life.began_count == life.ended_count


async def test_faults_delayed_events_arrive_before_close() -> None:
    heard: list[int] = []

    async def tell(number: int) -> None:
        heard.append(number)

    faults = Faults()
    async with connect_memory(Serving(tell=tell), faults=faults) as connection:
        faults.delay(1000)
        for number in range(5):
            await connection.event(TELL, number)
    assert heard == [0, 1, 2, 3, 4]


async def test_faults_proxy_ends_with_its_block(socket_path: Path) -> None:
    faults = Faults()
    async with raw_server(socket_path) as server:
        async with faulty_unix(socket_path, faults) as path:
            async with raw_client(path) as client, raw_client(path) as other:
                client.send(typ="event", prc="x")
                await (await server.accept()).read()
                other.send(typ="event", prc="x")
                await (await server.accept()).read()
                faults.to_client.stall()
                faults.cut(told="server")
        assert not path.exists()


async def test_faults_proxy_without_server_ends_connections(socket_path: Path) -> None:
    async with faulty_unix(socket_path, Faults()) as path, enkaku.connect_unix(path) as connection:
        await lost(connection.request(VOID, None))


async def test_faults_proxy_forwards_replies_of_stopping_server(socket_path: Path) -> None:
    life = Lifetime()
    async with enkaku.serve_unix(Serving(ask=life.forever), socket_path) as server:
        async with faulty_unix(socket_path, Faults()) as path:
            async with enkaku.connect_unix(path) as connection:
                asking = asyncio.create_task(connection.request(ASK, 1))
                await soon(life.began)
                await server.stop(grace=0)
                with pytest.raises(enkaku.CallError, match="EKP01"):
                    await asking
                await until(lambda: not connection.is_open)


async def test_faults_shared_by_two_connections_affect_both() -> None:
    faults = Faults()
    handler = Serving(echo=same)
    async with (
        connect_memory(handler, faults=faults) as second,
        connect_memory(handler) as untouched,
    ):
        async with connect_memory(handler, faults=faults) as first:
            faults.stall()
            waiting = [asyncio.create_task(each.request(ECHO, "x")) for each in (first, second)]
            assert await untouched.request(ECHO, "y") == "y"
            await turns(50)
            assert not any(task.done() for task in waiting)
        await lost(waiting[0])
        await turns(50)
        assert not waiting[1].done()  # the end of the first block has not ended the stall
        faults.heal()
        async with asyncio.timeout(WITHIN):
            assert await waiting[1] == "x"


@pytest.mark.parametrize("seed", range(12))
async def test_faults_random_sequence_loses_and_changes_nothing(
    disturbed: Disturbed, seed: int
) -> None:
    chance = random.Random(seed)
    faults = Faults(seed)
    acts: list[Callable[[Flow], None]] = [
        lambda flow: flow.split(chance.randint(1, 5000)),
        Flow.split,
        Flow.join,
        Flow.stall,
        Flow.resume,
        Flow.resume,
        Flow.heal,
        lambda flow: flow.delay(chance.random() / 500),
        lambda flow: flow.delay(turns=chance.randint(0, 5)),
    ]
    items = [f"{number} {'ä' * chance.randint(0, 3000)}" for number in range(60)]
    async with disturbed(Serving(fill=repeat), faults) as connection:
        async with connection.channel(FILL, 1) as channel:

            async def send() -> None:
                for item in items:
                    await channel.send(item)

            async def receive() -> list[str]:
                return [await anext(channel) for _ in items]

            sending, receiving = asyncio.create_task(send()), asyncio.create_task(receive())
            for _ in range(40):
                chance.choice(acts)(chance.choice((faults, faults.to_client, faults.to_server)))
                await turns(chance.randint(0, 30))
            faults.heal()
            async with asyncio.timeout(WITHIN):
                await sending
                assert await receiving == items
                assert await channel.close() == len(items)


@pytest.mark.parametrize(
    "misuse",
    [
        lambda faults: faults.delay(-1),
        lambda faults: faults.delay(turns=-1),
        lambda faults: faults.split(0),
        lambda faults: faults.cut(after=-1),
    ],
)
def test_faults_misuse_raises_usage_error(misuse: Callable[[Faults], None]) -> None:
    with pytest.raises(enkaku.UsageError):
        misuse(Faults())
