"""Receive buffers: the items of a call that its reader has not taken yet, and when the transport is not read.

Each call that receives items has an ``Inbox``; all inboxes of a connection share a ``ReadControl``.

*A peer that supports flow control* is slowed down call by call. It may send as many bytes as the inbox has granted. When the
reader has taken half a window of items, the inbox grants that much again. The transport is always read.

*A peer without flow control* can be slowed down only by not reading from the transport, which stops all calls of the
connection. So reading is paused only while some inbox is above its high-water mark and no task on this connection
waits for a message: a task that waits for a result might wait for a message behind the items. While a task waits, reading
goes on, up to a hard limit at which the one call fails with ``InboxOverflow``. When no item was taken for ``Limits.stall``
seconds, reading resumes too, since an abort may be behind the items.

Inboxes with an overflow policy (``"latest"``, ``"drop_oldest"``) drop items instead, and never pause anything.
"""

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Final, Literal, Protocol, TypeVar

from enkaku.errors import InboxOverflow, UsageError

from .fairness import STREAK
from .overflow import BoundedQueue, WhenFull
from .send_window import EARLY

__all__ = ["NOTHING", "End", "Inbox", "ReadControl", "Reads"]

_LEAST_WINDOW: Final = 4096


class Reads(Protocol):
    """What reads a connection: a session, or its part."""

    def update_reading(self) -> None:
        """Handle that ``ReadControl.paused`` has changed."""


class ReadControl:
    """Decides whether a connection is read, for its inboxes, and counts what they buffer together.

    Args:
        reads: What reads the connection.
        buffered: How many bytes all inboxes may hold together.
        stall: After how many seconds without an item taken reading resumes all the same: the peer's
            abort, its next call or its end may be behind the items. None is never.

    Attributes:
        paused: Whether the transport should not be read.
        flow_control: Whether the peer is known to support flow control.
        unread: How many bytes all inboxes hold.
        capacity: How many they may hold: no less than the sum of what was reserved.
        full: How many inboxes are above their high-water mark.
        waiters: How many tasks wait for a message.
    """

    __slots__ = (
        "_buffered",
        "_reads",
        "_reserved",
        "_stall",
        "_stalled",
        "_taken",
        "_timer",
        "capacity",
        "flow_control",
        "full",
        "paused",
        "unread",
        "waiters",
    )

    def __init__(self, reads: Reads, *, buffered: int, stall: float | None = None) -> None:
        self.paused = False
        self.flow_control = False
        self.unread = 0
        self.capacity = buffered
        self.full = 0
        self.waiters = 0
        self._reads = reads
        self._buffered = buffered
        self._reserved = 0
        self._stall = stall
        self._stalled = False
        self._taken = False
        self._timer: asyncio.TimerHandle | None = None

    def enable_flow_control(self) -> None:
        """Never pause again: the peer has shown that it supports flow control."""
        if not self.flow_control:
            self.flow_control = True
            self.full = 0
            self.update()

    def reserve(self, window: int) -> int:
        """Reserve a call's window, or less where other calls have reserved most of the capacity; return its bytes."""
        free = (self._buffered - self._reserved) // 2
        window = min(window, max(free, _LEAST_WINDOW))
        self._reserved += window
        self.capacity = max(self._buffered, self._reserved)
        return window

    def release(self, window: int) -> None:
        """Return what a call has reserved."""
        self._reserved -= window
        self.capacity = max(self._buffered, self._reserved)

    def mark_full(self, *, full: bool) -> None:
        """Count one inbox more, or one less, that is above its high-water mark."""
        self.full += 1 if full else -1
        self._stalled = self._stalled and self.full > 0
        self.update()

    def waiting(self) -> "_Waiting":
        """Return a context manager, in which a task waits for a message: meanwhile, reading goes on."""
        return _Waiting(self)

    def on_taken(self) -> None:
        """Handle that a reader has taken an item: pause again, if reading had resumed because none was taken."""
        self._taken = True
        if self._stalled:
            self._stalled = False
            self.update()

    def close(self) -> None:
        """Stop the timer: the connection has ended."""
        self._stall = None
        self._restart_timer()

    def update(self) -> None:
        """Pause or resume reading, since ``full`` or ``waiters`` has changed."""
        paused = self.full > 0 and self.waiters == 0 and not self._stalled
        if paused != self.paused:
            self.paused = paused
            self._restart_timer()
            self._reads.update_reading()

    def _restart_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.paused and self._stall is not None:
            self._taken = False
            self._timer = asyncio.get_running_loop().call_later(self._stall, self._on_timer)

    def _on_timer(self) -> None:
        self._stalled = not self._taken
        self._restart_timer()
        self.update()


