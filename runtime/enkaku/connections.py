"""Client connections: ``connect_unix``, ``connect_tcp``, ``connect_socket``, ``connect_ws``, ``connect_http``, ``connect_process``.

Each is an async context manager. With ``reconnect``, a connection that is lost inside the block is opened again.
"""

import os
import socket
import ssl as tls
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, Literal, Protocol, Unpack

from enkaku.client.connection import Connection, ConnectionOptions
from enkaku.client.reconnect import Connector
from enkaku.transports.base import Transport
from enkaku.transports.sockets.dial import dial_socket, dial_tcp, dial_unix
from enkaku.transports.sockets.options import KEEPALIVE
from enkaku.transports.stdio.dial import ProcessDialer
from enkaku.transports.stdio.process import Command, Stderr

from ._checks import (
    async_block,
    require_headers,
    require_instances,
    require_seconds,
    require_strings,
    require_text,
)
from .both_ways import serve_peer
from .errors import MissingExtra, UsageError
from .limits import Limits
from .options import check_connection

__all__ = [
    "connect_http",
    "connect_process",
    "connect_socket",
    "connect_tcp",
    "connect_unix",
    "connect_ws",
]


class _Dialer(Protocol):
    """Connects to one address at each call."""

    @property
    def where(self) -> str: ...

    @property
    def timeout(self) -> float | None: ...

    async def __call__(self) -> Transport: ...


_TCP: Final = ("connect_timeout", "keepalive", "server_hostname", "ssl")


@async_block
async def connect_unix(
    path: str | os.PathLike[str],
    *,
    connect_timeout: float = 10.0,
    **options: Unpack[ConnectionOptions],
) -> AsyncGenerator[Connection, None]:
    """Connect to a server at a Unix socket; leaving the ``async with`` block closes the connection.

    Args:
        path: The socket's path.
        connect_timeout: Time limit of connecting, in seconds: of all attempts together before the block begins, and of
            each attempt to reconnect later (``reconnect``).
        options: See ``ConnectionOptions``.

    Raises:
        ConnectFailed: No server answers at the path within the timeout.
    """
    dial = dial_unix(os.fspath(path), timeout=connect_timeout)
    async with _connect(dial, options, ("connect_timeout",)) as connection:
        yield connection


@async_block
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
    """Connect to a server over TCP; leaving the ``async with`` block closes the connection.

    Args:
        host: A name, or an IPv4 or IPv6 address.
        port: The server's port.
        ssl: How to verify the server, for TLS; None for plain TCP.
        server_hostname: The name that the server's certificate must have; ``host`` by default.
        connect_timeout: Time limit of connecting, in seconds, TLS handshake included: of all attempts together before the
            block begins, and of each attempt to reconnect later (``reconnect``).
        keepalive: TCP keepalive: after how many seconds without a response of the server's operating system the connection
            is lost, even while nothing is sent. 60 by default; None leaves it to this operating system, which takes hours.
            On Linux, a server that does not read what was sent for so long is lost, too.
        options: See ``ConnectionOptions``.

    Raises:
        ConnectFailed: No server answers at the address within the timeout, or its certificate is rejected.
        UsageError: The address is not valid, or ``keepalive`` is not from 2 to 32,767 seconds.
    """
    dial = dial_tcp(
        host,
        port,
        ssl=ssl,
        server_hostname=server_hostname,
        timeout=connect_timeout,
        keepalive=keepalive,
    )
    async with _connect(dial, options, _TCP) as connection:
        yield connection


@async_block
async def connect_socket(
    sock: socket.socket,
    *,
    ssl: tls.SSLContext | None = None,
    server_hostname: str | None = None,
    connect_timeout: float = 10.0,
    keepalive: float | None = KEEPALIVE,
    **options: Unpack[ConnectionOptions],
) -> AsyncGenerator[Connection, None]:
    """Connect over a socket that is already connected, such as one half of ``socket.socketpair()``.

    The connection owns the socket and closes it. There is no ``reconnect``: the socket cannot be connected again.

    Args:
        sock: A Unix or TCP socket.
        ssl: How to verify the server, for TLS; None for no TLS.
        server_hostname: The name that the server's certificate must have; required for TLS.
        connect_timeout: Time limit of the TLS handshake, in seconds.
        keepalive: As for ``connect_tcp``; no effect on a Unix socket.
        options: See ``ConnectionOptions``.

    Raises:
        ConnectFailed: The server's certificate is rejected, or the server does not answer within the timeout.
        UsageError: The socket is of another kind or not connected, or ``reconnect`` is given. The socket stays open.
    """
    if options.get("reconnect") is not None:
        raise UsageError(
            "connect_socket: reconnect must be None, since the socket cannot be connected again: use connect_unix "
            "or connect_tcp"
        )
    dial = dial_socket(
        sock,
        ssl=ssl,
        server_hostname=server_hostname,
        timeout=connect_timeout,
        keepalive=keepalive,
    )
    async with _connect(dial, options, _TCP) as connection:
        yield connection


