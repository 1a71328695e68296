"""Write coalescing: all messages written in one event-loop iteration are sent by one system call.

A system call costs more than all other processing of a small message. The first write of an iteration schedules a flush
for its end; further writes join the buffer. Three kinds of writes are flushed at once instead, to save latency:

- the only reply to the last read, if the last 8 iterations had one write each: a peer that sends one request at a time;
- a write more than 10 ms after the last one: a handler that computes between two items;
- a write that brings the buffer to 64 KiB, which is worth a system call of its own.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from time import monotonic
from typing import Final

__all__ = ["CoalescingWriter"]

_FLUSH_SIZE: Final = 64 * 1024  # bytes
_PAUSE: Final = 0.01  # seconds without a write, after which the next one is flushed at once
_SINGLE_WRITES: Final = 8  # iterations with one write each, after which one more is expected


class CoalescingWriter(ABC):
    """Base of a transport: buffers messages, and sends them together at the end of the event-loop iteration.

    Args:
        loop: The event loop of the transport.
        terminator: The bytes that end a message.

    Attributes:
        _pending: The buffered messages.
        _pending_size: Their size in bytes, without terminators.
        _alone: Whether the last iterations had one write each.
        _replying: Whether the next write is the only reply to the last read, as far as can be known. The transport sets
            it to ``_alone`` when it reads.
    """

    # With more than 30 attributes in a dictionary, Python 3.11 would look up each method of the transport at each call.
    __slots__ = (
        "__weakref__",
        "_alone",
        "_joined_until",
        "_loop",
        "_pending",
        "_pending_size",
        "_replying",
        "_scheduled",
        "_single_writes",
        "_terminator",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, terminator: bytes) -> None:
        self._loop: Final = loop
        self._terminator: Final = terminator
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._alone = True
        self._replying = True
        self._scheduled = False
        self._single_writes = _SINGLE_WRITES
        self._joined_until = 0.0  # writes before this time join others

    def write(self, message: bytes) -> None:
        """Send a message: now, or together with the other writes of this event-loop iteration."""
        now = monotonic()
        if self._replying and not self._scheduled and not self._pending:
            self._replying = False
            self._joined_until = now + _PAUSE
            self._send_messages(message + self._terminator)
            return
        size = self._pending_size + len(message)
        self._pending.append(message)
        self._pending_size = size
        if size >= _FLUSH_SIZE or now >= self._joined_until:
            self._replying = False
            self._joined_until = now + _PAUSE
            self._flush()
            return
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._end_iteration)

    def write_all(self, messages: Sequence[bytes]) -> None:
        """Send one or more messages, as ``write`` does."""
        *others, last = messages
        self._pending += others
        self._pending_size += sum(map(len, others))
        self.write(last)

    @abstractmethod
    def _send_messages(self, data: bytes) -> None:
        """Send messages, with their terminators, in one system call; if the connection has ended, drop them."""

    def _flush(self) -> None:
        """Send the buffered messages, and clear the buffer."""
        pending = self._pending
        if pending:
            self._discard()
            pending.append(b"")  # so that join() also terminates the last message
            self._send_messages(self._terminator.join(pending))

    def _discard(self) -> None:
        """Drop the buffered messages."""
        self._pending, self._pending_size = [], 0

    def _end_iteration(self) -> None:
        self._scheduled = False
        pending = self._pending
        self._single_writes = self._single_writes + 1 if len(pending) <= 1 else 0
        self._alone = self._single_writes >= _SINGLE_WRITES
        if pending:
            self._joined_until = monotonic() + _PAUSE
            self._flush()
