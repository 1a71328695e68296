"""Where a client's connection stands, and word of every change.

Above it: links, and the connection. Below it: asyncio.
"""

import asyncio
from collections import deque
from typing import Final, Literal, TypeAlias

__all__ = ["ConnectionState", "Lifecycle", "States"]

ConnectionState: TypeAlias = Literal["open", "connecting", "failed", "closed"]
"""Where a connection stands: ``"open"``; ``"connecting"``, lost and being made again; ``"failed"``, lost for good;
``"closed"`` by this side. Nothing follows the last two."""

_KEPT: Final = 16  # states that somebody who is late can still see


class Lifecycle:
    """The states that a connection goes through; it begins open, as far as anybody can see it."""

    def __init__(self) -> None:
        self.count = 1
        self._kept: deque[ConnectionState] = deque(["open"], _KEPT)
        self._changed = asyncio.Event()

    @property
    def state(self) -> ConnectionState:
        """The state that it is in."""
        return self._kept[-1]

    @property
    def over(self) -> bool:
        """Whether no other state follows."""
        return self.state in {"failed", "closed"}

    def become(self, state: ConnectionState) -> None:
        """Go on to another state; after the last one, do nothing."""
        if not self.over:
            self._kept.append(state)
            self.count += 1
            self._changed.set()
            self._changed = asyncio.Event()

    async def change(self) -> None:
        """Wait for the next state."""
        await self._changed.wait()

    def kept(self, number: int) -> tuple[int, ConnectionState]:
        """Return a state by its number, or the oldest later one that is kept, with its own number."""
        number = max(number, self.count - len(self._kept))
        return number, self._kept[number - self.count]


class States:
    """Iterates over the states of a connection, from the present one to the last.

    Whoever takes them late sees the newest sixteen. Nothing waits for them, and nothing has to be closed.
    """

    def __init__(self, life: Lifecycle) -> None:
        self._life = life
        self._next = life.count - 1

    def __aiter__(self) -> "States":
        return self

    async def __anext__(self) -> ConnectionState:
        while self._next == self._life.count:
            if self._life.over:
                raise StopAsyncIteration
            await self._life.change()
        number, state = self._life.kept(self._next)
        self._next = number + 1
        return state
