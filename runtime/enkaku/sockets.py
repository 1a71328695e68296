"""Unix and TCP sockets: the ends of connections that cross a process.

Above it: the programs that connect and serve. Below it: connections, the server, and asyncio's transports.
Foreign errors (OSError, TimeoutError, SSLError) become ours here.
"""

import asyncio
import errno
import os
import ssl as tls
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Final

from .client import Connection
from .errors import AddressInUse, ConnectFailed, TransportError, UsageError
from .handler import Handler
from .limits import Limits
from .server import Server
from .socket_transport import SocketTransport, join_address
from .unix_path import claim_path

__all__ = ["connect_tcp", "connect_unix", "serve_tcp", "serve_unix"]

_BACKLOG: Final = (
    1024  # connections that may wait to be accepted; a small one fails connects in a burst
)
_TLS_HANDSHAKE: Final = 10.0  # seconds that a client may take, instead of asyncio's 60
_TLS_SHUTDOWN: Final = 2.0  # seconds


@asynccontextmanager
async def connect_unix(
    path: str | os.PathLike[str], *, connect_timeout: float = 10.0, limits: Limits | None = None
) -> AsyncGenerator[Connection, None]:
    """Connect to a server at a Unix socket; the connection ends with the block.

    Args:
        path: The socket's path.
        connect_timeout: How long connecting may take, in seconds.
        limits: What is kept for the server at the most.

    Raises:
        ConnectFailed: No server answers there within the time.
    """
    loop = asyncio.get_running_loop()
    where = os.fspath(path)
    make = partial(loop.create_unix_connection, path=where)
    async with _connect(make, f"unix:{where}", connect_timeout, limits) as connection:
        yield connection


@asynccontextmanager
async def connect_tcp(
    host: str,
    port: int,
    *,
    ssl: tls.SSLContext | None = None,
    server_hostname: str | None = None,
    connect_timeout: float = 10.0,
    limits: Limits | None = None,
) -> AsyncGenerator[Connection, None]:
    """Connect to a server over TCP; the connection ends with the block.

    Args:
        host: A name, or an IPv4 or IPv6 address.
        port: The server's port.
        ssl: How to check the server, for TLS; None is plain TCP.
        server_hostname: The name that the server's certificate must have; ``host`` by default.
        connect_timeout: How long connecting may take, the TLS handshake included, in seconds.
        limits: What is kept for the server at the most.

    Raises:
        ConnectFailed: No server answers there within the time, or its certificate is refused.
    """
    loop = asyncio.get_running_loop()
    make = partial(
        loop.create_connection,
        host=host,
        port=port,
        ssl=ssl,
        server_hostname=server_hostname,
        ssl_shutdown_timeout=None if ssl is None else _TLS_SHUTDOWN,
    )
    async with _connect(
        make, f"tcp:{join_address(host, port)}", connect_timeout, limits
    ) as connection:
        yield connection


_Make = Callable[
    [Callable[[], SocketTransport]], Awaitable[tuple[asyncio.BaseTransport, SocketTransport]]
]


@asynccontextmanager
async def _connect(
    make: _Make, where: str, connect_timeout: float, limits: Limits | None
) -> AsyncGenerator[Connection, None]:
    made: list[Connection] = []

    def on_connected(transport: SocketTransport) -> None:
        made.append(Connection(transport, limits=limits))

    try:
        async with asyncio.timeout(connect_timeout):
            await make(lambda: SocketTransport(on_connected, where))
    except TimeoutError:
        raise ConnectFailed(f"{where}: nobody answered within {connect_timeout:g} s") from None
    except (OSError, tls.SSLError) as error:
        raise ConnectFailed(f"{where}: {error}{_hint(error)}") from error
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{where} is no address: {error}") from error
    connection = made[0]
    try:
        yield connection
    finally:
        await connection.close()


def _hint(error: OSError) -> str:
    match error:
        case FileNotFoundError() | ConnectionRefusedError():
            return "; is the server running?"
        case PermissionError():
            return "; the socket belongs to somebody else"
        case _:
            return ""


@asynccontextmanager
async def serve_unix(
    handler: Handler,
    path: str | os.PathLike[str],
    *,
    mode: int = 0o600,
    limits: Limits | None = None,
    close_timeout: float = 30.0,
    explain_refusals: bool = False,
) -> AsyncGenerator[Server, None]:
    """Serve at a Unix socket; the server stops with the block, and the socket's file goes with it.

    A file that a dead server left is taken over; a live server's is not.

    Args:
        handler: Serves the calls of every connection.
        path: Where the socket's file shall be; its directory must exist.
        mode: The file's permissions; by default, only the same user can connect.
        limits: What is kept for each client at the most.
        close_timeout: How long a handler may go on after its call was closed, in seconds.
        explain_refusals: Whether a client is told why a value of its own was refused; by default it learns that
            it was, and the reason is logged.

    Raises:
        AddressInUse: A live server answers at the path, or something that is not a socket lies there.
        TransportError: The socket cannot be made.
    """
    where = os.fspath(path)
    server = Server(
        handler,
        limits=limits,
        close_timeout=close_timeout,
        explain_refusals=explain_refusals,
    )
    with _foreign_errors(f"unix:{where}"):
        claim = claim_path(where, mode=mode, backlog=_BACKLOG)
    try:
        loop = asyncio.get_running_loop()
        listener = await loop.create_unix_server(
            lambda: SocketTransport(server.connected, f"a client of unix:{where}"),
            sock=claim.socket,
            backlog=_BACKLOG,
        )
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
    limits: Limits | None = None,
    close_timeout: float = 30.0,
    explain_refusals: bool = False,
) -> AsyncGenerator[Server, None]:
    """Serve over TCP; the server stops with the block.

    Args:
        handler: Serves the calls of every connection.
        host: The address to listen at, IPv4 or IPv6, or a name; only this machine by default. Whoever can
            connect can call: listen elsewhere behind TLS and something that knows the callers.
        port: The port; 0 takes a free one, which ``server.addresses`` names.
        ssl: The certificate, for TLS; None is plain TCP.
        limits: What is kept for each client at the most.
        close_timeout: How long a handler may go on after its call was closed, in seconds.
        explain_refusals: Whether a client is told why a value of its own was refused; by default it learns that
            it was, and the reason is logged.

    Raises:
        AddressInUse: Another program listens there.
        TransportError: The socket cannot be made.
    """
    server = Server(
        handler,
        limits=limits,
        close_timeout=close_timeout,
        explain_refusals=explain_refusals,
    )
    loop = asyncio.get_running_loop()
    with _foreign_errors(f"tcp:{join_address(host, port)}"):
        listener = await loop.create_server(
            lambda: SocketTransport(server.connected),
            host,
            port,
            ssl=ssl,
            backlog=_BACKLOG,
            ssl_handshake_timeout=None if ssl is None else _TLS_HANDSHAKE,
            ssl_shutdown_timeout=None if ssl is None else _TLS_SHUTDOWN,
        )
    addresses = tuple(
        f"tcp:{join_address(*socket.getsockname()[:2])}" for socket in listener.sockets
    )
    async with server.running(listener, addresses):
        yield server


@contextmanager
def _foreign_errors(where: str) -> Generator[None, None, None]:
    try:
        yield
    except OSError as error:
        kind = AddressInUse if error.errno == errno.EADDRINUSE else TransportError
        raise kind(f"{where}: {error}") from error
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{where} is no address: {error}") from error
