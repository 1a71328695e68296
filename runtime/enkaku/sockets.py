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
from typing import Final, cast

from .client import Connection
from .errors import AddressInUse, ConnectFailed, ConnectionLost, TransportError, UsageError
from .handler import Handler
from .limits import Limits
from .server import Server
from .transport import Receiver
from .unix_path import claim_path

__all__ = ["connect_tcp", "connect_unix", "serve_tcp", "serve_unix"]

_BACKLOG: Final = (
    1024  # connections that may wait to be accepted; a small one fails connects in a burst
)
_TLS_SHUTDOWN: Final = 2.0  # seconds


class SocketTransport(asyncio.Protocol):
    """An asyncio transport, as the connection and the session see it.

    Args:
        on_connected: Called once with this object as soon as bytes can flow; it calls ``start``.
        peer: The other end, for messages to people; None for the address that it comes from.
    """

    def __init__(
        self, on_connected: "Callable[[SocketTransport], None]", peer: str | None = None
    ) -> None:
        self._on_connected = on_connected
        self._loop = asyncio.get_running_loop()
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._room: asyncio.Future[None] | None = None
        self._receiver: Receiver | None = None
        self._ending = False
        self._peer = peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio's protocol."""
        # asyncio gives stream protocols such a transport; its signature only says less.
        self._transport = cast(asyncio.Transport, transport)
        if self._peer is None:
            self._peer = f"tcp:{_join(*transport.get_extra_info('peername')[:2])}"
        self._on_connected(self)

    def data_received(self, data: bytes) -> None:
        """Part of asyncio's protocol."""
        if self._receiver is not None:
            self._receiver.data_received(data)

    def eof_received(self) -> None:
        """Part of asyncio's protocol, which closes the transport after this."""
        # Said at once, so that no handler is surprised by a transport that is closing.
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio's protocol."""
        self._lost.set_result(None)
        self.resume_writing()
        self._end(exc)

    def _end(self, error: Exception | None) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.connection_lost(error)

    def pause_writing(self) -> None:
        """Part of asyncio's protocol."""
        self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        """Part of asyncio's protocol."""
        if self._room is not None:
            self._room.set_result(None)
            self._room = None

    @property
    def peer(self) -> str:
        """The other end, for messages to people."""
        return self._peer or "nobody yet"

    @property
    def buffered(self) -> int:
        """How many written bytes the operating system has not taken yet."""
        return self._transport.get_write_buffer_size()

    def start(self, receiver: Receiver) -> None:
        """Begin to deliver."""
        self._receiver = receiver

    def write(self, data: bytes) -> None:
        """Send some bytes."""
        if not self._ending and not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until there is room for more.

        Raises:
            ConnectionLost: There never will be.
        """
        if self._room is not None:
            await asyncio.shield(self._room)
        if self._transport.is_closing():
            await asyncio.shield(self._lost)
            raise ConnectionLost(f"the connection to {self.peer} is gone")

    def pause_reading(self) -> None:
        """Deliver nothing until told to."""
        if not self._ending and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Deliver again."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    async def close(self, *, within: float) -> None:
        """Send what was written, then the end; wait for the peer's end."""
        try:
            async with asyncio.timeout(within):
                if not self._ending:
                    self._end_writing()
                await asyncio.shield(self._lost)
        except TimeoutError:
            self.abort()
            await asyncio.shield(self._lost)
        except asyncio.CancelledError:
            self.abort()
            raise

    def _end_writing(self) -> None:
        # A socket that is closed with unread bytes in it is reset, and what it wrote last is lost:
        # so read on until the peer has seen the end.
        self.resume_reading()
        self._ending = True
        if self._transport.is_closing():
            return  # asyncio's TLS transport cannot be closed twice
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def abort(self) -> None:
        """End at once."""
        self._ending = True
        self._transport.abort()


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
    async with _connect(make, f"tcp:{_join(host, port)}", connect_timeout, limits) as connection:
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
) -> AsyncGenerator[Server, None]:
    """Serve at a Unix socket; the server stops with the block, and the socket's file goes with it.

    A file that a dead server left is taken over; a live server's is not.

    Args:
        handler: Serves the calls of every connection.
        path: Where the socket's file shall be; its directory must exist.
        mode: The file's permissions; by default, only the same user can connect.
        limits: What is kept for each client at the most.
        close_timeout: How long a handler may go on after its call was closed, in seconds.

    Raises:
        AddressInUse: A live server answers at the path, or something that is not a socket lies there.
        TransportError: The socket cannot be made.
    """
    where = os.fspath(path)
    server = Server(handler, limits=limits, close_timeout=close_timeout)
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

    Raises:
        AddressInUse: Another program listens there.
        TransportError: The socket cannot be made.
    """
    server = Server(handler, limits=limits, close_timeout=close_timeout)
    loop = asyncio.get_running_loop()
    with _foreign_errors(f"tcp:{_join(host, port)}"):
        listener = await loop.create_server(
            lambda: SocketTransport(server.connected),
            host,
            port,
            ssl=ssl,
            backlog=_BACKLOG,
            ssl_shutdown_timeout=None if ssl is None else _TLS_SHUTDOWN,
        )
    addresses = tuple(f"tcp:{_join(*socket.getsockname()[:2])}" for socket in listener.sockets)
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


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
