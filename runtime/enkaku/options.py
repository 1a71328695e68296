"""What may be said of a connection, of a server and of a single call, by name.

Above it: all that connects, serves and calls. Below it: limits, observers, reconnecting.
"""

from collections.abc import Sequence
from typing import TypedDict

from .full import WhenFull
from .limits import Limits
from .observer import Interceptor, Lifespan, Observer
from .reconnect import Reconnect

__all__ = ["CallOptions", "ConnectionOptions", "ServerOptions", "StreamOptions"]


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
