"""Observers, which are notified of events; interceptors, which wrap calls; lifespans, which wrap connections."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from inspect import iscoroutinefunction
from typing import Final, TypeAlias, TypeVar, TypeVarTuple, Unpack

from enkaku._checks import enter_block, require_block_maker, require_instances, require_list
from enkaku._log_limit import LogLimit
from enkaku.errors import UsageError, escaped

from .info import Call, ConnectionInfo

__all__ = [
    "Interceptor",
    "Lifespan",
    "Observer",
    "Observers",
    "enter_all",
    "require_interceptors",
    "require_observers",
    "run_inside",
]

logger: Final = logging.getLogger("enkaku")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

Interceptor: TypeAlias = Callable[[Call], AbstractAsyncContextManager[None]]
"""A function that takes a ``Call`` and returns an async context manager. The call runs inside it, on either side.

Code before its ``yield`` runs before the call. The ``yield`` returns normally if the call succeeded, and raises the call's
exception if it failed. Code after it runs after the call; on a server, before the reply is sent, which is when
``call.outcome`` becomes known. To reject a call, raise before the ``yield``: on a server a ``HandlerError``, whose code
the caller gets; on a client any exception, which the caller gets.
"""


Lifespan: TypeAlias = Callable[[ConnectionInfo], AbstractAsyncContextManager[None]]
"""A function that takes a ``ConnectionInfo`` and returns an async context manager, which a server's connection lives in.

