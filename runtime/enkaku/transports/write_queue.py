"""Write queue: whether a transport is writable, which writers wait, and how long the peer may read nothing.

A transport above its high-water mark is not writable. Waiting writers are woken in the order of arrival, a few in each
event-loop iteration: a thousand at once would write a thousand items where there is space for one.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

__all__ = ["Room", "Unread"]

_AT_ONCE: Final = 8  # writers that are woken together: each may write before there is no room again
_LOOKS: Final = 4  # in the time that a peer may read nothing: the more, the less it gets beyond it


class Room:
    """Says whether a writer may go on; those who may not wait in a queue, and leave it in order.

    Args:
        unread: Gives the peer up if there is no room for long; None waits for ever.

    Attributes:
        full: Whether there is no room.
    """

    __slots__ = (
        "_loop",
        "_queue",
        "_unread",
        "_waking",
        "full",
    )

    def __init__(self, unread: "Unread | None" = None) -> None:
        self._unread = unread
        self._loop = asyncio.get_running_loop()
        self.full = False
        self._queue: OrderedDict[asyncio.Future[None], None] | None = None  # until somebody waits
        self._waking = False

    def fill(self) -> None:
        """There is no room any more."""
        self.full = True
        if self._unread is not None:
            self._unread.watch()

    def clear(self) -> None:
        """There is room again."""
        self._have_room()
        if self._queue and not self._waking:
            self._wake()

    def give_up(self) -> None:
        """There will never be room: let everybody go, at once."""
        self._have_room()
        while self._queue:
            self._wake_one(self._queue)

    async def wait(self) -> None:
        """Return once there is room: at once if there is some, else when it is this one's turn."""
        if not self.full:
            return
        if self._queue is None:
            self._queue = OrderedDict()
        turn: asyncio.Future[None] = self._loop.create_future()
        self._queue[turn] = None
        try:
            await turn
        finally:
            self._queue.pop(turn, None)  # as a rule, whoever was woken is in the queue no more

    def _have_room(self) -> None:
        self.full = False
        if self._unread is not None:
            self._unread.rest()

    def _wake(self) -> None:
        # A few in each turn of the event loop: woken all at once, a thousand writers would write a thousand
        # items where there is room for one.
        self._waking = False
        for _ in range(_AT_ONCE):
            if self.full or not self._queue:
                return
            self._wake_one(self._queue)
        if self._queue:
            self._waking = True
            self._loop.call_soon(self._wake)

    def _wake_one(self, queue: OrderedDict[asyncio.Future[None], None]) -> None:
        turn, _ = queue.popitem(last=False)
        if not turn.done():
            turn.set_result(None)


class Unread:
    """Gives a peer up that reads nothing of what waits for it; looks a few times in the time, and only while told to.

    Args:
        count_left: Tells how many bytes have left so far, give or take a constant.
        give_up: Called with what to say, once, when none have left for the time, or for a quarter more.

    Attributes:
        seconds: The time; None is for ever.
    """

    __slots__ = (
        "_count_left",
        "_give_up",
        "_left",
        "_timer",
        "_vain",
        "seconds",
    )

    def __init__(self, count_left: Callable[[], int], give_up: Callable[[Exception], None]) -> None:
        self.seconds: float | None = None
        self._count_left = count_left
        self._give_up = give_up
        self._left = 0
        self._vain = 0
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Something waits, and there is no room for more; may be repeated."""
        if self._timer is None and self.seconds is not None:
            self._left, self._vain = self._count_left(), 0
            self._look_after(self.seconds)

    def rest(self) -> None:
        """There is room again, or nobody to read; may be repeated."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_after(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds / _LOOKS, self._look, seconds)

    def _look(self, seconds: float) -> None:
        before, self._left = self._left, self._count_left()
        self._vain = self._vain + 1 if self._left == before else 0
        if self._vain < _LOOKS:
            self._look_after(seconds)
        else:
            self._timer = None
            self._give_up(
                TimeoutError(f"the peer has read nothing of what waits for it for {seconds:g} s")
            )
