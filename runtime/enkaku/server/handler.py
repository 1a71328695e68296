"""Handlers and routes: which method serves which procedure, and the stream objects that it gets."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from inspect import isasyncgenfunction
from typing import Any, ClassVar, Final, Generic, TypeVar, cast, overload

from enkaku._checks import AsyncItems, require_one_of
from enkaku.errors import CallClosed, DecodeError, Problem, UsageError
from enkaku.flow.inbox import NOTHING, End, Inbox
from enkaku.flow.overflow import POLICIES, WhenFull
from enkaku.procedures import Channel, Event, Procedure, Request, Stream
from enkaku.values.slot import Slot

from .call import ServerCall, StreamCall, UntilClosed

__all__ = ["Handler", "Route", "ServerChannel", "ServerStream", "routes_of", "sole"]

Send = TypeVar("Send")
Receive = TypeVar("Receive")


def sole(error: BaseException) -> BaseException:
    """Return the only exception in a group, such as that of an ``asyncio.TaskGroup``; any other as it is."""
    group: object = error
    if isinstance(group, BaseExceptionGroup):
        several: Sequence[BaseException] = cast(
            "BaseExceptionGroup[BaseException]", group
        ).exceptions
        if len(several) == 1:
            return sole(several[0])
    return error


class ServerStream(Generic[Receive]):
    """The server's end of a stream: sends items to the client."""

    # With a dictionary only if a program gives it attributes of its own.
    __slots__ = ("__dict__", "__weakref__", "_call", "_receive", "_when_full")

    def __init__(self, call: StreamCall, receive: Slot[Receive]) -> None:
        self._when_full: WhenFull = "wait"
        self._call = call
        self._receive = receive

    def __repr__(self) -> str:
        return repr(self._call)

    @property
    def call(self) -> StreamCall:
        """The call that the stream is part of."""
        return self._call

    @property
    def when_full(self) -> WhenFull:
        """The overflow policy: what happens to an item that cannot be sent yet; ``"wait"`` by default.

        With ``"latest"`` or ``"drop_oldest"``, ``send`` buffers the item instead of waiting, and drops older ones.
        """
        return self._when_full

    @when_full.setter
    def when_full(self, policy: WhenFull) -> None:
        require_one_of("when_full", policy, POLICIES)
        self._when_full = policy

    @property
    def closed(self) -> bool:
        """Whether the handler is asked to finish: the client has closed the call, or the server stops."""
        return self._call.closed

    @property
    def dropped(self) -> int:
        """How many items were dropped because of ``when_full``."""
        return self._call.dropped

    def until_closed(self) -> UntilClosed:
        """Return an ``async with`` block that is left without an exception when the call is closed."""
        return self._call.until_closed()

    async def send(self, item: Receive) -> None:
        """Wait until an item may be sent, and send it. An item was sent if and only if this returns.

        If ``when_full`` is not ``"wait"``, an item that cannot be sent yet is buffered, and sent later unless a newer
        one replaces it.

        Raises:
            CallClosed: The call is closed, or has ended.
            ConnectionLost: The connection was lost; the handler's own task has been cancelled, too.
            EncodeError: The item does not fit its schema.
        """
        text = self._receive.encode(item)
        if self._when_full != "wait" or not self._call.send_item_now(text):
            await self._call.send_item(text, self._when_full)


class ServerChannel(AsyncItems, ServerStream[Receive], Generic[Send, Receive]):
    """The server's end of a channel: an async iterator over the client's items, which also sends items to the client.

    After the client has closed the channel, the iterator yields the items that came before, and then ends; until then
    items can still be sent. After the client has only half-closed it (``end()``), items can be sent until the handler
    returns.
    """

    def __init__(
        self, call: StreamCall, receive: Slot[Receive], inbox: Inbox[tuple[Send, int]]
    ) -> None:
        super().__init__(call, receive)
        self._inbox = inbox

    def __aiter__(self) -> AsyncIterator[Send]:
        return self

    async def __anext__(self) -> Send:
        taken = self._inbox.get_nowait()
        if taken is NOTHING:
            try:
                taken = await self._inbox.get()
            except End:
                raise StopAsyncIteration from None
        item, memory = taken
        self._call.memory -= memory
        self._call.context.capacity.hold(-memory)
        return item


