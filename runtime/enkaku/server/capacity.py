"""What the connections of a server use of its capacity: open calls, events, and memory, against the limits.

*Memory* is what a connection makes the server hold: the values of open calls and of events, items that no handler has taken,
incomplete messages, and replies that the client does not read. A decoded value takes up to a hundred times the bytes of its
message, so ``decoded_size`` estimates it. When ``Limits.memory`` is used up, connections that hold some are not read until
enough was freed; at twice that, none is. If almost nothing is freed for ``Limits.stall`` seconds, connections are ended, those
that hold most first. That includes memory which only a message of a paused connection would free, such as an abort.

Messages that wait for a time slice, or for memory, are not counted: at most one read of each connection. They wait for
memory themselves, so that enough of them would wait for each other.

*A tenth of every other server-wide limit* is kept for connections that use nothing: however many calls some clients open,
another one can make a call.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from enkaku.limits import Limits
from enkaku.wire.tally import VALUES_MAX, Tally, tally

__all__ = [
    "CALL_SIZE",
    "PER_BYTE",
    "SMALL",
    "Capacity",
    "Holder",
    "ServerCapacity",
    "decoded_size",
    "kept",
    "metadata_size",
]

CALL_SIZE: Final = 2048
"""Bytes of a call, its task, and the frames of its handler."""
SMALL: Final = 1024
"""Bytes of a message up to which its values are not counted."""
PER_BYTE: Final = 32
"""Bytes of memory for each byte of a small message."""
_PER_VALUE: Final = 72
_PER_ARRAY: Final = 120
_PER_OBJECT: Final = 520  # a model, its dict, and the set of the fields that were given
_PER_NAME: Final = 48  # of a property, besides its characters
_PER_ENTRY: Final = 160  # of metadata: two strings, and their place in a dict
_STALLED: Final = 100  # of the limit: a smaller part that was freed is no progress
_WIDE: Final = 4  # bytes of a character, if a string has one beyond the Basic Multilingual Plane


def decoded_size(message: bytes, counted: Tally | None = None) -> int:
    """Estimate the memory of a message's decoded value and of its call, in bytes; ``make bench-hostile`` measures it.

    Args:
        message: The encoded value.
        counted: The tally of its message, if that is known.
    """
    size = len(message)
    if size <= SMALL:
        return CALL_SIZE + size * PER_BYTE
    if counted is None:
        counted = tally(message, size * VALUES_MAX)
    if counted is None:  # it has too many escapes
        return CALL_SIZE + size * PER_BYTE
    text = size if message.isascii() and not counted.escapes else size * _WIDE
    names = message.count(b":") * _PER_NAME
    values = (counted.commas + counted.arrays + counted.objects) * _PER_VALUE
    containers = counted.arrays * _PER_ARRAY + counted.objects * _PER_OBJECT
    return CALL_SIZE + text + names + values + containers


def metadata_size(metadata: Mapping[str, str]) -> int:
    """Estimate the memory of a call's metadata, in bytes."""
    characters = sum(len(name) + len(value) for name, value in metadata.items())
    return len(metadata) * _PER_ENTRY + characters * _WIDE


def kept(limit: int) -> int:
    """Return what is kept of a server-wide limit for connections that use nothing: a tenth."""
    return limit // 10


