"""What the author of a handler sees: routes, and the stream, channel and call that methods are given.

Above it: the session, which runs the methods. Below it: procedures, the inbox, the transport.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from enum import Enum, auto
from types import TracebackType
from typing import Final, Generic, TypeAlias, TypeVar, cast, overload

from .errors import CallClosed, DecodeError, Problem, UsageError
from .inbox import End, Inbox
from .messages import encode_receive
from .procedures import Channel, Event, Procedure, Request, Slot, Stream
from .transport import Transport

__all__ = ["Handler", "Route", "ServerCall", "ServerChannel", "ServerStream", "current_call"]

Data = TypeVar("Data")
Param = TypeVar("Param")
Send = TypeVar("Send")
Receive = TypeVar("Receive")
Result = TypeVar("Result")

_STREAK: Final = 32  # how many items a handler may send before the others get a turn


class CallState(Enum):
    """Where a call stands on the server."""

    RUNNING = auto()
    CLOSING = auto()  # asked to finish; its result is still wanted
    ENDED = auto()  # answered, or given up: nothing more is sent


class ServerCall:
    """A call that a handler is serving; ``current_call()`` returns it.

    Attributes:
        procedure: What is called.
        peer: Who calls, for messages to people.
    """

    def __init__(self, rid: str, route: "Route", transport: Transport) -> None:
        self.procedure: Final = route.procedure
        self.peer: Final = transport.peer
        self.rid: Final = rid
        self.route: Final = route
        self.answered: Final = route.procedure.kind != "event"
        self.state = CallState.RUNNING
        self.inbox: Inbox[object] | None = None
        self.task: asyncio.Task[None] | None = None
        self._transport = transport
        self._watchers: set[UntilClosed] = set()
        self._streak = 0

    @property
    def closed(self) -> bool:
        """Whether the handler is asked to finish: the client has closed the call, or the server stops."""
        return self.state is not CallState.RUNNING

    def until_closed(self) -> "UntilClosed":
        """Make a block that is left quietly as soon as the call is closed.

        It suits a request that waits for something: ``async with current_call().until_closed(): ...``
        """
        return UntilClosed(self, self._watchers)

    def close(self) -> None:
        """Ask the handler to finish. Called by the session."""
        if self.state is CallState.RUNNING:
            self.state = CallState.CLOSING
            self._stop_sending()

    def end(self) -> None:
        """Let nothing more be sent. Called by the session."""
        if self.state is not CallState.ENDED:
            self.state = CallState.ENDED
            self._stop_sending()

    def _stop_sending(self) -> None:
        if self.inbox is not None:
            self.inbox.put_end()
        for watcher in tuple(self._watchers):
            watcher.leave()

    def _takes_items(self) -> bool:
        # A closed channel's handler may still answer the items that came before the close.
        answering = self.inbox is not None and not self.inbox.finished
        return self.state is CallState.RUNNING or (self.state is CallState.CLOSING and answering)

    async def send_item(self, slot: Slot[Receive], item: Receive) -> None:
        """Wait until there is room for an item, and send it. Called by streams."""
        line = encode_receive(self.rid, slot.encode(item))
        self._streak += 1
        if self._streak >= _STREAK:
            # A handler whose sends never wait would keep every other call from running.
            self._streak = 0
            await asyncio.sleep(0)
        if self._takes_items():
            await self._transport.drain()
        # Nothing is awaited from here on: an item is sent if and only if this returns.
        if not self._takes_items():
            raise CallClosed(f"{self.procedure.name}: the call takes no more items: it is closed")
        self._transport.write(line)


_current: Final[ContextVar[ServerCall]] = ContextVar("enkaku_current_call")


def current_call() -> ServerCall:
    """Return the call that the running task serves.

    Raises:
        UsageError: It serves none.
    """
    try:
        return _current.get()
    except LookupError:
        raise UsageError("current_call() is for tasks that a handler's method runs in") from None


def set_current_call(call: ServerCall) -> None:
    """Make ``call`` the current one of this task and of those that it starts."""
    _current.set(call)


class UntilClosed:
    """A block that the close of its call ends quietly; made by ``until_closed()``."""

    def __init__(self, call: ServerCall, watchers: "set[UntilClosed]") -> None:
        self._call = call
        self._watchers = watchers
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._left = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        if task is None or self._task is not None:
            raise UsageError("until_closed() makes a block for one task, to be entered once")
        self._task = task
        self._cancelling = task.cancelling()
        self._watchers.add(self)
        if self._call.closed:
            self.leave()

    def leave(self) -> None:
        """Interrupt the block where it waits next."""
        if self._task is not None and not self._left:
            self._left = True
            self._task.cancel()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self._watchers.discard(self)
        if not self._left or self._task is None:
            return False
        if not isinstance(error, asyncio.CancelledError):
            # The block was over before the cancellation reached it: take it here.
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError as late:
                if self._task.cancelling() > self._cancelling + 1:
                    raise
                error = error if error is not None and not isinstance(error, CallClosed) else late
        outer = self._task.uncancel() > self._cancelling
        return isinstance(error, asyncio.CancelledError | CallClosed) and not outer


class ServerStream(Generic[Receive]):
    """The server's end of a stream: takes the items for the client."""

    def __init__(self, call: ServerCall, receive: Slot[Receive]) -> None:
        self._call = call
        self._receive = receive

    @property
    def closed(self) -> bool:
        """Whether the handler is asked to finish: the client has closed the call, or the server stops."""
        return self._call.closed

    def until_closed(self) -> UntilClosed:
        """Make a block that is left quietly as soon as the call is closed."""
        return self._call.until_closed()

    async def send(self, item: Receive) -> None:
        """Wait until there is room for an item, and send it; what was sent is sent when this returns.

        Raises:
            CallClosed: The handler is asked to finish, or has.
            EncodeError: The item does not fit its schema.
        """
        await self._call.send_item(self._receive, item)


