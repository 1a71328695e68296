"""``connect_unix``, ``connect_tcp``, ``connect_socket``: a client's connection over a socket."""

import os
import socket
import ssl as tls
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Unpack

from enkaku.client.connection import Connection
from enkaku.client.reconnect import Connector
from enkaku.transports.sockets.dial import Dialer, dial_socket, dial_tcp, dial_unix
from enkaku.transports.sockets.options import (
    KEEPALIVE,
)

from .errors import UsageError
from .options import ConnectionOptions, check_connection

__all__ = ["connect_socket", "connect_tcp", "connect_unix"]


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
    connector = None if reconnect is None else Connector(dial, reconnect, dial.where)
    transport = await (dial() if connector is None else connector.connect(within=dial.timeout))
    try:
        connection = Connection(transport, connector, **options)
    except BaseException:
        transport.abort()
        raise
    try:
        yield connection
    finally:
        await connection.close()
