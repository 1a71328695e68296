"""Serving at, and connecting over, sockets that somebody else has opened."""

import asyncio
import os
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

import enkaku
import pytest
from enkaku.connections import connect_socket
from enkaku.serve import serve_socket
from support import ECHO, VOID, WITHIN, Lifetime, Serving, line, soon, tcp_port, until


async def same(text: str) -> str:
    return text


def bound_unix(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    return sock


def listening_unix(path: Path) -> socket.socket:
    sock = bound_unix(path)
    sock.listen(1)
    return sock


@pytest.mark.parametrize("make", [bound_unix, listening_unix])
async def test_serve_socket_unix_keeps_socket_file(
    socket_path: Path, make: Callable[[Path], socket.socket]
) -> None:
    sock = make(socket_path)
    socket_path.chmod(0o640)
    before = socket_path.stat()
    async with serve_socket(Serving(echo=same), sock) as server:
        assert server.addresses == (f"unix:{socket_path}",)
        with pytest.raises(enkaku.UsageError):
            assert server.port
        async with enkaku.connect_unix(socket_path) as connection:
            assert await connection.request(ECHO, "x") == "x"
    after = socket_path.stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert sock.fileno() == -1


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("listens", [False, True])
async def test_serve_socket_tcp_serves(host: str, listens: bool) -> None:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.bind((host, 0))
    if listens:
        sock.listen()
    port = sock.getsockname()[1]
    async with serve_socket(Serving(echo=same), sock) as server:
        assert server.addresses == (f"tcp:[::1]:{port}" if ":" in host else f"tcp:{host}:{port}",)
        assert server.port == port
        async with enkaku.connect_tcp(host, port) as connection:
            assert await connection.request(ECHO, "x") == "x"
    assert sock.fileno() == -1


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux'")
async def test_serve_socket_abstract_name_is_written_with_at_sign() -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(f"\0enkaku-{os.getpid()}")
    async with serve_socket(Serving(), sock) as server:
        assert server.addresses == (f"unix:@enkaku-{os.getpid()}",)
        client = socket.socket(socket.AF_UNIX)
        client.connect(f"\0enkaku-{os.getpid()}")
        async with connect_socket(client) as connection:
            assert connection.peer == server.addresses[0]
            await connection.request(VOID, None)


async def test_serve_socket_serves_clients_already_connected(socket_path: Path) -> None:
    sock = listening_unix(socket_path)
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(socket_path))
    client.sendall(line(typ="request", rid="a", prc="echo", prm="early"))
    async with serve_socket(Serving(echo=same), sock):
        reader, writer = await asyncio.open_unix_connection(sock=client)
        async with asyncio.timeout(WITHIN):
            assert b"early" in await reader.readline()
        writer.close()
        await writer.wait_closed()


async def test_serve_socket_with_tls_checks_server_name(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    async with serve_socket(Serving(echo=same), sock, ssl=server_tls) as server:
        for name in ("localhost", "127.0.0.1"):
            client = socket.create_connection(("127.0.0.1", tcp_port(server)))
            async with connect_socket(client, ssl=client_tls, server_hostname=name) as connection:
                assert await connection.request(ECHO, "x") == "x"
        client = socket.create_connection(("127.0.0.1", tcp_port(server)))
        with pytest.raises(enkaku.ConnectFailed, match="certificate"):
            async with connect_socket(client, ssl=client_tls, server_hostname="example.org"):
                pass
        await until(lambda: client.fileno() == -1)


async def test_serve_socket_socketpair_serves_other_half() -> None:
    ours, theirs = socket.socketpair()
    life = Lifetime()
    async with serve_socket(Serving(echo=same, ask=life.forever), theirs) as server:
        assert server.addresses == ("unix:(no name)",)
        async with connect_socket(ours) as connection:
            assert await connection.request(ECHO, "x" * 1_000_000) == "x" * 1_000_000
        assert ours.fileno() == -1
        await until(lambda: theirs.fileno() == -1)


async def test_serve_socket_socketpair_stop_ends_client() -> None:
    ours, theirs = socket.socketpair()
    async with connect_socket(ours) as connection:
        async with serve_socket(Serving(), theirs):
            await connection.request(VOID, None)
        await until(lambda: not connection.is_open)


@pytest.mark.parametrize(
    "make",
    [
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
        lambda: socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET),
        lambda: ssl.create_default_context().wrap_socket(
            socket.socket(), server_hostname="x", do_handshake_on_connect=False
        ),
        lambda: socket.socket(socket.AF_INET),
        lambda: socket.socket(socket.AF_INET6),
        lambda: socket.socket(socket.AF_UNIX),
    ],
)
async def test_given_socket_of_wrong_type_raises_and_stays_open(
    make: Callable[[], socket.socket],
) -> None:
    with make() as sock:
        for use in (serve_socket(Serving(), sock), connect_socket(sock)):
            with pytest.raises(enkaku.UsageError):
                async with use:
                    pass
            assert sock.fileno() != -1


