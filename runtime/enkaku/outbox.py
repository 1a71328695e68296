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
        send: Waits for room, and sends a line.
        size: How many bytes are kept at the most.
        on_drop: Told how many lines were dropped.
    """

    def __init__(
        self,
        send: Callable[[bytes], Awaitable[None]],
        *,
        size: int,
        on_drop: Callable[[int], None],
    ) -> None:
        self._send: Final = send
        self._limit: Final = size
        self._on_drop: Final = on_drop
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._pump: asyncio.Task[None] | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return self._pump is None

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
        if self._pump is None:
            self._pump = asyncio.get_running_loop().create_task(self._run())

    async def flush(self) -> None:
        """Wait until nothing is left to be sent."""
        if self._pump is not None:
            await asyncio.shield(self._pump)

    async def close(self) -> None:
        """Send nothing more."""
        self._lines.clear()
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait({self._pump})

    async def _run(self) -> None:
        try:
            while self._lines:
                line = self._lines[0]
                await self._send(line)
                # What was waiting may have been dropped meanwhile, and what was just sent with it.
                if self._lines and self._lines[0] is line:
                    self._lines.popleft()
                    self._size -= len(line)
        except (CallClosed, ConnectionLost):
            self._on_drop(len(self._lines))
            self._lines.clear()
        finally:
            self._pump = None
