"""Connecting to a socket: what a client's transport is made by, as often as it reconnects."""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from ssl import SSLContext
from typing import Final, TypeAlias

from enkaku._checks import require_seconds
from enkaku.errors import ConnectFailed, UsageError
from enkaku.transports.lines import Framing, Lines

from .options import check_keepalive, describe_address, join_address, require_stream
from .tls import MakeTls, client_tls
from .transport import SocketTransport

__all__ = ["Dialer", "dial_socket", "dial_tcp", "dial_unix"]

_Make: TypeAlias = Callable[[Callable[[], SocketTransport]], Awaitable[object]]

_FIRST_PAUSE: Final = 0.005  # seconds
_LONGEST_PAUSE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Dialer:
    """Connects to one address each time that it is called; a ``Dial``.

    Attributes:
        where: The address, for messages to people.
        make: Makes an asyncio transport for a protocol.
        timeout: How long it may take, in seconds, the TLS handshake included.
        make_tls: Makes the client's side of TLS; None for none.
        keepalive: After how many seconds without an answer of its system a TCP peer counts as gone.
        framing: How messages are told apart.
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
        """Connect; what comes is not read before the transport's ``start``.

        Raises:
            ConnectFailed: Nobody answers there within the time, or the TLS handshake fails.
            UsageError: It is no address.
        """
        try:
            async with asyncio.timeout(self.timeout):
                return await self._connect()
        except TimeoutError:
            raise ConnectFailed(
                f"{self.where}: nobody answered within {self.timeout:g} s"
            ) from None
        except OSError as error:
            raise ConnectFailed(f"{self.where}: {error}{_hint(error)}") from error
        except (ValueError, OverflowError) as error:
            raise UsageError(f"{self.where} is no address: {error}") from error

    async def _connect(self) -> SocketTransport:
        settled: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

        def on_settled(_: SocketTransport, error: Exception | None) -> None:
            if not settled.done():  # else nobody waits any more
                settled.set_result(error)

        tls = None if self.make_tls is None else self.make_tls()
        transport = SocketTransport(
            on_settled,
            peer=self.where,
            tls=tls,
            keepalive=self.keepalive,
            framing=self.framing,
        )
        try:
            await self.make(lambda: transport)
            error = await settled
        except BaseException:
            transport.abort()
            raise
        if error is not None:
            raise error
        return transport


def dial_unix(path: str, *, timeout: float) -> Dialer:
    """Return what connects to a Unix socket."""

    async def make(protocol: Callable[[], SocketTransport]) -> object:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(0)
            await _reach(sock, path)
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
    """Return what connects over TCP."""
    check_keepalive(keepalive)
    make = partial(asyncio.get_running_loop().create_connection, host=host, port=port)
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
    """Return what takes a connected socket over: once, and from then on it fails."""
    check_keepalive(keepalive)
    require_stream(sock)
    try:
        where = describe_address(sock.getpeername())
    except OSError as error:
        raise UsageError(f"{sock} is not connected: {error}") from error
    if ssl is not None and server_hostname is None:
        raise UsageError(
            "ssl needs server_hostname: a socket does not say whom its certificate is for"
        )
    make_tls = _make_tls(ssl, server_hostname or "", given=server_hostname is not None)
    unused = [sock]

    async def take(protocol: Callable[[], SocketTransport]) -> object:
        if not unused:
            raise OSError(errno.ENOTCONN, "the socket was used up; nobody can connect it again")
        loop = asyncio.get_running_loop()
        return await loop.create_connection(protocol, sock=unused.pop())

    return Dialer(where, take, timeout, make_tls, keepalive)


async def _reach(sock: socket.socket, path: str) -> None:
    """Connect a Unix socket, as soon as the server's queue has a place for it."""
    pause = _FIRST_PAUSE
    while True:
        try:
            return sock.connect(path)
        except BlockingIOError:
            # The queue is full. The system does not tell when it no longer is, and asyncio takes this for a connection.
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _make_tls(ssl: SSLContext | None, name: str, *, given: bool) -> MakeTls | None:
    if ssl is not None:
        return client_tls(ssl, name)
    if given:
        raise UsageError("server_hostname is for TLS: give ssl as well")
    return None


def _hint(error: OSError) -> str:
    match error:
        case FileNotFoundError() | ConnectionRefusedError():
            return "; is the server running?"
        case PermissionError():
            return "; the socket belongs to somebody else"
        case _:
            return ""
