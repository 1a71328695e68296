"""Idle timer: calls back when nothing was received for the given time.

It uses one timer, whatever the traffic: when the timer fires, it compares the time of the last activity, and waits again for
what is left of the idle time.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

__all__ = ["IdleTimer"]


class IdleTimer:
    """Calls back when nothing was received for some time.

    Args:
        on_idle: Called after each such time.

    Attributes:
        active: Whether it runs.
        last: The time of the last activity, by ``time.monotonic()``. Its owner sets it.
    """

    __slots__ = ("_loop", "_on_idle", "_seconds", "_timer", "active", "last")

    def __init__(self, on_idle: Callable[[], None]) -> None:
        self.active = False
        self.last = 0.0
        self._loop: Final = asyncio.get_running_loop()
        self._on_idle = on_idle
        self._seconds = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def restart(self, seconds: float | None) -> None:
        """Call back after so many seconds without activity, from now on; None stops."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.active = seconds is not None
        if seconds is not None:
            self.last = time.monotonic()
            self._seconds = seconds
            self._timer = self._loop.call_later(seconds, self._check)

    def _check(self) -> None:
        left = self.last + self._seconds - time.monotonic()
        if left > 0:
            self._timer = self._loop.call_later(left, self._check)
            return
        self._timer = self._loop.call_later(self._seconds, self._check)
        self._on_idle()