class ServerCapacity:
    """What all connections of a server use together.

    Args:
        limits: The limits of the server.
        on_stall: Ends the connections that hold most memory.

    Attributes:
        open: How many calls are open.
        events: How many events wait for their handlers, or are handled.
        calls: How many calls may be open.
        calls_shared: How many of them connections may open that have others open.
        held: How many bytes of memory are held.
        memory: How many bytes may be held before connections that hold some are paused.
        most: How many bytes may be held before what is received is not handled.
        paused: The connections that are not read until memory was freed.
    """

    __slots__ = (
        "_goal",
        "_on_stall",
        "_stall",
        "_timer",
        "calls",
        "calls_shared",
        "events",
        "held",
        "memory",
        "most",
        "open",
        "paused",
    )

    def __init__(self, limits: Limits, on_stall: Callable[[], None]) -> None:
        self.open = 0
        self.events = 0
        self.calls: Final = limits.server_calls
        self.calls_shared: Final = self.calls - kept(self.calls)
        self.held = 0
        self.memory: Final = limits.memory
        self.most: Final = 2 * limits.memory
        self.paused: dict[Capacity, None] = {}
        self._stall: Final = limits.stall
        self._on_stall: Final = on_stall
        self._goal = 0  # bytes: what may be held when the timer ends, without a stall
        self._timer: asyncio.TimerHandle | None = None

    def on_held(self, holder: "Capacity", size: int) -> None:
        """Pause a connection that holds more, if others, or itself, hold too much."""
        if holder.held > size or self.held > self.most:
            self.pause(holder)

    def on_freed(self) -> None:
        """Read the paused connections again, if there is memory for them."""
        if self.held <= self.memory:
            self.close()
            paused, self.paused = self.paused, {}
            for each in paused:
                each.report_paused()

    def pause(self, holder: "Capacity") -> None:
        """Do not read a connection until memory was freed."""
        if holder not in self.paused:
            self.paused[holder] = None
            holder.report_paused()
        if self._timer is None:
            self._start_timer()

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_timer(self) -> None:
        if self._stall is not None:
            # Not whether anything was freed: other connections open and end small calls meanwhile.
            self._goal = self.held - self.memory // _STALLED
            self._timer = asyncio.get_running_loop().call_later(self._stall, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self.paused:
            if self.held > self._goal:
                self._on_stall()
            self._start_timer()


class Holder(Protocol):
    """Whose use is counted: a session."""

    def on_memory(self) -> None:
        """Handle that ``Capacity.paused`` has changed."""


class Capacity:
    """What one connection uses.

    Args:
        whole: The capacity of the server.
        calls: How many requests, streams and channels may be open.
        holder: The session of the connection; None if nothing is to be paused.

    Attributes:
        open: How many calls are open.
        held: How many bytes of memory it holds.
        whole: The capacity of the server.
    """

    __slots__ = (
        "_backlog",
        "_calls",
        "_unfinished",
        "held",
        "holder",
        "open",
        "whole",
    )

    def __init__(self, whole: ServerCapacity, *, calls: int, holder: Holder | None = None) -> None:
        self.open = 0
        self.held = 0
        self.holder: Final = holder
        self._calls: Final = calls
        self.whole: Final = whole
        self._unfinished = 0
        self._backlog = 0

    @property
    def paused(self) -> bool:
        """Whether the connection should not be read until memory was freed."""
        return self in self.whole.paused

    def report_paused(self) -> None:
        """Notify the session that ``paused`` has changed."""
        if self.holder is not None:
            self.holder.on_memory()

    def claim(self) -> bool:
        """Count one more open call; return whether it may be opened."""
        whole = self.whole
        opened, most = self.open, whole.calls_shared
        if opened >= self._calls or whole.open >= (most if opened else whole.calls):
            return False
        self.open = opened + 1
        whole.open += 1
        return True

    def release(self, size: int = 0) -> None:
        """Count one open call less, and the memory that was held for it."""
        whole = self.whole
        self.open -= 1
        whole.open -= 1
        self.held -= size
        whole.held -= size
        if whole.paused:
            whole.on_freed()

    def hold(self, size: int) -> None:
        """Count memory that is held from now on; a negative size frees it."""
        whole = self.whole
        self.held += size
        whole.held += size
        if size <= 0:
            if whole.paused:
                whole.on_freed()
        elif whole.held > whole.memory:
            whole.on_held(self, size)

    def claim_event(self, size: int) -> None:
        """Count one more event, and its memory."""
        self.whole.events += 1
        self.hold(size)

    def release_event(self, size: int) -> None:
        """Count one event less, and its memory."""
        self.whole.events -= 1
        self.hold(-size)

    def set_unfinished(self, size: int) -> None:
        """Count the bytes of a message that is incomplete."""
        change, self._unfinished = size - self._unfinished, size
        self.hold(change)

    def set_backlog(self, size: int) -> None:
        """Count the bytes of replies that the client does not read."""
        change, self._backlog = size - self._backlog, size
        self.hold(change)

    def close(self) -> None:
        """Free all that is held: the connection has ended."""
        self.whole.paused.pop(self, None)
        self.hold(-self.held)
