"""Dialing: a transport each time, open, of which nothing is lost before somebody reads it."""

import asyncio
import os
import socket
import ssl
import struct
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from random import Random

import enkaku
import pytest
from enkaku.testing.faulty_wire import Pieces
from enkaku.transports.base import PeerCredentials, Transport
from enkaku.transports.memory import memory_pair
from enkaku.transports.sockets.dial import Dialer, dial_socket, dial_tcp, dial_unix
from enkaku.transports.sockets.listen import Listener
from enkaku.transports.sockets.tls import Tls
from silence.deaf import tcp_connections
from support import (
    MESSAGE_SIZE,
    VOID,
    WITHIN,
    Log,
    Serving,
    collect,
    open_sockets,
    tcp_port,
    turns,
    until,
)

KINDS = ["unix", "tcp", "tls", "pair", "memory"]


def tcp_dialer(port: int, context: ssl.SSLContext | None = None, *, timeout: float = 5) -> Dialer:
    return dial_tcp(
        "127.0.0.1", port, ssl=context, server_hostname=None, timeout=timeout, keepalive=None
    )


@pytest.fixture
async def pairing(
    request: pytest.FixtureRequest,
    socket_path: Path,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
) -> AsyncGenerator[Callable[[], Awaitable[tuple[Transport, Transport]]], None]:
    """Makes connections of a kind: the client's end, that is not started, and the server's."""
    accepted: asyncio.Queue[Transport] = asyncio.Queue()
    made: list[Transport] = []
    make_tls = (lambda: Tls(server_tls, server_side=True)) if request.param == "tls" else None
    listener = Listener(accepted.put_nowait, make_tls=make_tls, peer="a client", framing=Pieces)
    dial: Dialer | None
    match request.param:
        case "unix":
            with_file = socket.socket(socket.AF_UNIX)
            with_file.bind(str(socket_path))
            await listener.listen(with_file)
            dial = dial_unix(str(socket_path), timeout=5)
        case "tcp" | "tls":
            (address,) = await listener.listen_tcp("127.0.0.1", 0)
            port = int(address.rpartition(":")[2])
            dial = tcp_dialer(port, client_tls if request.param == "tls" else None)
        case "pair":
            ours, theirs = socket.socketpair()
            await listener.adopt(theirs, accepted.put_nowait, lambda: None)
            dial = dial_socket(ours, ssl=None, server_hostname=None, timeout=5, keepalive=None)
        case _:
            dial = None

    async def connect() -> tuple[Transport, Transport]:
        if dial is None:
            return memory_pair()
        async with asyncio.timeout(WITHIN):
            client = await replace(dial, framing=Pieces)()
            made.append(client)
            made.append(await accepted.get())
        return client, made[-1]

    yield connect
    listener.close()
    for transport in made:
        transport.abort()


every_kind = pytest.mark.parametrize("pairing", KINDS, indirect=True)
Pairing = Callable[[], Awaitable[tuple[Transport, Transport]]]


@every_kind
async def test_dial_bytes_before_start_are_delivered_after_start(pairing: Pairing) -> None:
    client, server = await pairing()
    server.start(Log(), message_size=MESSAGE_SIZE)
    server.write(b"a" * 300_000)
    await turns(50)
    log = Log()
    client.start(log, message_size=MESSAGE_SIZE)
    assert log.data == b""
    await until(lambda: len(log.data) == 300_000)


@every_kind
async def test_dial_end_before_start_is_reported_after_start(pairing: Pairing) -> None:
    client, server = await pairing()
    server.start(Log(), message_size=MESSAGE_SIZE)
    server.write(b"last words")
    closing = asyncio.create_task(server.close(within=WITHIN))
    await turns(50)
    log = Log()
    client.start(log, message_size=MESSAGE_SIZE)
    await until(lambda: bool(log.ends))
    assert (log.data, log.ends) == (b"last words", [None])
    await closing


@every_kind
@pytest.mark.parametrize("turns_between", [0, 10])
async def test_dial_abort_before_start_is_reported_after_start(
    pairing: Pairing, turns_between: int
) -> None:
    client, _ = await pairing()
    client.abort()
    await turns(turns_between)
    log = Log()
    client.start(log, message_size=MESSAGE_SIZE)
    assert log.ends == []
    await turns()
    assert log.ends == [None]
    with pytest.raises(enkaku.ConnectionLost):
        await client.drain()
    await client.close(within=1)


