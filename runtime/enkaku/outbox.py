"""Items that a handler would rather drop than wait with: kept until there is room for them.

Above it: the call of a server. Below it: asyncio.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from .errors import CallClosed, ConnectionLost
from .full import WhenFull

__all__ = ["Outbox"]


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
