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
from typing import Final, Protocol

from enkaku.errors import CallClosed, ConnectionLost

from .overflow import WhenFull

__all__ = ["EARLY", "Outbox", "Sender", "Window"]

EARLY: Final = 64 * 1024
"""What a sender may send before it knows whether its peer supports flow control, in bytes: few enough for any receiver."""


_UNLIMITED: Final = 1 << 62  # bytes


class Sender(Protocol):
    """A call that sends items, as its window sees it."""

    def takes_items(self) -> bool:
        """Return whether items may still be sent."""
        ...

    async def drain(self) -> None:
        """Wait until the transport is writable."""

    async def wait_for_credit(self) -> None:
        """Wait until the window has changed, or the call no longer takes items."""


class Window:
    """How many bytes of a call's items may still be sent.

    Args:
        granted: How many bytes the peer is ready to buffer; None where it does not support flow control: there is no limit.
        certain: Whether the peer has said so, or this is what may be sent until it does.

    Attributes:
        free: How many bytes may be sent now; negative after an item that was larger than the window.
        certain: Whether the peer has said what it buffers, or is known not to support flow control.
        reserving: How many senders wait; no other may overtake them.
    """

    __slots__ = ("_lock", "_size", "_waiters", "certain", "free", "reserving")

    def __init__(self, granted: int | None, *, certain: bool = True) -> None:
        self.free = _UNLIMITED if granted is None else granted
        self.certain = certain
        self.reserving = 0
        self._size = self.free  # what is free when nothing is outstanding
        self._lock: asyncio.Lock | None = None  # until a sender has to wait
        self._waiters: deque[asyncio.Future[None]] = deque()

    def fits(self, size: int) -> bool:
        """Return whether an item may be sent now. One larger than the window may if nothing is outstanding."""
        return size <= self.free or self.free >= self._size

    def take_together(self, size: int, items: int) -> bool:
        """Count some items as sent if they may be sent now without overtaking another sender; return whether they may."""
        # Only a single item may be larger than the window.
        if self.reserving or (size > self.free and (items > 1 or not self.fits(size))):
            return False
        self.free -= size
        return True

    def grant(self, size: int) -> None:
        """Add what the peer has granted: first how much it buffers, then how much was taken out of that."""
        if self._size == _UNLIMITED or not self.certain:
            sent = self._size - self.free
            self._size, self.free, self.certain = size, size - sent, True
        else:
            self.free += size
        self.wake()

    def lift(self) -> None:
        """Remove the limit: the peer does not support flow control, and only the transport slows the sender down."""
        sent = self._size - self.free
        self._size, self.free, self.certain = _UNLIMITED, _UNLIMITED - sent, True
        self.wake()

    async def reserve(self, size: int, sender: Sender) -> None:
        """Wait until an item may be sent, or the call takes no more; then send it before anything else is awaited.

        Senders wait in the order in which they came: small items would take all the credit that a large one waits for.
        """
        if self._lock is None:
            self._lock = asyncio.Lock()
        self.reserving += 1
        try:
            async with self._lock:
                while sender.takes_items():
                    # Wait for credit first: an await between the check above and this wait would lose the wake-up.
                    if not self.fits(size):
                        await sender.wait_for_credit()
                        continue
                    await sender.drain()
                    if self.fits(size):
                        break
        finally:
            self.reserving -= 1

    async def wait(self) -> None:
        """Wait for the next ``wake``. Who waits longest is woken first."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def wake(self) -> None:
        """Wake all that wait: something was granted, or the call takes no more items."""
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
