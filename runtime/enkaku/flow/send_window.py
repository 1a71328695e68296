"""Send windows: how many bytes of a call's items may still be sent, and a queue for items that may be dropped.

The peer grants bytes (``credit``); ``Window`` counts what was granted and sent. A sender without credit waits for the next
grant, in the order of arrival, so that small items cannot starve a large one. One item larger than the whole window is sent
when nothing else is outstanding. Before the first grant, a client may send a little to a server whose support for flow
control it does not know yet.

``Outbox`` buffers the items of a handler that would rather drop items than wait (``when_full``).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from enkaku.errors import CallClosed, ConnectionLost

from .overflow import WhenFull

__all__ = ["EARLY", "Outbox", "Window"]

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


class Outbox:
    """Lines of one call that wait for room, in the order in which they were given.

    Args:
        wait: Waits until a line of so many bytes may be sent.
        write: Sends a line.
        size: How many bytes are kept at the most.
        on_drop: Told how many lines were dropped.
    """

    def __init__(
        self,
        wait: Callable[[int], Awaitable[None]],
        write: Callable[[bytes], None],
        *,
        size: int,
        on_drop: Callable[[int], None],
    ) -> None:
        self._wait: Final = wait
        self._write: Final = write
        self._limit: Final = size
        self._on_drop: Final = on_drop
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._pump: asyncio.Task[None] | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return self._pump is None or self._pump.done()

    def put(self, line: bytes, when_full: WhenFull) -> None:
        """Add a line; drop older ones, or all of them (``"latest"``), to make room for it."""
        dropped = 0
        while self._lines and (when_full == "latest" or self._size + len(line) > self._limit):
            self._size -= len(self._lines.popleft())
            dropped += 1
        self._lines.append(line)
        self._size += len(line)
        if dropped:
            self._on_drop(dropped)
        if self.empty:
            self._pump = asyncio.get_running_loop().create_task(self._run())

    async def flush(self) -> None:
        """Wait until nothing is left to be sent."""
        if self._pump is not None:
            await asyncio.shield(self._pump)

    async def close(self) -> None:
        """Send nothing more; what still waits is dropped."""
        if self._lines:
            self._on_drop(len(self._lines))
            self._lines.clear()
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait({self._pump})

    async def _run(self) -> None:
        try:
            while self._lines:
                size = len(self._lines[0])
                await self._wait(size)
                # Another line may have taken its place meanwhile; only what goes now can no longer be dropped.
                if len(self._lines[0]) <= size:
                    line = self._lines.popleft()
                    self._size -= len(line)
                    self._write(line)
        except (CallClosed, ConnectionLost):
            self._on_drop(len(self._lines))
            self._lines.clear()
