"""The client's end of a connection: opens calls, and gives each what the server sends for it.

Above it: generated clients, ``sockets`` and ``testing``. Below it: procedures, messages, framing. It does not
know what carries the bytes, and nothing of the server.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from enum import Enum, auto
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from .errors import CallClosed, ConnectionLost, DecodeError, EnkakuError, UsageError
from .inbox import End
from .limits import Limits
from .link import Link, Outcome
from .messages import CLOSE, encode_event, encode_send
from .procedures import Channel, Event, Procedure, Request, Stream
from .slots import Slot
from .transport import Transport

__all__ = ["ClientChannel", "ClientStream", "Connection"]

logger: Final = logging.getLogger("enkaku.client")

_Data = TypeVar("_Data")
_Param = TypeVar("_Param")
_Send = TypeVar("_Send")
_Receive = TypeVar("_Receive")
_Result = TypeVar("_Result")

_CANCELLED: Final = "Cancelled"
_STREAK: Final = 32  # how many items a channel may send before other tasks get a turn


class _PendingRequest:
    has_sent = False

    def __init__(self, procedure: Procedure) -> None:
        self.procedure = procedure
        # An error is a value here: a future whose exception nobody fetches would complain.
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def take_item(self, text: bytes) -> None:
        logger.debug("%s: an item for a request is ignored: %.100r", self.procedure.name, text)

    def take_end(self, outcome: Outcome) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class Connection:
    """The client's end of a connection; any number of calls may be open on it at once.

    ``connect_unix``, ``connect_tcp`` and ``connect_memory`` make connections; generated clients call the
    methods of this class. It belongs to the event loop that it was made in.

    Args:
        transport: What carries the bytes; started here.
        limits: What is kept for the server at the most.
    """

    def __init__(self, transport: Transport, *, limits: Limits | None = None) -> None:
        self._limits = limits if limits is not None else Limits()
        self._link = Link(transport, self._limits)

    @property
    def peer(self) -> str:
        """The server's address, for messages to people."""
        return self._link.peer

    @property
    def is_open(self) -> bool:
        """Whether calls can be made."""
        return self._link.is_open

    async def event(self, procedure: Event[_Data], data: _Data) -> None:
        """Send an event; ``data`` is None where it carries nothing.

        Raises:
            ConnectionLost: It was not sent.
            EncodeError: The data does not fit its schema.
        """
        text = _encode(procedure, procedure.data, data)
        self._link.require_open(procedure)
        self._link.write(encode_event(procedure.name, text))
        await self._link.drain()

    async def request(self, procedure: Request[_Param, _Result], param: _Param) -> _Result:
        """Send a request and wait for its result; ``param`` is None where it takes nothing.

        If the waiting task is cancelled, so is the handler.

        Raises:
            CallError: The server refused the request, or the handler failed; a ``DeclaredError`` where the
                protocol declares the error.
            ConnectionLost: The connection ended first.
            DecodeError: The result does not fit its schema.
            EncodeError: The param does not fit its schema; nothing was sent.
        """
        call = _PendingRequest(procedure)
        rid = self._link.open_call(call, _encode(procedure, procedure.param, param))
        self._link.gate.count_waiting(1)
        try:
            # Without waiting for room: the answer may come before the last of a large param has left.
            outcome = await call.outcome
        except asyncio.CancelledError:
            self._link.abort_call(rid, _CANCELLED)
            raise
        finally:
            self._link.gate.count_waiting(-1)
            self._link.forget_call(rid)
        return _decode(procedure.result, outcome)

    def stream(
        self, procedure: Stream[_Param, _Receive, _Result], param: _Param
    ) -> "ClientStream[_Receive, _Result]":
        """Prepare a stream; ``async with`` opens it.

        Raises:
            EncodeError: The param does not fit its schema.
        """
        prm = _encode(procedure, procedure.param, param)
        return ClientStream(self._link, procedure, prm, procedure.receive, procedure.result)

    def channel(
        self, procedure: Channel[_Param, _Send, _Receive, _Result], param: _Param
    ) -> "ClientChannel[_Send, _Receive, _Result]":
        """Prepare a channel; ``async with`` opens it.

        Raises:
            EncodeError: The param does not fit its schema.
        """
        prm = _encode(procedure, procedure.param, param)
        return ClientChannel(
            self._link, procedure, prm, procedure.receive, procedure.result, procedure.send
        )

    async def close(self, *, within: float = 2.0) -> None:
        """End the connection: open calls end with ``ConnectionLost``, their handlers are cancelled.

        Args:
            within: How long the server may take to end its side, in seconds.
        """
        await self._link.close(within=within)


class _State(Enum):
    NEW = auto()
    OPEN = auto()
    CLOSING = auto()  # asked to finish; the result is still to come
    ENDED = auto()