@async_block
async def connect_ws(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    origin: str | None = None,
    ssl: tls.SSLContext | None = None,
    proxy: str | Literal[True] | None = None,
    connect_timeout: float = 10.0,
    **options: Unpack[ConnectionOptions],
) -> AsyncGenerator[Connection, None]:
    """Connect to a server over WebSocket; leaving the ``async with`` block closes the connection.

    The server is ``enkaku.asgi`` in any ASGI server. The subprotocol is ``enkaku.v1``, with one message a text frame.

    Args:
        url: The URL, such as ``"wss://example.com/rpc"``.
        headers: Further headers of the handshake, such as ``Authorization`` and ``Cookie``.
        origin: The header ``Origin``, as a browser sends it; none by default.
        ssl: How to verify the server, for ``wss:``; by default, as browsers do.
        proxy: The URL of an HTTP or SOCKS proxy; True takes that of the environment (``HTTPS_PROXY``). None by default.
        connect_timeout: Time limit of connecting, in seconds, handshakes included: of all attempts together before the
            block begins, and of each attempt to reconnect later (``reconnect``).
        options: See ``ConnectionOptions``.

    Raises:
        ConnectFailed: No server answers at the address within the timeout, or it rejects the connection.
        MissingExtra: The library websockets is not installed; ``pip install 'enkaku[ws]'`` installs it.
        UsageError: The URL, a header or another argument is not valid.
    """
    try:
        from enkaku.transports.websocket.dial import WebSocketDialer  # noqa: PLC0415 # optional
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "connect_ws needs the library websockets: pip install 'enkaku[ws]'"
        ) from error
    _check_web(url, headers, origin, ssl, proxy)
    limits = options.get("limits") or Limits()
    dial = WebSocketDialer(
        url,
        connect_timeout,
        limits.message_size,
        headers={} if headers is None else headers,
        origin=origin,
        ssl=ssl,
        proxy=proxy,
    )
    own = ("connect_timeout", "headers", "origin", "proxy", "ssl")
    async with _connect(dial, options, own) as connection:
        yield connection


@async_block
async def connect_http(  # noqa: PLR0913 # the parameters of HTTP, by name
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    cookies: Mapping[str, str] | None = None,
    origin: str | None = None,
    ssl: tls.SSLContext | None = None,
    proxy: str | Literal[True] | None = None,
    max_connections: int = 1000,
    connect_timeout: float = 10.0,
    **options: Unpack[ConnectionOptions],
) -> AsyncGenerator[Connection, None]:
    """Connect to a server over HTTP; leaving the ``async with`` block ends every call and closes the connections.

    The server is ``enkaku.asgi`` in any ASGI server, or the TypeScript implementation since 0.14.1. A message is the body of a
    POST; items come as server-sent events. The block begins when a GET has shown that there is a server. What fails later
    ends only the calls that need it, and the next call tries again: the connection stays open until the block is left. With
    ``reconnect``, a server that is unreachable or stopping ends it, and it is opened again as any other.

    Args:
        url: The URL, such as ``"https://example.com/rpc"``.
        headers: Further headers of each request, such as ``Authorization``.
        cookies: Cookies, until the server sets others.
        origin: The header ``Origin``, as a browser sends it; none by default.
        ssl: How to verify the server, for ``https:``; by default, as browsers do.
        proxy: The URL of an HTTP proxy; True takes that of the environment (``HTTPS_PROXY``). None by default.
        max_connections: How many requests, events and openings of streams may be on their way at the same time; others
            wait. 1,000 by default.
        connect_timeout: Time limit of connecting, in seconds, handshakes included: of all attempts together before the
            block begins, and of each connection that is opened later.
        options: See ``ConnectionOptions``.

    Raises:
        ConnectFailed: No server answers at the address within the timeout, or what answers is no Enkaku server.
        MissingExtra: The library aiohttp is not installed; ``pip install 'enkaku[http]'`` installs it.
        UsageError: The URL, a header or another argument is not valid.
    """
    try:
        from enkaku.transports.http.dial import HttpDialer  # noqa: PLC0415 # optional
        from enkaku.transports.http.pool import PoolOptions  # noqa: PLC0415 # optional
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "connect_http needs the library aiohttp: pip install 'enkaku[http]'"
        ) from error
    _check_web(url, headers, origin, ssl, proxy)
    require_strings("cookies", {} if cookies is None else cookies)
    dial = HttpDialer(
        PoolOptions(
            url,
            headers=dict(headers or {}) | ({} if origin is None else {"origin": origin}),
            cookies=cookies or {},
            ssl=ssl,
            proxy=proxy,
            connect_timeout=connect_timeout,
        ),
        max_connections,
        replaceable=options.get("reconnect") is not None,
    )
    own = ("connect_timeout", "cookies", "headers", "max_connections", "origin", "proxy", "ssl")
    async with _connect(dial, options, own) as connection:
        yield connection


