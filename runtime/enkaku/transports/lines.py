"""Framing for byte transports: a message is a line of at most a given length, which a newline ends."""

from collections.abc import Sequence
from typing import ClassVar, Final, Protocol

from .base import Oversized

__all__ = ["Framing", "Lines"]

_HEAD_SIZE: Final = 1024
_ENDLESS: Final = 4  # times the limit
_LONG: Final = 4096  # bytes of a line that is worth a call of its own
_BLANK: Final = (
    b"!"  # every line that begins with white space sorts before this, and every JSON text after it
)


class Framing(Protocol):
    """How a byte transport tells messages apart; made for each connection, with the size limit of a message."""

    terminator: ClassVar[bytes]
    """The bytes that end a message."""

    def __init__(self, max_size: int, /) -> None: ...

    @property
    def endless(self) -> bool:
        """Whether the peer sends a message whose end is not to be expected."""
        ...

    def split(self, data: bytes, /) -> Sequence[bytes | Oversized]:
        """Return the messages that the next bytes complete."""
        ...


class Lines:
    """A message is a line. Keeps at most one unfinished line, of at most ``max_size`` bytes.

    Args:
        max_size: The longest line that is kept, in bytes, without its newline. This is a security limit:
            what is longer is discarded while it streams in.

    Attributes:
        terminator: A newline.
        endless: Whether the present line is so far over the limit that no end is to be expected.
    """

    terminator: ClassVar[bytes] = b"\n"

    __slots__ = (
        "_discarded",
        "_max_size",
        "_rest",
        "_small",
        "endless",
    )

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._small = min(max_size, _LONG)
        # Grows as a bytearray, because joining whole pieces again and again would be quadratic.
        self._rest: bytes | bytearray = b""
        self._discarded = 0
        self.endless = False

    def split(self, data: bytes, /) -> Sequence[bytes | Oversized]:
        """Return the lines that the next bytes complete, without newlines; blank ones are left out.

        A line over the limit is reported once, as soon as it is known to be.
        """
        size = len(data)
        if size < self._small and not self._rest and not self._discarded:  # as it usually is
            lines = data.split(b"\n")
            self._rest = lines.pop()
            if lines and min(lines) < _BLANK:  # some are blank, or begin so
                return [line for line in lines if line and not line.isspace()]
            return lines
        if self._discarded or len(self._rest) + size > self._max_size:
            return self._split_slowly(data)
        lines = _split(data)  # none of which can be too long
        if self._rest:
            if len(lines) == 1:
                self._keep(data)
                return []
            lines[0] = b"".join((self._rest, lines[0]))
        self._rest = lines.pop()
        return [line for line in lines if line and not line.isspace()]

    def _split_slowly(self, data: bytes) -> list[bytes | Oversized]:
        found: list[bytes | Oversized] = []
        *ends, tail = _split(data)
        for end in ends:
            self._take(end, found)
            if self._discarded:
                self._discarded = 0
            else:
                line = bytes(self._rest) if self._rest else end
                self._rest = b""
                if line and not line.isspace():
                    found.append(line)
        if tail:
            self._take(tail, found, unfinished=True)
            self.endless = self._discarded > _ENDLESS * self._max_size
        return found

    def _take(
        self, piece: bytes, found: list[bytes | Oversized], *, unfinished: bool = False
    ) -> None:
        if self._discarded:
            self._discarded += len(piece)
        elif len(self._rest) + len(piece) > self._max_size:
            self._discarded = len(self._rest) + len(piece)
            head = bytes(self._rest[:_HEAD_SIZE]) + piece[:_HEAD_SIZE]
            found.append(Oversized(head[:_HEAD_SIZE]))
            self._rest = b""
        elif unfinished or self._rest:
            self._keep(piece)

    def _keep(self, piece: bytes) -> None:
        if isinstance(self._rest, bytes):
            self._rest = bytearray(self._rest)
        self._rest += piece


def _split(data: bytes) -> list[bytes]:
    """Split at newlines, as ``bytes.split`` does, which looks at one byte after the other; ``find`` at many at once."""
    if data.find(b"\n", 0, _LONG) >= 0:
        return data.split(b"\n")
    lines: list[bytes] = []
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        lines.append(data[start:end])
        start = end + 1
    lines.append(data[start:])
    return lines
