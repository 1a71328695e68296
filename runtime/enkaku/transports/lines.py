"""Framing: bytes in any pieces become lines of at most a given length."""

from typing import Final, NamedTuple

__all__ = ["LineSplitter", "Oversized"]

_HEAD_SIZE: Final = 1024
_ENDLESS: Final = 4  # times the limit
_LONG: Final = 4096  # bytes of a line that is worth a call of its own


class Oversized(NamedTuple):
    """A line over the limit: its first bytes, enough to tell whose it was. The rest is gone.

    Attributes:
        head: At most the first 1,024 bytes.
    """

    head: bytes


class LineSplitter:
    """Cuts a stream of bytes into lines; keeps at most one unfinished line, of at most ``max_size`` bytes.

    Args:
        max_size: The longest line that is kept, in bytes, without its newline. This is a security limit:
            what is longer is discarded while it streams in.
    """

    __slots__ = (
        "_discarded",
        "_max_size",
        "_rest",
    )

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        # Grows as a bytearray, because joining whole pieces again and again would be quadratic.
        self._rest: bytes | bytearray = b""
        self._discarded = 0

    @property
    def endless(self) -> bool:
        """Whether the present line is so far over the limit that no end is to be expected."""
        return self._discarded > _ENDLESS * self._max_size

    def feed(self, data: bytes) -> list[bytes | Oversized]:
        """Take the next bytes.

        Returns:
            The lines that they complete, without newlines; blank ones are left out. A line over the limit
            is reported once, as soon as it is known to be.
        """
        if self._discarded or len(self._rest) + len(data) > self._max_size:
            return self._feed_slowly(data)
        lines = _split(data)  # none of which can be too long
        if self._rest:
            if len(lines) == 1:
                self._keep(data)
                return []
            lines[0] = b"".join((self._rest, lines[0]))
        self._rest = lines.pop()
        whole: list[bytes | Oversized] = [line for line in lines if line and not line.isspace()]
        return whole

    def _feed_slowly(self, data: bytes) -> list[bytes | Oversized]:
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
    if len(data) < _LONG or data.find(b"\n", 0, _LONG) >= 0:
        return data.split(b"\n")
    lines: list[bytes] = []
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        lines.append(data[start:end])
        start = end + 1
    lines.append(data[start:])
    return lines
