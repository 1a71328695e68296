"""Receive buffers: the items of a call that its reader has not taken yet, and when the transport is not read.

Each call that receives items has an ``Inbox``; all inboxes of a connection share a ``ReadGate``.

*A peer that supports flow control* is slowed down call by call. It may send as many bytes as the inbox has granted. When the
reader has taken half a window of items, the inbox grants that much again. The transport is always read.

*A peer without flow control* can be slowed down only by not reading from the transport, which stops all calls of the
connection. So the gate pauses reading only while some inbox is above its high-water mark and no task on this connection
waits for a message: a task that waits for a result might wait for a message behind the items. While a task waits, reading
goes on, up to a hard limit at which the one call fails with ``InboxOverflow``. When nothing was taken for ``Limits.stall``
seconds, reading resumes too, since an abort may be behind the items.

Inboxes with an overflow policy (``"latest"``, ``"drop_oldest"``) drop items instead, and never pause anything.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Final, Generic, Literal, TypeVar

from enkaku.errors import InboxOverflow, UsageError

from .overflow import WhenFull
from .send_window import EARLY

__all__ = ["NOTHING", "End", "Inbox", "ReadGate"]

_LEAST_WINDOW: Final = 4096


class ReadGate:
    """What the inboxes of a connection share: how much they buffer, and whether the transport is read.

    Args:
        on_change: Called when ``paused`` has changed.
        buffered: How many bytes all inboxes may hold together.
        stall: After how many seconds in which nobody took an item reading goes on all the same: the peer's
            abort, its next call or its end may be behind the items. None is never.

    Attributes:
        unread: How many bytes all inboxes hold.
        room: How many they may hold: no less than what was promised to them.
        credits: Whether the peer is known to support flow control.
        full: How many inboxes are above their high-water mark.
        waiters: How many tasks wait for a message.
    """

    __slots__ = (
        "_buffered",
        "_on_change",
        "_paused",
        "_promised",
        "_stall",
        "_stalled",
        "_timer",
        "_took",
        "credits",
        "full",
        "room",
        "unread",
        "waiters",
    )

    def __init__(
        self, on_change: Callable[[], None], *, buffered: int, stall: float | None = None
    ) -> None:
        self.unread = 0
        self.credits = False
        self.room = buffered
        self._on_change = on_change
        self._buffered = buffered
        self._stall = stall
        self._promised = 0
        self.full = 0
        self.waiters = 0
        self._paused = False
        self._took = False
        self._stalled = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def paused(self) -> bool:
        """Whether nothing should be read."""
        return self._paused

    def know_credits(self) -> None:
        """The peer has shown that it supports flow control."""
        if not self.credits:
            self.credits = True
            self.full = 0
            self.update()

    def promise(self, window: int) -> int:
        """Reserve what a new call may buffer: a full window, as long as there is room for all that were promised."""
        free = (self._buffered - self._promised) // 2
        window = min(window, max(free, _LEAST_WINDOW))
        self._promised += window
        self.room = max(self._buffered, self._promised)
        return window

    def release(self, window: int) -> None:
        """A call needs what it was promised no longer."""
        self._promised -= window
        self.room = max(self._buffered, self._promised)

    def count_full(self, step: int) -> None:
        """An inbox has become full (1), or is no longer (-1)."""
        self.full += step
        self._stalled = self._stalled and self.full > 0
        self.update()

    def waiting(self) -> "_Waiting":
        """Return a context manager, in which a task waits for a message: meanwhile, reading goes on."""
        return _Waiting(self)

    def note_taken(self) -> None:
        """Somebody has taken an item."""
        self._took = True
        if self._stalled:
            self._stalled = False
            self.update()

    def close(self) -> None:
        """The connection is over: nothing is left to be decided."""
        self._stall = None
        self._watch()

    def update(self) -> None:
        """Pause or resume reading, since ``full`` or ``waiters`` has changed."""
        paused = self.full > 0 and self.waiters == 0 and not self._stalled
        if paused != self._paused:
            self._paused = paused
            self._watch()
            self._on_change()

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
        self.update()


class _Waiting:
    """A task waits for a message."""

    __slots__ = ("_gate",)

    def __init__(self, gate: ReadGate) -> None:
        self._gate = gate

    def __enter__(self) -> None:
        self._gate.waiters += 1
        if self._gate.full:
            self._gate.update()

    def __exit__(self, *_: object) -> None:
        self._gate.waiters -= 1
        if self._gate.full:
            self._gate.update()


T = TypeVar("T")

_STREAK: Final = 64  # how many items one reader may take before the others get a turn
_GRANT_DELAY: Final = 0.02  # seconds; a reader that waits for each item need not grant each alone


class Nothing(Enum):
    """What there is where no item can be taken at once."""

    NOTHING = auto()


NOTHING: Final = Nothing.NOTHING
"""The one value of its type, so that a type checker can tell it from any item."""


class End(Exception):
    """No further item comes: the queue has ended well."""


class Inbox(Generic[T]):
    """The items of one call that its reader has not taken yet.

    Args:
        gate: What it shares with the other inboxes of the connection.
        window: How many bytes of items the peer may send before some are taken.
        limit: How many bytes are kept at the most where the peer does not support flow control.
        grant: Gives the peer credit for so many more bytes.
        when_full: What happens to an item that comes while others are there; see ``WhenFull``.
        on_drop: Told how many items were dropped.
    """

    __slots__ = (
        "_eager",
        "_end",
        "_gate",
        "_grant",
        "_granting",
        "_in_hand",
        "_items",
        "_limit",
        "_lossy",
        "_on_drop",
        "_owed",
        "_released",
        "_size",
        "_streak",
        "_waiter",
        "_when_full",
        "window",
    )

    def __init__(
        self,
        gate: ReadGate,
        *,
        window: int,
        limit: int,
        grant: Callable[[int], None],
        when_full: WhenFull = "wait",
        on_drop: Callable[[int], None],
    ) -> None:
        self.window: Final = gate.promise(window)
        self._gate = gate
        self._limit = limit
        self._grant = grant
        self._when_full: WhenFull = when_full
        self._on_drop = on_drop
        self._items: deque[tuple[T, int]] = deque()
        self._size = 0
        self._owed = 0  # bytes that were taken, and not granted again yet
        self._granting: asyncio.TimerHandle | None = None
        self._end: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._streak = 0
        self._lossy = False
        self._eager = when_full != "wait"  # the sender shall not wait for the reader
        self._in_hand = False
        self._released = False

    @property
    def finished(self) -> bool:
        """Whether the end has come, and the reader has done with every item: it holds none, and none is left."""
        return self._end is not None and not self._items and not self._in_hand

    def put(self, item: T, size: int) -> None:
        """Add an item that came as ``size`` bytes; after the end, do nothing.

        Raises:
            InboxOverflow: The peer has sent more than it may.
        """
        self.put_all(((item, size),), size)

    def put_all(self, items: Sequence[tuple[T, int]], size: int) -> None:
        """Add items, each with the bytes that it came as, which are ``size`` together; after the end, do nothing.

        Raises:
            InboxOverflow: The peer has sent more than it may; those before are there.
        """
        if self._end is not None:
            return
        gate = self._gate
        usual = gate.credits and not self._eager
        if usual and self._size + size <= self.window and gate.unread + size <= gate.room:
            self._items.extend(items)
            self._size += size
            gate.unread += size
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
        else:
            for item, its_size in items:
                self._put(item, its_size)

    def _put(self, item: T, size: int) -> None:
        """Add an item of a peer that does not count, or where it may be that something is dropped or refused."""
        was_full = self._is_full()
        if self._eager:
            self._return_credit(size)
        fits = not self._items or self._size + size <= self.window
        if self._lossy and self._when_full == "wait" and not fits:
            self._on_drop(1)
            return
        self._make_room(size)
        self._require_room(size)
        self._items.append((item, size))
        self._count(size)
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
        """From now on, drop an item that finds no room: nobody may be there to take it, and its sender shall go on."""
        if not self._lossy:
            was_full = self._is_full()
            self._lossy = True
            if not self._eager:
                self._eager = True
                self._return_credit(self._size)
            self._tell_full(was_full=was_full)

    def clear(self) -> None:
        """Throw the items away."""
        was_full = self._is_full()
        self._items.clear()
        self._count(-self._size)
        self._tell_full(was_full=was_full)

    def release(self) -> None:
        """The call needs nothing of the connection any longer; what is there can still be taken."""
        if not self._released:
            self.put_end()
            self._gate.unread -= self._size
            self._released = True
            self._gate.release(self.window)
            if self._granting is not None:
                self._granting.cancel()

    def take_now(self) -> "T | Literal[Nothing.NOTHING]":
        """Take the next item if nothing is to be waited for, not even for the sake of others."""
        if not self._items or self._streak >= _STREAK or not self._gate.credits:
            return NOTHING
        self._streak += 1
        item, size = self._items.popleft()
        self._in_hand = True
        self._size -= size
        if not self._released:
            self._gate.unread -= size
        if not self._eager:
            self._owed += size
            if self._owed * 2 >= self.window:
                self._settle_credit()
        return item

    async def get(self) -> T:
        """Take the next item, waiting for it if need be.

        Raises:
            End: There is none and none will come.
            UsageError: Another task is waiting already.
            Exception: What ``put_end`` was given.
        """
        self._in_hand = False
        if self._items:
            self._streak += 1
            if self._streak >= _STREAK:
                # A reader that never has to wait would keep every other task from running.
                self._streak = 0
                await asyncio.sleep(0)
        while not self._items:
            if self._end is not None:
                raise self._end.with_traceback(None)  # or it would grow each time
            if self._waiter is not None:
                raise UsageError("another task is already waiting for the next item of this call")
            self._streak = 0
            loop = asyncio.get_running_loop()
            if self._owed and self._granting is None and self._gate.credits and not self._released:
                # An item that does not fit what is left of the window may wait for all of it.
                self._granting = loop.call_later(_GRANT_DELAY, self._settle_credit)
            self._waiter = loop.create_future()
            gate = self._gate
            gate.waiters += (
                1  # as in gate.waiting(), without three functions for each item that is waited for
            )
            if gate.full:
                gate.update()
            try:
                await self._waiter
            finally:
                self._waiter = None
                gate.waiters -= 1
                if gate.full:
                    gate.update()
        usual = self.take_now()
        if usual is not NOTHING:
            return usual
        was_full = self._is_full()
        item, size = self._take_first()
        self._in_hand = True
        self._gate.note_taken()
        if not self._eager:
            self._return_credit(size)
        self._tell_full(was_full=was_full)
        return item

    def _take_first(self) -> tuple[T, int]:
        taken = self._items.popleft()
        size = taken[1]
        self._size -= size
        if not self._released:
            self._gate.unread -= size
        return taken

    def _count(self, size: int) -> None:
        self._size += size
        if not self._released:
            self._gate.unread += size

    def _make_room(self, size: int) -> None:
        """Drop what the reader did not take in time, if that is what it wants."""
        if self._when_full == "wait":
            return
        dropped = 0
        while self._items and (self._when_full == "latest" or self._size + size > self.window):
            self._take_first()
            dropped += 1
        if dropped:
            self._on_drop(dropped)

    def _require_room(self, size: int) -> None:
        if self._gate.credits:
            # One that counts has more outstanding than it was granted only by its first burst, or by one large item.
            if self._size > self.window + max(self.window, EARLY):
                raise InboxOverflow(
                    f"{self._size} bytes wait unread, and the peer was granted {self.window}"
                )
        elif self._items and self._size + size > self._limit:
            raise InboxOverflow(
                f"{len(self._items)} items, {self._size} bytes, wait unread, and no more than "
                f"{self._limit} bytes are kept"
            )
        if self._gate.unread and self._gate.unread + size > self._gate.room:
            raise InboxOverflow(
                f"{self._gate.unread} bytes of all calls wait unread, and no more than "
                f"{self._gate.room} are kept"
            )

    def _return_credit(self, size: int) -> None:
        self._owed += size
        if self._owed * 2 >= self.window:
            self._settle_credit()

    def _settle_credit(self) -> None:
        """Grant again what was taken."""
        if self._granting is not None:
            self._granting.cancel()
            self._granting = None
        if self._owed and self._gate.credits and self._end is None and not self._released:
            owed, self._owed = self._owed, 0
            self._grant(owed)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _is_full(self) -> bool:
        # An ended or lossy inbox grows no further: it is no reason to stop reading. Nor is one whose sender counts.
        return (
            self._size > self.window
            and self._end is None
            and not self._eager
            and not self._gate.credits
        )

    def _tell_full(self, *, was_full: bool) -> None:
        is_full = self._is_full()
        if is_full != was_full:
            self._gate.count_full(1 if is_full else -1)
