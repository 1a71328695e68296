"""Handlers and routes: which method serves which procedure.

Above it: the server, which runs the methods. Below it: procedures, and the call as a method sees it.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from inspect import isasyncgenfunction
from typing import Final, TypeAlias, TypeVar, cast, overload

from .call import ServerCall, ServerChannel, ServerStream
from .errors import CallClosed, DecodeError, Problem, UsageError
from .inbox import Inbox
from .procedures import Channel, Event, Procedure, Request, Stream
from .slots import Slot

__all__ = ["Handler", "Route", "Run"]

Data = TypeVar("Data")
Param = TypeVar("Param")
Send = TypeVar("Send")
Receive = TypeVar("Receive")
Result = TypeVar("Result")

Run: TypeAlias = Callable[[ServerCall], Awaitable[bytes | None]]
Bind: TypeAlias = Callable[[bytes | None], tuple[object, Run]]


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

        def bind(data: bytes | None) -> tuple[object, Run]:
            arguments = _read(procedure, procedure.data, data)

            async def run(_: ServerCall) -> bytes | None:
                await method(*arguments)
                return None

            return _only(arguments), run

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

        def bind(prm: bytes | None) -> tuple[object, Run]:
            arguments = _read(procedure, procedure.param, prm)

            async def run(_: ServerCall) -> bytes | None:
                return _write(procedure.result, await method(*arguments))

            return _only(arguments), run

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
        _require_plain(procedure, method)

        def bind(prm: bytes | None) -> tuple[object, Run]:
            arguments = _read(procedure, procedure.param, prm)

            async def run(call: ServerCall) -> bytes | None:
                stream = ServerStream(call, procedure.receive)
                return await _finish(call, procedure.result, method(*arguments, stream))

            return _only(arguments), run

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
        _require_plain(procedure, method)

        def bind(prm: bytes | None) -> tuple[object, Run]:
            arguments = _read(procedure, procedure.param, prm)

            async def run(call: ServerCall) -> bytes | None:
                inbox = cast(Inbox[Send], call.inbox)
                channel = ServerChannel(call, procedure.receive, inbox)
                return await _finish(call, procedure.result, method(*arguments, channel))

            return _only(arguments), run

        return Route(procedure, bind, procedure.send.decode)


def _require_plain(procedure: Procedure, method: object) -> None:
    if isasyncgenfunction(method):
        raise UsageError(
            f"{procedure.name}: a handler's method does not yield its items: it awaits stream.send(item), and "
            "returns the result"
        )


def _read(procedure: Procedure, slot: Slot[Param], text: bytes | None) -> tuple[Param, ...]:
    if not slot.declared:
        if text is not None:
            raise DecodeError(procedure.name, (Problem("", "no value"),))
        return ()
    return (slot.decode_absent() if text is None else slot.decode(text),)


def _only(arguments: tuple[object, ...]) -> object:
    return arguments[0] if arguments else None


async def _finish(
    call: ServerCall, slot: Slot[Result], returned: Awaitable[Result]
) -> bytes | None:
    try:
        return _write(slot, await returned)
    except CallClosed:
        # Where no result is wanted, a loop that sends until it is told to stop is a whole handler.
        if not slot.declared and call.closed:
            return None
        raise


def _write(slot: Slot[Result], value: Result) -> bytes | None:
    return slot.encode(value) if slot.declared else None


class Handler(ABC):
    """Base of generated handlers: an object whose methods serve the procedures of a protocol.

    Each call runs its method in a task of its own. When the client gives the call up, or is gone, the task
    is cancelled; when the client closes it, a stream or channel says so and the return value is still sent.
    """

    @abstractmethod
    def __routes__(self) -> tuple[Route, ...]:
        """Name the procedures and the methods that serve them."""
