"""What the sessions of a server share.

Above it: the server, and its sessions. Below it: routes, limits, observers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .capacity import Capacity
from .expiries import Expiries
from .handler import Route
from .limits import Limits
from .observer import Interceptor, Lifespan, Observers
from .turns import Turns

__all__ = ["Policy"]


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
