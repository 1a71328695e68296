"""Servers: ``serve_unix``, ``serve_tcp``, ``serve_socket``, ``serve_http`` and ``serve_stdio``.

Each is an async context manager: the server accepts connections inside the block, and stops when the block ends. Large types
are built before, so that their first use does not block the event loop.
"""

import os
import socket
import ssl as tls
from collections.abc import AsyncGenerator, Collection, Sequence
from typing import Final, Literal, Unpack

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
from enkaku.transports.sockets.tls import server_context, server_tls
from enkaku.transports.sockets.unix_path import bind_path
from enkaku.transports.stdio.descriptors import Stdio
from enkaku.transports.stdio.pipes import Pipes
from enkaku.transports.stdio.transport import StdioTransport

from ._checks import async_block
from .asgi_app import PROOF_HEADERS, AsgiApp
from .both_ways import make_server
from .errors import MissingExtra
from .limits import Limits
from .options import ServerOptions, check_server
from .preparation import prepare_large

__all__ = ["serve_http", "serve_socket", "serve_stdio", "serve_tcp", "serve_unix"]

_TCP: Final = ("keepalive", "ssl")
_TLS_HANDSHAKE: Final = 10.0  # seconds, the timeout of a client's handshake
_STDIO: Final = "stdio"


@async_block
async def serve_unix(
    handler: Handler,
    path: str | os.PathLike[str],
    *,
    mode: int = 0o600,
    **options: Unpack[ServerOptions],
) -> AsyncGenerator[Server, None]:
    """Serve at a Unix socket; leaving the ``async with`` block stops the server and removes the socket's file.

    The file of a dead server is replaced; that of a live server is not.

    Args:
        handler: Serves the calls of every connection.
        path: The path of the socket's file; its directory must exist.
        mode: The file's permissions; by default, only the same user can connect.
        options: See ``ServerOptions``.

    Raises:
        AddressInUse: A live server answers at the path, or the path is another kind of file.
        TransportError: The socket cannot be created.
    """
    check_server(options, ("mode",))
    server = make_server(handler, options)
    await prepare_large(handler)
    where = os.fspath(path)
    listener = Listener(server.connected, peer=f"a client of unix:{where}", log=server.log)
    with foreign_errors(f"unix:{where}"):
        bound = bind_path(where, mode=mode, backlog=BACKLOG)
    try:
        await listener.listen(bound.socket)
        async with server.running(listener, (f"unix:{where}",)):
            yield server
    finally:
        bound.release()


@async_block
async def serve_tcp(
    handler: Handler,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    ssl: tls.SSLContext | None = None,
    keepalive: float | None = KEEPALIVE,
    **options: Unpack[ServerOptions],
) -> AsyncGenerator[Server, None]:
    """Serve over TCP; leaving the ``async with`` block stops the server.

    Args:
        handler: Serves the calls of every connection.
        host: The address to listen at, IPv4 or IPv6, or a name; only this machine by default. Every client that can
            connect can call: at other addresses, use TLS and authenticate the clients.
        port: The port; 0 chooses a free one, which ``server.addresses`` has.
        ssl: The certificate, for TLS; None for plain TCP.
        keepalive: TCP keepalive: after how many seconds without a response of its operating system a client is lost, even
            while nothing is sent. 60 by default; None leaves it to this operating system, which takes hours. On Linux, a
            client that does not read what was sent for so long is lost, too.
        options: See ``ServerOptions``.

    Raises:
        AddressInUse: Another program listens at the address.
        TransportError: The socket cannot be created.
        UsageError: The address is not valid, or ``keepalive`` is not from 2 to 32,767 seconds.
    """
    check_server(options, _TCP)
    server = make_server(handler, options)
    await prepare_large(handler)
    listener = _tcp_listener(server, ssl, keepalive)
    with foreign_errors(f"tcp:{join_address(host, port)}"):
        addresses = await listener.listen_tcp(host, port)
    async with server.running(listener, addresses):
        yield server


@async_block
async def serve_socket(
    handler: Handler,
    sock: socket.socket,
    *,
    ssl: tls.SSLContext | None = None,
    keepalive: float | None = KEEPALIVE,
    **options: Unpack[ServerOptions],
) -> AsyncGenerator[Server, None]:
    """Serve at a socket that is already open; leaving the ``async with`` block stops the server.

    The server owns the socket, and closes it when it stops. The file of a Unix socket and its permissions are not
    changed: they belong to the program that created it.

    Args:
        handler: Serves the calls of every connection.
        sock: A Unix or TCP socket. A bound or listening one accepts any number of clients, such as those that
            ``systemd_sockets`` returns. A connected one, such as one half of ``socket.socketpair()``, is the only
            client: ``serve_forever`` returns when it has disconnected.
        ssl: The certificate, for TLS; None for no TLS.
        keepalive: As for ``serve_tcp``; no effect on a Unix socket.
        options: See ``ServerOptions``.

    Raises:
        TransportError: The socket cannot listen.
        UsageError: The socket is of another kind, or not bound. It stays open.
    """
    check_server(options, _TCP)
    server = make_server(handler, options)
    require_stream(sock)
    address = describe_address(sock.getsockname())
    await prepare_large(handler)
    peer = f"a client of {address}" if sock.family == socket.AF_UNIX else None
    listener = _tcp_listener(server, ssl, keepalive, peer=peer)
    with foreign_errors(address):
        if is_connected(sock):
            await listener.adopt(sock, server.connected_alone, server.not_connected)
        else:
            await listener.listen(sock)
    async with server.running(listener, (address,)):
        yield server


