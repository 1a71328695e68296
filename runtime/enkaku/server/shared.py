"""What the sessions of a server share: routes, limits, observers, the capacity, and the pools of handlers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from enkaku.calls.deadlines import Deadlines
from enkaku.calls.halves import ServerEnd
from enkaku.calls.observers import Interceptor, Lifespan, Observers
from enkaku.flow.fairness import Fairness
from enkaku.limits import Limits

from .capacity import ServerCapacity
from .handler import Route
from .handler_pool import HandlerPool
from .health import Health

__all__ = ["Policy"]


@dataclass(frozen=True, slots=True)
class Policy:
    """The options and limits of a server, which hold for all its connections.

    Attributes:
        routes: The handler's routes by procedure name.
        limits: Bound what one client, and all of them together, may use.
        capacity: What all connections use together.
        requests: The handlers of requests.
        events: The handlers of events.
        deadlines: Ends calls at their deadlines.
        fairness: Counts the items that handlers send without waiting.
        close_timeout: How long a handler may go on after its call was closed, in seconds; then it is cancelled and
            the caller gets ``EK05``.
        explain_refusals: Whether a client gets the validation error of a value that was rejected.
        observers: Are notified of what happens.
        interceptors: Each handler runs inside of them.
        lifespans: Each connection lives in them; the first is outermost.
        call_client: Returns the connection that makes the calls to the client of a session; None for no calls.
        health: Whether the server serves.
    """

    routes: Mapping[str, Route]
    limits: Limits
    capacity: ServerCapacity
    requests: HandlerPool
    events: HandlerPool
    deadlines: Deadlines
    fairness: Fairness
    close_timeout: float
    explain_refusals: bool
    observers: Observers
    interceptors: Sequence[Interceptor]
    lifespans: Sequence[Lifespan]
    call_client: Callable[[ServerEnd], object] | None
    health: Health
