"""Generator of fuzz input: recorded and made-up messages, most of them mutated.

One ``Random`` makes all choices: the same seed makes the same bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from random import Random
from typing import Any, Final

from wire.transcript import Side, load_recordings

from .values import Members, odd_text, parse, places, write

__all__ = ["MESSAGE_SIZE", "Lines", "good_line", "made_envelope", "may_end", "pieces", "recorded"]

MESSAGE_SIZE: Final = 64 * 1024  # bytes, a low limit, so that longer messages can be tried

_PIECES: Final = 10_000  # maximum per batch, approximately
_LONGEST: Final = 20_000  # bytes of a recorded line
_HEADERS: Final = ("win", "ttl", "traceparent", "tracestate", "alg", "typ", "kid")
_MEMBERS: Final = (
    "typ",
    "rid",
    "prc",
    "prm",
    "val",
    "data",
    "rsn",
    "jti",
    "code",
    "msg",
    "n",
    "iss",
)
_TYPES: Final = (
    *("request", "stream", "channel", "event", "send", "abort", "receive", "result", "error"),
    *("credit", "end", "ping", "__proto__", ""),
)
_BYTES: Final = (
    *(
        b"\xef\xbb\xbf",
        b"\0",
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xf0\x9f",
        b"\r",
        b"\n",
        b"\t",
        b" ",
    ),
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\\u", b"\x1b[31m", "\u2028".encode()),
)


@cache
def recorded(side: Side) -> tuple[bytes, ...]:
    """Return the recorded lines of one side, with their newlines, if any."""
    return tuple(
        line.data
        for recording in load_recordings().values()
        for line in recording.lines
        if line.side == side and len(line.text) < _LONGEST
    )


def _envelope(payload: Members, header: Sequence[tuple[str, Any]] = ()) -> Members:
    head = Members([("typ", "JWT"), ("alg", "none"), *header])
    return Members([("header", head), ("payload", payload)])


def good_line(**payload: object) -> bytes:
    """Encode a valid message."""
    return f"{write(_envelope(Members(payload.items())))}\n".encode()


def made_envelope(random: Random, payload: Members) -> Members:
    """Return a payload in an envelope, whose header may have a window and a deadline."""
    header = []
    if random.random() < 0.3:
        header.append(("win", random.choice((0, 1, 500, 65_536, 10**9, odd_text(random)))))
    if random.random() < 0.2:
        header.append(("ttl", random.choice((0, 1, 30, 5_000, 10**12, odd_text(random)))))
    return _envelope(payload, header)


def may_end(data: bytes) -> bool:
    """Return whether a peer may end the connection: a line exceeded four times the size limit, or many are too short."""
    sizes = [len(line) for line in data.split(b"\n")]
    return max(sizes) > 4 * MESSAGE_SIZE or sum(size < 32 for size in sizes) > 64


def pieces(random: Random, data: bytes) -> Iterator[bytes]:
    """Split bytes at random positions, into small pieces or into many lines at once."""
    usual = max(random.choice((3, 50, 1_000, 20_000, 200_000)), len(data) // _PIECES)
    place = 0
    while place < len(data):
        size = 1 + int(random.expovariate(1 / usual))
        yield data[place : place + size]
        place += size


class Lines:
    """Generates lines.

    Args:
        random: Makes all choices.
        side: The side whose recorded lines are used.
        made_up: Returns the tree of a valid, or almost valid, message.
        rids: The ids of calls to use in lines; the list may change.
    """

    def __init__(
        self,
        random: Random,
        side: Side,
        made_up: Callable[[], Members],
        rids: Sequence[str],
    ) -> None:
        self._random = random
        self._corpus = recorded(side)
        self._made_up = made_up
        self._rids = rids

    def make(self) -> bytes:
        """Return the next line, usually with its newline."""
        random = self._random
        kind = random.random()
        if kind < 0.25:
            return write(self._made_up()).encode("utf-8", "surrogatepass") + b"\n"
        line = random.choice(self._corpus)
        if kind < 0.35:
            return line
        if kind < 0.85:
            line = self._spoil_tree(line)
        while kind > 0.75 and random.random() < 0.7:
            line = self._spoil_bytes(line)
        return line

    def _spoil_tree(self, line: bytes) -> bytes:
        try:
            tree = parse(line.decode().strip()) if self._random.random() < 0.6 else self._made_up()
        except (ValueError, RecursionError):
            return self._spoil_bytes(line)
        while True:
            self._random.choice(_TREE_CHANGES)(self, tree)
            if self._random.random() < 0.5:
                return write(tree).encode("utf-8", "surrogatepass") + b"\n"

    def _spoil_bytes(self, line: bytes) -> bytes:
        start, end = sorted(self._random.randrange(len(line) + 1) for _ in range(2))
        return self._random.choice(_BYTE_CHANGES)(self._random, line, start, end)

    def _value(self) -> Any:
        return (
            self._random.choice(self._rids)
            if self._random.random() < 0.2
            else odd_text(self._random)
        )

    def _name(self) -> str:
        return self._random.choice((*_MEMBERS, *_HEADERS, "header", "payload", "extra", ""))

    def _remove(self, tree: Any) -> None:
        if place := self._somewhere(tree):
            del place[self._random.randrange(len(place))]

    def _add(self, tree: Any) -> None:
        if found := places(tree):
            place, new = self._random.choice(found), self._value()
            where = self._random.randrange(len(place) + 1)
            place.insert(where, (self._name(), new) if isinstance(place, Members) else new)

    def _rename(self, tree: Any) -> None:
        place = self._somewhere(tree)
        if isinstance(place, Members):
            where = self._random.randrange(len(place))
            place[where] = (self._name(), place[where][1])

    def _change(self, tree: Any) -> None:
        if place := self._somewhere(tree):
            where = self._random.randrange(len(place))
            new = self._value()
            place[where] = (place[where][0], new) if isinstance(place, Members) else new

    def _mix(self, tree: Any) -> None:
        """Replace the id of the call."""
        self._set(tree, "payload", "rid", self._random.choice(self._rids))

    def _retype(self, tree: Any) -> None:
        self._set(tree, "payload", "typ", self._random.choice(_TYPES))

    def _head(self, tree: Any) -> None:
        self._set(tree, "header", self._random.choice(_HEADERS[:4]), odd_text(self._random))

    def _set(self, tree: Any, part: str, name: str, value: Any) -> None:
        for key, members in tree if isinstance(tree, Members) else ():
            if key == part and isinstance(members, Members):
                members[:] = [member for member in members if member[0] != name]
                members.append((name, value))

    def _somewhere(self, tree: Any) -> Members | list[Any] | None:
        found = [place for place in places(tree) if place]
        return self._random.choice(found) if found else None


_TREE_CHANGES: Final[tuple[Callable[[Lines, Any], None], ...]] = (
    *(Lines._remove, Lines._add, Lines._rename, Lines._change, Lines._change),
    *(Lines._mix, Lines._mix, Lines._mix, Lines._retype, Lines._head),
)


def _flip(random: Random, line: bytes, start: int, end: int) -> bytes:
    changed = bytearray(line)
    for _ in range(min(random.randrange(1, 8), len(line))):
        changed[random.randrange(len(line))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _insert(random: Random, line: bytes, start: int, end: int) -> bytes:
    return line[:start] + random.choice(_BYTES) + line[start:]


def _front(random: Random, line: bytes, start: int, end: int) -> bytes:
    return random.choice(_BYTES) + line


def _repeat(random: Random, line: bytes, start: int, end: int) -> bytes:
    times = random.choice((2, 3, 50)) if random.random() < 0.95 else 2_000
    return (
        line[:start] + line[start:end] * min(times, 1 + 400_000 // (end - start + 1)) + line[end:]
    )


def _noise(random: Random, line: bytes, start: int, end: int) -> bytes:
    return line[:start] + random.randbytes(random.randrange(40)) + line[end:]


_BYTE_CHANGES: Final[tuple[Callable[[Random, bytes, int, int], bytes], ...]] = (
    *(_flip, _flip, _insert, _insert, _front, _repeat, _noise),
    lambda random, line, start, end: line[:start] + line[end:],  # cut out
    lambda random, line, start, end: line[:start] + b"\n",  # cut off
    lambda random, line, start, end: line[:start],  # ... and joined to the next
    lambda random, line, start, end: line.rstrip(b"\n"),  # joined to the next
    lambda random, line, start, end: line[:start] + b"\n" + line[start:],  # split
    lambda random, line, start, end: line + line,  # doubled
    lambda random, line, start, end: line[end:] + line[start:end] + line[:start],  # swapped
)