@pytest.mark.parametrize("pairing", ["tcp", "tls"], indirect=True)
async def test_transport_close_after_reset_raises_nothing(
    pairing: Pairing,
) -> None:
    client, server = await pairing()
    client.start(Log(), message_size=MESSAGE_SIZE)
    client.pause_reading()
    server.write(b"unread")
    await turns()
    reset = struct.pack("ii", 1, 0)
    with tcp_connections() as ends:
        for end in ends:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    server.abort()
    await turns(2)
    async with asyncio.timeout(WITHIN):
        await client.close(within=WITHIN)


@every_kind
async def test_transport_pause_after_start_holds(pairing: Pairing) -> None:
    client, server = await pairing()
    server.start(Log(), message_size=MESSAGE_SIZE)
    server.write(b"a" * 100)
    await turns(50)
    log = Log()
    client.start(log, message_size=MESSAGE_SIZE)
    client.pause_reading()
    await turns(50)
    assert log.data == b""
    client.resume_reading()
    client.resume_reading()
    await until(lambda: len(log.data) == 100)


@every_kind
async def test_transport_drain_is_immediate_or_in_order(pairing: Pairing) -> None:
    client, server = await pairing()
    client.start(Log(), message_size=MESSAGE_SIZE)
    with pytest.raises(StopIteration):
        client.drain().send(None)
    while client.buffered < 1_000_000:  # the server does not read yet
        client.write(b"a" * 1_000_000)
    woken: list[int] = []

    async def wait(name: int) -> None:
        await client.drain()
        woken.append(name)

    tasks = [asyncio.create_task(wait(name)) for name in range(20)]
    await turns()
    assert woken == []
    server.start(Log(), message_size=MESSAGE_SIZE)
    await asyncio.wait(tasks, timeout=WITHIN)
    assert woken == list(range(20))


@every_kind
async def test_transport_close_sends_end_after_written_bytes(
    pairing: Pairing,
) -> None:
    client, server = await pairing()
    client_log, server_log = Log(), Log()
    client.start(client_log, message_size=MESSAGE_SIZE)
    closing = asyncio.create_task(client.close(within=WITHIN))
    client.write(b"a" * 3_000_000)
    client.pause_reading()
    await turns()
    client.pause_reading()  # of no use any more
    client.write(b"too late")
    server.write(b"b" * 3_000_000)
    server.start(server_log, message_size=MESSAGE_SIZE)
    await closing
    assert (len(server_log.data), server_log.ends) == (3_000_000, [None])
    assert len(client_log.data) <= 3_000_000
    assert client_log.ends == [None]


class Side:
    """One end of a connection, of which anything may be asked."""

    def __init__(self, end: Transport, chance: Random) -> None:
        self.end = end
        self.log = Log()
        self.written = b""
        self.tasks: list[asyncio.Task[None]] = []
        self._chance = chance
        self._started = False

    def act(self) -> None:
        actions = [self._write, self._write, self._drain]
        actions += [self.end.pause_reading, self.resume] if self._started else [self.resume]
        self._chance.choice(actions)()

    def start(self) -> None:
        if not self._started:
            self._started = True
            self.end.start(self.log, message_size=MESSAGE_SIZE)

    def resume(self) -> None:
        self.start()
        self.end.resume_reading()

    def finish(self) -> None:
        if self._chance.random() < 0.2:
            self.end.abort()
        else:
            self.start()
            self.tasks.append(asyncio.create_task(self.end.close(within=WITHIN)))

    def _write(self) -> None:
        data = bytes([self._chance.randrange(256)]) * self._chance.choice([1, 1000, 300_000])
        self.written += data
        self.end.write(data)

    def _drain(self) -> None:
        self.tasks.append(asyncio.create_task(self.end.drain()))


@every_kind
@pytest.mark.parametrize(
    "seed", [*range(8), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(8, 40))]
)
async def test_transport_any_actions_in_any_order_keep_contract(
    pairing: Pairing, seed: int
) -> None:
    """What arrives is the beginning of what was written, and then one end is told, to each side."""
    chance = Random(seed)
    sides = [Side(end, chance) for end in await pairing()]
    for _ in range(chance.randrange(40)):
        chance.choice(sides).act()
        await turns(chance.choice([0, 0, 1, 3]))
    for _ in range(3):
        chance.choice(sides).finish()
        chance.choice(sides).act()
        await turns(chance.choice([0, 0, 1, 3]))
    for side in sides:
        side.resume()
    await until(lambda: all(side.log.ends for side in sides))
    for outcome in await collect(task for side in sides for task in side.tasks):
        assert outcome is None or isinstance(outcome, enkaku.ConnectionLost)
    await turns()
    for side, other in zip(sides, reversed(sides), strict=True):
        assert other.written.startswith(side.log.data)
        assert len(side.log.ends) == 1


