"""The ordered messages of a client to the calls of one feed: one POST at a time carries them.

Each POST waits for the answer of the one before, so that messages arrive in order. To a server of this library, a POST is a batch:
the messages that were written while the last one was on its way, one a line. To others, it is one message.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Final, NamedTuple

__all__ = ["Outbox", "Written"]


class Written(NamedTuple):
    """A message that waits to be sent.

    Attributes:
        rid: The id of its call.
        message: The encoded message.
    """

    rid: str
    message: bytes


class Outbox:
    """Sends messages in order, in batches.

    Args:
        post: Sends the messages of one POST, and handles its answer. It does not raise.
        spawn: Starts a task, which the transport owns.
        on_change: Called with the change of the number of bytes that wait, when messages leave.
        limit: How many bytes of messages a batch may have; 0 for a server that takes one message in a POST.

    Attributes:
        limit: How many bytes of messages a batch may have; a larger message goes alone.
    """

    def __init__(
        self,
        post: Callable[[Sequence[Written]], Coroutine[None, None, None]],
        spawn: Callable[[Coroutine[None, None, None]], asyncio.Task[None]],
        on_change: Callable[[int], None],
        *,
        limit: int,
    ) -> None:
        self._post: Final = post
        self._spawn: Final = spawn
        self._on_change: Final = on_change
        self.limit = limit
        self._waiting: deque[Written] = deque()
        self._task: asyncio.Task[None] | None = None

    @property
    def task(self) -> asyncio.Task[None] | None:
        """Sends until nothing waits; None if nothing does."""
        return self._task

    def put(self, written: Written) -> None:
        """Send a message after those before it. Its bytes are counted by the caller."""
        self._waiting.append(written)
        if self._task is None or self._task.done():
            self._task = self._spawn(self._run())

    def close(self) -> None:
        """Drop what waits, and stop sending."""
        size = sum(len(written.message) for written in self._waiting)
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
        self._on_change(-size)

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._post(self._take())
        finally:
            self._task = None

    def _take(self) -> Sequence[Written]:
        """Take the next messages out: one, and as many more as fit a batch."""
        waiting = self._waiting
        batch = [waiting.popleft()]
        size = len(batch[0].message)
        while waiting and size + len(waiting[0].message) <= self.limit:
            batch.append(waiting.popleft())
            size += len(batch[-1].message)
        self._on_change(-size)
        return batch
