"""What the calls of a connection share: how much they keep unread, and whether the connection is read on.

Above it: inboxes, and both ends of a connection. Below it: asyncio.
"""

import asyncio
from collections.abc import Callable
from typing import Final

__all__ = ["ReadGate"]

_LEAST_WINDOW: Final = 4096


class ReadGate:
    """What the inboxes of a connection share: how much they hold, and whether the connection reads on.

    A peer that counts credits is held up call by call. With any other, the connection is read no further while some
    inbox is full and nobody waits for anything: the peer is slowed down by its socket. As soon as somebody waits, for
    a result or for an item of another call, reading goes on, since what he waits for may be behind the items that
    fill the inbox.

    Args:
        settle: Called when ``paused`` has changed.
        buffered: How many bytes all inboxes may hold together.
        stall: After how many seconds in which nobody took an item reading goes on all the same: the peer's
            abort, its next call or its end may be behind the items. None is never.

    Attributes:
        unread: How many bytes all inboxes hold.
        room: How many they may hold: no less than what was promised to them.
        credits: Whether the peer is known to count credits.
    """

    __slots__ = (
        "_buffered",
        "_full",
        "_paused",
        "_promised",
        "_settle_reading",
        "_stall",
        "_stalled",
        "_timer",
        "_took",
        "_waiting",
        "credits",
        "room",
        "unread",
    )

    def __init__(
        self, settle: Callable[[], None], *, buffered: int, stall: float | None = None
    ) -> None:
        self.unread = 0
        self.credits = False
        self.room = buffered
        self._settle_reading = settle
        self._buffered = buffered
        self._stall = stall
        self._promised = 0
        self._full = 0
        self._waiting = 0
        self._paused = False
        self._took = False
        self._stalled = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def paused(self) -> bool:
        """Whether nothing should be read."""
        return self._paused

    def know_credits(self) -> None:
        """The peer has shown that it counts credits."""
        if not self.credits:
            self.credits = True
            self._full = 0
            self._settle()

    def promise(self, window: int) -> int:
        """Reserve what a new call may buffer: a full window, as long as there is room for all that were promised."""
        free = (self._buffered - self._promised) // 2
        window = min(window, max(free, _LEAST_WINDOW))
        self._promised += window
        self.room = max(self._buffered, self._promised)
        return window

    def release(self, window: int) -> None:
        """A call needs what it was promised no longer."""
        self._promised -= window
        self.room = max(self._buffered, self._promised)

    def count_full(self, step: int) -> None:
        """An inbox has become full (1), or is no longer (-1)."""
        self._full += step
        self._stalled = self._stalled and self._full > 0
        self._settle()

    def count_waiting(self, step: int) -> None:
        """Somebody begins to wait for a message (1), or has ended (-1)."""
        self._waiting += step
        if self._full:
            self._settle()

    def note_taken(self) -> None:
        """Somebody has taken an item."""
        self._took = True
        if self._stalled:
            self._stalled = False
            self._settle()

    def close(self) -> None:
        """The connection is over: nothing is left to be decided."""
        self._stall = None
        self._watch()

    def _settle(self) -> None:
        paused = self._full > 0 and self._waiting == 0 and not self._stalled
        if paused != self._paused:
            self._paused = paused
            self._watch()
            self._settle_reading()

    def _watch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._paused and self._stall is not None:
            self._took = False
            self._timer = asyncio.get_running_loop().call_later(self._stall, self._look)

    def _look(self) -> None:
        self._stalled = not self._took
        self._watch()
        self._settle()