async def test_given_socket_closed_raises_usage_error() -> None:
    sock = socket.socket()
    sock.close()
    for use in (serve_socket(Serving(), sock), connect_socket(sock)):
        with pytest.raises(enkaku.UsageError, match="closed"):
            async with use:
                pass


async def test_connect_socket_tls_requires_server_hostname(client_tls: ssl.SSLContext) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with pytest.raises(enkaku.UsageError, match="server_hostname"):
            async with connect_socket(ours, ssl=client_tls):
                pass
        with pytest.raises(enkaku.UsageError, match="ssl"):
            async with connect_socket(ours, server_hostname="localhost"):
                pass
        assert ours.fileno() != -1


async def test_serve_socket_socketpair_works_in_child_process() -> None:
    """The child has one half as its descriptor, and ends with its parent's half."""
    program = (
        "import asyncio, socket, sys\n"
        "from enkaku.serve import serve_socket\n"
        "from support import Serving\n"
        "async def main():\n"
        "    async def echo(text): return text + '!'\n"
        "    sock = socket.socket(fileno=int(sys.argv[1]))\n"
        "    async with serve_socket(Serving(echo=echo), sock) as server:\n"
        "        await server.serve_forever()\n"
        "asyncio.run(main())\n"
    )
    ours, theirs = socket.socketpair()
    path = os.pathsep.join(sys.path)
    with theirs:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, str(theirs.fileno())),
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": path},
        )
    try:
        async with asyncio.timeout(WITHIN * 3):
            async with connect_socket(ours) as connection:
                assert await connection.request(ECHO, "child") == "child!"
            assert await child.wait() == 0
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def test_serve_socket_stop_ends_open_call(socket_path: Path) -> None:
    life = Lifetime()
    async with serve_socket(Serving(ask=life.forever), bound_unix(socket_path)) as server:
        reader, writer = await asyncio.open_unix_connection(socket_path)
        writer.write(line(typ="request", rid="a", prc="ask", prm=1))
        await soon(life.began)
        stopping = asyncio.create_task(server.stop(grace=0))
        async with asyncio.timeout(WITHIN):
            assert b"EKP01" in await reader.read()
        writer.close()
        await writer.wait_closed()
        await stopping


async def test_serve_forever_at_connected_socket_ends_with_client() -> None:
    ours, theirs = socket.socketpair()
    async with enkaku.serve_socket(Serving(), ours) as server:
        async with enkaku.connect_socket(theirs) as connection:
            await connection.request(VOID, None)
        async with asyncio.timeout(WITHIN):
            await server.serve_forever()


async def test_serve_forever_ends_when_only_handshake_fails() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    async with enkaku.serve_socket(Serving(), ours, ssl=context) as server:
        async with asyncio.timeout(WITHIN):
            await server.serve_forever()