class _Waiting:
    """Counts a task that waits for a message."""

    __slots__ = ("_control",)

    def __init__(self, control: ReadControl) -> None:
        self._control = control

    def __enter__(self) -> None:
        self._control.waiters += 1
        if self._control.full:
            self._control.update()

    def __exit__(self, *_: object) -> None:
        self._control.waiters -= 1
        if self._control.full:
            self._control.update()


T = TypeVar("T")

_GRANT_DELAY: Final = 0.02  # seconds; a reader that waits for each item need not grant each alone


class Nothing(Enum):
    """What there is where no item can be taken at once."""

    NOTHING = auto()


NOTHING: Final = Nothing.NOTHING
"""The one value of its type, so that a type checker can distinguish it from any item."""


class End(Exception):
    """The call has ended without an error, and all its items were taken."""


def _ignore(_: int) -> None:
    pass


class Inbox(BoundedQueue[T]):
    """The items of one call that its reader has not taken yet.

    Its ``capacity`` is the window: how many bytes the peer may send before some are taken.

    Args:
        control: What it shares with the other inboxes of the connection.
        window: How many bytes it should hold. It may get less, see ``ReadControl.reserve``.
        limit: How many bytes are kept at most where the peer does not support flow control.
        grant: Grants the peer so many more bytes.
        when_full: What happens to an item that comes while others are there; see ``WhenFull``.
        on_drop: Called with the number of items that were dropped.
    """

    __slots__ = (
        "_control",
        "_drops_excess",
        "_end",
        "_grant",
        "_grants_on_arrival",
        "_handling",
        "_limit",
        "_on_drop",
        "_released",
        "_streak",
        "_timer",
        "_ungranted",
        "_waiter",
        "_when_full",
    )

    def __init__(
        self,
        control: ReadControl,
        *,
        window: int,
        limit: int,
        grant: Callable[[int], None],
        when_full: WhenFull = "wait",
        on_drop: Callable[[int], None],
    ) -> None:
        super().__init__(control.reserve(window))
        self._control = control
        self._limit = limit
        self._grant = grant
        self._when_full: WhenFull = when_full
        self._on_drop = on_drop
        self._ungranted = 0  # bytes that were taken, and not granted again yet
        self._timer: asyncio.TimerHandle | None = None  # grants them
        self._end: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._streak = 0
        self._drops_excess = False
        self._grants_on_arrival = when_full != "wait"  # the sender need not wait for the reader
        self._handling = False  # the reader works on the item that it took last
        self._released = False

    @property
    def finished(self) -> bool:
        """Whether the end has come, every item was taken, and the reader is done with the last."""
        return self._end is not None and not self.items and not self._handling

    def put(self, items: Sequence[tuple[T, int]], size: int) -> None:
        """Add items, each with the bytes of its message, which are ``size`` together. After the end, do nothing.

        Raises:
            InboxOverflow: The peer has sent more than it may. The items before that are added.
        """
        if self._end is not None:
            return
        control = self._control
        usual = control.flow_control and not self._grants_on_arrival
        if (
            usual
            and self.size + size <= self.capacity
            and control.unread + size <= control.capacity
        ):
            self.items.extend(items)
            self.size += size
            control.unread += size
        else:
            for item, its_size in items:
                self._put_one(item, its_size)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _put_one(self, item: T, size: int) -> None:
        """Add an item that may exceed the window, or take the place of others."""
        was_full = self._is_full()
        if self._grants_on_arrival:
            self._count_ungranted(size)
        if self._drops_excess and self._when_full == "wait" and not self.fits(size):
            self._on_drop(1)
            return
        before = self.size
        dropped = self.drop_for(size, self._when_full)
        if dropped:
            self._count_unread(self.size - before)
            self._on_drop(dropped)
        self._require_capacity(size)
        self.append(item, size)
        self._count_unread(size)
        self._update_full(was_full=was_full)

    def put_end(self, reason: Exception | None = None) -> None:
        """End: once its items are taken, the reader gets this error, or ``End``. The first end counts."""
        if self._end is None:
            was_full = self._is_full()
            self._end = End() if reason is None else reason
            self._update_full(was_full=was_full)
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)

    def drop_excess(self) -> None:
        """From now on, drop an item that does not fit: the reader may take no more, and the peer must be able to go on."""
        if not self._drops_excess:
            was_full = self._is_full()
            self._drops_excess = True
            if not self._grants_on_arrival:
                self._grants_on_arrival = True
                self._count_ungranted(self.size)
            self._update_full(was_full=was_full)

    def clear(self) -> int:
        """Drop every item, without ``on_drop``; return how many there were."""
        was_full = self._is_full()
        self._count_unread(-self.size)
        dropped = super().clear()
        self._update_full(was_full=was_full)
        return dropped

    def release(self) -> None:
        """End, and return what was reserved. The items can still be taken."""
        if not self._released:
            self.put_end()
            self._control.unread -= self.size
            self._released = True
            self._on_drop = _ignore  # a method of the call: else the two would form a cycle
            self._control.release(self.capacity)
            if self._timer is not None:
                self._timer.cancel()

    def get_nowait(self) -> "T | Literal[Nothing.NOTHING]":
        """Take the next item, or return ``NOTHING`` where ``get`` has to be awaited: to wait, or to yield to other tasks."""
        if not self.items or self._streak >= STREAK or not self._control.flow_control:
            return NOTHING
        self._streak += 1
        item, size = self.items.popleft()
        self._handling = True
        self.size -= size
        if not self._released:
            self._control.unread -= size
        if not self._grants_on_arrival:
            self._ungranted += size
            if self._ungranted * 2 >= self.capacity:
                self._grant_taken()
        return item

    async def get(self) -> T:
        """Wait for the next item, and take it.

        Raises:
            End: There is none and none will come.
            UsageError: Another task is waiting already.
            Exception: What ``put_end`` was given.
        """
        self._handling = False
        if self.items:
            self._streak += 1
            if self._streak >= STREAK:
                # A reader that never has to wait would keep every other task from running.
                self._streak = 0
                await asyncio.sleep(0)
        while not self.items:
            if self._end is not None:
                raise self._end.with_traceback(None)  # or it would grow each time
            if self._waiter is not None:
                raise UsageError("another task is already waiting for the next item of this call")
            self._streak = 0
            loop, control = asyncio.get_running_loop(), self._control
            if self._ungranted and self._timer is None and control.flow_control:
                # The peer's next item may be larger than what is left of its window: grant the rest soon.
                self._timer = loop.call_later(_GRANT_DELAY, self._grant_taken)
            self._waiter = asyncio.Future(loop=loop)  # create_future() is one function more
            control.waiters += 1  # as control.waiting() does, without three functions for each wait
            if control.full:
                control.update()
            try:
                await self._waiter
            finally:
                self._waiter = None
                control.waiters -= 1
                if control.full:
                    control.update()
        usual = self.get_nowait()
        if usual is not NOTHING:
            return usual
        was_full = self._is_full()
        item, size = self.pop()
        self._count_unread(-size)
        self._handling = True
        self._control.on_taken()
        if not self._grants_on_arrival:
            self._count_ungranted(size)
        self._update_full(was_full=was_full)
        return item

    def _count_unread(self, size: int) -> None:
        if not self._released:
            self._control.unread += size

    def _require_capacity(self, size: int) -> None:
        if self._control.flow_control:
            # A peer with flow control exceeds what it was granted only by its first burst, or by one large item.
            if self.size > self.capacity + max(self.capacity, EARLY):
                raise InboxOverflow(
                    f"{self.size} bytes wait unread, and the peer was granted {self.capacity}"
                )
        elif self.items and self.size + size > self._limit:
            raise InboxOverflow(
                f"{len(self.items)} items, {self.size} bytes, wait unread, and no more than "
                f"{self._limit} bytes are kept"
            )
        if self._control.unread and self._control.unread + size > self._control.capacity:
            raise InboxOverflow(
                f"{self._control.unread} bytes of all calls wait unread, and no more than "
                f"{self._control.capacity} are kept"
            )

    def _count_ungranted(self, size: int) -> None:
        self._ungranted += size
        if self._ungranted * 2 >= self.capacity:
            self._grant_taken()

    def _grant_taken(self) -> None:
        """Grant the peer again what was taken."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (
            self._ungranted
            and self._control.flow_control
            and self._end is None
            and not self._released
        ):
            size, self._ungranted = self._ungranted, 0
            self._grant(size)

    def _is_full(self) -> bool:
        """Return whether it is a reason to stop reading: above the high-water mark, and able to grow."""
        return (
            self.size > self.capacity
            and self._end is None
            and not self._grants_on_arrival
            and not self._control.flow_control
        )

    def _update_full(self, *, was_full: bool) -> None:
        is_full = self._is_full()
        if is_full != was_full:
            self._control.mark_full(full=is_full)