@every_kind
async def test_transport_both_ends_may_close_at_once(pairing: Pairing) -> None:
    client, server = await pairing()
    logs = Log(), Log()
    client.start(logs[0], message_size=MESSAGE_SIZE)
    server.start(logs[1], message_size=MESSAGE_SIZE)
    async with asyncio.timeout(WITHIN):
        await asyncio.gather(*(end.close(within=5) for end in (client, server) * 3))
    assert [log.ends for log in logs] == [[None], [None]]
    for end in (client, server):
        end.abort()
        end.write(b"ignored")
        end.pause_reading()
        end.resume_reading()
        await end.close(within=5)
    assert [log.ends for log in logs] == [[None], [None]]


@pytest.mark.parametrize("pairing", ["unix", "tcp", "tls"], indirect=True)
async def test_dialer_connects_repeatedly(pairing: Pairing) -> None:
    pairs = [await pairing() for _ in range(3)]
    for number, (client, server) in enumerate(pairs):
        log = Log()
        server.start(log, message_size=MESSAGE_SIZE)
        client.write(str(number).encode())
        await until(lambda log=log: bool(log.data))  # type: ignore[misc] # bound here, and typed there
        assert log.data == str(number).encode()


async def test_dial_socket_second_time_raises_connect_failed() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        dial = dial_socket(ours, ssl=None, server_hostname=None, timeout=5, keepalive=None)
        transport = await dial()
        with pytest.raises(enkaku.ConnectFailed, match="already used"):
            await dial()
        transport.abort()


@pytest.mark.parametrize("pairing", ["unix", "pair"], indirect=True)
async def test_unix_transport_knows_peer_credentials(
    pairing: Pairing,
) -> None:
    client, server = await pairing()
    us = PeerCredentials(os.getpid(), os.geteuid(), os.getegid())
    if sys.platform == "linux":
        assert (client.credentials, server.credentials) == (us, us)
    else:
        assert {client.credentials, server.credentials} <= {us, None}


@pytest.mark.parametrize("pairing", ["tcp", "tls"], indirect=True)
async def test_tcp_transport_has_no_peer_credentials(pairing: Pairing) -> None:
    client, server = await pairing()
    assert (client.credentials, server.credentials) == (None, None)


async def test_memory_transport_credentials_are_this_process() -> None:
    us = PeerCredentials(os.getpid(), os.geteuid(), os.getegid())
    assert [end.credentials for end in memory_pair()] == [us, us]


@pytest.mark.skipif(sys.platform != "linux", reason="another system may not say")
async def test_listener_knows_client_credentials(socket_path: Path) -> None:
    accepted: asyncio.Queue[Transport] = asyncio.Queue()
    listener = Listener(accepted.put_nowait)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(socket_path))
    await listener.listen(sock)
    program = "import socket, sys; s = socket.socket(1); s.connect(sys.argv[1]); sys.stdin.read()"
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(socket_path)), stdin=PIPE
    )
    async with asyncio.timeout(WITHIN):
        server = await accepted.get()
        assert server.credentials == PeerCredentials(child.pid, os.geteuid(), os.getegid())
        await child.communicate(b"")
        assert server.credentials == PeerCredentials(child.pid, os.geteuid(), os.getegid())
    server.abort()
    listener.close()


async def test_tls_handshake_cancelled_leaves_nothing(client_tls: ssl.SSLContext) -> None:
    # Only the kernel accepts here: a server of asyncio might still open a connection after the test.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        before = open_sockets()
        for count in range(10):
            dialing = asyncio.create_task(tcp_dialer(silent.getsockname()[1], client_tls)())
            await turns(count)
            dialing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await dialing
        await until(lambda: open_sockets() <= before)


async def test_tls_handshake_ended_by_server_raises_connect_failed(
    client_tls: ssl.SSLContext,
) -> None:
    listener = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    with pytest.raises(enkaku.ConnectFailed, match=r"handshake|reset"):
        await tcp_dialer(port, client_tls)()
    listener.close()


