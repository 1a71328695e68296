"""How many calls may be open, and how many handlers may run: of a connection, and of its whole server.

Above it: the calls of a session, and the server. Below it: nothing.
"""

from typing import Final

__all__ = ["Capacity", "Refusal"]

Refusal = tuple[str, str]
"""Code and message of an error for the client."""

_TOO_MANY_CALLS: Final = ("EK03", "Too many open calls")
_TOO_MANY_HANDLERS: Final = ("EK04", "Too many running handlers")


class Capacity:
    """Counts calls, from their opening to the end of their handlers.

    Args:
        calls: How many may be open: requests, streams and channels.
        handlers: How many handlers of requests may run, and how many of events; a stream is meant to run for long.
        whole: What this is a part of, whose bounds hold as well.
    """

    __slots__ = ("_free_calls", "_free_handlers", "_running", "_whole")

    def __init__(self, *, calls: int, handlers: int, whole: "Capacity | None" = None) -> None:
        self._free_calls = calls
        self._free_handlers = {"event": handlers, "request": handlers}
        self._whole: Final = whole
        self._running = 0

    @property
    def running(self) -> int:
        """How many handlers run, those of streams and channels among them."""
        return self._running

    def refuse(self, kind: str) -> Refusal | None:
        """Say why there is no room for one more, or None if there is."""
        if kind != "event" and self._free_calls <= 0:
            return _TOO_MANY_CALLS
        if self._free_handlers.get(kind, 1) <= 0:
            return _TOO_MANY_HANDLERS
        return None if self._whole is None else self._whole.refuse(kind)

    def take(self, kind: str) -> None:
        """Count one more."""
        self._running += 1
        if kind != "event":
            self._free_calls -= 1
        if kind in self._free_handlers:
            self._free_handlers[kind] -= 1
        if self._whole is not None:
            self._whole.take(kind)

    def release(self, kind: str) -> None:
        """Count one less."""
        self._running -= 1
        if kind != "event":
            self._free_calls += 1
        if kind in self._free_handlers:
            self._free_handlers[kind] += 1
        if self._whole is not None:
            self._whole.release(kind)
