"""Deadlines: how they are passed on, and the timer that enforces them.

``deadline()`` sets one for all calls of a block. A handler inherits the deadline of the call that it serves, so that the calls
that it makes end no later. Both are kept in one context variable, which leads from the innermost scope outwards.

One timer enforces the deadlines of all open calls of a connection, or of a server. A timer per call would nearly always be
created and cancelled for nothing. Instead, the timer is set for the earliest known deadline. When it fires, all calls that are
open then are checked, and it is set for the earliest of their deadlines. With default timeouts that is once a minute.

All points in time are those of ``time.monotonic()``.
"""

import asyncio
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from typing import Final, Protocol

from enkaku._checks import require_seconds
from enkaku.flow.fairness import SLICE

__all__ = [
    "Block",
    "Deadlines",
    "HasDeadline",
    "Scope",
    "deadline",
    "due_after",
    "due_within",
    "left",
    "passed",
    "scope",
]

_LEAST_WAIT: Final = 0.001  # seconds: a timer need not be more exact
_LEAST_PAUSE: Final = 0.01  # seconds between two checks of all open calls


class Scope(Protocol):
    """What limits the calls of a task: a ``deadline()`` block, or the call that the task serves."""

    def limit(self) -> float | None:
        """Return their deadline; None without one."""
        ...

    def give_up_place(self, connection: object) -> Callable[[object], None] | None:
        """Need no place among the handlers while the task waits for a call on a connection.

        Returns:
            What takes the place back, with any argument; None if the task serves no call of that connection.
        """
        ...


class Block:
    """The scope of a ``deadline()``.

    Attributes:
        outer: The scope around it.
    """

    __slots__ = ("_due", "outer")

    def __init__(self, due: float | None, outer: Scope | None) -> None:
        self._due: Final = due
        self.outer: Final = outer

    def limit(self) -> float | None:
        """Return the deadline of the calls in it: the earlier of its own and the outer one; None without one."""
        if self._due is None:
            return None
        outer = None if self.outer is None else self.outer.limit()
        return self._due if outer is None else min(self._due, outer)

    def give_up_place(self, connection: object) -> Callable[[object], None] | None:
        """Give up the place of the outer scope."""
        return None if self.outer is None else self.outer.give_up_place(connection)


scope: Final[ContextVar[Scope | None]] = ContextVar("enkaku_scope", default=None)
"""The innermost scope of the running task."""


@contextmanager
def deadline(seconds: float | None) -> Generator[None, None, None]:
    """Set one deadline for all calls that are made in the block.

    Each call tells the server how much time is left, and ends with ``DeadlineExceeded`` if it has not ended in time.
    Other waits in the block have no deadline: use ``asyncio.timeout()`` for them. A nested block can only shorten the
    time.

    Args:
        seconds: How long the calls may take together. None removes the deadline that is set outside, for work that
            outlives the call which starts it. With 0 or less, calls fail before anything is sent.

    Raises:
        UsageError: ``seconds`` is no time.
    """
    require_seconds("a deadline", seconds, optional=True, least=None)
    due = None if seconds is None else time.monotonic() + seconds
    token = scope.set(Block(due, scope.get()))
    try:
        yield
    finally:
        scope.reset(token)


def due_within(now: float, seconds: float | None) -> float | None:
    """Return the deadline of a call with a timeout of its own; None is none."""
    block = scope.get()
    outer = None if block is None else block.limit()
    if seconds is None:
        return outer
    own = now + seconds
    return own if outer is None else min(own, outer)


def due_after(now: float, seconds: float | None, at_most: float | None = None) -> float | None:
    """Return the point in time after the shorter of two times; None is no limit."""
    if seconds is None or (at_most is not None and at_most < seconds):
        seconds = at_most
    return None if seconds is None else now + seconds


def left(at: float) -> float:
    """Return how many seconds are left; not less than 0."""
    return max(0.0, at - time.monotonic())


def passed(at: float) -> bool:
    """Return whether no time is left."""
    return at <= time.monotonic()


class HasDeadline(Protocol):
    """An open call, as the timer sees it."""

    @property
    def due(self) -> float | None:
        """Its deadline."""
        ...

    def on_deadline(self) -> None:
        """End, since the deadline has passed."""


class Deadlines:
    """Ends open calls at their deadlines.

    Args:
        list_calls: Returns the open calls. A call that ``on_deadline`` has ended must no longer be among them.

    Attributes:
        wakes: When the timer fires. ``wake_at`` need not be called for a deadline that is not earlier.
    """

    __slots__ = ("_checked_at", "_list_calls", "_loop", "_timer", "wakes")

    def __init__(self, list_calls: Callable[[], Iterable[HasDeadline]]) -> None:
        self.wakes = inf
        self._loop: Final = asyncio.get_running_loop()
        self._list_calls = list_calls
        self._checked_at = -inf
        self._timer: asyncio.TimerHandle | None = None

    def wake_at(self, due: float) -> None:
        """Set the timer to this time, which is earlier than ``wakes``."""
        self._stop()
        self.wakes = due
        now = time.monotonic()
        at = max(due, now + _LEAST_WAIT, self._checked_at + _LEAST_PAUSE)
        self._timer = self._loop.call_later(at - now, self._check)

    def close(self) -> None:
        """Stop the timer for good."""
        self._stop()
        self.wakes = -inf

    def _stop(self) -> None:
        self.wakes = inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._stop()
        now = self._checked_at = time.monotonic()
        first = now  # check again soon, if one of the calls raises
        try:
            first = self._end_late(now)
        finally:
            if first < self.wakes:
                self.wake_at(first)

    def _end_late(self, now: float) -> float:
        """End the calls whose deadlines have passed; return the earliest deadline of the others.

        If many have passed, it ends as many of them as there is time for in one iteration of the event loop.
        """
        first, ends = inf, now + SLICE
        for call in tuple(self._list_calls()):
            due = call.due
            if due is None:
                continue
            if due <= now:
                call.on_deadline()
                if time.monotonic() > ends:
                    return now
            elif due < first:
                first = due
        return first
