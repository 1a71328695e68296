"""The outbox of a transport whose messages a task sends: a queue that is full above its high-water mark."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from .write_queue import WriteQueue, WriteTimeout

__all__ = ["Outbox"]

_HIGH_WATER: Final = 64 * 1024  # bytes


class Outbox:
    """Messages that wait until a task sends them.

    Args:
        on_timeout: Called with the error when the peer reads nothing for the write timeout, while the outbox is full.

    Attributes:
        size: How many bytes wait, or are being sent.
        timeout: The write timeout; see ``WriteTimeout``.
    """

    __slots__ = ("_messages", "_queue", "_sent", "_waiter", "size", "timeout")

    def __init__(self, on_timeout: Callable[[Exception], None]) -> None:
        self.size = 0
        self._messages: list[bytes] = []
        self._sent = 0
        self._waiter: asyncio.Future[None] | None = None  # of the task that sends
        self.timeout: Final = WriteTimeout(lambda: self._sent, on_timeout)
        self._queue: Final = WriteQueue(self.timeout)

    @property
    def writable(self) -> bool:
        """Whether ``drain`` would return at once."""
        return self._queue.writable

    @property
    def waiting(self) -> bool:
        """Whether messages wait that no task sends yet."""
        return bool(self._messages)

    def put(self, messages: Iterable[bytes]) -> None:
        """Add messages."""
        for message in messages:
            self._messages.append(message)
            self.size += len(message)
        if self.size > _HIGH_WATER and self._queue.writable:
            self._queue.mark_full()
        self.wake()

    def wake(self) -> None:
        """Let ``wait`` return."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Wait until there is a message, or for ``wake``."""
        if not self._messages:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def take(self) -> list[bytes]:
        """Return the messages that wait, which the task is about to send."""
        messages, self._messages = self._messages, []
        return messages

    def sent(self, messages: Iterable[bytes]) -> None:
        """Count messages that were taken and are sent."""
        size = sum(map(len, messages))
        self.size -= size
        self._sent += size
        if self.size <= _HIGH_WATER and not self._queue.writable:
            self._queue.mark_writable()

    async def drain(self) -> None:
        """Wait until the outbox is not full; writers continue in order."""
        await self._queue.wait()

    def clear(self) -> None:
        """Drop what waits, and release all that wait."""
        self._messages = []
        self.size = 0
        self._queue.release_all()
        self.wake()
