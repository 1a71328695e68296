"""Idle timer: calls back when nothing was received for the given time.

It uses one timer, whatever the traffic: when the timer fires, it looks at the time of the last activity and starts again
for what is left.
"""

import asyncio
from collections.abc import Callable
from typing import Final

__all__ = ["Silence"]


class Silence:
    """Calls somebody when nothing was heard for so long; one timer, however much is heard.

    Args:
        on_silence: Called after each such time.

    Attributes:
        expecting: Whether anything is expected.
    """

    __slots__ = ("_heard", "_loop", "_on_silence", "_seconds", "_timer", "expecting")

    def __init__(self, on_silence: Callable[[], None]) -> None:
        self._loop: Final = asyncio.get_running_loop()
        self._on_silence = on_silence
        self._heard = self._loop.time()
        self._seconds = 0.0
        self.expecting = False
        self._timer: asyncio.TimerHandle | None = None

    def hear(self) -> None:
        """Something came, or counts as if it had."""
        if self.expecting:  # or nobody will ask
            self._heard = self._loop.time()

    def expect(self, seconds: float | None) -> None:
        """From now on, expect something every so many seconds; None expects nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.expecting = seconds is not None
        if seconds is not None:
            self._heard = self._loop.time()
            self._seconds = seconds
            self._timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        left = self._heard + self._seconds - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
            return
        self._timer = self._loop.call_later(self._seconds, self._look)
        self._on_silence()