class ClientStream(Generic[_Receive, _Result]):
    """A stream: an async iterator over the server's items, with a result at the end.

    Use it as a block; leaving the block while the call is open aborts it, and with it the handler::

        async with client.metrics_stream(param) as stream:
            async for metric in stream:
                ...
            result = await stream.result()
    """

    def __init__(
        self,
        link: Link,
        procedure: Procedure,
        prm: bytes | None,
        receive: Slot[_Receive],
        result: Slot[_Result],
    ) -> None:
        self.procedure = procedure
        self.has_sent = False
        self._link = link
        self._prm = prm
        self._receive = receive
        self._result = result
        self._state = _State.NEW
        self._rid = ""
        self._iterated = False
        self._outcome: Outcome = None

    async def __aenter__(self) -> Self:
        if self._state is not _State.NEW:
            raise UsageError(f"{self.procedure.name}: a call can be opened once")
        self._inbox = self._link.new_inbox()
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._rid = self._link.open_call(self, self._prm)
        self._state = _State.OPEN
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.abort(_CANCELLED if isinstance(error, asyncio.CancelledError) else None)

    def __aiter__(self) -> AsyncIterator[_Receive]:
        return self

    async def __anext__(self) -> _Receive:
        self._require_opened()
        self._iterated = True
        try:
            text = await self._inbox.get()
        except End:
            raise StopAsyncIteration from None
        try:
            return self._receive.decode(text)
        except DecodeError as error:
            self._give_up(error, None)
            raise

    async def result(self) -> _Result:
        """Wait until the server ends the call by itself.

        Where nobody iterates over the items, those that do not fit the inbox are dropped.

        Raises:
            CallError: The call ended in an error.
            ConnectionLost: The connection ended first.
            DecodeError: The result does not fit its schema.
            InboxOverflow: Too many items came while nobody took them.
        """
        self._require_opened()
        if not self._iterated:
            self._inbox.keep_only_what_fits()
        return await self._wait_result()

    async def close(self) -> _Result:
        """Ask the handler to finish, and wait for its result.

        Items that came before can still be iterated over; those that do not fit the inbox are dropped.

        Raises:
            CallError: The call ended in an error.
            ConnectionLost: The connection ended first.
            DecodeError: The result does not fit its schema.
        """
        self._require_opened()
        if self._state is _State.OPEN:
            self._state = _State.CLOSING
            self._link.abort_call(self._rid, CLOSE)
        self._inbox.keep_only_what_fits()
        return await self._wait_result()

    def abort(self, reason: str | None = None) -> None:
        """Give the call up: the handler is cancelled, and nothing more comes. After the end, do nothing.

        Args:
            reason: For the server, at most 1,024 characters.

        Raises:
            UsageError: The reason is ``"Close"``, which means something else on the wire.
        """
        if reason == CLOSE:
            raise UsageError(f"{CLOSE!r} asks the handler to finish: await close() does that")
        if self._state in {_State.OPEN, _State.CLOSING}:
            self._inbox.clear()
            self._give_up(CallClosed(f"{self.procedure.name}: this side gave the call up"), reason)

    def take_item(self, text: bytes) -> None:
        """Take an item. Called by the connection."""
        self._inbox.put(text, len(text))

    def take_end(self, outcome: Outcome) -> None:
        """Take the end. Called by the connection."""
        if self._state is not _State.ENDED:
            self._state = _State.ENDED
            self._outcome = outcome
            self._inbox.put_end(outcome if isinstance(outcome, EnkakuError) else None)
            self._ended.set_result(None)

    def _give_up(self, error: EnkakuError, reason: str | None) -> None:
        if self._state is _State.OPEN:
            self._link.abort_call(self._rid, reason)
        self._link.forget_call(self._rid)
        self.take_end(error)

    async def _wait_result(self) -> _Result:
        self._link.gate.count_waiting(1)
        try:
            await asyncio.shield(self._ended)
        finally:
            self._link.gate.count_waiting(-1)
        return _decode(self._result, self._outcome)

    def _require_opened(self) -> None:
        if self._state is _State.NEW:
            raise UsageError(f"{self.procedure.name}: open the call first, by async with")


class ClientChannel(ClientStream[_Receive, _Result], Generic[_Send, _Receive, _Result]):
    """A channel: a stream that takes items for the handler as well."""

    def __init__(
        self,
        link: Link,
        procedure: Procedure,
        prm: bytes | None,
        receive: Slot[_Receive],
        result: Slot[_Result],
        send: Slot[_Send],
    ) -> None:
        super().__init__(link, procedure, prm, receive, result)
        self._send = send
        self._streak = 0

    async def send(self, item: _Send) -> None:
        """Wait until there is room for an item, and send it.

        Raises:
            CallClosed: The call is closing, or has ended; its result or error says why.
            ConnectionLost: The connection is gone.
            EncodeError: The item does not fit its schema; nothing was sent.
        """
        self._require_opened()
        line = encode_send(self.procedure.name, self._rid, self._send.encode(item))
        self._streak += 1
        if self._streak >= _STREAK:
            # A sender that never has to wait would keep every other task from running.
            self._streak = 0
            await asyncio.sleep(0)
        if self._state is _State.OPEN:
            await self._link.drain()
        # Nothing is awaited from here on: an item is sent if and only if this returns.
        if isinstance(self._outcome, ConnectionLost):
            raise self._outcome.with_traceback(None)
        if self._state is not _State.OPEN:
            raise CallClosed(f"{self.procedure.name}: the call takes no more items")
        self.has_sent = True
        self._link.write(line)


def _encode(procedure: Procedure, slot: Slot[_Param], value: _Param) -> bytes | None:
    if slot.declared:
        return slot.encode(value)
    if value is not None:
        raise UsageError(f"{procedure.name}: no value is taken, None stands for it")
    return None


def _decode(slot: Slot[_Result], outcome: Outcome) -> _Result:
    if isinstance(outcome, EnkakuError):
        # Two tasks may ask, and one again and again: the traceback is that of the last.
        raise outcome.with_traceback(None)
    if not slot.declared:
        return None  # type: ignore[return-value] # a procedure without result has the type None for it
    return slot.decode_absent() if outcome is None else slot.decode(outcome)
