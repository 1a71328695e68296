"""Handlers and routes: which method serves which procedure.

Above it: the server, which runs the methods. Below it: procedures, and the call as a method sees it.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from inspect import isasyncgenfunction
from typing import Final, TypeAlias, TypeVar, cast, overload

from .call import ServerCall
from .errors import CallClosed, DecodeError, Problem, UsageError
from .inbox import Inbox
from .procedures import Channel, Event, Procedure, Request, Stream
from .server_streams import ServerChannel, ServerStream
from .slots import Slot
from .stream_call import StreamCall

__all__ = ["Handler", "Route", "Run"]

Data = TypeVar("Data")
Param = TypeVar("Param")
Send = TypeVar("Send")
Receive = TypeVar("Receive")
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
