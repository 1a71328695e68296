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
        running: How many handlers run.
    """

    __slots__ = ("_calls", "_counts", "_few", "_handlers", "_whole", "running")

    def __init__(self, *, calls: int, handlers: int, whole: "Capacity | None" = None) -> None:
        self.running = 0
        self._calls: Final = calls
        self._handlers: Final = handlers
        self._few: Final = min(calls, handlers)
        self._whole: Final = whole
        self._counts: Final = {"event": 0, "request": 0, "stream": 0, "channel": 0}

    def refuse(self, kind: str) -> Refusal | None:
        """Say why there is no room for one more, or None if there is."""
        if self.running >= self._few:  # or no bound can be reached
            refusal = self._refuse(kind)
            if refusal is not None:
                return refusal
        return None if self._whole is None else self._whole.refuse(kind)

    def _refuse(self, kind: str) -> Refusal | None:
        events, requests = self._counts["event"], self._counts["request"]
        if kind != "event" and self.running - events >= self._calls:
            return _TOO_MANY_CALLS
        running = events if kind == "event" else requests if kind == "request" else 0
        return _TOO_MANY_HANDLERS if running >= self._handlers else None

    def take(self, kind: str) -> None:
        """Count one more, here and in the whole."""
        self._counts[kind] += 1
        self.running += 1
        if self._whole is not None:
            self._whole.take(kind)

    def release(self, kind: str) -> None:
        """Count one less, here and in the whole."""
        self._counts[kind] -= 1
        self.running -= 1
        if self._whole is not None:
            self._whole.release(kind)