Code before its ``yield`` runs before the first message is read; raising there disconnects the client. Code after it runs
when the connection was lost and its last handler has ended.
"""


class Observer:
    """Is notified of what happens, on either side. Override the methods that you need; each must return at once.

    Exceptions of a method are logged, and have no effect on the call.
    """

    def connection_opened(self, connection: ConnectionInfo) -> None:
        """A connection was opened."""

    def connection_lost(self, connection: ConnectionInfo, reason: str) -> None:
        """A connection has ended; on a server, its last handler, too."""

    def call_started(self, call: Call) -> None:
        """A call, or an event, has begun."""

    def call_ended(self, call: Call) -> None:
        """A call, or an event, has ended; on a server, its handler, too. ``call.outcome`` says how."""

    def invalid_message(self, connection: ConnectionInfo, problem: str) -> None:
        """The peer sent an invalid message, or a value that its schema rejects."""

    def overloaded(self, connection: ConnectionInfo, procedure: str, problem: str) -> None:
        """A limit was reached: a call was rejected or ended, or a connection rejected (then ``procedure`` is ``""``)."""

    def access_denied(self, connection: ConnectionInfo, procedure: str, reason: str) -> None:
        """A call, or an event, was not admitted; ``procedure`` is ``""`` if its message does not prove who has sent it."""

    def item_dropped(self, call: Call, count: int) -> None:
        """Items were dropped by the overflow policy of a call, since they were not taken in time."""

    def handler_stuck(self, call: Call) -> None:
        """A handler ignores its cancellation; its call still counts against the limits."""

    def draining(self, connections: int, calls: int) -> None:
        """The server stops, or drains; so many connections and calls are left. Called first, and then for each that ends."""


_METHODS: Final = tuple(name for name in vars(Observer) if not name.startswith("_"))


class Observers(Observer):
    """Notifies several observers; logs the exceptions that they raise.

    Args:
        observers: The observers.
        of_connections: Whether they are notified of connections; not where another half of the same end does that.

    Attributes:
        log: Limits what is logged of the same events.
        started: The methods that are notified of calls that start; ``call_started`` need not be called without any.
        ended: The same for calls that end.
    """

    def __init__(self, observers: Sequence[Observer] = (), *, of_connections: bool = True) -> None:
        def overridden(name: str) -> tuple[Callable[..., None], ...]:
            methods = [getattr(observer, name) for observer in observers]
            default = vars(Observer)[name]
            return tuple(each for each in methods if getattr(each, "__func__", None) is not default)

        self._opened: Final = overridden("connection_opened") if of_connections else ()
        self._lost: Final = overridden("connection_lost") if of_connections else ()
        self.started: Final = overridden("call_started")
        self.ended: Final = overridden("call_ended")
        self._invalid: Final = overridden("invalid_message")
        self._overloaded: Final = overridden("overloaded")
        self._denied: Final = overridden("access_denied")
        self._dropped: Final = overridden("item_dropped")
        self._stuck: Final = overridden("handler_stuck")
        self._draining: Final = overridden("draining") if of_connections else ()
        self.log: Final = LogLimit()

    def connection_opened(self, connection: ConnectionInfo) -> None:
        """Notify the observers."""
        for method in self._opened:
            self._notify(method, connection)

    def connection_lost(self, connection: ConnectionInfo, reason: str) -> None:
        """Notify the observers."""
        for method in self._lost:
            self._notify(method, connection, reason)

    def call_started(self, call: Call) -> None:
        """Notify the observers."""
        for method in self.started:
            try:  # as _notify() does, at half the cost, since every call comes here
                method(call)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 # it is logged
                self._log_failure(method, error)

    def call_ended(self, call: Call) -> None:
        """Notify the observers."""
        for method in self.ended:
            try:  # as _notify() does, at half the cost, since every call comes here
                method(call)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 # it is logged
                self._log_failure(method, error)

    def invalid_message(self, connection: ConnectionInfo, problem: str) -> None:
        """Notify the observers."""
        for method in self._invalid:
            self._notify(method, connection, problem)

    def overloaded(self, connection: ConnectionInfo, procedure: str, problem: str) -> None:
        """Notify the observers."""
        for method in self._overloaded:
            self._notify(method, connection, procedure, problem)

    def access_denied(self, connection: ConnectionInfo, procedure: str, reason: str) -> None:
        """Notify the observers, and log it."""
        for method in self._denied:
            self._notify(method, connection, procedure, reason)
        name = escaped(procedure) if procedure else "a message"
        self.log.log(
            logger,
            logging.INFO,
            "calls that were not admitted",
            "%s: %s was not admitted: %s",
            connection.peer,
            name,
            escaped(reason),
        )

    def item_dropped(self, call: Call, count: int) -> None:
        """Notify the observers."""
        for method in self._dropped:
            self._notify(method, call, count)

    def handler_stuck(self, call: Call) -> None:
        """Notify the observers."""
        for method in self._stuck:
            self._notify(method, call)

    def draining(self, connections: int, calls: int) -> None:
        """Notify the observers."""
        for method in self._draining:
            self._notify(method, connections, calls)

    def _notify(self, method: Callable[[Unpack[Ts]], None], *arguments: *Ts) -> None:
        try:
            method(*arguments)
        # Not a cancellation of this task: nothing is awaited here.
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 # it is logged
            self._log_failure(method, error)

    def _log_failure(self, method: Callable[..., None], error: BaseException) -> None:
        kind = f"failures of observers in {method.__name__}"
        self.log.log(logger, logging.ERROR, kind, "an observer failed", error=error)


def require_observers(values: Sequence[Observer]) -> None:
    """Raise UsageError unless a value is a sequence of observers whose methods return at once."""
    require_instances("observers", values, Observer)
    for observer in values:
        for name in _METHODS:
            if iscoroutinefunction(getattr(observer, name)):
                raise UsageError(
                    f"observers: {type(observer).__name__}.{name} must not be async, since it is not awaited; "
                    "it must return at once, and may start a task"
                )


def require_interceptors(values: Sequence[Interceptor]) -> None:
    """Raise UsageError unless a value is a sequence of functions that may be interceptors."""
    require_list("interceptors", values)
    for value in values:
        require_block_maker("an interceptor", value)


async def enter_all(stack: AsyncExitStack, interceptors: Sequence[Interceptor], call: Call) -> None:
    """Enter every interceptor, the first one outermost; they exit with the stack."""
    for interceptor in interceptors:
        await enter_block(stack, interceptor, call, "the interceptor")


async def run_inside(
    interceptors: Sequence[Interceptor], call: Call, run: Callable[[], Awaitable[T]]
) -> T:
    """Run a call inside of its interceptors, the first one outermost.

    Raises:
        UsageError: One of them has suppressed the exception of the call, so that there is nothing to return.
    """
    async with AsyncExitStack() as stack:
        await enter_all(stack, interceptors, call)
        return await run()
    raise UsageError(
        f"{call.procedure.name}: an interceptor has suppressed the exception of the call"
    )
