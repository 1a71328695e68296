"""Connecting to a server that does not respond: fails within the timeout, and leaks nothing."""

import asyncio
import socket
import ssl
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import enkaku
import pytest
from silence.timing import Stopwatch
from support import VOID, WITHIN, Serving, names_in, open_sockets, turns, until

TIME = 0.1


@contextmanager
def full_queue(listening: socket.socket) -> Generator[None, None, None]:
    """Fill the accept queue of a server that does not accept."""
    with ExitStack() as stack:
        for _ in range(3):  # a queue of length 0 has space for one or two
            client = stack.enter_context(socket.socket(listening.family))
            client.setblocking(False)
            client.connect_ex(listening.getsockname())
        yield


def unix_server(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(0)
    return listening


async def test_connect_unix_unaccepted_times_out(
    socket_path: Path,
) -> None:
    with unix_server(socket_path) as listening, full_queue(listening):
        before, watch = open_sockets(), Stopwatch()
        with pytest.raises(enkaku.ConnectFailed, match=r"no server answered within 0\.1 s"):
            async with enkaku.connect_unix(socket_path, connect_timeout=TIME):
                pytest.fail("connected without a server")
        watch.require(TIME)
        await until(lambda: open_sockets() == before)


async def test_connect_unix_accepted_in_time_succeeds(socket_path: Path) -> None:
    with unix_server(socket_path) as listening:
        with full_queue(listening):
            connecting = asyncio.create_task(_connect_and_ask(socket_path))
            await turns()
            assert not connecting.done()
        async with enkaku.serve_socket(Serving(), listening):
            async with asyncio.timeout(WITHIN):
                await connecting


async def _connect_and_ask(path: Path) -> None:
    async with enkaku.connect_unix(path) as connection:
        await connection.request(VOID, None)


@pytest.mark.parametrize("kind", ["unix", "tcp"])
async def test_connect_cancelled_leaves_nothing(socket_path: Path, kind: str) -> None:
    made = (
        unix_server(socket_path)
        if kind == "unix"
        else socket.create_server(("127.0.0.1", 0), backlog=0)
    )

    async def connect() -> None:
        over = (
            enkaku.connect_unix(socket_path)
            if kind == "unix"
            else enkaku.connect_tcp(*made.getsockname())
        )
        async with over:
            pytest.fail("connected without a server")

    with made as listening, full_queue(listening):
        before = open_sockets()
        connecting = asyncio.create_task(connect())
        await until(lambda: open_sockets() == before + 1)  # a thread resolves the host first
        connecting.cancel()
        await asyncio.wait([connecting], timeout=WITHIN)
        assert connecting.cancelled()
        await until(lambda: open_sockets() == before)
    assert names_in(socket_path.parent) == ["s"] * (kind == "unix")


async def test_connect_tcp_unaccepted_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening, full_queue(listening):
        before, watch = open_sockets(), Stopwatch()
        with pytest.raises(enkaku.ConnectFailed, match=r"no server answered within 0\.1 s"):
            async with enkaku.connect_tcp(*listening.getsockname(), connect_timeout=TIME):
                pytest.fail("connected without a server")
        watch.require(TIME)
        await until(lambda: open_sockets() == before)


async def test_connect_tls_without_handshake_times_out(
    client_tls: ssl.SSLContext,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        before, watch = open_sockets(), Stopwatch()
        with pytest.raises(enkaku.ConnectFailed, match=r"no server answered within 0\.1 s"):
            async with enkaku.connect_tcp(
                *listening.getsockname(), ssl=client_tls, connect_timeout=TIME
            ):
                pytest.fail("connected without a server")
        watch.require(TIME)
        await until(lambda: open_sockets() == before)
