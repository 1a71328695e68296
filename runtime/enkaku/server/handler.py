"""Handlers and routes: which method serves which procedure, and the stream objects that it is given."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from inspect import isasyncgenfunction
from typing import Final, Generic, TypeAlias, TypeVar, cast, overload

from enkaku._checks import require_one_of
from enkaku.errors import CallClosed, DecodeError, Problem, UsageError
from enkaku.flow.inbox import NOTHING, End, Inbox
from enkaku.flow.overflow import POLICIES, WhenFull
from enkaku.procedures import Channel, Event, Procedure, Request, Stream
from enkaku.values.slot import Slot

from .call import ServerCall, StreamCall, UntilClosed

__all__ = ["Handler", "Route", "Run", "ServerChannel", "ServerStream"]

Send = TypeVar("Send")
Receive = TypeVar("Receive")


class ServerStream(Generic[Receive]):
    """The server's end of a stream: takes the items for the client."""

    def __init__(self, call: StreamCall, receive: Slot[Receive]) -> None:
        self._when_full: WhenFull = "wait"
        self._call = call
        self._receive = receive

    @property
    def call(self) -> StreamCall:
        """The call that the stream is part of."""
        return self._call

    @property
    def when_full(self) -> WhenFull:
        """What happens to an item that there is no room for; ``"wait"`` at first.

        With ``"latest"`` or ``"drop_oldest"``, ``send`` does not wait, and older items make room for newer ones.
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
        """How many items were dropped, because there was no room for them and ``when_full`` said so."""
        return self._call.dropped

    def until_closed(self) -> UntilClosed:
        """Make a block that is left quietly as soon as the call is closed."""
        return self._call.until_closed()

    async def send(self, item: Receive) -> None:
        """Wait until there is room for an item, and send it; what was sent is sent when this returns.

        Where ``when_full`` is not ``"wait"``, an item that there is no room for is put aside, and goes as soon as there
        is some, unless a newer one takes its place.

        Raises:
            CallClosed: The handler is asked to finish, or has.
            ConnectionLost: The client is gone; the handler's own task has been cancelled by then.
            EncodeError: The item does not fit its schema.
        """
        text = self._receive.encode(item)
        if self._when_full != "wait" or not self._call.send_in_turn(text):
            await self._call.send_item(text, self._when_full)


class ServerChannel(ServerStream[Receive], Generic[Send, Receive]):
    """The server's end of a channel: an async iterator over the client's items, which takes items for it.

    After the client has closed the channel, the iterator gives what came before, and then ends; up to then
    items can still be sent. After the client has only ended its own side, items can be sent as long as the handler
    likes.
    """

    def __init__(self, call: StreamCall, receive: Slot[Receive], inbox: Inbox[Send]) -> None:
        super().__init__(call, receive)
        self._inbox = inbox

    def __aiter__(self) -> AsyncIterator[Send]:
        return self

    async def __anext__(self) -> Send:
        item = self._inbox.take_now()
        if item is not NOTHING:
            return item
        try:
            return await self._inbox.get()
        except End:
            raise StopAsyncIteration from None


Data = TypeVar("Data")
Param = TypeVar("Param")
Result = TypeVar("Result")

Read: TypeAlias = Callable[[bytes | None], tuple[object, ...]]
Run: TypeAlias = Callable[..., Awaitable[bytes | None]]


class Route:
    """A procedure and the method that serves it; made by ``event``, ``request``, ``stream`` and ``channel``.

    The type checker proves that the method fits the procedure. A procedure without param (or data) is
    served by a method without that parameter.
    """

    def __init__(
        self,
        procedure: Procedure,
        read: Read,
        run: Run,
        decode_item: Callable[[bytes], object] | None = None,
    ) -> None:
        self.procedure: Final = procedure
        self.read: Final = read
        self.run: Final = run
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

        async def run(_: ServerCall, *arguments: object) -> bytes | None:
            await method(*arguments)
            return None

        return Route(procedure, _reader(procedure, procedure.data), run)

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
        result = procedure.result

        async def run(_: ServerCall, *arguments: object) -> bytes | None:
            value = await method(*arguments)
            return result.encode(value) if result.declared else None

        return Route(procedure, _reader(procedure, procedure.param), run)

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
        _require_plain(procedure, method)

        async def run(call: StreamCall, *arguments: object) -> bytes | None:
            stream = ServerStream(call, procedure.receive)
            return await _finish(call, procedure.result, method(*arguments, stream))

        return Route(procedure, _reader(procedure, procedure.param), run)

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
        _require_plain(procedure, method)

        async def run(call: StreamCall, *arguments: object) -> bytes | None:
            inbox = cast(Inbox[Send], call.inbox)
            channel = ServerChannel(call, procedure.receive, inbox)
            return await _finish(call, procedure.result, method(*arguments, channel))

        return Route(procedure, _reader(procedure, procedure.param), run, procedure.send.decode)


def _require_plain(procedure: Procedure, method: object) -> None:
    if isasyncgenfunction(method):
        raise UsageError(
            f"{procedure.name}: a handler's method does not yield its items: it awaits stream.send(item), and "
            "returns the result"
        )


def _reader(procedure: Procedure, slot: Slot[Param]) -> Read:
    """Make what reads the arguments of a method: one value, or none where the protocol declares none."""

    def read(text: bytes | None) -> tuple[object, ...]:
        return (slot.decode_absent() if text is None else slot.decode(text),)

    def read_nothing(text: bytes | None) -> tuple[object, ...]:
        if text is not None:
            raise DecodeError(procedure.name, (Problem("", "no value"),))
        return ()

    return read if slot.declared else read_nothing


async def _finish(
    call: StreamCall, slot: Slot[Result], returned: Awaitable[Result]
) -> bytes | None:
    try:
        val = await _result(call, slot, returned)
        if call.outbox is not None:
            await call.outbox.flush()
        return val
    finally:
        if call.outbox is not None:
            await call.outbox.close()


async def _result(
    call: StreamCall, slot: Slot[Result], returned: Awaitable[Result]
) -> bytes | None:
    try:
        value = await returned
        return slot.encode(value) if slot.declared else None
    except CallClosed:
        # Where no result is wanted, a loop that sends until it is told to stop is a whole handler.
        if not slot.declared and call.closed:
            return None
        raise


class Handler(ABC):
    """Base of generated handlers: an object whose methods serve the procedures of a protocol.

    Each call runs its method in a task of its own. When the client gives the call up, or is gone, the task
    is cancelled; when the client closes it, a stream or channel says so and the return value is still sent.
    """

    @abstractmethod
    def __routes__(self) -> tuple[Route, ...]:
        """Name the procedures and the methods that serve them."""
