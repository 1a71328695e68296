"""Transports over two pipes: what differs from a socket, which is only how a connection ends.

A pipe has one direction, so that each of the two can end by itself. The end of the input is the peer's end. When the peer reads
no more, the connection is of no use either; but what the peer has sent before is still read, for a bounded time.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, cast

from enkaku.transports.sockets.transport import SocketTransport, State

from .pipes import Pipes

__all__ = ["LINGER", "PipeTransport", "StdioTransport"]

LINGER: Final = 1.0
"""Seconds in which the rest of a connection follows when one part of it has ended."""


class PipeTransport(SocketTransport):
    """Adapts ``Pipes`` to the ``Transport`` interface. The end of the input ends the connection.

    Args:
        peer: The other end, for log lines and error messages.
    """

    def __init__(self, peer: str) -> None:
        super().__init__(_ignore_open, peer=peer)
        self._break_timer: asyncio.TimerHandle | None = None
        self._break_error: Exception | None = None

    def descriptors(self) -> Iterable[int]:
        """Return the descriptors of its pipes."""
        return cast(Pipes, self._transport).descriptors()

    def eof_received(self) -> None:
        """Part of the pipes' protocol."""
        super().eof_received()
        self._transport.close()

    def broken(self, error: Exception) -> None:
        """Part of the pipes' protocol."""
        self.pause_writing()  # writers wait for the end
        self._break_error = error
        self._start_break_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of the pipes' protocol."""
        if self._break_timer is not None:
            self._break_timer.cancel()
        super().connection_lost(exc or self._break_error)

    def _start_break_timer(self) -> None:
        if self._break_timer is None:
            self._break_timer = self._loop.call_later(LINGER, self._on_break_time)

    def _on_break_time(self) -> None:
        self.abort()

    def _inspect_socket(self) -> None:
        """Do nothing: a pipe has neither an address nor credentials."""


class StdioTransport(PipeTransport):
    """The server's end. At the end of its input, it still sends replies, until it is closed.

    Args:
        peer: The client, for log lines and error messages.
        on_input_end: Called when everything was read.
    """

    def __init__(self, peer: str, on_input_end: Callable[[], None]) -> None:
        super().__init__(peer)
        self._on_input_end = on_input_end

    def eof_received(self) -> None:
        """Part of the pipes' protocol."""
        if self._receiver is not None:
            self._deliver(self._receiver, self._framing.terminator)  # the last line may have none
        if self._break_error is not None:
            self.abort()
        else:
            self._on_input_end()

    def _end_writing(self) -> None:
        # Unlike a socket, a pipe is not reset if it is closed with unread bytes: there is no need to wait for the peer's end.
        self._flush()
        if self._enter(State.ENDED):
            self._report_lost(None)
            self._transport.close()


def _ignore_open(_: SocketTransport, error: Exception | None) -> None:
    del error  # pipes are open when they are made