@async_block
async def connect_process(
    argv: Sequence[str | os.PathLike[str]],
    *,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    stderr: Stderr = None,
    exit_timeout: float = 2.0,
    terminate_timeout: float = 2.0,
    **options: Unpack[ConnectionOptions],
) -> AsyncGenerator[Connection, None]:
    """Start a program that serves over its stdin and stdout; leaving the ``async with`` block ends it.

    At the end, the process's stdin is closed, which asks it to finish. If it does not exit in time, it gets SIGTERM, then
    SIGKILL. The process is the leader of a new session. The signals go to its process group, and what is left of the group
    when the process has exited is killed.

    Args:
        argv: The program, and its arguments; no shell is used.
        cwd: The working directory of the process; None, the default, for that of this process.
        env: Its environment; None, the default, for that of this process.
        stderr: Where it writes its stderr: a file, a descriptor or ``subprocess.DEVNULL``; None, the default, for the
            stderr of this process.
        exit_timeout: How long the process may take to exit after its stdin was closed, in seconds; then SIGTERM.
        terminate_timeout: How long it may take to exit after SIGTERM, in seconds; then SIGKILL.
        options: See ``ConnectionOptions``. With ``reconnect``, a process that exits inside the block is started again; if
            the program cannot be started the first time, that is not tried again.

    Raises:
        ConnectFailed: The program cannot be started.
        UsageError: An argument is not valid.
    """
    require_seconds("exit_timeout", exit_timeout)
    dial = ProcessDialer(Command(argv, cwd, env, stderr), terminate_timeout)
    own = ("cwd", "env", "exit_timeout", "stderr", "terminate_timeout")
    async with _connect(dial, options, own, close_timeout=exit_timeout) as connection:
        yield connection


@asynccontextmanager
async def _connect(
    dial: _Dialer,
    options: ConnectionOptions,
    own: Collection[str],
    *,
    close_timeout: float = 2.0,
) -> AsyncGenerator[Connection, None]:
    check_connection(options, own)
    served = await serve_peer(options)
    reconnect = options.get("reconnect")
    connector = None if reconnect is None else Connector(dial, reconnect, dial.where)
    if connector is None or dial.timeout is None:
        transport: Transport = await dial()
    else:
        transport = await connector.connect(within=dial.timeout)
    try:
        connection = Connection(transport, connector, served, **options)
    except BaseException:
        transport.abort()
        raise
    try:
        await connection.entered()
        yield connection
    finally:
        await connection.close(within=close_timeout)


def _check_web(url: object, headers: object, origin: object, ssl: object, proxy: object) -> None:
    """Check the arguments of HTTP and WebSocket."""
    require_text("url", url)
    require_headers({} if headers is None else headers)
    require_headers({} if origin is None else {"origin": origin})
    require_instances("ssl", [] if ssl is None else [ssl], tls.SSLContext)
    if proxy is not None and proxy is not True:
        require_text("proxy", proxy)
