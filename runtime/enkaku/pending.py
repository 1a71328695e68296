"""Lines that were read, and wait for room.

Above it: the session. Below it: framing.
"""

from collections import deque
from collections.abc import Iterable

from .framing import Oversized

__all__ = ["PendingLines"]


class PendingLines:
    """Lines in their order, and how much they are.

    Attributes:
        size: How many bytes they hold.
    """

    def __init__(self) -> None:
        self.size = 0
        self._lines: deque[bytes | Oversized] = deque()

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, lines: Iterable[bytes | Oversized]) -> None:
        """Add lines behind the others."""
        for line in lines:
            self._lines.append(line)
            self.size += _size(line)

    def take(self) -> bytes | Oversized:
        """Take the first one."""
        line = self._lines.popleft()
        self.size -= _size(line)
        return line

    def put_back(self, line: bytes | Oversized) -> None:
        """Make a line the first one again."""
        self._lines.appendleft(line)
        self.size += _size(line)

    def clear(self) -> None:
        """Throw them away."""
        self._lines.clear()
        self.size = 0


def _size(line: bytes | Oversized) -> int:
    return len(line.head if isinstance(line, Oversized) else line)
