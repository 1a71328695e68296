"""Observers, which are notified of events; interceptors, which wrap calls; lifespans, which wrap connections."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from inspect import iscoroutinefunction
from typing import Final, TypeAlias, TypeVar, TypeVarTuple, Unpack

from enkaku._checks import enter_block, require_block_maker, require_instances, require_list
from enkaku.errors import UsageError

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
"""Stands around every call, of all four kinds and on either side: an async context manager that is given the call.

What it does before its ``yield`` comes before the call; what the call raises comes out of the ``yield``; what stands
behind it comes after the call, on the server before its answer, which is when ``call.outcome`` becomes known. To
refuse a call, raise before the ``yield``: on the server a ``HandlerError``, whose code the caller is told, on the client
anything, which its caller gets.
"""


Lifespan: TypeAlias = Callable[[ConnectionInfo], AbstractAsyncContextManager[None]]
"""Stands around every connection of a server: an async context manager that is given the connection.

What it does before its ``yield`` is done before the first call is read; raising there turns the client away. What
stands behind it is done when the connection is gone, and its last handler with it.
"""


class Observer:
    """Is told what happens on either side. Override what is wanted; each method returns at once.

    What a method raises is logged, and harms no call.
    """

    def connection_opened(self, connection: ConnectionInfo) -> None:
        """A connection is open."""

    def connection_lost(self, connection: ConnectionInfo, reason: str) -> None:
        """A connection is over; on the server, after its last handler."""

    def call_started(self, call: Call) -> None:
        """A call, or an event, has begun."""

    def call_ended(self, call: Call) -> None:
        """A call, or an event, is over; on the server, its handler has ended. ``call.outcome`` says how."""

    def invalid_message(self, connection: ConnectionInfo, problem: str) -> None:
        """The peer sent what is no message, or a value that its schema refuses."""

    def overloaded(self, connection: ConnectionInfo, procedure: str, problem: str) -> None:
        """A call was refused, or cut off, or a connection turned away (then ``procedure`` is ``""``), because of a limit."""

    def item_dropped(self, call: Call, count: int) -> None:
        """Items were dropped, because nobody took them in time, as the call has asked for."""

    def handler_stuck(self, call: Call) -> None:
        """A handler goes on although it was cancelled; its call still counts against the limits."""

    def draining(self, connections: int, calls: int) -> None:
        """The server stops; so many connections and calls are left. Told at first, and whenever there is one less."""


_TOLD: Final = tuple(name for name in vars(Observer) if not name.startswith("_"))


class Observers(Observer):
    """Notifies several observers, and keeps what they raise from the calls.

    Attributes:
        started: The methods that are notified of calls that start; ``call_started`` need not be called without any.
        ended: The same for calls that end.
    """

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        def told(name: str) -> tuple[Callable[..., None], ...]:
            methods = [getattr(observer, name) for observer in observers]
            # What an observer leaves as it is need not be called.
            ours = vars(Observer)[name]
            return tuple(each for each in methods if getattr(each, "__func__", None) is not ours)

        self._opened: Final = told("connection_opened")
        self._lost: Final = told("connection_lost")
        self.started: Final = told("call_started")
        self.ended: Final = told("call_ended")
        self._invalid: Final = told("invalid_message")
        self._overloaded: Final = told("overloaded")
        self._dropped: Final = told("item_dropped")
        self._stuck: Final = told("handler_stuck")
        self._draining: Final = told("draining")

    def connection_opened(self, connection: ConnectionInfo) -> None:
        """Tell everybody."""
        for method in self._opened:
            _tell(method, connection)

    def connection_lost(self, connection: ConnectionInfo, reason: str) -> None:
        """Tell everybody."""
        for method in self._lost:
            _tell(method, connection, reason)

    def call_started(self, call: Call) -> None:
        """Tell everybody."""
        for method in self.started:
            try:  # as _tell does, at half the cost: these two are told of every call
                method(call)
            except (Exception, asyncio.CancelledError):
                logger.exception("an observer failed")

    def call_ended(self, call: Call) -> None:
        """Tell everybody."""
        for method in self.ended:
            try:  # as _tell does, at half the cost: these two are told of every call
                method(call)
            except (Exception, asyncio.CancelledError):
                logger.exception("an observer failed")

    def invalid_message(self, connection: ConnectionInfo, problem: str) -> None:
        """Tell everybody."""
        for method in self._invalid:
            _tell(method, connection, problem)

    def overloaded(self, connection: ConnectionInfo, procedure: str, problem: str) -> None:
        """Tell everybody."""
        for method in self._overloaded:
            _tell(method, connection, procedure, problem)

    def item_dropped(self, call: Call, count: int) -> None:
        """Tell everybody."""
        for method in self._dropped:
            _tell(method, call, count)

    def handler_stuck(self, call: Call) -> None:
        """Tell everybody."""
        for method in self._stuck:
            _tell(method, call)

    def draining(self, connections: int, calls: int) -> None:
        """Tell everybody."""
        for method in self._draining:
            _tell(method, connections, calls)


def require_observers(values: Sequence[Observer]) -> None:
    """Raise UsageError unless a value is a sequence of observers whose methods return at once."""
    require_instances("observers", values, Observer)
    for observer in values:
        for name in _TOLD:
            if iscoroutinefunction(getattr(observer, name)):
                raise UsageError(
                    f"observers: {type(observer).__name__}.{name} is async, and nobody would await it: "
                    "an observer's methods return at once, and may start a task"
                )


def require_interceptors(values: Sequence[Interceptor]) -> None:
    """Raise UsageError unless a value is a sequence of what may be interceptors."""
    require_list("interceptors", values)
    for value in values:
        require_block_maker("an interceptor", value)


async def enter_all(stack: AsyncExitStack, interceptors: Sequence[Interceptor], call: Call) -> None:
    """Begin every interceptor, the first one outermost; they end with the stack."""
    for interceptor in interceptors:
        await enter_block(stack, interceptor, call, "the interceptor")


async def run_inside(
    interceptors: Sequence[Interceptor], call: Call, run: Callable[[], Awaitable[T]]
) -> T:
    """Run a call inside of its interceptors, the first one outermost.

    Raises:
        UsageError: One of them has swallowed what the call raised: there is nothing to return.
    """
    async with AsyncExitStack() as stack:
        await enter_all(stack, interceptors, call)
        return await run()
    raise UsageError(f"{call.procedure.name}: an interceptor has swallowed the error of the call")


def _tell(method: Callable[[Unpack[Ts]], None], *facts: *Ts) -> None:
    try:
        method(*facts)
    except (Exception, asyncio.CancelledError):  # of what it has looked at: nothing is awaited here
        logger.exception("an observer failed")
