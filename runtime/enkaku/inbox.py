"""A bounded queue with an end, and the gate that stops a connection from reading more than it may keep.

Above it: the client and the server. Below it: asyncio, and no sockets.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from .errors import InboxOverflow, UsageError

__all__ = ["End", "Inbox", "ReadGate"]

T = TypeVar("T")

_OVERHEAD: Final = 64  # what an item costs beyond its text, about, in bytes
_STREAK: Final = 64  # how many items one reader may take before the others get a turn


class End(Exception):
    """No further item comes: the queue has ended well."""


class ReadGate:
    """Decides whether a connection reads on.

    It stops while some inbox is full and nobody waits for anything: the peer is slowed down by its socket.
    As soon as somebody waits, for a result or for an item of another call, reading goes on, since what he waits for may be
    behind the items that fill the inbox.

    Args:
        settle: Called when ``paused`` has changed.
        stall: After how many seconds in which nobody took an item reading goes on all the same: the peer's
            abort, its next call or its end may be behind the items. None is never.
    """

    def __init__(self, settle: Callable[[], None], *, stall: float | None = None) -> None:
        self._settle_reading = settle
        self._stall = stall
        self._full = 0
        self._waiting = 0
        self._paused = False
        self._took = False
        self._stalled = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def paused(self) -> bool:
        """Whether nothing should be read."""
        return self._paused

    def count_full(self, step: int) -> None:
        """An inbox has become full (1), or is no longer (-1)."""
        self._full += step
        self._stalled = self._stalled and self._full > 0
        self._settle()

    def count_waiting(self, step: int) -> None:
        """Somebody begins to wait for a message (1), or has ended (-1)."""
        self._waiting += step
        if self._full:
            self._settle()

    def note_taken(self) -> None:
        """Somebody has taken an item."""
        self._took = True
        if self._stalled:
            self._stalled = False
            self._settle()

    def _settle(self) -> None:
        paused = self._full > 0 and self._waiting == 0 and not self._stalled
        if paused != self._paused:
            self._paused = paused
            self._watch()
            self._settle_reading()

    def _watch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._paused and self._stall is not None:
            self._took = False
            self._timer = asyncio.get_running_loop().call_later(self._stall, self._look)

    def _look(self) -> None:
        self._stalled = not self._took
        self._watch()
        self._settle()


class Inbox(Generic[T]):
    """The items of one call that its reader has not taken yet.

    Args:
        gate: Told when the inbox is full and when its reader waits.
        high: From how many bytes on the inbox counts as full. It may go over, while somebody waits for
            something else on the connection.
        limit: How many bytes it takes at the most. This is a security limit.
    """

    def __init__(self, gate: ReadGate, *, high: int, limit: int) -> None:
        self._gate = gate
        self._high = high
        self._limit = limit
        self._items: deque[tuple[T, int]] = deque()
        self._size = 0
        self._end: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._streak = 0
        self._lossy = False
        self._in_hand = False

    @property
    def finished(self) -> bool:
        """Whether the end has come, and the reader has done with every item: it holds none, and none is left."""
        return self._end is not None and not self._items and not self._in_hand

    def put(self, item: T, size: int) -> None:
        """Add an item of ``size`` bytes; after the end, do nothing.

        Raises:
            InboxOverflow: There is no room for it.
        """
        if self._end is not None:
            return
        cost = size + _OVERHEAD
        if self._size + cost > (self._high if self._lossy else self._limit) and self._items:
            if self._lossy:
                return
            raise InboxOverflow(
                f"{len(self._items)} items, {self._size} bytes, wait unread, and no more than "
                f"{self._limit} bytes are kept"
            )
        was_full = self._is_full()
        self._items.append((item, cost))
        self._size += cost
        self._tell_full(was_full=was_full)
        self._wake()

    def put_end(self, reason: Exception | None = None) -> None:
        """Let the reader have what is there, and then this error, or the plain end. The first end wins."""
        if self._end is None:
            was_full = self._is_full()
            self._end = End() if reason is None else reason
            self._tell_full(was_full=was_full)
            self._wake()

    def keep_only_what_fits(self) -> None:
        """From now on, drop an item that would make the inbox full: nobody may be there to take it."""
        was_full = self._is_full()
        self._lossy = True
        self._tell_full(was_full=was_full)

    def clear(self) -> None:
        """Throw the items away."""
        was_full = self._is_full()
        self._items.clear()
        self._size = 0
        self._tell_full(was_full=was_full)

    async def get(self) -> T:
        """Take the next item, waiting for it if need be.

        Raises:
            End: There is none and none will come.
            UsageError: Another task is waiting already.
            Exception: What ``put_end`` was given.
        """
        self._in_hand = False
        if self._items:
            await self._give_way()
        while not self._items:
            if self._end is not None:
                raise self._end.with_traceback(None)  # or it would grow each time
            await self._wait()
        was_full = self._is_full()
        item, cost = self._items.popleft()
        self._in_hand = True
        self._size -= cost
        self._gate.note_taken()
        self._tell_full(was_full=was_full)
        return item

    async def _give_way(self) -> None:
        """A reader that never has to wait would keep every other task from running."""
        self._streak += 1
        if self._streak >= _STREAK:
            self._streak = 0
            await asyncio.sleep(0)

    async def _wait(self) -> None:
        if self._waiter is not None:
            raise UsageError("another task is already waiting for the next item of this call")
        self._streak = 0
        self._waiter = asyncio.get_running_loop().create_future()
        self._gate.count_waiting(1)
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._gate.count_waiting(-1)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _is_full(self) -> bool:
        # An ended or lossy inbox grows no further: it is no reason to stop reading.
        return self._size >= self._high and self._end is None and not self._lossy

    def _tell_full(self, *, was_full: bool) -> None:
        is_full = self._is_full()
        if is_full != was_full:
            self._gate.count_full(1 if is_full else -1)
