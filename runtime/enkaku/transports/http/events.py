"""Server-sent events: splits the bytes of an event stream into messages, the data of each event.

It accepts what browsers accept: lines that end with LF, CR or CRLF, cut anywhere; data over several lines; a space after
the colon or none; comments; a byte order mark; and fields that are ignored (``event``, ``id``, ``retry``, unknown ones). An event
without data is none.

As in ``lines.Lines``, at most one unfinished event is kept, of at most the size limit. A larger one is reported once, by its
head, and discarded as it arrives, so that only its call ends. One that exceeds the limit four times ends the stream, and
so does a large read of lines that are too short for events.
"""

from collections.abc import Sequence
from typing import Final

from enkaku.transports.base import HEAD_SIZE, Oversized

__all__ = ["EventStream"]

_BOM: Final = b"\xef\xbb\xbf"
_ENDLESS: Final = 4  # times the limit
_SHORTEST: Final = (
    8  # bytes of a line on average: an event of the shortest message has two lines and 39 bytes
)
_LARGE: Final = 4096  # bytes of a read of which the lines are counted
_UNFINISHED: Final = 4096  # bytes, from which an unfinished event is worth to be counted
_TOO_SHORT: Final = "the peer sent events that are too short to be messages"
_TOO_LONG: Final = "the peer sent an event of more than four times the size limit"
_SLACK: Final = 64  # bytes of a line for the name of its field, and for fields that are ignored
_DATA: Final = b"data: "
_USUAL: Final = b"data: {"


class EventStream:
    """Splits an event stream into the data of its events.

    Args:
        max_size: The largest data of an event that is kept, in bytes. This is a security limit.

    Attributes:
        unfinished: How many bytes of the current event were received; 0 for less than 4 KiB.
        violation: Why the stream must end; ``""`` if it need not.
    """

    __slots__ = (
        "_data",
        "_discarded",
        "_line",
        "_lines",
        "_max_size",
        "_reported",
        "_skip_newline",
        "_started",
        "unfinished",
        "violation",
    )

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._line = bytearray()  # the current line, without its end
        self._data = (
            bytearray()
        )  # of the current event; one, since a list of short lines would take much memory and time
        self._lines = 0  # of that data
        self._discarded = 0  # bytes of an event, or of a comment, that is too large
        self._reported = False  # as too large; this event delivers nothing more
        self._skip_newline = False  # the last read ended with CR
        self._started = False
        self.unfinished = 0
        self.violation = ""

    def split(self, data: bytes, /) -> Sequence[bytes | Oversized]:
        """Return the messages that the next bytes complete, in order."""
        if self._started and not (
            self._line or self._lines or self._discarded or self._reported or self._skip_newline
        ):
            messages = _split_usual(data, self._max_size)
            if messages is not None:
                return messages
        data = self._normalize(data)
        found: list[bytes | Oversized] = []
        *lines, rest = data.split(b"\n")
        if len(lines) * _SHORTEST > len(data) >= _LARGE:
            self.violation = _TOO_SHORT
            return found
        for line in lines:
            self._add(line, found)
            self._end_line(found)
        if rest:
            self._add(rest, found)
        size = self._discarded or len(self._line) + len(self._data)
        self.unfinished = size if size >= _UNFINISHED else 0
        if self._discarded > _ENDLESS * self._max_size:
            self.violation = _TOO_LONG
        return found

    def _normalize(self, data: bytes) -> bytes:
        """Return the data with LF at the end of each line, and without the byte order mark of the stream."""
        if self._skip_newline and data:
            self._skip_newline = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._skip_newline = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if not self._started:
            start = bytes(self._line) + data  # the mark may be cut
            self._line.clear()
            self._started = not _BOM.startswith(start[: len(_BOM)]) or start.startswith(_BOM)
            data = start.removeprefix(_BOM)
        return data

    def _add(self, piece: bytes, found: list[bytes | Oversized]) -> None:
        """Add bytes to the current line, unless it exceeds the limit."""
        line, before = self._line, len(self._data)
        if self._discarded:
            self._discarded += len(piece)
        elif before + len(line) + len(piece) <= self._max_size + _SLACK:
            line += piece
        else:
            self._discarded = before + len(line) + len(piece)
            line += piece[: HEAD_SIZE + _SLACK]
            value = _value(line)
            if not self._reported and (value is not None or self._lines):
                self._report(value or b"", found)
            line.clear()

    def _report(self, value: bytes, found: list[bytes | Oversized]) -> None:
        self._append(value[:HEAD_SIZE])
        found.append(Oversized(bytes(self._data[:HEAD_SIZE])))
        self._reported = True
        self._drop_data()

    def _end_line(self, found: list[bytes | Oversized]) -> None:
        """Handle the line, which is complete."""
        line = self._line
        if self._discarded:
            self._discarded = (
                0  # of this line; an event that was reported goes on until its blank line
            )
        elif line:
            value = _value(line)
            if value is not None and not self._reported:
                if len(self._data) + (self._lines > 0) + len(value) > self._max_size:
                    self._report(value, found)
                else:
                    self._append(value)
            line.clear()
        else:
            self._end_event(found)

    def _end_event(self, found: list[bytes | Oversized]) -> None:
        if self._lines:
            message = bytes(self._data)
            if message and not message.isspace():
                found.append(message)
            self._drop_data()
        self._reported = False

    def _append(self, value: bytes) -> None:
        """Add the value of a line to the data."""
        if self._lines:
            self._data += b"\n"
        self._data += value
        self._lines += 1

    def _drop_data(self) -> None:
        self._data, self._lines = bytearray(), 0


def _split_usual(data: bytes, max_size: int) -> Sequence[bytes] | None:
    """Return the messages of whole events as every known server sends them; None for any other data."""
    if not data.endswith(b"\n\n") or b"\r" in data:
        return None
    messages: list[bytes] = []
    for event in data.split(b"\n\n")[:-1]:
        if not event.startswith(_USUAL) or b"\n" in event or len(event) > max_size:
            return None
        messages.append(event[len(_DATA) :])
    return messages


def _value(line: bytearray) -> bytes | None:
    """Return the value of a line of the field ``data``; None for other lines."""
    if line.startswith(_DATA):
        return bytes(line[len(_DATA) :])
    if line.startswith(b"data:"):
        return bytes(line[len(b"data:") :])
    return b"" if bytes(line) == b"data" else None
