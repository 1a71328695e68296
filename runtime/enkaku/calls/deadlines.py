"""Deadlines: how they are passed on, and the queue that enforces them.

The first half computes deadlines. ``deadline()`` sets one for all calls of a block, through a context variable; a
handler inherits the deadline of the call that it serves, so that the calls it makes end no later.

The second half is the deadline queue: one timer for all open calls of a connection, or of a server. A timer per call
would nearly always be created and cancelled for nothing. Calls with equal timeouts come in the order of their deadlines,
so they stand in a dictionary; only a call that is due before the last of them goes to a heap.

All points in time are those of ``time.monotonic()``.
"""

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from heapq import heapify, heappop, heappush
from math import inf
from typing import Final, Protocol

from enkaku._checks import require_seconds

__all__ = [
    "Expiries",
    "Expiring",
    "deadline",
    "due",
    "due_after",
    "due_within",
    "left",
    "passed",
    "set_due",
]

_due: Final[ContextVar[float | None]] = ContextVar("enkaku_deadline", default=None)


@contextmanager
def deadline(seconds: float | None) -> Generator[None, None, None]:
    """Bound all calls that are made in the block, together.

    Each of them tells the server how much time is left; one that has not ended by then ends with
    ``DeadlineExceeded``. What else the block waits for is not bounded: that is what ``asyncio.timeout()`` is for. A
    block inside of another can only shorten its time.

    Args:
        seconds: How long the calls may take. None makes the block free of a deadline from outside, for work that shall
            outlive the call which starts it. 0 or less is over already: nothing is sent.

    Raises:
        UsageError: It is no time.
    """
    require_seconds("a deadline", seconds, optional=True, least=None)
    token = _due.set(None if seconds is None else due_within(seconds))
    try:
        yield
    finally:
        _due.reset(token)


def due() -> float | None:
    """Return when the calls of this task have to be over, or None."""
    return _due.get()


def due_within(seconds: float | None) -> float | None:
    """Return when a call has to be over that may take so long itself."""
    outer = _due.get()
    if seconds is None:
        return outer
    own = time.monotonic() + seconds
    return own if outer is None else min(own, outer)


def due_after(seconds: float | None, at_most: float | None = None) -> float | None:
    """Return when the first of two spans of time is over; None is for ever."""
    if seconds is None or (at_most is not None and at_most < seconds):
        seconds = at_most
    return None if seconds is None else time.monotonic() + seconds


def left(at: float) -> float:
    """Return how many seconds are left; not less than 0."""
    return max(0.0, at - time.monotonic())


def passed(at: float) -> bool:
    """Tell whether no time is left."""
    return at <= time.monotonic()


def set_due(at: float | None) -> None:
    """Give the running task, which serves a call, the deadline of that call."""
    _due.set(at)


_FEW: Final = 64  # deadlines of what has ended, which are not worth looking for
_SOON: Final = 0.001  # seconds: a timer need not be more exact


class Expiring(Protocol):
    """What has a deadline. It is told apart from others by what it is, not by what it equals."""

    def expire(self) -> None:
        """Its time is over."""


class Expiries:
    """Tells things that their time is over.

    A timer for each would be made and cancelled for nothing nearly every time. Most things have as long as the one
    before had: they stand in a queue, in the order of their deadlines. Those that are due before the last one in
    the queue go to a heap, where the deadlines of what has ended stay, as numbers, until their time comes or they
    are more than the others.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: dict[Expiring, float] = {}
        self._latest = -inf
        self._early: dict[int, tuple[float, Expiring]] = {}  # by id
        self._heap: list[tuple[float, int]] = []
        self._most = _FEW
        self._timer: asyncio.TimerHandle | None = None
        self._wakes = inf

    def __len__(self) -> int:
        return len(self._queue) + len(self._early)

    def add(self, due: float, thing: Expiring) -> None:
        """Tell it then."""
        if due < self._wakes:
            self._wake_at(due)
        if due > self._latest or not self._queue:
            self._latest = due
        elif due < self._latest - _SOON:
            self._add_early(due, thing)
            return
        self._queue[thing] = due

    def forget(self, thing: Expiring) -> None:
        """Do not tell it; what was not added does nothing."""
        if thing in self._queue:
            del self._queue[thing]
        elif self._early:
            self._early.pop(id(thing), None)

    def close(self) -> None:
        """Tell nobody any more."""
        self._queue.clear()
        self._early.clear()
        self._heap.clear()
        self._stop()

    def _add_early(self, due: float, thing: Expiring) -> None:
        self._early[id(thing)] = due, thing
        heappush(self._heap, (due, id(thing)))
        if len(self._heap) > self._most:
            self._heap = [entry for entry in self._heap if self._is_there(entry)]
            heapify(self._heap)
            self._most = max(_FEW, 2 * len(self._heap))

    def _is_there(self, entry: tuple[float, int]) -> bool:
        due, key = entry
        found = self._early.get(key)
        return (
            found is not None and found[0] == due
        )  # or it is another, in the same place of memory

    def _wake_at(self, due: float) -> None:
        self._stop()
        self._wakes = due
        self._timer = self._loop.call_later(max(due - time.monotonic(), _SOON), self._look)

    def _stop(self) -> None:
        self._wakes = inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._stop()
        now = time.monotonic()
        try:
            self._look_at_queue(now)
            self._look_at_heap(now)
        finally:
            # Where one has raised, the others are looked at again.
            first = next(iter(self._queue.values()), inf)
            if self._heap:
                first = min(first, self._heap[0][0])
            if first < self._wakes:
                self._wake_at(first)

    def _look_at_queue(self, now: float) -> None:
        over: list[Expiring] = []
        for thing, due in self._queue.items():
            if due > now:
                break
            over.append(thing)
        for thing in over:
            if self._queue.pop(thing, None) is not None:  # it is not, if one before has ended it
                thing.expire()

    def _look_at_heap(self, now: float) -> None:
        heap = self._heap
        while heap and (heap[0][0] <= now or not self._is_there(heap[0])):
            entry = heappop(heap)
            if self._is_there(entry):
                self._early.pop(entry[1])[1].expire()
