"""Unix and TCP sockets: the ends of connections that cross a process.

Above it: the programs that connect and serve. Below it: connections, the server, dialing and listening.
"""

import os
import socket
import ssl as tls
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, Unpack

from .client import Connection
from .dialing import Dialer, dial_socket, dial_tcp, dial_unix
from .errors import UsageError
from .handler import Handler
from .listening import BACKLOG, Listener, foreign_errors
from .options import ConnectionOptions, ServerOptions, check_connection
from .reconnect import Redialer
from .server import Server
from .socket_options import (
    KEEPALIVE,
    check_keepalive,
    describe_address,
    is_connected,
    join_address,
    require_stream,
)
from .tls import server_tls
from .unix_path import claim_path

__all__ = [
    "connect_socket",
    "connect_tcp",
    "connect_unix",
    "serve_socket",
    "serve_tcp",
    "serve_unix",
]

_TLS_HANDSHAKE: Final = 10.0  # seconds that a client may take


@asynccontextmanager
async def connect_unix(
    path: str | os.PathLike[str],
    *,
    connect_timeout: float = 10.0,
    **options: Unpack[ConnectionOptions],
) -> AsyncGenerator[Connection, None]:
    """Connect to a server at a Unix socket; the connection ends with the block.

    Args:
        path: The socket's path.
        connect_timeout: How long connecting may take, in seconds: all attempts together at first, and each one of
            those that follow where the connection comes back (``reconnect``).
        options: See ``ConnectionOptions``.

    Raises:
        ConnectFailed: No server answers there within the time.
    """
    dial = dial_unix(os.fspath(path), timeout=connect_timeout)
    async with _connect(dial, options) as connection:
        yield connection


@asynccontextmanager
async def connect_tcp(
    host: str,
    port: int,
    *,
    ssl: tls.SSLContext | None = None,
    server_hostname: str | None = None,
    connect_timeout: float = 10.0,
    keepalive: float | None = KEEPALIVE,
    **options: Unpack[ConnectionOptions],
) -> AsyncGenerator[Connection, None]:
    """Connect to a server over TCP; the connection ends with the block.

    Args:
        host: A name, or an IPv4 or IPv6 address.
        port: The server's port.
        ssl: How to check the server, for TLS; None is plain TCP.
        server_hostname: The name that the server's certificate must have; ``host`` by default.
        connect_timeout: How long connecting may take, the TLS handshake included, in seconds: all attempts
            together at first, and each one of those that follow where the connection comes back (``reconnect``).
        keepalive: After how many seconds without an answer of the server's system the connection is lost, also
            while nothing is sent; 60 by default, None leaves it to this system, which takes hours. On Linux, a
            server that takes nothing of what was sent for so long counts as gone, too.
        options: See ``ConnectionOptions``.

    Raises:
        ConnectFailed: No server answers there within the time, or its certificate is refused.
        UsageError: It is no address, or ``keepalive`` no time from 2 to 32,767 seconds.
    """
    dial = dial_tcp(
        host,
        port,
        ssl=ssl,
        server_hostname=server_hostname,
        timeout=connect_timeout,
        keepalive=keepalive,
    )
    async with _connect(dial, options) as connection:
        yield connection


@asynccontextmanager
async def connect_socket(
    sock: socket.socket,
    *,
    ssl: tls.SSLContext | None = None,
    server_hostname: str | None = None,
    connect_timeout: float = 10.0,
    keepalive: float | None = KEEPALIVE,
    **options: Unpack[ConnectionOptions],
) -> AsyncGenerator[Connection, None]:
    """Connect over a socket that is connected already, such as one half of ``socket.socketpair()``.

    The socket belongs to the connection from then on, and is closed with it. Nobody can connect it again: there is
    no ``reconnect``.

    Args:
        sock: A Unix or TCP socket.
        ssl: How to check the server, for TLS; None is plain.
        server_hostname: The name that the server's certificate must have; needed for TLS.
        connect_timeout: How long the TLS handshake may take, in seconds.
        keepalive: As for ``connect_tcp``; it is nothing to a Unix socket.
        options: See ``ConnectionOptions``.

    Raises:
        ConnectFailed: The server's certificate is refused, or there is no answer within the time.
        UsageError: The socket is of another kind, or not connected, or ``reconnect`` is given; it is left as it is.
    """
    if options.get("reconnect") is not None:
        raise UsageError(
            "a socket is connected once: reconnect is for connect_unix and connect_tcp"
        )
    dial = dial_socket(
        sock,
        ssl=ssl,
        server_hostname=server_hostname,
        timeout=connect_timeout,
        keepalive=keepalive,
    )
    async with _connect(dial, options) as connection:
        yield connection