class ServerChannel(ServerStream[Receive], Generic[Send, Receive]):
    """The server's end of a channel: an async iterator over the client's items, which takes items for it.

    After the client has closed the channel, the iterator gives what came before, and then ends; up to then
    items can still be sent.
    """

    def __init__(self, call: ServerCall, receive: Slot[Receive], inbox: Inbox[Send]) -> None:
        super().__init__(call, receive)
        self._inbox = inbox

    def __aiter__(self) -> AsyncIterator[Send]:
        return self

    async def __anext__(self) -> Send:
        try:
            return await self._inbox.get()
        except End:
            raise StopAsyncIteration from None


Run: TypeAlias = Callable[[ServerCall], Awaitable[bytes | None]]
Bind: TypeAlias = Callable[[bytes | None], Run]


class Route:
    """A procedure and the method that serves it; made by ``event``, ``request``, ``stream`` and ``channel``.

    The type checker proves that the method fits the procedure. A procedure without param (or data) is
    served by a method without that parameter.
    """

    def __init__(
        self,
        procedure: Procedure,
        bind: Bind,
        decode_item: Callable[[bytes], object] | None = None,
    ) -> None:
        self.procedure: Final = procedure
        self.bind: Final = bind
        self.decode_item: Final = decode_item

    @overload
    @staticmethod
    def event(procedure: Event[None], method: Callable[[], Awaitable[None]]) -> "Route": ...
    @overload
    @staticmethod
    def event(procedure: Event[Data], method: Callable[[Data], Awaitable[None]]) -> "Route": ...
    @staticmethod
    def event(procedure: Event[Data], method: Callable[..., Awaitable[None]]) -> "Route":
        """Serve an event."""

        def bind(data: bytes | None) -> Run:
            arguments = _read(procedure, procedure.data, data)

            async def run(_: ServerCall) -> bytes | None:
                await method(*arguments)
                return None

            return run

        return Route(procedure, bind)

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

        def bind(prm: bytes | None) -> Run:
            arguments = _read(procedure, procedure.param, prm)

            async def run(_: ServerCall) -> bytes | None:
                return _write(procedure.result, await method(*arguments))

            return run

        return Route(procedure, bind)

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

        def bind(prm: bytes | None) -> Run:
            arguments = _read(procedure, procedure.param, prm)

            async def run(call: ServerCall) -> bytes | None:
                stream = ServerStream(call, procedure.receive)
                return await _finish(call, procedure.result, method(*arguments, stream))

            return run

        return Route(procedure, bind)

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

        def bind(prm: bytes | None) -> Run:
            arguments = _read(procedure, procedure.param, prm)

            async def run(call: ServerCall) -> bytes | None:
                inbox = cast(Inbox[Send], call.inbox)
                channel = ServerChannel(call, procedure.receive, inbox)
                return await _finish(call, procedure.result, method(*arguments, channel))

            return run

        return Route(procedure, bind, procedure.send.decode)


def _read(procedure: Procedure, slot: Slot[Param] | None, text: bytes | None) -> tuple[Param, ...]:
    if slot is None:
        if text is not None:
            raise DecodeError(procedure.name, (Problem("", "no value is taken"),))
        return ()
    return (slot.decode_absent() if text is None else slot.decode(text),)


async def _finish(
    call: ServerCall, slot: Slot[Result] | None, returned: Awaitable[Result]
) -> bytes | None:
    try:
        return _write(slot, await returned)
    except CallClosed:
        # Where no result is wanted, a loop that sends until it is told to stop is a whole handler.
        if slot is None and call.closed:
            return None
        raise


def _write(slot: Slot[Result] | None, value: Result) -> bytes | None:
    return None if slot is None else slot.encode(value)


class Handler(ABC):
    """Base of generated handlers: an object whose methods serve the procedures of a protocol.

    Each call runs its method in a task of its own. When the client gives the call up, or is gone, the task
    is cancelled; when the client closes it, a stream or channel says so and the return value is still sent.
    """

    @abstractmethod
    def __routes__(self) -> tuple[Route, ...]:
        """Name the procedures and the methods that serve them."""
