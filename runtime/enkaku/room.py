"""Room for more bytes on a connection, and the queue of those who wait for it.

Above it: the transports. Below it: asyncio.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

__all__ = ["Room"]

_AT_ONCE: Final = 8  # writers that are woken together: each may write before there is no room again


class Room:
    """Says whether a writer may go on; those who may not wait in a queue, and leave it in order."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._full = False
        self._queue: deque[asyncio.Future[None]] = deque()
        self._waking = False

    @property
    def full(self) -> bool:
        """Whether there is no room."""
        return self._full

    def fill(self) -> None:
        """There is no room any more."""
        self._full = True

    def clear(self) -> None:
        """There is room again."""
        self._full = False
        if self._queue and not self._waking:
            self._wake()

    def give_up(self) -> None:
        """There will never be room: let everybody go, at once."""
        self._full = False
        while self._queue:
            self._wake_one()

    async def wait(self) -> None:
        """Return once there is room: at once if there is some, else when it is this one's turn."""
        if not self._full:
            return
        turn: asyncio.Future[None] = self._loop.create_future()
        self._queue.append(turn)
        try:
            await turn
        finally:
            with suppress(ValueError):  # the usual case: whoever was woken is in the queue no more
                self._queue.remove(turn)

    def _wake(self) -> None:
        # A few in each turn of the event loop: woken all at once, a thousand writers would write a thousand
        # items where there is room for one.
        self._waking = False
        for _ in range(_AT_ONCE):
            if self._full or not self._queue:
                return
            self._wake_one()
        if self._queue:
            self._waking = True
            self._loop.call_soon(self._wake)

    def _wake_one(self) -> None:
        turn = self._queue.popleft()
        if not turn.done():
            turn.set_result(None)
