"""Send windows: how many bytes of a call's items may still be sent, and a queue for items that may be dropped.

The peer grants bytes (``credit``); ``Window`` counts what was granted and sent. A sender without credit waits for the next
grant, in the order of arrival, so that small items cannot starve a large one. One item larger than the whole window is sent
when nothing else is outstanding. Before the first grant, a client may send a little to a server whose support for flow
control it does not know yet.

``SendBuffer`` keeps the items of a handler that drops items rather than wait (``when_full``).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from enkaku.errors import CallClosed, ConnectionLost

from .overflow import BoundedQueue, WhenFull

__all__ = ["EARLY", "SendBuffer", "Sender", "Window"]

EARLY: Final = 64 * 1024
"""How many bytes a sender may send before it knows whether its peer supports flow control: few enough for any receiver."""


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
        self._waiters: list[asyncio.Future[None]] | None = None  # as long as none waits

    def fits(self, size: int) -> bool:
        """Return whether an item may be sent now. One larger than the window may if nothing is outstanding."""
        return size <= self.free or self.free >= self._size

    def fit(self, size: int, items: int) -> bool:
        """Return whether some items, of so many bytes together, may be sent now without overtaking another sender."""
        # Only a single item may be larger than the window.
        return not self.reserving and (size <= self.free or (items == 1 and self.fits(size)))

    def grant(self, size: int) -> None:
        """Add what the peer has granted: first how much it buffers, then how much was taken out of that."""
        if self._size == _UNLIMITED or not self.certain:
            sent = self._size - self.free
            self._size, self.free, self.certain = size, size - sent, True
        else:
            self.free += size
        self.wake()

    def make_unlimited(self) -> None:
        """Remove the limit: the peer does not support flow control, so only the transport slows the sender down."""
        sent = self._size - self.free
        self._size, self.free, self.certain = _UNLIMITED, _UNLIMITED - sent, True
        self.wake()

    async def reserve(self, size: int, sender: Sender) -> None:
        """Wait until an item may be sent, or the call takes no more. The caller sends it before it awaits anything else.

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
        """Wait for the next ``wake``. The task that has waited longest is woken first."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._waiters = self._waiters or []
        waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in waiters:
                waiters.remove(waiter)

    def wake(self) -> None:
        """Wake all senders that wait: bytes were granted, or the call takes no more items."""
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)


class SendBuffer:
    """The messages of a handler that drops items rather than wait (``when_full``): a queue, and a task that sends from it.

    Args:
        reserve: Waits until a message of so many bytes may be sent.
        write: Sends a message.
        capacity: How many bytes are kept at most.
        on_drop: Called with the number of messages that were dropped.
    """

    def __init__(
        self,
        reserve: Callable[[int], Awaitable[None]],
        write: Callable[[bytes], None],
        *,
        capacity: int,
        on_drop: Callable[[int], None],
    ) -> None:
        self._reserve: Final = reserve
        self._write: Final = write
        self._on_drop: Final = on_drop
        self._queue: Final = BoundedQueue[bytes](capacity)
        self._sending: asyncio.Task[None] | None = None

    @property
    def empty(self) -> bool:
        """Whether every message was sent or dropped."""
        return self._sending is None or self._sending.done()

    def put(self, message: bytes, when_full: WhenFull) -> None:
        """Add a message; drop older ones as the policy says."""
        size = len(message)
        self._drop(self._queue.drop_for(size, when_full))
        self._queue.append(message, size)
        if self.empty:
            self._sending = asyncio.get_running_loop().create_task(self._send())

    async def flush(self) -> None:
        """Wait until it is empty."""
        if self._sending is not None:
            await asyncio.shield(self._sending)

    async def close(self) -> None:
        """Drop what was not sent."""
        self._drop(self._queue.clear())
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait({self._sending})

    async def _send(self) -> None:
        try:
            while self._queue.items:
                _, size = self._queue.items[0]
                await self._reserve(size)
                # Meanwhile a newer message may have replaced it. One that is larger has to reserve more.
                if self._queue.items[0][1] <= size:
                    self._write(self._queue.pop()[0])
        except (CallClosed, ConnectionLost):
            self._drop(self._queue.clear())

    def _drop(self, count: int) -> None:
        if count:
            self._on_drop(count)
