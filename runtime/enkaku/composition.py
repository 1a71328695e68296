"""Composition: several handlers as one, and prefixes before the names of their procedures.

``compose`` collects the routes of its parts once, so that a server looks up a procedure as for any other handler. Under a
prefix, a handler serves copies of its procedures with longer names, and a client calls such copies. Neither the slots of
messages nor their types change.
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Final, Protocol, TypeVar, Unpack, cast, overload

from enkaku._checks import require_instances, require_text
from enkaku.client.connection import Connection
from enkaku.client.reconnect import ConnectionState
from enkaku.client.streams import ClientChannel, ClientStream
from enkaku.server.handler import Handler, Route, routes_of

from .errors import UsageError
from .options import CallOptions, StreamOptions
from .procedures import Channel, Event, Request, Stream, with_prefix

__all__ = ["compose", "prefixed"]


class _AnyConnection(Protocol):
    """A connection, asynchronous or synchronous."""

    @property
    def peer(self) -> str: ...

    @property
    def state(self) -> ConnectionState: ...


_Connection = TypeVar("_Connection", bound=_AnyConnection)
_Data = TypeVar("_Data")
_Param = TypeVar("_Param")
_Send = TypeVar("_Send")
_Receive = TypeVar("_Receive")
_Result = TypeVar("_Result")

_MAKERS: Final = cast(
    Mapping[str, Callable[..., Route]],
    {
        "event": Route.event,
        "request": Route.request,
        "stream": Route.stream,
        "channel": Route.channel,
    },
)


class _Routes(Handler):
    """A handler with the routes of others."""

    def __init__(self, description: str, routes: Iterable[Route]) -> None:
        self._description = description
        self._routes = tuple(routes)

    def __repr__(self) -> str:
        return self._description

    def __routes__(self) -> tuple[Route, ...]:
        return self._routes


def compose(*parts: Handler) -> Handler:
    """Return a handler that serves the procedures of several handlers.

    Args:
        parts: Handlers, also those that ``prefixed`` and ``compose`` return.

    Raises:
        UsageError: Two parts serve a procedure of the same name; or there is no part, or one is no handler.
    """
    if not parts:
        raise UsageError("compose: expected one or more handlers; got none")
    require_instances("compose: a part", parts, Handler)
    routes: dict[str, Route] = {}
    owners: dict[str, Handler] = {}
    for part in parts:
        for name, route in routes_of(part).items():
            if name in routes:
                first, second = _describe(owners[name]), _describe(part)
                raise UsageError(
                    f"compose: {first} and {second} both serve {name!r}; "
                    "serve one under another prefix, such as prefixed('v2/', ...)"
                )
            routes[name], owners[name] = route, part
    return _Routes(f"compose({', '.join(map(_describe, parts))})", routes.values())


@overload
def prefixed(prefix: str, part: Handler) -> Handler: ...
@overload
def prefixed(prefix: str, part: _Connection, package: str | None = None) -> _Connection: ...
def prefixed(
    prefix: str, part: Handler | _Connection, package: str | None = None
) -> Handler | _Connection:
    """Return a handler that serves its procedures under a prefix, or a connection that calls them under it.

    Generated clients take the prefix themselves: ``BillingClient(connection, prefix="billing/")``.

    Args:
        prefix: Precedes the name of each procedure, such as ``"billing/"``; with ``""`` the part is returned as it is.
        part: A handler, or a connection, also a synchronous one.
        package: The generated package whose client calls through the connection; given by generated clients. A connection with
            the option ``compare`` compares its protocol with that of the server.

    Raises:
        UsageError: The prefix is no string, or the part is neither.
    """
    require_text("prefixed: the prefix", prefix)
    expect: object = None if package is None else getattr(part, "expect", None)
    if callable(expect):
        expect(package, prefix)
    if not prefix:
        return part
    if isinstance(part, Handler):
        routes = [_prefix(prefix, route) for route in routes_of(part).values()]
        return _Routes(f"prefixed({prefix!r}, {_describe(part)})", routes)
    if not all(callable(getattr(part, kind, None)) for kind in _MAKERS) or isinstance(part, type):
        raise UsageError(f"prefixed: expected a handler or a connection; got {part!r}")
    return cast(_Connection, _PrefixedConnection(prefix, cast(Connection, part)))


def _prefix(prefix: str, route: Route) -> Route:
    make, procedure = _MAKERS[route.procedure.kind], with_prefix(route.procedure, prefix)
    prefixed_route = make(procedure, route.method)
    prefixed_route.owner = route.owner
    return prefixed_route


def _describe(handler: Handler) -> str:
    return repr(handler) if isinstance(handler, _Routes) else f"{type(handler).__name__}()"


class _PrefixedConnection:
    """Calls procedures under a prefix; everything else is the connection's.

    A synchronous connection has the same methods, which return results in place of coroutines.
    """

    def __init__(self, prefix: str, connection: Connection) -> None:
        self._prefix = prefix
        self._connection = connection

    def __repr__(self) -> str:
        return f"prefixed({self._prefix!r}, {self._connection!r})"

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def expect(self, package: str, prefix: str = "") -> None:
        self._connection.expect(package, self._prefix + prefix)

    def event(
        self, procedure: Event[_Data], data: _Data, **options: Unpack[CallOptions]
    ) -> Coroutine[object, object, None]:
        return self._connection.event(with_prefix(procedure, self._prefix), data, **options)

    def request(
        self,
        procedure: Request[_Param, _Result],
        param: _Param,
        **options: Unpack[CallOptions],
    ) -> Coroutine[object, object, _Result]:
        return self._connection.request(with_prefix(procedure, self._prefix), param, **options)

    def stream(
        self,
        procedure: Stream[_Param, _Receive, _Result],
        param: _Param,
        **options: Unpack[StreamOptions],
    ) -> ClientStream[_Receive, _Result]:
        return self._connection.stream(with_prefix(procedure, self._prefix), param, **options)

    def channel(
        self,
        procedure: Channel[_Param, _Send, _Receive, _Result],
        param: _Param,
        **options: Unpack[StreamOptions],
    ) -> ClientChannel[_Send, _Receive, _Result]:
        return self._connection.channel(with_prefix(procedure, self._prefix), param, **options)
