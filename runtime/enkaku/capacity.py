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

    Attributes:
        running: How many handlers run, those of streams and channels among them.
        free_calls: How many more calls may be open here.
        free_handlers: How many more handlers may run here, by kind of call.
    """

    __slots__ = ("_chain", "free_calls", "free_handlers", "running")

    def __init__(self, *, calls: int, handlers: int, whole: "Capacity | None" = None) -> None:
        self.running = 0
        self.free_calls = calls
        self.free_handlers = {"event": handlers, "request": handlers}
        self._chain: Final[tuple[Capacity, ...]] = (self,) if whole is None else (self, whole)

    def refuse(self, kind: str) -> Refusal | None:
        """Say why there is no room for one more, or None if there is."""
        for each in self._chain:
            if kind != "event" and each.free_calls <= 0:
                return _TOO_MANY_CALLS
            if each.free_handlers.get(kind, 1) <= 0:
                return _TOO_MANY_HANDLERS
        return None

    def take(self, kind: str) -> None:
        """Count one more."""
        for each in self._chain:
            each.running += 1
            if kind != "event":
                each.free_calls -= 1
            if kind in each.free_handlers:
                each.free_handlers[kind] -= 1

    def release(self, kind: str) -> None:
        """Count one less."""
        for each in self._chain:
            each.running -= 1
            if kind != "event":
                each.free_calls += 1
            if kind in each.free_handlers:
                each.free_handlers[kind] += 1
