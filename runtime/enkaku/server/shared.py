"""What the sessions of a server share: routes, limits, observers, and the capacity for calls and handlers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from enkaku.calls.deadlines import Expiries
from enkaku.calls.observers import Interceptor, Lifespan, Observers
from enkaku.flow.fairness import Turns
from enkaku.limits import Limits

from .handler import Route

__all__ = ["Capacity", "Policy", "Refusal"]

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

    __slots__ = ("_calls", "_counts", "_handlers", "_whole", "_whole_counts")

    def __init__(self, *, calls: int, handlers: int, whole: "Capacity | None" = None) -> None:
        self._calls: Final = calls
        self._handlers: Final = handlers
        self._whole: Final = whole
        self._counts: Final = {"event": 0, "request": 0, "stream": 0, "channel": 0}
        self._whole_counts: Final = self._counts.copy() if whole is None else whole.counts

    @property
    def counts(self) -> dict[str, int]:
        """How many handlers run, by kind of call."""
        return self._counts

    @property
    def running(self) -> int:
        """How many handlers run."""
        return sum(self._counts.values())

    def refuse(self, kind: str) -> Refusal | None:
        """Say why there is no room for one more, or None if there is."""
        counts = self._counts
        if kind == "event":
            if counts["event"] >= self._handlers:
                return _TOO_MANY_HANDLERS
        elif counts["request"] + counts["stream"] + counts["channel"] >= self._calls:
            return _TOO_MANY_CALLS
        elif kind == "request" and counts["request"] >= self._handlers:
            return _TOO_MANY_HANDLERS
        return None if self._whole is None else self._whole.refuse(kind)

    def take(self, kind: str) -> None:
        """Count one more, here and in the whole."""
        self._counts[kind] += 1
        self._whole_counts[kind] += 1

    def release(self, kind: str) -> None:
        """Count one less, here and in the whole."""
        self._counts[kind] -= 1
        self._whole_counts[kind] -= 1


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for every connection of a server.

    Attributes:
        routes: The handler's routes by procedure name.
        limits: What is kept for a client at the most.
        capacity: Counts the calls of all connections.
        expiries: Knows when each of them has to be over.
        turns: Says when a handler that sends lets others run.
        close_timeout: How long a handler may go on after its call was closed, in seconds; then it is cancelled and
            the caller gets ``EK05``.
        explain_refusals: Whether a client is told why its value was refused.
        observers: Are told what happens.
        interceptors: Stand around each handler.
        lifespan: Stands around each connection.
    """

    routes: Mapping[str, Route]
    limits: Limits
    capacity: Capacity
    expiries: Expiries
    turns: Turns
    close_timeout: float
    explain_refusals: bool
    observers: Observers
    interceptors: Sequence[Interceptor]
    lifespan: Lifespan | None
