"""Socket connector: opens a client's transport, again for each reconnect.

A ``Dialer`` has an address and one way to connect to it. It adds what all ways share: one timeout for connecting and the TLS
handshake, and errors that name the address. The three functions make one for a Unix socket, for TCP, and for a socket that the
program has connected itself.
"""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from ssl import SSLContext
from typing import Final, TypeAlias

from aiohappyeyeballs import (
    start_connection,  # pyright: ignore[reportUnknownVariableType] # addresses are bare tuples
)

from enkaku._checks import require_seconds
from enkaku.errors import ConnectFailed, UsageError
from enkaku.transports.lines import Framing, Lines

from .options import check_keepalive, describe_address, join_address, require_stream
from .tls import MakeTls, client_tls
from .transport import SocketTransport

__all__ = ["Dialer", "dial_socket", "dial_tcp", "dial_unix"]

_Make: TypeAlias = Callable[[Callable[[], SocketTransport]], Awaitable[object]]

_FIRST_PAUSE: Final = 0.005  # seconds between attempts while the server's accept queue is full
_LONGEST_PAUSE: Final = 0.1
_HEAD_START: Final = 0.25  # seconds, as RFC 8305 recommends


@dataclass(frozen=True, slots=True)
class Dialer:
    """Connects to one address at each call; a ``Dial``.

    Attributes:
        where: The address, for error messages.
        make: Makes an asyncio transport for a protocol.
        timeout: The time limit of a connect, in seconds, TLS handshake included.
        make_tls: Makes the client's side of TLS; None for no TLS.
        keepalive: TCP keepalive: after how many seconds without a response the connection is lost.
        framing: How bytes are split into messages.
    """

    where: str
    make: _Make
    timeout: float
    make_tls: MakeTls | None = None
    keepalive: float | None = None
    framing: type[Framing] = Lines

    def __post_init__(self) -> None:
        require_seconds("connect_timeout", self.timeout)

    async def __call__(self) -> SocketTransport:
        """Connect, and return an open transport, which delivers nothing before its ``start``.

        Raises:
            ConnectFailed: No server answers within the timeout, or the TLS handshake fails.
            UsageError: The address is not valid.
        """
        try:
            async with asyncio.timeout(self.timeout):
                return await self._connect()
        except TimeoutError:
            raise ConnectFailed(
                f"{self.where}: no server answered within {self.timeout:g} s"
            ) from None
        except OSError as error:
            raise ConnectFailed(f"{self.where}: {error}{_hint(error)}") from error
        except (ValueError, OverflowError) as error:
            raise UsageError(f"{self.where}: not a valid address: {error}") from error

    async def _connect(self) -> SocketTransport:
        opened: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

        def on_open(_: SocketTransport, error: Exception | None) -> None:
            if not opened.done():  # done if the connect was cancelled
                opened.set_result(error)

        tls = None if self.make_tls is None else self.make_tls()
        transport = SocketTransport(
            on_open,
            peer=self.where,
            tls=tls,
            keepalive=self.keepalive,
            framing=self.framing,
        )
        try:
            await self.make(lambda: transport)
            error = await opened
        except BaseException:
            transport.abort()
            raise
        if error is not None:
            raise error
        return transport


def dial_unix(path: str, *, timeout: float) -> Dialer:
    """Return a connector for a Unix socket."""

    async def make(protocol: Callable[[], SocketTransport]) -> object:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(0)
            await _connect_unix(sock, path)
        except BaseException:
            sock.close()
            raise
        return await asyncio.get_running_loop().create_unix_connection(protocol, sock=sock)

    return Dialer(f"unix:{path}", make, timeout)


def dial_tcp(
    host: str,
    port: int,
    *,
    ssl: SSLContext | None,
    server_hostname: str | None,
    timeout: float,
    keepalive: float | None,
) -> Dialer:
    """Return a connector for TCP."""
    check_keepalive(keepalive)
    make = partial(_connect_tcp, host, port)
    name = host if server_hostname is None else server_hostname
    make_tls = _make_tls(ssl, name, given=server_hostname is not None)
    return Dialer(f"tcp:{join_address(host, port)}", make, timeout, make_tls, keepalive)


def dial_socket(
    sock: socket.socket,
    *,
    ssl: SSLContext | None,
    server_hostname: str | None,
    timeout: float,
    keepalive: float | None,
) -> Dialer:
    """Return a connector that adopts a connected socket; it works once, and fails at each later call."""
    check_keepalive(keepalive)
    require_stream(sock)
    try:
        where = describe_address(sock.getpeername())
    except OSError as error:
        raise UsageError(f"sock must be connected; got {sock}: {error}") from error
    if ssl is not None and server_hostname is None:
        raise UsageError(
            f"{where}: ssl needs server_hostname, the name in the server's certificate; got None"
        )
    make_tls = _make_tls(ssl, server_hostname or "", given=server_hostname is not None)
    unused = [sock]

    async def adopt(protocol: Callable[[], SocketTransport]) -> object:
        if not unused:
            raise OSError(errno.ENOTCONN, "the socket is already used; it cannot reconnect")
        loop = asyncio.get_running_loop()
        return await loop.create_connection(protocol, sock=unused.pop())

    return Dialer(where, adopt, timeout, make_tls, keepalive)


async def _connect_tcp(host: str, port: int, protocol: Callable[[], SocketTransport]) -> object:
    """Connect to the first address of a host that answers; each gets a head start (RFC 8305)."""
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if not addresses:
        raise OSError(f"{host!r} has no address")
    sock = await start_connection(addresses, happy_eyeballs_delay=_HEAD_START, interleave=1)
    return await loop.create_connection(protocol, sock=sock)  # which owns the socket, and closes it


async def _connect_unix(sock: socket.socket, path: str) -> None:
    """Connect a Unix socket; retry while the server's accept queue is full."""
    pause = _FIRST_PAUSE
    while True:
        try:
            return sock.connect(path)
        except BlockingIOError:
            # The kernel does not report when the queue has space, and asyncio's sock_connect would
            # take the error for a connection in progress: so try again.
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _make_tls(ssl: SSLContext | None, name: str, *, given: bool) -> MakeTls | None:
    if ssl is not None:
        return client_tls(ssl, name)
    if given:
        raise UsageError("server_hostname is for TLS: pass ssl as well")
    return None


def _hint(error: OSError) -> str:
    match error:
        case FileNotFoundError() | ConnectionRefusedError():
            return "; is the server running?"
        case PermissionError():
            return "; does this user have write permission for the socket?"
        case _:
            return ""