async def continue_handshake(
    context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Tls:
    """Be a client up to its last bytes of the handshake, which are still to be sent."""
    tls = Tls(context, server_side=False, server_hostname="127.0.0.1")
    while not tls.continue_handshake():
        writer.write(tls.take_outgoing())
        async with asyncio.timeout(WITHIN):
            tls.feed(await reader.read(65536))
    return tls


async def test_tls_bytes_in_last_handshake_packet_are_delivered(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    accepted: asyncio.Queue[Transport] = asyncio.Queue()
    listener = Listener(accepted.put_nowait, make_tls=lambda: Tls(server_tls, server_side=True))
    (address,) = await listener.listen_tcp("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", address.rpartition(":")[2])
    tls = await continue_handshake(client_tls, reader, writer)
    tls.write(b"at once\n")
    tls.end()
    writer.write(tls.take_outgoing())
    async with asyncio.timeout(WITHIN):
        server = await accepted.get()
    await turns(50)
    log = Log()
    server.start(log, message_size=MESSAGE_SIZE)
    await until(lambda: bool(log.ends))
    assert (log.data, log.ends) == (b"at once", [None])
    async with asyncio.timeout(WITHIN):
        tls.feed(await reader.read())
    assert tls.read() == (b"", None)
    assert tls.ended
    writer.close()
    await writer.wait_closed()
    listener.close()


async def test_tls_invalid_bytes_end_connection(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    accepted: asyncio.Queue[Transport] = asyncio.Queue()
    listener = Listener(accepted.put_nowait, make_tls=lambda: Tls(server_tls, server_side=True))
    (address,) = await listener.listen_tcp("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", address.rpartition(":")[2])
    tls = await continue_handshake(client_tls, reader, writer)
    tls.write(b"good\n")
    writer.write(tls.take_outgoing())
    async with asyncio.timeout(WITHIN):
        server = await accepted.get()
    log = Log()
    server.start(log, message_size=MESSAGE_SIZE)
    writer.write(b"\x17\x03\x03\x00\x20" + b"x" * 32)
    await until(lambda: bool(log.ends))
    assert log.data == b"good"
    assert isinstance(log.ends[0], ssl.SSLError)
    with pytest.raises(enkaku.ConnectionLost):
        await server.drain()
    writer.transport.abort()
    listener.close()


class Chatty(Tls):
    """TLS of which each byte wants an answer, as requests for new keys do."""

    def continue_handshake(self) -> bool:
        return True

    def feed(self, data: bytes) -> None:
        self.answer = data

    def read(self) -> tuple[bytes, ssl.SSLError | None]:
        return b"", None

    def take_outgoing(self) -> bytes:
        answer, self.answer = getattr(self, "answer", b""), b""
        return answer


async def test_tls_peer_renewing_keys_without_reading_is_dropped(
    server_tls: ssl.SSLContext,
) -> None:
    accepted: asyncio.Queue[Transport] = asyncio.Queue()
    listener = Listener(accepted.put_nowait, make_tls=lambda: Chatty(server_tls, server_side=True))
    (address,) = await listener.listen_tcp("127.0.0.1", 0)
    _, writer = await asyncio.open_connection("127.0.0.1", address.rpartition(":")[2], limit=1024)
    writer.write(b"hello")
    async with asyncio.timeout(WITHIN):
        server = await accepted.get()
    log = Log()
    server.start(log, message_size=MESSAGE_SIZE)
    most = 0
    async with asyncio.timeout(WITHIN):
        while not log.ends:
            if writer.transport.get_write_buffer_size() < 1_000_000:
                writer.write(b"x" * 100_000)
            most = max(most, server.buffered)
            await asyncio.sleep(0)
    assert isinstance(log.ends[0], ConnectionAbortedError)
    assert most < 1_000_000
    writer.transport.abort()
    listener.close()


async def test_connect_tcp_skips_address_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as silent, ExitStack() as stack:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for _ in range(4):  # fill its accept queue: further connects wait for an answer
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        async with enkaku.serve_tcp(Serving()) as server:
            answers = ("127.0.0.1", tcp_port(server))

            async def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
                named = host == "two.example"
                addresses = (silent.getsockname(), answers) if named else ((host, port),)
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", each) for each in addresses]

            monkeypatch.setattr(loop, "getaddrinfo", resolve)
            async with asyncio.timeout(WITHIN), enkaku.connect_tcp("two.example", 1) as connection:
                await connection.request(VOID, None)


async def test_connect_tcp_without_address_raises_connect_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
        return []

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    with pytest.raises(enkaku.ConnectFailed, match="no address"):
        async with enkaku.connect_tcp("none.example", 1):
            pass
