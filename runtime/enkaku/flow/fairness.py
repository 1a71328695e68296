"""Fairness: how long a task, or the messages of one peer, may keep other tasks from running.

A task whose sends never wait would not let the event loop run any other task, and neither would a reader whose items are always
there already. Each yields after ``STREAK`` items. The handlers of a server share one count: a thousand streams would
otherwise send a thousand times as many items between two iterations of the event loop as one does.

One read may bring a hundred thousand messages, if a peer sends lines of two bytes. ``TimeSlices`` handles them in slices
of ``SLICE`` seconds, one in each iteration of the event loop, and reading is paused meanwhile. A message whose value took long
to read ends a slice, however few they are. The connections of an event loop share the slice, and take turns: a thousand
connections cannot hold the loop for longer than one.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from time import monotonic
from typing import Any, Final, Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

__all__ = ["CHUNK", "SLICE", "STREAK", "Fairness", "Sliced", "TimeSlices", "free"]

STREAK: Final = 64
"""How many items a task may send or take without yielding."""


class Fairness:
    """Counts the items that are sent without waiting, and yields to other tasks in time.

    Args:
        streak: How many items may be sent without yielding.

    Attributes:
        left: How many of them may still be sent.
    """

    __slots__ = ("_streak", "left")

    def __init__(self, streak: int = STREAK) -> None:
        self._streak: Final = streak
        self.left = streak

    async def yield_if_due(self) -> None:
        """Let other tasks run, if as many items were sent as may be."""
        if self.left <= 0:
            self.left = self._streak
            await asyncio.sleep(0)


CHUNK: Final = 64
"""How many messages are handled before the time is checked."""

SLICE: Final = 0.005
"""How many seconds the messages of large reads may take in one iteration of the event loop."""

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


def free(values: list[Any] | deque[Any]) -> None:
    """Remove values from their container, the last first: some in each iteration of the event loop, if that takes long.

    A peer can make this side hold millions of small values. To free all of them takes as long as to read them did.
    """
    ends = monotonic() + SLICE
    while values:
        values.pop()
        if monotonic() > ends:
            asyncio.get_running_loop().call_soon(free, values)
            return


class _Rotation:
    """The connections of an event loop whose messages wait. They share one slice in each iteration, in turn.

    Attributes:
        waiting: Those connections; the one that waits for longest first.
        ends: When the slice of this iteration ends; infinite if it has not begun.
    """

    def __init__(self) -> None:
        self._is_scheduled = False
        self.waiting: Final[dict[TimeSlices[Any], None]] = {}
        self.ends = inf

    def has_time(self) -> bool:
        """Return whether there is time left in this iteration; begin the slice if it has not begun."""
        now = monotonic()
        if self.ends == inf:
            self.ends = now + SLICE
            self._schedule()
        return now < self.ends

    def join(self, slices: "TimeSlices[Any]") -> None:
        """Let a connection wait for its turn."""
        self.waiting[slices] = None
        self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        """Begin an iteration."""
        self._is_scheduled = False
        self.ends = inf
        waiting = self.waiting
        for _ in range(len(waiting)):
            if not self.has_time():
                return
            slices = next(iter(waiting))
            del waiting[slices]
            slices.run()


_rotations: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Rotation]] = WeakKeyDictionary()


def _rotation_of(loop: asyncio.AbstractEventLoop) -> _Rotation:
    rotation = _rotations.get(loop)
    if rotation is None:
        rotation = _rotations[loop] = _Rotation()
    return rotation


class Sliced(Protocol[T_contra]):
    """A receiver whose messages are handled in slices of time."""

    def messages_received(self, batch: Sequence[T_contra], /) -> None:
        """Handle at most ``CHUNK`` messages; call ``TimeSlices.defer`` to handle some of them later."""

    def on_slices(self) -> None:
        """Handle that ``TimeSlices.waiting`` has changed."""


class TimeSlices(Generic[T]):
    """Handles the messages of a connection in slices of time.

    Args:
        receiver: Handles them.

    Attributes:
        waiting: Whether messages wait. Those that come meanwhile are to be added, too.
        held: Whether they wait for ``release``.
    """

    __slots__ = (
        "_batches",
        "_cleared",
        "_deferred",
        "_receiver",
        "_rotation",
        "_running",
        "_then",
        "held",
        "waiting",
    )

    def __init__(self, receiver: Sliced[T]) -> None:
        self.waiting = False
        self.held = False
        self._receiver: Final = receiver
        self._rotation: Final = _rotation_of(asyncio.get_running_loop())
        self._batches: list[Sequence[T]] = []
        self._then: Callable[[], None] | None = None
        self._running = False
        self._cleared = False
        self._deferred: Sequence[T] = ()

    def has_time(self) -> bool:
        """Return whether this iteration of the event loop has time for a message that may take long."""
        return self._rotation.has_time()

    def add(self, batch: Sequence[T]) -> None:
        """Handle messages: now, or in the slices that follow."""
        if self.waiting:
            self._batches.append(batch)
        elif self._rotation.waiting:  # others came before
            self._append(batch)
        else:
            self._append(self._run(batch))

    def defer(self, rest: Sequence[T]) -> None:
        """Handle the rest of the messages that are being handled in the next slice."""
        if self._running:
            self._deferred = rest
        else:
            self._append(rest)

    def _append(self, rest: Sequence[T]) -> None:
        if rest:
            self._batches.append(rest)
            self._wait()
            self._receiver.on_slices()

    def hold(self) -> None:
        """Handle nothing more until ``release``."""
        self.held = True

    def release(self) -> None:
        """Handle what waits, and what comes."""
        self.held = False
        if self.waiting:
            self._wait()

    def clear(self) -> None:
        """Drop the messages that wait, and the rest of those that are being handled."""
        self._batches = []
        self._cleared = self._running
        self.release()

    def end(self, then: Callable[[], None]) -> None:
        """Call a function when every message that waits was handled."""
        self._then = then

    def _wait(self) -> None:
        self.waiting = True
        if not self.held:
            self._rotation.join(self)

    def run(self) -> None:
        """Handle messages that wait, in a slice that has begun."""
        if self.held or not self.waiting:
            return
        self.waiting = False
        rest = self._run(self._batches.pop(0)) if self._batches else ()
        if rest:
            self._batches.insert(0, rest)
        if self._batches:
            self._wait()
        self._receiver.on_slices()
        if self._then is not None and not self.waiting:
            then, self._then = self._then, None
            then()

    def _run(self, batch: Sequence[T]) -> Sequence[T]:
        """Handle messages until the slice ends; return those that are left."""
        for start in range(0, len(batch), CHUNK):
            if self.held or not self._rotation.has_time():
                return batch[start:]
            self._running = True
            try:
                self._receiver.messages_received(batch[start : start + CHUNK])
            finally:
                self._running, rest, self._deferred = False, self._deferred, ()
                cleared, self._cleared = self._cleared, False
            if cleared:
                return ()
            if rest:
                return [*rest, *batch[start + CHUNK :]]
        return ()
