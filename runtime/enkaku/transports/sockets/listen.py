"""Socket listener: accepts connections, and passes each to the server when it is open.

It accepts by itself: asyncio tries again at once, as often as its ``backlog``, when no file descriptor is free, and logs each
attempt; uvloop ends the listening socket. Here, accepting pauses for a second.

With TLS, a connection is open after its handshake. One that does not finish it in time is aborted, so that clients cannot
use up sockets without a handshake.
"""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from functools import partial
from typing import Final, TypeAlias

from enkaku._log_limit import LogLimit
from enkaku.errors import AddressInUse, TransportError, UsageError
from enkaku.transports.base import Transport
from enkaku.transports.lines import Framing, Lines

from .fork import close_in_children
from .options import describe_address, require_bound
from .tls import MakeTls
from .transport import SocketTransport

__all__ = ["BACKLOG", "Listener", "OpenWith", "foreign_errors"]

logger: Final = logging.getLogger("enkaku.server")

BACKLOG: Final = 1024
"""Length of the kernel's accept queue; with a small one, a burst of connects fails."""

_BATCH: Final = 64  # connections that are accepted in one event-loop iteration
_PAUSE: Final = 1.0  # seconds until the next attempt, when accepting has failed
_NONE_WAITS: Final = (BlockingIOError, InterruptedError, ConnectionAbortedError)


OpenWith: TypeAlias = Callable[[socket.socket], Awaitable[None]]
"""Serves an accepted connection, whose socket it owns; returns when the connection is open."""


class Listener:
    """Accepts connections, and passes them on when they are open.

    Args:
        on_connection: Called with each open transport; it must start the transport.
        peer: The clients, for log lines and error messages; None for the address of each.
        make_tls: Makes the server's side of TLS; None for no TLS.
        handshake: Timeout of the TLS handshake, in seconds.
        keepalive: TCP keepalive: after how many seconds without a response a connection is lost.
        framing: How bytes are split into messages.
        log: Limits what is logged; None for a limit of its own.
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
        log: LogLimit | None = None,
    ) -> None:
        self._on_connection = on_connection
        self._peer = peer
        self._make_tls = make_tls
        self._handshake = handshake
        self._keepalive = keepalive
        self._framing = framing
        self._open_with: OpenWith | None = None
        self._handshakes: dict[SocketTransport, asyncio.TimerHandle] = {}
        self._on_failure: Callable[[], None] | None = None
        self._log = LogLimit() if log is None else log
        self._sockets: dict[socket.socket, asyncio.TimerHandle | None] = {}
        self._failing: set[socket.socket] = set()  # accepted nothing since the last failure
        self._opening: dict[asyncio.Task[None], socket.socket] = {}
        close_in_children(self)

    async def listen_tcp(
        self, host: str, port: int, *, open_with: OpenWith | None = None
    ) -> tuple[str, ...]:
        """Listen over TCP at every address of a host, and return the addresses.

        Args:
            host: The name, or an address.
            port: The port; 0 chooses a free one.
            open_with: Opens the connections in place of this class, which then never calls ``on_connection``.

        Raises:
            OSError: The operating system rejects it.
            ValueError, OverflowError: The address is not valid.
        """
        self._open_with = open_with
        loop = asyncio.get_running_loop()
        # It finds the addresses and binds them; it does not listen.
        bound = await loop.create_server(self._make_transport, host, port, start_serving=False)
        try:
            for each in bound.sockets:
                self._listen(socket.socket(fileno=os.dup(each.fileno())))
        except BaseException:
            self.close()
            raise
        finally:
            bound.close()
        return tuple(describe_address(sock.getsockname()) for sock in self._sockets)

    async def listen(self, sock: socket.socket) -> None:
        """Listen at a bound socket.

        Raises:
            OSError: The operating system rejects it.
            UsageError: The socket is not bound.
        """
        require_bound(sock)
        self._listen(sock)

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
        await asyncio.get_running_loop().connect_accepted_socket(self._make_transport, sock)

    def descriptors(self) -> Iterable[int]:
        """Return the descriptors of the listening sockets, and of accepted ones whose transports are being made."""
        return [each.fileno() for each in (*self._sockets, *self._opening.values())]

    def close(self) -> None:
        """Stop accepting connections, and abort those whose handshake is not done."""
        loop = asyncio.get_running_loop()
        for sock, pause in self._sockets.items():
            if pause is None:
                loop.remove_reader(sock)
            else:
                pause.cancel()
            sock.close()
        self._sockets.clear()
        for transport in tuple(self._handshakes):
            transport.abort()
        if self._open_with is not None:
            for opening in self._opening:
                opening.cancel()

    def _listen(self, sock: socket.socket) -> None:
        self._sockets[sock] = None
        sock.settimeout(0)
        sock.listen(BACKLOG)
        self._resume(sock)

    def _resume(self, sock: socket.socket) -> None:
        self._sockets[sock] = None
        asyncio.get_running_loop().add_reader(sock, self._accept, sock)

    def _accept(self, sock: socket.socket) -> None:
        """Accept the connections that wait; existing connections get their turn after some of them."""
        loop = asyncio.get_running_loop()
        for _ in range(_BATCH):
            try:
                accepted, address = sock.accept()
            except _NONE_WAITS:
                return
            except OSError as error:
                loop.remove_reader(sock)
                self._sockets[sock] = loop.call_later(_PAUSE, self._resume, sock)
                if sock not in self._failing:
                    self._failing.add(sock)
                    self._log_failure(sock, error)
                return
            self._failing.discard(sock)
            opening = loop.create_task(self._open(accepted, address))
            self._opening[opening] = accepted
            opening.add_done_callback(partial(self._on_opened, accepted))

    def _log_failure(self, sock: socket.socket, error: OSError) -> None:
        kind, text = "failures to accept connections", "%s: accepts no connection for %g s: %s"
        where = describe_address(sock.getsockname())
        self._log.log(logger, logging.ERROR, kind, text, where, _PAUSE, error)

    async def _open(self, accepted: socket.socket, address: str | tuple[str, int]) -> None:
        accepted.settimeout(0)
        if self._open_with is not None:
            await self._open_with(accepted)
            return
        # Not the address of the socket: one that the client has reset has none.
        make = partial(self._make_transport, self._peer or describe_address(address))
        await asyncio.get_running_loop().connect_accepted_socket(make, accepted)

    def _on_opened(self, accepted: socket.socket, opening: asyncio.Task[None]) -> None:
        del self._opening[opening]
        error = None if opening.cancelled() else opening.exception()
        if opening.cancelled() or error is not None:
            accepted.close()
            logger.debug("a connection ended before it was open: %s", error)

    def _make_transport(self, peer: str | None = None) -> SocketTransport:
        tls = None if self._make_tls is None else self._make_tls()
        transport = SocketTransport(
            self._on_open,
            peer=peer or self._peer,
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
