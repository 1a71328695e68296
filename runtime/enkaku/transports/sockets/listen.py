"""Socket listener: accepts connections, and passes each to the server when it is open.

With TLS, a connection is open after its handshake. One that does not finish it in time is aborted, so that clients cannot
use up sockets without a handshake.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Final

from enkaku.errors import AddressInUse, TransportError, UsageError
from enkaku.transports.base import Transport
from enkaku.transports.lines import Framing, Lines

from .fork import close_in_children
from .options import describe_address, require_bound
from .tls import MakeTls
from .transport import SocketTransport

__all__ = ["BACKLOG", "Listener", "foreign_errors"]

logger: Final = logging.getLogger("enkaku.server")

BACKLOG: Final = 1024
"""Length of the kernel's accept queue; with a small one, a burst of connects fails."""


class Listener:
    """Accepts connections, and passes them on when they are open.

    Args:
        on_connection: Called with each open transport; it must start the transport.
        peer: The clients, for log lines and error messages; None for the address of each.
        make_tls: Makes the server's side of TLS; None for no TLS.
        handshake: Timeout of the TLS handshake, in seconds.
        keepalive: TCP keepalive: after how many seconds without a response a connection is lost.
        framing: How bytes are split into messages.
    """

    def __init__(
        self,
        on_connection: Callable[[Transport], None],
        *,
        peer: str | None = None,
        make_tls: MakeTls | None = None,
        handshake: float = 10.0,
        keepalive: float | None = None,
        framing: type[Framing] = Lines,
    ) -> None:
        self._on_connection = on_connection
        self._peer = peer
        self._make_tls = make_tls
        self._handshake = handshake
        self._keepalive = keepalive
        self._framing = framing
        self._handshakes: dict[SocketTransport, asyncio.TimerHandle] = {}
        self._on_failure: Callable[[], None] | None = None
        self._server: asyncio.Server | None = None
        close_in_children(self)

    async def listen_tcp(self, host: str, port: int) -> tuple[str, ...]:
        """Listen over TCP at every address of a host, and return the addresses.

        Raises:
            OSError: The operating system rejects it.
            ValueError, OverflowError: The address is not valid.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, host, port, backlog=BACKLOG)
        return tuple(describe_address(sock.getsockname()) for sock in self._server.sockets)

    async def listen(self, sock: socket.socket) -> None:
        """Listen at a bound socket.

        Raises:
            OSError: The operating system rejects it.
            UsageError: The socket is not bound.
        """
        require_bound(sock)
        # For a Unix socket, too: create_unix_server would remove its file at the end (Python 3.13).
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, sock=sock, backlog=BACKLOG)

    async def adopt(
        self,
        sock: socket.socket,
        on_connection: Callable[[Transport], None],
        on_failure: Callable[[], None],
    ) -> None:
        """Serve a connected socket: its peer is the only client.

        Args:
            sock: The socket.
            on_connection: Called instead of the one for others when the transport is open.
            on_failure: Called if it ends before that.

        Raises:
            OSError: The operating system rejects it.
        """
        self._on_connection, self._on_failure = on_connection, on_failure
        await asyncio.get_running_loop().connect_accepted_socket(self._accept, sock)

    def descriptors(self) -> Iterable[int]:
        """Return the descriptors of the listening sockets."""
        return () if self._server is None else [each.fileno() for each in self._server.sockets]

    def close(self) -> None:
        """Stop accepting connections, and abort those whose handshake is not done."""
        if self._server is not None:
            self._server.close()
        for transport in tuple(self._handshakes):
            transport.abort()

    def _accept(self) -> SocketTransport:
        tls = None if self._make_tls is None else self._make_tls()
        transport = SocketTransport(
            self._on_open,
            peer=self._peer,
            tls=tls,
            keepalive=self._keepalive,
            framing=self._framing,
        )
        if tls is not None:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self._handshake, self._on_handshake_timeout, transport)
            self._handshakes[transport] = timer
        return transport

    def _on_handshake_timeout(self, transport: SocketTransport) -> None:
        del self._handshakes[transport]
        transport.abort()

    def _on_open(self, transport: SocketTransport, error: Exception | None) -> None:
        timer = self._handshakes.pop(transport, None)
        if timer is not None:
            timer.cancel()
        if error is None:
            self._on_connection(transport)
        else:
            logger.debug("%s: connection ended before it was open: %s", transport.peer, error)
            if self._on_failure is not None:
                self._on_failure()


@contextmanager
def foreign_errors(where: str) -> Generator[None, None, None]:
    """Convert the errors of the operating system and of asyncio about an address into Enkaku's.

    Args:
        where: The address, for the error message.

    Raises:
        AddressInUse: Another program listens at the address.
        TransportError: Any other OSError.
        UsageError: The address is not valid.
    """
    try:
        yield
    except OSError as error:
        kind = AddressInUse if error.errno == errno.EADDRINUSE else TransportError
        raise kind(f"{where}: {error}") from error
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{where}: not a valid address: {error}") from error
