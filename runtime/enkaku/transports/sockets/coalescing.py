"""Write coalescing: all writes of one event-loop iteration leave in one system call.

Two kinds of writes are sent at once instead: the only reply to what was just read, and a write more than 10 ms after the
last one. So neither a single request nor a handler that computes between two items waits for the end of the iteration.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

__all__ = ["Gathering"]

_ENOUGH: Final = 64 * 1024  # bytes that are worth a system call of their own
_LONG_AGO: Final = 0.01  # seconds: after a pause, or a long computation, nothing is held back
_ALONE: Final = 8  # turns with one write each, until the next write is expected to be alone


class Gathering:
    """Bytes that were written, and leave together at the end of the turn.

    One system call for each message would cost more than all else that is done for it. A connection with one call at
    a time gains nothing by this, and would pay for one more turn: its writes, which come one for each arrival, leave
    at once.

    Args:
        send: Takes what leaves.

    Attributes:
        size: How many bytes wait.
    """

    __slots__ = (
        "_alone",
        "_answering",
        "_loop",
        "_scheduled",
        "_send",
        "_sent_at",
        "_waiting",
        "size",
    )

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self.size = 0
        self._loop = asyncio.get_running_loop()
        self._send = send
        self._waiting: list[bytes] = []
        self._scheduled = False
        self._answering = True
        self._alone = _ALONE
        self._sent_at = 0.0

    def arrive(self) -> None:
        """Something came: what is written next may be the answer."""
        self._answering = True

    def add(self, data: bytes) -> None:
        """Send some bytes: now, or with what else is written in this turn."""
        self._waiting.append(data)
        self.size += len(data)
        if self.size < _ENOUGH and monotonic() - self._sent_at < _LONG_AGO:
            if self._scheduled:
                return
            if self._alone < _ALONE or not self._answering:
                self._scheduled = True
                self._loop.call_soon(self._end_turn)
                return
        self._answering = False
        self.flush()

    def flush(self) -> None:
        """Send what waits."""
        waiting = self._waiting
        if waiting:
            self._waiting, self.size = [], 0
            self._sent_at = monotonic()
            self._send(waiting[0] if len(waiting) == 1 else b"".join(waiting))

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting, self.size = [], 0

    def _end_turn(self) -> None:
        self._scheduled = False
        self._alone = self._alone + 1 if len(self._waiting) <= 1 else 0
        self.flush()