@asynccontextmanager
async def _connect(dial: Dialer, options: ConnectionOptions) -> AsyncGenerator[Connection, None]:
    check_connection(options)
    reconnect = options.get("reconnect")
    redialer = None if reconnect is None else Redialer(dial, reconnect, dial.where)
    transport = await (dial() if redialer is None else redialer.first(within=dial.timeout))
    try:
        connection = Connection(transport, redialer, **options)
    except BaseException:
        transport.abort()
        raise
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def serve_unix(
    handler: Handler,
    path: str | os.PathLike[str],
    *,
    mode: int = 0o600,
    **options: Unpack[ServerOptions],
) -> AsyncGenerator[Server, None]:
    """Serve at a Unix socket; the server stops with the block, and the socket's file goes with it.

    A file that a dead server left is taken over; a live server's is not.

    Args:
        handler: Serves the calls of every connection.
        path: Where the socket's file shall be; its directory must exist.
        mode: The file's permissions; by default, only the same user can connect.
        options: See ``ServerOptions``.

    Raises:
        AddressInUse: A live server answers at the path, or something that is not a socket lies there.
        TransportError: The socket cannot be made.
    """
    server = Server(handler, **options)
    where = os.fspath(path)
    listener = Listener(server.connected, peer=f"a client of unix:{where}")
    with foreign_errors(f"unix:{where}"):
        claim = claim_path(where, mode=mode, backlog=BACKLOG)
    try:
        await listener.listen(claim.socket)
        async with server.running(listener, (f"unix:{where}",)):
            yield server
    finally:
        claim.release()


@asynccontextmanager
async def serve_tcp(
    handler: Handler,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    ssl: tls.SSLContext | None = None,
    keepalive: float | None = KEEPALIVE,
    **options: Unpack[ServerOptions],
) -> AsyncGenerator[Server, None]:
    """Serve over TCP; the server stops with the block.

    Args:
        handler: Serves the calls of every connection.
        host: The address to listen at, IPv4 or IPv6, or a name; only this machine by default. Whoever can
            connect can call: listen elsewhere behind TLS and something that knows the callers.
        port: The port; 0 takes a free one, which ``server.addresses`` names.
        ssl: The certificate, for TLS; None is plain TCP.
        keepalive: After how many seconds without an answer of its system a client is dropped, also while nothing
            is sent; 60 by default, None leaves it to this system, which takes hours. On Linux, a client that
            takes nothing of what was sent for so long counts as gone, too.
        options: See ``ServerOptions``.

    Raises:
        AddressInUse: Another program listens there.
        TransportError: The socket cannot be made.
        UsageError: It is no address, or ``keepalive`` no time from 2 to 32,767 seconds.
    """
    server = Server(handler, **options)
    listener = _tcp_listener(server, ssl, keepalive)
    with foreign_errors(f"tcp:{join_address(host, port)}"):
        addresses = await listener.listen_tcp(host, port)
    async with server.running(listener, addresses):
        yield server


@asynccontextmanager
async def serve_socket(
    handler: Handler,
    sock: socket.socket,
    *,
    ssl: tls.SSLContext | None = None,
    keepalive: float | None = KEEPALIVE,
    **options: Unpack[ServerOptions],
) -> AsyncGenerator[Server, None]:
    """Serve at a socket that somebody else has opened; the server stops with the block.

    The socket belongs to the server from then on, and is closed when it stops. The file of a Unix socket stays
    where it is, and with the permissions that it has: it belongs to whoever made it.

    Args:
        handler: Serves the calls of every connection.
        sock: A Unix or TCP socket. One that listens or is bound takes any number of clients, such as those that
            ``systemd_sockets`` returns. One that is connected, such as one half of ``socket.socketpair()``, is
            the only client; the server goes on when that has gone.
        ssl: The certificate, for TLS; None is plain.
        keepalive: As for ``serve_tcp``; it is nothing to a Unix socket.
        options: See ``ServerOptions``.

    Raises:
        TransportError: It cannot listen.
        UsageError: The socket is of another kind, or not bound; it is left as it is.
    """
    server = Server(handler, **options)
    require_stream(sock)
    address = describe_address(sock.getsockname())
    peer = f"a client of {address}" if sock.family == socket.AF_UNIX else None
    listener = _tcp_listener(server, ssl, keepalive, peer=peer)
    with foreign_errors(address):
        if is_connected(sock):
            await listener.adopt(sock)
        else:
            await listener.listen(sock)
    async with server.running(listener, (address,)):
        yield server


def _tcp_listener(
    server: Server,
    ssl: tls.SSLContext | None,
    keepalive: float | None,
    *,
    peer: str | None = None,
) -> Listener:
    check_keepalive(keepalive)
    return Listener(
        server.connected,
        peer=peer,
        make_tls=None if ssl is None else server_tls(ssl),
        handshake=_TLS_HANDSHAKE,
        keepalive=keepalive,
    )
