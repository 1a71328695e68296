"""A sender's view of its peer's buffer: how much of a call's items may still be sent.

Above it: the calls of both sides. Below it: asyncio.
"""

import asyncio
from collections import deque
from typing import Final

__all__ = ["EARLY", "Window"]

EARLY: Final = 64 * 1024
"""What a sender may send before it knows whether its peer counts credits, in bytes; no receiver minds so much."""


class Window:
    """The credit of one call in one direction: what the peer has granted, and what was sent of it.

    Args:
        granted: How many bytes the peer is ready to buffer; None where it does not count: there is no limit.
        certain: Whether the peer has said so, or this is what may be sent until it does.

    """

    __slots__ = ("_certain", "_granted", "_returned", "_sent", "_turn", "_waiters")

    def __init__(self, granted: int | None, *, certain: bool = True) -> None:
        self._turn: asyncio.Lock | None = None  # until somebody has to wait
        self._granted = granted
        self._certain = certain
        self._sent = 0
        self._returned = 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def certain(self) -> bool:
        """Whether the peer has said what it buffers, or is known not to count."""
        return self._certain

    def fits(self, size: int) -> bool:
        """Tell whether an item may be sent now. One that no window would hold goes when nothing is outstanding."""
        if self._granted is None:
            return True
        return size <= self._granted - self._sent or self._sent <= self._returned

    @property
    def turn(self) -> asyncio.Lock:
        """Held by who waits for room.

        Those who come later wait for it behind him: small items would take all the room that a large one waits for.
        """
        if self._turn is None:
            self._turn = asyncio.Lock()
        return self._turn

    def take_now(self, size: int, items: int = 1) -> bool:
        """Count an item, or some together, as sent if that may be now without overtaking one that waits, and say so."""
        turn, granted = self._turn, self._granted
        if turn is not None and turn.locked():
            return False
        if (
            granted is not None
            and size > granted - self._sent
            and (items > 1 or not self.fits(size))
        ):
            return False  # only a single item may be larger than the window
        self._sent += size
        return True

    def take(self, size: int) -> None:
        """An item was sent."""
        self._sent += size

    def grant(self, size: int) -> None:
        """The peer grants so many bytes: its first grant says how much it buffers, each other one what it has taken."""
        if self._granted is None or not self._certain:
            self._granted, self._certain = size, True
        else:
            self._granted += size
            self._returned += size
        self._wake()

    def lift(self) -> None:
        """The peer does not count: there is no limit but that of its socket."""
        self._granted, self._certain = None, True
        self._wake()

    def end(self) -> None:
        """The call is over: nobody need wait any longer."""
        self._wake()

    async def wait(self) -> None:
        """Wait until something has changed: a grant, or the end. Who waits longest is woken first."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, deque()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
