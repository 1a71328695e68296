"""TCP connections whose other end is gone without a word."""

import asyncio
import socket
import ssl

import enkaku
import pytest
from silence.deaf import deafen, tcp_connections
from support import (
    ASK,
    DESCRIPTORS,
    VOID,
    WITHIN,
    Lifetime,
    Serving,
    line,
    soon,
    tcp_port,
    turns,
)

pytestmark = pytest.mark.skipif(
    not (DESCRIPTORS.exists() and hasattr(socket, "TCP_USER_TIMEOUT")),
    reason="/proc, socket filters and TCP_USER_TIMEOUT are Linux'",
)


def options(sock: socket.socket) -> tuple[int, ...]:
    names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
    alive = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    tcp = (sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names)
    return (alive, *tcp)


@pytest.mark.parametrize("secure", [False, True])
async def test_keepalive_default_options_on_both_ends(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, secure: bool
) -> None:
    server_side, client_side = (server_tls, client_tls) if secure else (None, None)
    async with enkaku.serve_tcp(Serving(), ssl=server_side) as server:
        async with enkaku.connect_tcp("127.0.0.1", tcp_port(server), ssl=client_side) as connection:
            await connection.request(VOID, None)
            with tcp_connections() as ends:
                assert [options(end) for end in ends] == [(1, 30, 8, 4, 60_000)] * 2
                for end in ends:
                    assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (40, (1, 20, 5, 4, 40_000)),
        (2, (1, 1, 1, 1, 2_000)),
        (5.5, (1, 3, 1, 3, 5_500)),
        (32767, (1, 16384, 4096, 4, 32_767_000)),
    ],
)
async def test_keepalive_option_sets_time(seconds: float, expected: tuple[int, ...]) -> None:
    async with enkaku.serve_tcp(Serving(), keepalive=seconds) as server:
        async with enkaku.connect_tcp(
            "127.0.0.1", tcp_port(server), keepalive=seconds
        ) as connection:
            await connection.request(VOID, None)
            with tcp_connections() as ends:
                assert [options(end) for end in ends] == [expected] * 2


async def test_keepalive_none_leaves_system_defaults() -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:
        usual = options(plain)
    async with enkaku.serve_tcp(Serving(), keepalive=None) as server:
        async with enkaku.connect_tcp("127.0.0.1", tcp_port(server), keepalive=None) as connection:
            await connection.request(VOID, None)
            with tcp_connections() as ends:
                assert [options(end) for end in ends] == [usual] * 2


@pytest.mark.parametrize("seconds", [0, -1, 1.9, 32768, float("inf"), float("nan")])
async def test_keepalive_invalid_time_raises_usage_error(seconds: float) -> None:
    with pytest.raises(enkaku.UsageError, match="keepalive"):
        async with enkaku.serve_tcp(Serving(), keepalive=seconds):
            pass
    with pytest.raises(enkaku.UsageError, match="keepalive"):
        async with enkaku.connect_tcp("127.0.0.1", 1, keepalive=seconds):
            pass


async def _notice_a_client_that_is_gone(*, busy: bool) -> None:
    life = Lifetime()

    async def pour(_: int, stream: enkaku.ServerStream[str]) -> int:
        with life:
            while True:
                await stream.send("x" * 1000)

    async with enkaku.serve_tcp(Serving(ask=life.forever, pour=pour), keepalive=2) as server:
        with socket.create_connection(("127.0.0.1", tcp_port(server))) as client:
            if busy:
                client.sendall(line(typ="stream", rid="a", prc="pour", prm=1))
            else:
                client.sendall(line(typ="request", rid="a", prc="ask", prm=1))
            await soon(life.began)
            await turns()
            deafen(client)
            await soon(life.cancelled)


async def _notice_a_server_that_is_gone(*, busy: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        async with enkaku.connect_tcp(*address, keepalive=2) as connection:
            accepted, _ = listening.accept()
            with accepted:
                if busy:
                    deafen(accepted)
                asking = asyncio.create_task(connection.request(ASK, 1))
                await turns()
                deafen(accepted)
                async with asyncio.timeout(WITHIN):
                    with pytest.raises(enkaku.ConnectionLost) as lost:
                        await asking
                assert isinstance(lost.value.__cause__, TimeoutError)


async def _notice_a_client_that_takes_nothing() -> None:
    """Linux' TCP_USER_TIMEOUT does not tell it from one that is gone; so says the documentation."""
    life = Lifetime()

    async def pour(_: int, stream: enkaku.ServerStream[str]) -> int:
        with life:
            while True:
                await stream.send("x" * 1000)

    async with enkaku.serve_tcp(Serving(pour=pour), keepalive=2) as server:
        with socket.create_connection(("127.0.0.1", tcp_port(server))) as client:
            client.sendall(line(typ="stream", rid="a", prc="pour", prm=1))
            await soon(life.began, life.cancelled)


async def _keep_a_peer_that_only_says_nothing() -> None:
    """Its system answers, however little the peer itself has to say."""
    life = Lifetime()
    async with enkaku.serve_tcp(Serving(ask=life.forever), keepalive=2) as server:
        async with enkaku.connect_tcp("127.0.0.1", tcp_port(server), keepalive=2) as connection:
            asking = asyncio.create_task(connection.request(ASK, 1))
            await soon(life.began)
            await asyncio.wait([asking], timeout=3)
            assert not asking.done()
            asking.cancel()
            await soon(life.cancelled)


async def test_keepalive_detects_lost_peers_and_keeps_silent_ones() -> None:
    """All at once: Linux counts in seconds."""
    async with asyncio.TaskGroup() as group:
        for busy in (False, True):
            group.create_task(_notice_a_client_that_is_gone(busy=busy))
            group.create_task(_notice_a_server_that_is_gone(busy=busy))
        group.create_task(_notice_a_client_that_takes_nothing())
        group.create_task(_keep_a_peer_that_only_says_nothing())
