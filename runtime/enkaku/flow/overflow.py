"""Overflow policies, and the bounded queue that follows them.

A queue of items is bounded by their bytes. When it is full, its policy decides: the sender waits, or older items are dropped.
Receive buffers, a handler's send buffer, and the queue of a broadcast's subscriber are such queues.
"""

from collections import deque
from typing import Final, Generic, Literal, TypeAlias, TypeVar, get_args

from .fairness import free

__all__ = ["POLICIES", "BoundedQueue", "WhenFull"]

WhenFull: TypeAlias = Literal["wait", "latest", "drop_oldest"]
"""What happens to a new item when the reader has not taken the ones before it.

``"wait"``: the sender waits, and nothing is lost. ``"latest"``: only the newest item is kept. ``"drop_oldest"``:
as many as fit are kept, and the oldest are dropped first. Dropped items are counted.
"""

POLICIES: Final[tuple[WhenFull, ...]] = get_args(WhenFull)
"""Each of them."""

T = TypeVar("T")


class BoundedQueue(Generic[T]):
    """Items in order, each with its size; together no more than ``capacity`` bytes, unless there is only one.

    Args:
        capacity: How many bytes fit.

    Attributes:
        items: The items and their sizes, oldest first.
        size: The sum of their sizes, in bytes.
    """

    __slots__ = ("capacity", "items", "size")

    def __init__(self, capacity: int) -> None:
        self.capacity: Final = capacity
        self.items: deque[tuple[T, int]] = deque()
        self.size: int = 0

    def fits(self, size: int) -> bool:
        """Return whether an item of so many bytes fits. An empty queue takes any item."""
        return not self.items or self.size + size <= self.capacity

    def append(self, item: T, size: int) -> None:
        """Add an item, whether it fits or not."""
        self.items.append((item, size))
        self.size += size

    def pop(self) -> tuple[T, int]:
        """Remove the oldest item; return it and its size."""
        oldest = self.items.popleft()
        self.size -= oldest[1]
        return oldest

    def drop_for(self, size: int, when_full: WhenFull) -> int:
        """Drop what a policy drops before an item of so many bytes is added; return how many items that were."""
        before = len(self.items)
        if when_full != "wait":
            while self.items and (when_full == "latest" or self.size + size > self.capacity):
                self.pop()
        return before - len(self.items)

    def clear(self) -> int:
        """Drop every item; return how many there were."""
        dropped, items = len(self.items), self.items
        self.items = deque()
        self.size = 0
        free(items)
        return dropped
