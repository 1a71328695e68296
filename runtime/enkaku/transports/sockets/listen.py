"""Listening at a socket: accepts connections, and hands each to the server when its handshake is done."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from enkaku.errors import AddressInUse, TransportError, UsageError
from enkaku.transports.base import Transport
from enkaku.transports.lines import Framing, Lines

from .options import describe_address, require_bound
from .tls import MakeTls
from .transport import SocketTransport

__all__ = ["BACKLOG", "Listener", "foreign_errors"]

logger: Final = logging.getLogger("enkaku.server")

BACKLOG: Final = 1024
"""Connections that may wait to be accepted; a small number fails connects in a burst."""


class Listener:
    """Accepts connections, and hands them on when they are open.

    Args:
        connected: Called with each transport that is open; it starts it.
        peer: The clients, for messages to people; None for the address of each.
        make_tls: Makes the server's side of TLS; None for none.
        handshake: How long a client may take for the TLS handshake, in seconds.
        keepalive: After how many seconds without an answer of its system a TCP client counts as gone.
        framing: How messages are told apart.
    """

    def __init__(
        self,
        connected: Callable[[Transport], None],
        *,
        peer: str | None = None,
        make_tls: MakeTls | None = None,
        handshake: float = 10.0,
        keepalive: float | None = None,
        framing: type[Framing] = Lines,
    ) -> None:
        self._connected = connected
        self._peer = peer
        self._make_tls = make_tls
        self._handshake = handshake
        self._keepalive = keepalive
        self._framing = framing
        self._shaking: dict[SocketTransport, asyncio.TimerHandle] = {}
        self._server: asyncio.Server | None = None

    async def listen_tcp(self, host: str, port: int) -> tuple[str, ...]:
        """Listen over TCP, at every address that the host has, and return them.

        Raises:
            OSError: The operating system refuses.
            ValueError, OverflowError: It is no address.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, host, port, backlog=BACKLOG)
        return tuple(describe_address(sock.getsockname()) for sock in self._server.sockets)

    async def listen(self, sock: socket.socket) -> None:
        """Listen at a socket that is bound.

        Raises:
            OSError: The operating system refuses.
            UsageError: It is not bound.
        """
        require_bound(sock)
        # For a Unix socket, too: create_unix_server would take its file away at the end (Python 3.13).
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, sock=sock, backlog=BACKLOG)

    async def adopt(self, sock: socket.socket) -> None:
        """Take a socket that is connected for a client.

        Raises:
            OSError: The operating system refuses.
        """
        await asyncio.get_running_loop().connect_accepted_socket(self._accept, sock)

    def close(self) -> None:
        """Accept nobody any more, and drop those who still shake hands."""
        if self._server is not None:
            self._server.close()
        for transport in tuple(self._shaking):
            transport.abort()

    def _accept(self) -> SocketTransport:
        tls = None if self._make_tls is None else self._make_tls()
        transport = SocketTransport(
            self._settled,
            peer=self._peer,
            tls=tls,
            keepalive=self._keepalive,
            framing=self._framing,
        )
        if tls is not None:
            timer = asyncio.get_running_loop().call_later(self._handshake, self._expire, transport)
            self._shaking[transport] = timer
        return transport

    def _expire(self, transport: SocketTransport) -> None:
        del self._shaking[transport]
        transport.abort()

    def _settled(self, transport: SocketTransport, error: Exception | None) -> None:
        timer = self._shaking.pop(transport, None)
        if timer is not None:
            timer.cancel()
        if error is None:
            self._connected(transport)
        else:
            logger.debug("%s never got as far as a connection: %s", transport.peer, error)


@contextmanager
def foreign_errors(where: str) -> Generator[None, None, None]:
    """Turn what the operating system and asyncio say of an address into our errors."""
    try:
        yield
    except OSError as error:
        kind = AddressInUse if error.errno == errno.EADDRINUSE else TransportError
        raise kind(f"{where}: {error}") from error
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{where} is no address: {error}") from error
