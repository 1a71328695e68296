"""Deadlines: how long the calls that a task makes may still take, and what a handler inherits.

Above it: the calls of both sides. Below it: what looks at times. Points in time are those of ``time.monotonic()``.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from .usage import require_seconds

__all__ = ["deadline", "due", "due_after", "due_within", "left", "passed", "set_due"]

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
