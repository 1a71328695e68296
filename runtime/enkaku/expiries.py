"""Deadlines of any number of things, by one timer; what ends in time costs next to nothing.

Above it: the calls of both sides. Below it: asyncio. Points in time are those of ``time.monotonic()``.
"""

import asyncio
import time
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final

__all__ = ["Expiries"]

_FEW: Final = 256  # deadlines of what has ended, which are not worth looking for
_SOON: Final = 0.001  # seconds: a timer need not be more exact


class Expiries:
    """Calls back when the time of something is over.

    A timer for each would be made and cancelled for nothing nearly every time. Here the deadlines of what has ended
    stay in a heap, as numbers, until their time comes or they are more than the others.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._keys = count(1)
        self._expire: dict[int, Callable[[], None]] = {}
        self._heap: list[tuple[float, int]] = []
        self._most = _FEW
        self._timer: asyncio.TimerHandle | None = None
        self._wakes = 0.0

    def __len__(self) -> int:
        return len(self._expire)

    def add(self, due: float, expire: Callable[[], None]) -> int:
        """Call back then; return a key, never 0, by which that is forgotten."""
        key = next(self._keys)
        self._expire[key] = expire
        heappush(self._heap, (due, key))
        if self._timer is None or due < self._wakes:
            self._wake_at(due)
        if len(self._heap) > self._most:
            self._tidy()
        return key

    def forget(self, key: int) -> None:
        """Do not call back; a key that is not known does nothing."""
        self._expire.pop(key, None)

    def close(self) -> None:
        """Call nobody back any more."""
        self._expire.clear()
        self._heap.clear()
        self._stop()

    def _wake_at(self, due: float) -> None:
        self._stop()
        self._wakes = due
        self._timer = self._loop.call_later(max(due - time.monotonic(), _SOON), self._look)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        heap, now = self._heap, time.monotonic()
        try:
            while heap and (heap[0][0] <= now or heap[0][1] not in self._expire):
                _, key = heappop(heap)
                expire = self._expire.pop(key, None)
                if expire is not None:
                    expire()
        finally:
            if self._heap and self._timer is None:
                self._wake_at(self._heap[0][0])

    def _tidy(self) -> None:
        self._heap = [entry for entry in self._heap if entry[1] in self._expire]
        heapify(self._heap)
        self._most = max(_FEW, 2 * len(self._heap))
