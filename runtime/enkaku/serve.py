"""``serve_unix``, ``serve_tcp``, ``serve_socket``: a server at a socket."""

import os
import socket
import ssl as tls
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, Unpack

from enkaku.server.handler import Handler
from enkaku.server.server import Server
from enkaku.transports.sockets.listen import BACKLOG, Listener, foreign_errors
from enkaku.transports.sockets.options import (
    KEEPALIVE,
    check_keepalive,
    describe_address,
    is_connected,
    join_address,
    require_stream,
)
from enkaku.transports.sockets.tls import server_tls
from enkaku.transports.sockets.unix_path import claim_path

from .options import ServerOptions

__all__ = ["serve_socket", "serve_tcp", "serve_unix"]

_TLS_HANDSHAKE: Final = 10.0  # seconds that a client may take


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