Data = TypeVar("Data")
Param = TypeVar("Param")
Result = TypeVar("Result")


class Route:
    """A procedure and the method that serves it; made by ``event``, ``request``, ``stream`` and ``channel``.

    The type checker checks that the method fits the procedure. A procedure without param (or data) is
    served by a method without that parameter.
    """

    owner: "Handler | None" = None
    """The handler that has the route. Set by ``routes_of``."""

    def __init__(
        self,
        procedure: Procedure,
        method: Callable[..., Awaitable[object]],
        *,
        value: Slot[Any],
        result: Slot[Any] | None = None,
        receive: Slot[Any] | None = None,
        send: Slot[Any] | None = None,
    ) -> None:
        self.procedure: Final = procedure
        self.kind: Final = procedure.kind
        self.method: Final = method
        self.send: Final = send
        self.result: Final = result if result is not None and result.declared else None
        self.value: Final = value
        self._receive: Final = receive
        if receive is not None and isasyncgenfunction(method):
            raise UsageError(
                f"{procedure.name}: the handler method is an async generator; send items with "
                "'await stream.send(item)' and return the result"
            )

    def decode_unusual(self, text: bytes | None) -> tuple[object, ...]:
        """Return the arguments of the method where the message has no value, or should have none.

        Args:
            text: The encoded value; None where the message has none.

        Raises:
            DecodeError: There has to be a value, or must be none.
        """
        if self.value.declared:
            return (self.value.decode_absent() if text is None else self.value.decode(text),)
        if text is not None:
            raise DecodeError(self.procedure.name, (Problem("", "no value"),))
        return ()

    async def run(self, call: ServerCall, arguments: tuple[object, ...]) -> bytes | None:
        """Run the method; return its encoded result, or None where the procedure has none."""
        if not isinstance(call, StreamCall) or self._receive is None:
            value = await self.method(*arguments)
            return None if self.result is None else self.result.encode(value)
        if call.inbox is None:
            stream: ServerStream[Any] = ServerStream(call, self._receive)
        else:
            stream = ServerChannel(call, self._receive, call.inbox)
        val: bytes | None = None
        try:
            try:
                value = await self.method(*arguments, stream)
                if self.result is not None:
                    val = self.result.encode(value)
            except (CallClosed, ExceptionGroup) as error:
                # Without a result, a handler may be a loop that sends until the call is closed.
                if self.result or not call.closed or not isinstance(sole(error), CallClosed):
                    raise
            if call.send_buffer is not None:
                await call.send_buffer.flush()
            return val
        finally:
            if call.send_buffer is not None:
                await call.send_buffer.close()

    @overload
    @staticmethod
    def event(procedure: Event[None], method: Callable[[], Awaitable[None]]) -> "Route": ...
    @overload
    @staticmethod
    def event(procedure: Event[Data], method: Callable[[Data], Awaitable[None]]) -> "Route": ...
    @staticmethod
    def event(procedure: Event[Data], method: Callable[..., Awaitable[None]]) -> "Route":
        """Serve an event."""
        return Route(procedure, method, value=procedure.data)

    @overload
    @staticmethod
    def request(
        procedure: Request[None, Result], method: Callable[[], Awaitable[Result]]
    ) -> "Route": ...
    @overload
    @staticmethod
    def request(
        procedure: Request[Param, Result], method: Callable[[Param], Awaitable[Result]]
    ) -> "Route": ...
    @staticmethod
    def request(
        procedure: Request[Param, Result], method: Callable[..., Awaitable[Result]]
    ) -> "Route":
        """Serve a request."""
        return Route(procedure, method, value=procedure.param, result=procedure.result)

    @overload
    @staticmethod
    def stream(
        procedure: Stream[None, Receive, Result],
        method: Callable[[ServerStream[Receive]], Awaitable[Result]],
    ) -> "Route": ...
    @overload
    @staticmethod
    def stream(
        procedure: Stream[Param, Receive, Result],
        method: Callable[[Param, ServerStream[Receive]], Awaitable[Result]],
    ) -> "Route": ...
    @staticmethod
    def stream(
        procedure: Stream[Param, Receive, Result], method: Callable[..., Awaitable[Result]]
    ) -> "Route":
        """Serve a stream."""
        return Route(
            procedure,
            method,
            value=procedure.param,
            result=procedure.result,
            receive=procedure.receive,
        )

    @overload
    @staticmethod
    def channel(
        procedure: Channel[None, Send, Receive, Result],
        method: Callable[[ServerChannel[Send, Receive]], Awaitable[Result]],
    ) -> "Route": ...
    @overload
    @staticmethod
    def channel(
        procedure: Channel[Param, Send, Receive, Result],
        method: Callable[[Param, ServerChannel[Send, Receive]], Awaitable[Result]],
    ) -> "Route": ...
    @staticmethod
    def channel(
        procedure: Channel[Param, Send, Receive, Result], method: Callable[..., Awaitable[Result]]
    ) -> "Route":
        """Serve a channel."""
        return Route(
            procedure,
            method,
            value=procedure.param,
            result=procedure.result,
            receive=procedure.receive,
            send=procedure.send,
        )


