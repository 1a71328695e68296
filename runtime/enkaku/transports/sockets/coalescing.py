"""Write coalescing: all messages written in one event-loop iteration leave in one system call.

One system call for each message would cost more than everything else that is done for it. Two kinds of writes are sent at
once instead: the only reply to what was just read, and a write more than 10 ms after the last one. So neither a single
request nor a handler that computes between two items waits for the end of the iteration.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from time import monotonic
from typing import Final

__all__ = ["CoalescingWriter"]

_ENOUGH: Final = 64 * 1024  # bytes that are worth a system call of their own
_PAUSE: Final = 0.01  # seconds without a write, after which nothing is held back
_ALONE: Final = 8  # iterations with one write each, until the next write is expected to be alone


class CoalescingWriter(ABC):
    """Base of a transport: buffers what is written, and hands it on together at the end of the event-loop iteration.

    Attributes:
        _waiting: The messages that are buffered.
        _waiting_size: How many bytes they have together, about.
        _answering: Whether something was read since the last write, so that the next may be the reply. Set by the
            transport when it reads.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop: Final = loop
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        self._answering = True
        self._scheduled = False
        self._alone = _ALONE
        self._written_at = 0.0

    def write(self, message: bytes) -> None:
        """Send a message: now, or with what else is written in this event-loop iteration."""
        self._waiting.append(message)
        self._waiting_size += len(message)
        now = monotonic()
        if self._waiting_size < _ENOUGH and now - self._written_at < _PAUSE:
            if self._scheduled:
                return
            if self._alone < _ALONE or not self._answering:
                self._scheduled = True
                self._loop.call_soon(self._end_iteration)
                return
        self._answering = False
        self._written_at = now
        self._flush()

    def write_all(self, messages: Sequence[bytes]) -> None:
        """Send some messages, one at least, as ``write`` does."""
        *others, last = messages
        self._waiting += others
        self._waiting_size += sum(map(len, others))
        self.write(last)

    @abstractmethod
    def _flush(self) -> None:
        """Send what is buffered, in one system call, and clear the buffer."""

    def _discard(self) -> None:
        """Drop what is buffered."""
        self._waiting, self._waiting_size = [], 0

    def _end_iteration(self) -> None:
        self._scheduled = False
        waiting = self._waiting
        self._alone = self._alone + 1 if len(waiting) <= 1 else 0
        if waiting:
            self._written_at = monotonic()
            self._flush()
