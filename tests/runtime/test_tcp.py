"""TCP: addresses, ports, and connects that fail."""

import asyncio
import socket
from typing import Any

import enkaku
import pytest
from support import (
    ASK,
    TALK,
    VOID,
    WITHIN,
    Lifetime,
    Serving,
    line,
    soon,
    tcp_port,
)


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def test_serve_tcp_address_names_host_and_port() -> None:
    async with enkaku.serve_tcp(Serving()) as server:
        (address,) = server.addresses
        host, _, port = address.rpartition(":")
        assert host == "tcp:127.0.0.1"
        assert 0 < int(port) < 65536
        async with enkaku.connect_tcp("127.0.0.1", int(port)) as connection:
            assert connection.peer == address


async def test_serve_tcp_ipv6_address_is_bracketed() -> None:
    async with enkaku.serve_tcp(Serving(), "::1") as server:
        assert server.addresses[0].startswith("tcp:[::1]:")
        async with enkaku.connect_tcp("::1", tcp_port(server)) as connection:
            await connection.request(VOID, None)


async def test_serve_tcp_host_name_works() -> None:
    async with enkaku.serve_tcp(Serving(), "localhost") as server:
        assert server.addresses
        async with enkaku.connect_tcp("localhost", tcp_port(server)) as connection:
            await connection.request(VOID, None)


async def test_handler_call_has_peer_address() -> None:
    peers: list[str] = []

    async def ask(number: int) -> int:
        peers.append(enkaku.current_call().peer)
        return number

    async with enkaku.serve_tcp(Serving(ask=ask)) as server:
        async with enkaku.connect_tcp("127.0.0.1", tcp_port(server)) as connection:
            await connection.request(ASK, 1)
    assert peers[0].startswith("tcp:127.0.0.1:")


async def test_serve_tcp_port_in_use_raises_address_in_use() -> None:
    async with enkaku.serve_tcp(Serving()) as server:
        with pytest.raises(enkaku.AddressInUse):
            async with enkaku.serve_tcp(Serving(), port=tcp_port(server)):
                pass
        async with enkaku.connect_tcp("127.0.0.1", tcp_port(server)) as connection:
            await connection.request(VOID, None)


async def test_serve_tcp_port_can_be_reused_at_once() -> None:
    async with enkaku.serve_tcp(Serving()) as server:
        port = tcp_port(server)
        async with enkaku.connect_tcp("127.0.0.1", port) as connection:
            await connection.request(VOID, None)
            await server.stop()
    async with enkaku.serve_tcp(Serving(), port=port):
        async with enkaku.connect_tcp("127.0.0.1", port) as connection:
            await connection.request(VOID, None)


@pytest.mark.parametrize(
    ("host", "port"),
    [("192.0.2.1", 0), ("nobody.invalid", 0), ("x" * 300, 0), ("127.0.0.1", 99999), ("é" * 70, 1)],
)
async def test_serve_tcp_impossible_address_raises(host: str, port: int) -> None:
    with pytest.raises(enkaku.EnkakuError):
        async with enkaku.serve_tcp(Serving(), host, port):
            pass


@pytest.mark.parametrize(
    ("host", "port"),
    [("nobody.invalid", 1), ("127.0.0.1", 99999), ("é" * 70, 1), ("127.0.0.1", -1)],
)
async def test_connect_tcp_impossible_address_raises(host: str, port: int) -> None:
    with pytest.raises(enkaku.EnkakuError):
        async with enkaku.connect_tcp(host, port):
            pass


async def test_connect_refused_raises_connect_failed() -> None:
    port = unused_port()
    for _ in range(20):
        with pytest.raises(enkaku.ConnectFailed, match=f"tcp:127.0.0.1:{port}"):
            async with enkaku.connect_tcp("127.0.0.1", port):
                pass


async def test_tcp_reset_cancels_handler() -> None:
    life = Lifetime()
    async with enkaku.serve_tcp(Serving(ask=life.forever)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", tcp_port(server))
        writer.write(line(typ="request", rid="a", prc="ask", prm=1))
        await soon(life.began)
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
        )
        writer.transport.abort()
        await soon(life.cancelled)
        del reader


async def test_tcp_small_messages_are_not_delayed() -> None:
    """Without TCP_NODELAY each answer would wait for an acknowledgement, up to 40 ms."""

    async def echo_all(number: int, channel: Any) -> int:
        async for item in channel:
            await channel.send(item)
            await channel.send(item)
        return number

    async with enkaku.serve_tcp(Serving(talk=echo_all)) as server:
        async with enkaku.connect_tcp("127.0.0.1", tcp_port(server)) as connection:
            async with connection.channel(TALK, 1) as channel:
                loop = asyncio.get_running_loop()
                start = loop.time()
                for item in range(100):
                    await channel.send(item)
                    assert await anext(channel) == item
                    assert await anext(channel) == item
                assert loop.time() - start < 2
                async with asyncio.timeout(WITHIN):
                    assert await channel.close() == 1
