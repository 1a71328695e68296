"""Framing for byte transports: each message is a line, terminated by a newline.

``Lines`` keeps one unfinished line of at most the size limit. A longer line is reported once, by its head, and
discarded as it arrives. So a peer cannot make this side buffer more than the limit. A line that exceeds the limit four
times has no end to wait for, and the transport ends the connection. So it does if a read consists of lines that are
too short for messages: each would take a hundred times the memory and the time that its bytes took to send.

Four paths keep it fast: one for a read of a single short line, one split for other small reads, a search for newlines in a
large read (a split checks every byte), and a slow path only for lines that may exceed the limit.
"""

from collections.abc import Sequence
from typing import ClassVar, Final, Protocol

from .base import HEAD_SIZE, Oversized

__all__ = ["Framing", "Lines"]

_ENDLESS: Final = 4  # times the limit
_SHORTEST: Final = 32  # bytes of a line: {"payload":{"typ":"x","rid":""}}
_UNFINISHED: Final = 4096  # bytes, from which an unfinished line is worth to be counted
_LONG: Final = 4096  # bytes of a line, from which a search is faster than a split
_TOO_SHORT: Final = "the peer sent lines that are too short to be messages"
_TOO_LONG: Final = "the peer sent a message of more than four times the size limit"
_BLANK: Final = b"!"  # sorts after every line that begins with white space, before every JSON text


class Framing(Protocol):
    """Splits the bytes of a connection into messages; one instance per connection, with the size limit of a message."""

    terminator: ClassVar[bytes]
    """The bytes that end a message."""
    changed: bool
    """Whether ``unfinished`` or ``violation`` has changed since the transport has set this to False."""

    def __init__(self, max_size: int, /) -> None: ...

    @property
    def unfinished(self) -> int:
        """How many bytes of an incomplete message were received; 0 for few bytes."""
        ...

    @property
    def violation(self) -> str:
        """Why the connection must end; ``""`` if it need not."""
        ...

    def split(self, data: bytes, /) -> Sequence[bytes | Oversized]:
        """Return the messages that the next bytes complete, in order."""
        ...

    def split_buffer(self, buffer: bytearray, size: int, /) -> Sequence[bytes | Oversized]:
        """Return the messages that the first bytes of a buffer complete, which is then used again."""
        ...


class Lines:
    """Splits bytes at newlines. Keeps at most one unfinished line, of at most ``max_size`` bytes.

    Args:
        max_size: The longest line that is kept, in bytes, without its newline. This is a security limit: a longer line
            is discarded as it arrives.

    Attributes:
        terminator: A newline.
        unfinished: How many bytes of the current line were received; 0 for less than 4 KiB.
        changed: Whether it, or ``violation``, has changed since the transport has set this to False.
        violation: Why the connection must end: the current line exceeds four times the limit, or the last lines were too
            short for messages; ``""`` if it need not.
    """

    terminator: ClassVar[bytes] = b"\n"

    __slots__ = (
        "_discarded",
        "_max_size",
        "_rest",
        "_small",
        "changed",
        "unfinished",
        "violation",
    )

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._small = min(max_size, _LONG)
        # Becomes a bytearray when it grows: repeated concatenation of bytes would take quadratic time.
        self._rest: bytes | bytearray = b""
        self._discarded = 0
        self.unfinished = 0
        self.changed = False
        self.violation = ""

    def split(self, data: bytes, /) -> Sequence[bytes | Oversized]:
        """Return the lines that the next bytes complete, without newlines and without blank lines.

        A line over the limit is reported once, as soon as it exceeds the limit.
        """
        size = len(data)
        if size < self._small and not self._rest and not self._discarded:  # the usual cases
            line, newline, rest = data.partition(b"\n")
            if (
                newline and not rest and line >= _BLANK
            ):  # one message: half the cost of what follows
                return [line]
            lines = data.split(b"\n")
            self._rest = lines.pop()
            if lines and min(lines) < _BLANK:  # at least one is blank or begins with white space
                return [line for line in lines if line and not line.isspace()]
            return lines
        if self._discarded or len(self._rest) + size > self._max_size:
            return self._split_slowly(data)
        if data.find(b"\n", 0, _LONG) < 0:
            return self._split_long(data, size)
        lines = data.split(b"\n")  # none of them can exceed the limit
        if self._rest:
            lines[0] = b"".join((self._rest, lines[0]))
        self._rest = lines.pop()
        self._count_unfinished()
        if len(lines) * _SHORTEST > size >= _LONG:
            self._violate(_TOO_SHORT)
            return []
        return [line for line in lines if line and not line.isspace()]

    def split_buffer(self, buffer: bytearray, size: int, /) -> Sequence[bytes | Oversized]:
        """Return the lines that the first bytes of a buffer complete. Long lines are copied out of it one by one."""
        if (
            size < self._small
            or self._discarded
            or len(self._rest) + size > self._max_size
            or buffer.find(b"\n", 0, _LONG) >= 0
        ):
            return self.split(bytes(memoryview(buffer)[:size]))
        return self._split_long(buffer, size)

    def _split_long(self, data: bytes | bytearray, size: int) -> Sequence[bytes]:
        """Split at newlines, which are far apart; ``find`` compares many bytes at once."""
        lines: list[bytes] = []
        start = 0
        with memoryview(data) as view:
            while (end := data.find(b"\n", start, size)) >= 0:
                if self._rest:
                    line = b"".join((self._rest, view[start:end]))
                    self._rest = b""
                else:
                    line = bytes(view[start:end])
                if line and not line.isspace():
                    lines.append(line)
                start = end + 1
            if start < size:
                self._keep(view[start:size])
        self._count_unfinished()
        return lines

    def _split_slowly(self, data: bytes) -> list[bytes | Oversized]:
        found: list[bytes | Oversized] = []
        *ends, tail = data.split(b"\n")
        if len(ends) * _SHORTEST > len(data) >= _LONG:
            self._violate(_TOO_SHORT)
            return []
        for end in ends:
            self._add(end, found)
            if self._discarded:
                self._discarded = 0
            else:
                line = bytes(self._rest) if self._rest else end
                self._rest = b""
                if line and not line.isspace():
                    found.append(line)
        if tail:
            self._add(tail, found, unfinished=True)
        self._count_unfinished()
        return found

    def _add(
        self, piece: bytes, found: list[bytes | Oversized], *, unfinished: bool = False
    ) -> None:
        if self._discarded:
            self._discarded += len(piece)
        elif len(self._rest) + len(piece) > self._max_size:
            self._discarded = len(self._rest) + len(piece)
            head = bytes(self._rest[:HEAD_SIZE]) + piece[:HEAD_SIZE]
            found.append(Oversized(head[:HEAD_SIZE]))
            self._rest = b""
        elif unfinished or self._rest:
            self._keep(piece)

    def _count_unfinished(self) -> None:
        size = self._discarded or len(self._rest)
        unfinished = size if size >= _UNFINISHED else 0
        if unfinished != self.unfinished:
            self.unfinished = unfinished
            self.changed = True
        if self._discarded > _ENDLESS * self._max_size:
            self._violate(_TOO_LONG)

    def _violate(self, reason: str) -> None:
        self.violation = reason
        self.changed = True

    def _keep(self, piece: bytes | memoryview) -> None:
        if isinstance(self._rest, bytes):
            self._rest = bytearray(self._rest)
        self._rest += piece
