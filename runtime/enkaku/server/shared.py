"""What the sessions of a server share: routes, limits, observers, the capacity for calls, and the pools of handlers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from enkaku.calls.deadlines import Deadlines
from enkaku.calls.observers import Interceptor, Lifespan, Observers
from enkaku.flow.fairness import Fairness
from enkaku.limits import Limits

from .handler import Route
from .handler_pool import HandlerPool

__all__ = ["Capacity", "Policy"]


class Capacity:
    """Counts open calls, from their opening to the end of their handlers, and those of events.

    Args:
        calls: How many requests, streams and channels may be open.
        whole: The server-wide capacity; its limit applies, too.

    Attributes:
        open: How many are open.
        most: How many may be open.
        events: How many events wait for their handlers, or are handled.
    """

    __slots__ = ("_whole", "events", "most", "open")

    def __init__(self, *, calls: int, whole: "Capacity | None" = None) -> None:
        self.open = 0
        self.events = 0
        self.most: Final = calls
        self._whole: Final = whole

    def claim(self) -> bool:
        """Count one more open call, here and server-wide; return whether one may be opened."""
        whole = self._whole
        if self.open >= self.most or (whole is not None and whole.open >= whole.most):
            return False
        self.open += 1
        if whole is not None:
            whole.open += 1
        return True

    def count_event(self, step: int) -> None:
        """Count one event more (1) or less (-1), here and server-wide."""
        self.events += step
        if self._whole is not None:
            self._whole.events += step

    def release(self) -> None:
        """Count one open call less, here and server-wide."""
        self.open -= 1
        if self._whole is not None:
            self._whole.open -= 1


@dataclass(frozen=True, slots=True)
class Policy:
    """The options and limits of a server, which hold for all its connections.

    Attributes:
        routes: The handler's routes by procedure name.
        limits: Bound what one client, and all of them together, may use.
        capacity: Counts the calls of all connections.
        requests: The handlers of requests.
        events: The handlers of events.
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
    requests: HandlerPool
    events: HandlerPool
    deadlines: Deadlines
    fairness: Fairness
    close_timeout: float
    explain_refusals: bool
    observers: Observers
    interceptors: Sequence[Interceptor]
    lifespan: Lifespan | None
