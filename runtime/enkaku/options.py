"""Options of connections, servers and calls, and how a connection is made again (``Reconnect``)."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import Final, TypedDict

from enkaku.calls.observers import (
    Interceptor,
    Lifespan,
    Observer,
    require_interceptors,
    require_observers,
)
from enkaku.flow.overflow import POLICIES, WhenFull

from ._checks import (
    require_block_maker,
    require_instances,
    require_known,
    require_one_of,
    require_seconds,
    require_whole,
)
from .errors import UsageError
from .limits import Limits

__all__ = [
    "CallOptions",
    "ConnectionOptions",
    "Reconnect",
    "ServerOptions",
    "StreamOptions",
    "check_call",
    "check_connection",
    "check_server",
    "check_stream",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnect:
    """How often a connection is tried again, and after which waits.

    Each wait is of random length, from nothing up to a bound: so the clients of a server that comes back do not all
    come at once. The bound grows with each attempt, and begins anew once a connection has lasted as long as the
    bound that it was waited for: one that is lost again at once counts as an attempt that failed.

    Attributes:
        first: The bound of the first wait, in seconds; 0.1 by default.
        factor: By how much the bound grows each time; 2 by default.
        longest: What the bound grows to at the most, in seconds; 30 by default.
        attempts: How many attempts in a row may fail before the connection is given up; None, the default, is any
            number. The waits up to the tenth take 26 s on average by default.
        random: Where the randomness comes from; by default, the system.

    Raises:
        UsageError: ``first`` is not positive, ``factor`` less than 1, ``longest`` less than ``first`` or without
            end, or ``attempts`` less than 1.
    """

    first: float = 0.1
    factor: float = 2.0
    longest: float = 30.0
    attempts: int | None = None
    random: Random = field(default_factory=SystemRandom, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_seconds("Reconnect: first", self.first)
        require_seconds("Reconnect: longest", self.longest)
        if not self.first > 0:
            raise UsageError(f"Reconnect: first must be more than 0 s, and is {self.first}")
        if not 1 <= self.factor < math.inf:
            raise UsageError(f"Reconnect: factor must be 1 or more, and is {self.factor}")
        if not self.first <= self.longest:
            raise UsageError(
                f"Reconnect: longest must be a time from first ({self.first:g} s) on, and is {self.longest}"
            )
        if self.attempts is None:
            return
        require_whole("Reconnect: attempts", self.attempts)
        if self.attempts < 1:
            raise UsageError(f"Reconnect: attempts must be 1 or more, and is {self.attempts}")


class CallOptions(TypedDict, total=False):
    """Options of one request or event.

    Attributes:
        timeout: How long it may take, in seconds; None is for ever. By default, the connection's ``timeout``.
    """

    timeout: float | None


class StreamOptions(TypedDict, total=False):
    """Options of one stream or channel.

    Attributes:
        timeout: How long it may take from its opening to its end, in seconds; None, the default, is for ever.
        when_full: What happens to the items that come while nobody takes them; ``"wait"`` by default.
    """

    timeout: float | None
    when_full: WhenFull


class ConnectionOptions(TypedDict, total=False):
    """Options of a client's connection.

    Attributes:
        limits: What is kept for the server at the most.
        timeout: How long a request or event may take where the call does not say, in seconds; 60 by default,
            None is for ever.
        observers: Are told what happens.
        interceptors: Stand around each call, the first one outermost.
        reconnect: How the connection is made again when it is lost; None, the default, is not at all. Calls that
            run when it is lost end with ``ConnectionLost``; new ones wait for the next connection.
    """

    limits: Limits | None
    timeout: float | None
    observers: Sequence[Observer]
    interceptors: Sequence[Interceptor]
    reconnect: Reconnect | None


class ServerOptions(TypedDict, total=False):
    """Options of a server.

    Attributes:
        limits: What is kept for each client at the most.
        close_timeout: How long a handler may go on after its call was closed, in seconds; 30 by default.
        explain_refusals: Whether a client is told why a value of its own was refused; by default it learns that
            it was, and the reason is logged.
        observers: Are told what happens.
        interceptors: Stand around each handler, the first one outermost.
        lifespan: Stands around each connection: what is to be done when one opens and when it ends.
    """

    limits: Limits | None
    close_timeout: float
    explain_refusals: bool
    observers: Sequence[Observer]
    interceptors: Sequence[Interceptor]
    lifespan: Lifespan | None


_NAMES: Final[Mapping[str, Collection[str]]] = {
    "a connection (connect_memory: connection_options)": ConnectionOptions.__annotations__,
    "a server": ServerOptions.__annotations__,
    "a request or event": CallOptions.__annotations__,
    "a stream or channel": StreamOptions.__annotations__,
}
_CONNECTION, _SERVER, _CALL, _STREAM = _NAMES


def check_call(procedure: str, options: CallOptions) -> None:
    """Raise UsageError for an option that a request or event does not have, or a value that it cannot have."""
    require_known(f"{procedure}: {_CALL}", options, _NAMES[_CALL], _NAMES)
    require_seconds("timeout", options.get("timeout"), optional=True, least=None)


def check_stream(procedure: str, options: StreamOptions) -> None:
    """Raise UsageError for an option that a stream or channel does not have, or a value that it cannot have."""
    require_known(f"{procedure}: {_STREAM}", options, _NAMES[_STREAM], _NAMES)
    require_seconds("timeout", options.get("timeout"), optional=True, least=None)
    require_one_of("when_full", options.get("when_full", "wait"), POLICIES)


def check_connection(options: ConnectionOptions) -> None:
    """Raise UsageError for an option that a connection does not have, or a value that it cannot have."""
    require_known("a connection", options, _NAMES[_CONNECTION], _NAMES)
    _require_common(
        options.get("limits"), options.get("observers", ()), options.get("interceptors", ())
    )
    require_seconds("timeout", options.get("timeout"), optional=True)
    reconnect = options.get("reconnect")
    if reconnect is not None:
        require_instances("reconnect", [reconnect], Reconnect)


def check_server(options: ServerOptions) -> None:
    """Raise UsageError for an option that a server does not have, or a value that it cannot have."""
    require_known(_SERVER, options, _NAMES[_SERVER], _NAMES)
    _require_common(
        options.get("limits"), options.get("observers", ()), options.get("interceptors", ())
    )
    require_seconds("close_timeout", options.get("close_timeout", 0))
    lifespan = options.get("lifespan")
    if lifespan is not None:
        require_block_maker("a lifespan", lifespan)


def _require_common(
    limits: object, observers: Sequence[Observer], interceptors: Sequence[Interceptor]
) -> None:
    if limits is not None:
        require_instances("limits", [limits], Limits)
    require_observers(observers)
    require_interceptors(interceptors)
