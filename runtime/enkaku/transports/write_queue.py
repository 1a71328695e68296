"""Write queue and write timeout of a transport.

``WriteQueue`` suspends writers while the write buffer is above its high-water mark. Waiting writers continue in the order of
arrival, a few in each event-loop iteration: if a thousand continued at once, each would write an item, and the buffer
would exceed its mark a thousandfold.

``WriteTimeout`` ends a connection whose peer reads nothing while writers wait. It compares the number of sent bytes a few
times within the timeout. So one timer is enough, and nothing is counted per write.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

__all__ = ["Sending", "WriteQueue", "WriteTimeout"]

_BATCH: Final = (
    8  # writers per iteration: each may write before the buffer is known to be full again
)
_CHECKS: Final = 4  # per timeout: a peer gets at most one check interval more than its timeout


class Sending(Protocol):
    """The transport, or its part that sends, as the write timeout sees it."""

    def count_sent(self) -> int:
        """Return the number of bytes sent so far, up to a constant offset."""
        ...

    def on_write_timeout(self, error: Exception) -> None:
        """End the connection with this error: the peer reads nothing."""


class WriteQueue:
    """Suspends writers while a transport is not writable, and resumes them in order.

    Args:
        sending: What the write timeout watches; None means no timeout.

    Attributes:
        unread_time: The write timeout, in seconds; None means no timeout.
        writable: Whether ``wait`` would return at once.
    """

    __slots__ = (
        "_loop",
        "_queue",
        "_sending",
        "_waking",
        "_write_timeout",
        "unread_time",
        "writable",
    )

    def __init__(self, sending: Sending | None = None) -> None:
        self._sending = sending
        self._loop = asyncio.get_running_loop()
        self.unread_time: float | None = None
        self.writable = True
        self._write_timeout: WriteTimeout | None = None  # while it is not writable
        # None until a writer waits: most connections never need the queue.
        self._queue: OrderedDict[asyncio.Future[None], None] | None = None
        self._waking = False

    def mark_full(self) -> None:
        """Suspend writers from now on: the write buffer is above its high-water mark."""
        self.writable = False
        sending = self._sending
        if self._write_timeout is None and sending is not None:
            self._write_timeout = WriteTimeout(sending.count_sent, sending.on_write_timeout)
            self._write_timeout.seconds = self.unread_time
        if self._write_timeout is not None:
            self._write_timeout.start()

    def mark_writable(self) -> None:
        """Resume writers, a few in each event-loop iteration."""
        self._set_writable()
        if self._queue and not self._waking:
            self._wake()

    def release_all(self) -> None:
        """Resume all writers at once: the connection has ended, and each of them raises."""
        self._set_writable()
        while self._queue:
            self._wake_one(self._queue)

    async def wait(self) -> None:
        """Wait until the transport is writable, and until earlier writers have continued."""
        if self.writable:
            return
        if self._queue is None:
            self._queue = OrderedDict()
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._queue[waiter] = None
        try:
            await waiter
        finally:
            # Usually removed before it was woken; a cancelled writer removes itself.
            self._queue.pop(waiter, None)

    def _set_writable(self) -> None:
        self.writable = True
        if self._write_timeout is not None:
            self._write_timeout.stop()
            self._write_timeout = None

    def _wake(self) -> None:
        self._waking = False
        for _ in range(_BATCH):
            if not self.writable or not self._queue:
                return
            self._wake_one(self._queue)
        if self._queue:
            self._waking = True
            self._loop.call_soon(self._wake)

    def _wake_one(self, queue: OrderedDict[asyncio.Future[None], None]) -> None:
        waiter, _ = queue.popitem(last=False)
        if not waiter.done():
            waiter.set_result(None)


class WriteTimeout:
    """Reports a peer that reads nothing while the write buffer is full. It has no timer while it is stopped.

    Args:
        count_sent: Returns the number of bytes sent so far, up to a constant offset.
        on_timeout: Called once, with the error, when no byte was sent for the timeout; at most a quarter of it later.

    Attributes:
        seconds: The timeout; None means no timeout.
    """

    __slots__ = (
        "_count_sent",
        "_idle_checks",
        "_on_timeout",
        "_sent",
        "_timer",
        "seconds",
    )

    def __init__(
        self, count_sent: Callable[[], int], on_timeout: Callable[[Exception], None]
    ) -> None:
        self.seconds: float | None = None
        self._count_sent = count_sent
        self._on_timeout = on_timeout
        self._sent = 0
        self._idle_checks = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start the timer unless it runs."""
        if self._timer is None and self.seconds is not None:
            self._sent, self._idle_checks = self._count_sent(), 0
            self._schedule_check(self.seconds)

    def stop(self) -> None:
        """Stop the timer if it runs."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule_check(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds / _CHECKS, self._check, seconds)

    def _check(self, seconds: float) -> None:
        before, self._sent = self._sent, self._count_sent()
        self._idle_checks = self._idle_checks + 1 if self._sent == before else 0
        if self._idle_checks < _CHECKS:
            self._schedule_check(seconds)
        else:
            self._timer = None
            self._on_timeout(
                TimeoutError(f"write timeout: the peer read nothing for {seconds:g} s")
            )
