"""What the sessions of a server share: routes, limits, observers, and the capacity for calls and handlers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from enkaku.calls.deadlines import Deadlines
from enkaku.calls.observers import Interceptor, Lifespan, Observers
from enkaku.flow.fairness import Fairness
from enkaku.limits import Limits
from enkaku.wire.error_codes import ErrorCode, ErrorReply

from .handler import Route

__all__ = ["TOO_MANY_HANDLERS", "Capacity", "Policy"]

_TOO_MANY_CALLS: Final = ErrorReply(ErrorCode.TOO_MANY_CALLS.value, "Too many open calls")

TOO_MANY_HANDLERS: Final = ErrorReply(
    ErrorCode.TOO_MANY_HANDLERS.value, "Too many running handlers"
)


class Capacity:
    """Counts calls, from their opening to the end of their handlers.

    Args:
        calls: How many may be open: requests, streams and channels.
        handlers: How many handlers of requests may run, and how many of events. Streams and channels do not count: they
            are meant to run for long.
        whole: The server-wide capacity; its limits apply, too.
    """

    __slots__ = ("counts", "levels")

    def __init__(self, *, calls: int, handlers: int, whole: "Capacity | None" = None) -> None:
        self.counts: Final = {"event": 0, "request": 0, "stream": 0, "channel": 0}
        """How many handlers run, by kind of call."""
        own = (self.counts, calls, handlers)
        self.levels: tuple[tuple[dict[str, int], int, int], ...] = (
            (own,) if whole is None else (own, *whole.levels)
        )

    @property
    def running(self) -> int:
        """How many handlers run."""
        return sum(self.counts.values())

    @property
    def events_full(self) -> bool:
        """Whether as many handlers of events run as may."""
        counts, _, handlers = self.levels[0]
        return counts["event"] >= handlers

    def claim(self, kind: str) -> ErrorReply | None:
        """Count one more call, here and server-wide; or return why none may be opened."""
        for counts, calls, handlers in self.levels:
            if kind == "event":
                if counts["event"] >= handlers:
                    return TOO_MANY_HANDLERS
            elif counts["request"] + counts["stream"] + counts["channel"] >= calls:
                return _TOO_MANY_CALLS
            elif kind == "request" and counts["request"] >= handlers:
                return TOO_MANY_HANDLERS
        for counts, _, _ in self.levels:
            counts[kind] += 1
        return None

    def release(self, kind: str) -> None:
        """Count one call less, here and server-wide."""
        for counts, _, _ in self.levels:
            counts[kind] -= 1


@dataclass(frozen=True, slots=True)
class Policy:
    """The options and limits of a server, which hold for all its connections.

    Attributes:
        routes: The handler's routes by procedure name.
        limits: Bound what one client, and all of them together, may use.
        capacity: Counts the calls of all connections.
        deadlines: Ends calls at their deadlines.
        fairness: Counts the items that handlers send without waiting.
        close_timeout: How long a handler may go on after its call was closed, in seconds; then it is cancelled and
            the caller gets ``EK05``.
        explain_refusals: Whether a client gets the validation error of a value that was rejected.
        observers: Are notified of what happens.
        interceptors: Each handler runs inside of them.
        lifespan: Each connection lives in it.
    """

    routes: Mapping[str, Route]
    limits: Limits
    capacity: Capacity
    deadlines: Deadlines
    fairness: Fairness
    close_timeout: float
    explain_refusals: bool
    observers: Observers
    interceptors: Sequence[Interceptor]
    lifespan: Lifespan | None