@async_block
async def serve_http(  # noqa: PLR0913 # the parameters of HTTP, by name
    handler: Handler,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    origins: Sequence[str] | Literal["*", "same"] | None = (),
    hosts: Sequence[str] | None = None,
    script: bool = False,
    proof_headers: Collection[str] = PROOF_HEADERS,
    ssl: tls.SSLContext | tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None,
    **options: Unpack[ServerOptions],
) -> AsyncGenerator[Server, None]:
    """Serve over HTTP and WebSocket, at every path; leaving the ``async with`` block stops the server.

    It is the app of ``asgi`` in an HTTP server of its own, which answers every call before its connection ends. While it
    stops, it still accepts connections, which open calls may need, and answers new ones with status 503.

    Args:
        handler: Serves the calls of every connection.
        host: The address to listen at, as for ``serve_tcp``; only this machine by default.
        port: The port; 0 chooses a free one, which ``server.port`` has.
        origins: The origins of web pages that may connect, as for ``asgi``; none by default.
        hosts: The host names by which clients may reach the server, as for ``asgi``; any by default.
        script: Whether a GET of ``/enkaku.js``, ``/login.js`` or ``/callbacks.js`` returns that module, as for ``asgi``.
        proof_headers: The headers of a request that may prove who calls, as for ``asgi``; ``"authorization"`` by default.
        ssl: The certificate, for HTTPS: a context, or the files of the certificate and of its key; None for HTTP.
        options: See ``ServerOptions``.

    Raises:
        AddressInUse: Another program listens at the address.
        MissingExtra: uvicorn or a part of it is not installed; ``pip install 'enkaku[serve]'`` installs it.
        TransportError: The socket cannot be created.
        UsageError: The address, an origin, a host name, the certificate or an option is not valid.
    """
    try:
        from enkaku.transports.http.uvicorn_server import UvicornServer  # noqa: PLC0415 # optional
    except ModuleNotFoundError as error:
        raise MissingExtra("serve_http needs uvicorn: pip install 'enkaku[serve]'") from error
    check_server(options, ("hosts", "origins", "proof_headers", "script", "ssl"))
    context = None if ssl is None else server_context(ssl)
    app = AsgiApp(
        handler,
        origins=origins,
        hosts=hosts,
        script=script,
        proof_headers=proof_headers,
        **options,
    )
    server = await app.start()
    limits = options.get("limits") or Limits()
    # A client has its feed and its requests on connections of their own.
    web = UvicornServer(
        app, tls=context, message_size=limits.message_size, connections=2 * limits.connections
    )
    try:
        listener = Listener(server.connected, log=server.log)
        scheme = "http" if context is None else "https"
        with foreign_errors(f"{scheme}://{join_address(host, port)}"):
            found = await listener.listen_tcp(host, port, open_with=web.open)
        addresses = tuple(f"{scheme}://{each.removeprefix('tcp:')}" for each in found)
        async with server.running(listener, addresses, until_answered=True):
            yield server
    finally:
        await web.close(within=0 if server.aborted else limits.cleanup)


@async_block
async def serve_stdio(
    handler: Handler, **options: Unpack[ServerOptions]
) -> AsyncGenerator[Server, None]:
    """Serve over this process's stdin and stdout; leaving the ``async with`` block stops the server.

    The program that started this one is the only client, such as ``connect_process``, an editor, or a shell. At the end of
    stdin, ``serve_forever`` lets the running handlers finish, and returns when every reply is written.

    Inside the block, file descriptor 0 is ``/dev/null``, and 1 is stderr: what handlers print does not get between the
    messages. Both are restored when the block ends.

    Args:
        handler: Serves the calls.
        options: See ``ServerOptions``.

    Raises:
        TransportError: Stdin or stdout is closed.
        UsageError: This process serves its stdin and stdout already.
    """
    server = make_server(handler, options)
    await prepare_large(handler)
    with foreign_errors(_STDIO):
        stdio = Stdio()
    transport = StdioTransport(_STDIO, server.input_ended)
    try:
        Pipes(transport, stdio.reading, stdio.writing, owned=False)
        server.connected_alone(transport)
        async with server.running(None, (_STDIO,)):
            yield server
    finally:
        transport.abort()
        stdio.release()


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
        log=server.log,
    )