class Handler(ABC):
    """Base of generated handlers: an object whose methods serve the procedures of a protocol.

    Each call runs its method in a task of its own. When the client aborts the call, or its connection is lost, the task
    is cancelled. When the client closes a stream or channel, its ``closed`` becomes true, and the return value is still
    sent.
    """

    __enkaku_package__: ClassVar[str | None] = None
    """The generated package that has the class, whose module ``description`` describes the procedures."""

    @abstractmethod
    def __routes__(self) -> tuple[Route, ...]:
        """Return the procedures, and the methods that serve them."""


def routes_of(handler: Handler) -> dict[str, Route]:
    """Return the routes of a handler, by the names of their procedures.

    Raises:
        UsageError: Some would never be used: two are for one procedure, or the handler inherits from two classes with
            routes, of which Python uses one.
    """
    routes: dict[str, Route] = {}
    for route in handler.__routes__():
        name = route.procedure.name
        route.owner = route.owner or handler  # which may be a part of this one
        first = routes.setdefault(name, route)
        if first is not route:
            methods = " and ".join(_method_name(each.method) for each in (first, route))
            raise UsageError(f"handler: {name} has two routes, to {methods}; expected one")
    _require_all_bases(handler, routes)
    return routes


def _require_all_bases(handler: Handler, routes: Mapping[str, Route]) -> None:
    """Raise an error if a base class has routes that are not used, and that no class below it overrides."""
    classes = [each for each in type(handler).__mro__ if "__routes__" in vars(each)]
    used = classes[0]
    for index, other in enumerate(classes):
        if not issubclass(other, Handler) or any(
            issubclass(each, other) for each in classes[:index]
        ):
            continue
        unused = [each.procedure.name for each in other.__routes__(handler)]
        missing = [name for name in unused if name not in routes]
        if missing:
            name = type(handler).__name__
            raise UsageError(
                f"handler: {name} serves {used.__name__}, and not {other.__name__} with {missing[0]}; define in {name}: "
                f"def __routes__(self): "
                f"return (*{used.__name__}.__routes__(self), *{other.__name__}.__routes__(self))"
            )


def _method_name(method: object) -> str:
    return getattr(method, "__qualname__", None) or repr(method)
