"""What may be said of a connection, of a server and of a single call, by name.

Above it: all that connects, serves and calls. Below it: limits, observers, reconnecting.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, TypedDict

from .full import POLICIES, WhenFull
from .limits import Limits
from .observer import Interceptor, Lifespan, Observer, require_interceptors, require_observers
from .reconnect import Reconnect
from .usage import (
    require_block_maker,
    require_instances,
    require_known,
    require_one_of,
    require_seconds,
)

__all__ = [
    "CallOptions",
    "ConnectionOptions",
    "ServerOptions",
    "StreamOptions",
    "check_call",
    "check_connection",
    "check_server",
    "check_stream",
]


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
