"""Streams and channels as the client sees them: ``async with`` opens one, ``async for`` receives its items.

A channel is a stream whose client also sends items. Leaving the ``async with`` block of a call that has not ended aborts it;
``close()`` asks the handler to finish and returns its result.
"""

import asyncio
import time
from asyncio import get_running_loop
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from enkaku._checks import require_loop, require_seconds
from enkaku.calls.deadlines import due_within
from enkaku.calls.info import Call
from enkaku.calls.observers import Interceptor, enter_all
from enkaku.calls.states import CLIENT, ClientState, Step, after
from enkaku.errors import (
    CallClosed,
    ConnectionLost,
    DeadlineExceeded,
    DecodeError,
    EnkakuError,
    NotSupported,
    UsageError,
)
from enkaku.flow.inbox import NOTHING, End, Inbox
from enkaku.flow.overflow import WhenFull
from enkaku.flow.send_window import Window
from enkaku.procedures import Procedure
from enkaku.values.slot import Slot
from enkaku.wire.messages import CLOSE, NEWLINE_SIZE, encode_end, encode_item, send_head

from .reconnect import Sessions
from .session import Reply, finish, require_time, timed_out

__all__ = ["ClientChannel", "ClientStream", "Opening", "decode_reply"]

_Receive = TypeVar("_Receive")
_Result = TypeVar("_Result")

_CANCELLED: Final = "Cancelled"
_NEW: Final = ClientState.NEW


@dataclass(frozen=True, slots=True)
class Opening:
    """All that it takes to open a stream or a channel.

    Attributes:
        sessions: Where its client session comes from.
        procedure: What is called.
        param: What it is called with.
        prm: The same as JSON text, None where the procedure takes nothing.
        timeout: How long it may take, in seconds; None is for ever.
        when_full: What happens to items that nobody takes.
        interceptors: Stand around it.
    """

    sessions: Sessions
    procedure: Procedure
    param: object
    prm: bytes | None
    timeout: float | None = field(kw_only=True)
    when_full: WhenFull = field(kw_only=True)
    interceptors: Sequence[Interceptor] = field(kw_only=True)


class ClientStream(Generic[_Receive, _Result]):
    """A stream: an async iterator over the server's items, with a result at the end.

    Use it as a block; leaving the block while the call is open aborts it, and with it the handler::

        async with client.metrics_stream(param) as stream:
            async for metric in stream:
                ...
            result = await stream.result()
    """

    info: Call  # once it is open; ``call`` says so to those who come too early
    outgoing: Window | None = None  # what may be sent: nothing, as long as this is no channel

    def __init__(self, opening: Opening, receive: Slot[_Receive], result: Slot[_Result]) -> None:
        self.procedure: Final = opening.procedure
        self._opening = opening
        self._session = opening.sessions.session
        self._receive = receive
        self._result = result
        self._state = ClientState.NEW
        self._iterated = False
        self._reply: Reply = None
        self._stack = AsyncExitStack()

    @property
    def due(self) -> float | None:
        """When the call has to be over; None without a deadline, and before it is open."""
        return None if self._state is _NEW else self.info.due

    @property
    def call(self) -> Call:
        """What there is to know about the call, once it is open."""
        self._require_known()
        return self.info

    @property
    def window(self) -> Window | None:
        """What the server is ready to buffer; None where nothing can be sent."""
        self._require_known()
        return self.outgoing

    @property
    def dropped(self) -> int:
        """How many items were dropped, because nobody took them in time and ``when_full`` said so, or the call closes."""
        return self.call.dropped

    async def __aenter__(self) -> Self:
        opening = self._opening
        if self._state is not ClientState.NEW:
            raise UsageError(f"{self.procedure.name}: a call can be opened once")
        due = due_within(time.monotonic(), opening.timeout)
        require_time(self.procedure, due)
        self._session = await opening.sessions.ready(self.procedure, due)
        self.info = Call(self.procedure, self._session.info, time.monotonic(), due)
        self.info.param = opening.param
        try:
            await enter_all(self._stack, opening.interceptors, self.info)
            self._open()
        except BaseException as error:
            await self._stack.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    def _open(self) -> None:
        loop = get_running_loop()
        limits = self._session.limits
        self._ended: asyncio.Future[None] = loop.create_future()
        self._inbox: Inbox[bytes] = Inbox(
            self._session.reading,
            window=limits.window,
            limit=limits.inbox_limit,
            grant=lambda size: self._session.grant(self.info, size),
            when_full=self._opening.when_full,
            on_drop=self._count_dropped,
        )
        # Called by the connection: items with the bytes of their lines, and the sum of those.
        self.on_items: Callable[[Sequence[tuple[bytes, int]], int], None] = self._inbox.put
        self._step(Step.OPEN)
        try:
            self._session.open_call(self, self.info, self._opening.prm, win=self._inbox.capacity)
        except BaseException as error:
            self._step(Step.FINISH)
            closed = CallClosed(f"{self.procedure.name}: the call was not opened")
            self._reply = error if isinstance(error, EnkakuError) else closed
            self._ended.set_result(
                None
            )  # or who asks for the result all the same would wait for ever
            self._inbox.put_end(self._reply)
            self._inbox.release()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.abort(_CANCELLED if isinstance(error, asyncio.CancelledError) else None)
        self._inbox.release()
        await self._stack.__aexit__(kind, error, traceback)

    def __aiter__(self) -> AsyncIterator[_Receive]:
        return self

    async def __anext__(self) -> _Receive:
        if self._state is _NEW or get_running_loop() is not self._session.loop:
            self._require_opened()
        self._iterated = True
        text = self._inbox.get_nowait()
        if text is NOTHING:
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
            DeadlineExceeded: It took longer than its ``timeout``, or than the ``deadline()`` around it.
            DecodeError: The result does not fit its schema.
            InboxOverflow: Too many items came while nobody took them.
        """
        self._require_opened()
        if not self._iterated:
            self._inbox.drop_excess()
        return await self._wait_result()

    async def close(self) -> _Result:
        """Ask the handler to finish, and wait for its result.

        Items that came before can still be iterated over; those that do not fit the inbox are dropped.

        Raises:
            CallError: The call ended in an error.
            ConnectionLost: The connection ended first.
            DeadlineExceeded: It took longer than its ``timeout``, or than the ``deadline()`` around it.
            DecodeError: The result does not fit its schema.
        """
        self._require_opened()
        if self._step(Step.CLOSE):
            self._session.abort_call(self.info, CLOSE)
        self._inbox.drop_excess()
        return await self._wait_result()

    def abort(self, reason: str | None = None) -> None:
        """Give the call up: the handler is cancelled, and nothing more comes. After the end, do nothing.

        Args:
            reason: For the server, at most 1,024 characters.

        Raises:
            UsageError: The reason is ``"Close"``, which means something else on the wire; or the connection belongs to
                another event loop.
        """
        require_loop(self._session.loop, "the connection")
        if reason == CLOSE:
            raise UsageError(f"{CLOSE!r} asks the handler to finish: await close() does that")
        if self._state not in {ClientState.NEW, ClientState.ENDED}:
            self._inbox.clear()
            self._give_up(CallClosed(f"{self.procedure.name}: this side gave the call up"), reason)

    async def can_follow(self) -> bool:
        """Wait until the connection of the call is lost, if it may come back, and return whether it may. For ``reopening``."""
        return await self._opening.sessions.follows(self._session)

    def on_end(self, reply: Reply, /) -> None:
        """Take the end. Called by the connection."""
        if self._step(Step.FINISH):
            self._reply = reply
            self._inbox.put_end(reply if isinstance(reply, EnkakuError) else None)
            self._ended.set_result(None)
            finish(self._session, self.info, reply)

    def _step(self, step: Step) -> bool:
        state = after(CLIENT, self._state, step)
        if state is None:
            return False
        self._state = state
        if self.outgoing is not None:
            self.outgoing.wake()  # a sender that waits checks the state again
        return True

    def on_deadline(self) -> None:
        """End, since its time is over. Called by the connection."""
        self._give_up(timed_out(self.procedure), "Timeout")

    def _give_up(self, error: EnkakuError, reason: str | None) -> None:
        if (
            self._state is not ClientState.CLOSING
        ):  # the first abort wins: another would not be heard
            self._session.abort_call(self.info, reason)
        self._session.remove_call(self.info)
        self.on_end(error)

    def _count_dropped(self, count: int) -> None:
        self.info.dropped += count
        self._session.observers.item_dropped(self.info, count)

    async def _wait_result(self) -> _Result:
        with self._session.reading.waiting():
            await asyncio.shield(self._ended)
        return decode_reply(self._result, self._reply)

    def _require_opened(self) -> None:
        if self._state is _NEW or get_running_loop() is not self._session.loop:
            self._require_known()
            require_loop(self._session.loop, "the connection")

    def _require_known(self) -> None:
        if self._state is _NEW:
            raise UsageError(f"{self.procedure.name}: open the call first, by async with")


def decode_reply(slot: Slot[_Result], reply: Reply) -> _Result:
    """Return the value of a result, or raise what the call ended in."""
    if isinstance(reply, EnkakuError):
        # Two tasks may ask, and one again and again: the traceback is that of the last.
        raise reply.with_traceback(None)
    if not slot.declared:
        return None  # type: ignore[return-value] # a procedure without result has the type None for it
    return slot.decode_absent() if reply is None else slot.decode(reply)


_Send = TypeVar("_Send")

_OPEN: Final = ClientState.OPEN
_STREAK: Final = 64  # how many items a channel may send before other tasks get a turn
_GRANT_WITHIN: Final = (
    5.0  # seconds that a server may take to show whether it supports flow control
)


class ClientChannel(ClientStream[_Receive, _Result], Generic[_Send, _Receive, _Result]):
    """A channel: a stream that takes items for the handler as well."""

    def __init__(
        self,
        opening: Opening,
        receive: Slot[_Receive],
        result: Slot[_Result],
        send: Slot[_Send],
    ) -> None:
        super().__init__(opening, receive, result)
        self._send = send
        self._streak = 0

    async def send(self, item: _Send) -> None:
        """Wait until there is room for an item, and send it.

        Raises:
            CallClosed: The call is closing, or has ended (its result or error says why), or ``end()`` came before.
            ConnectionLost: The connection is gone.
            DeadlineExceeded: The call has taken too long.
            EncodeError: The item does not fit its schema; nothing was sent.
        """
        session = self._session
        if self._state is _NEW or get_running_loop() is not session.loop:
            self._require_opened()
        window = self._window
        message = encode_item(self._head, self._send.encode(item))
        size = len(message) + NEWLINE_SIZE
        self._streak += 1
        if self._streak >= _STREAK:
            # A sender that never has to wait would keep every other task from running.
            self._streak = 0
            await asyncio.sleep(0)
        if (
            window.reserving
            or size > window.free
            or self._state is not _OPEN
            or not session.writable
        ):
            await window.reserve(size, self)
        # Nothing is awaited from here on: an item is sent if and only if this returns.
        if isinstance(self._reply, ConnectionLost | DeadlineExceeded):
            raise self._reply.with_traceback(None)
        if self._state is not _OPEN:
            raise CallClosed(
                f"{self.procedure.name}: the call takes no more items: {self._why_not()}"
            )
        window.free -= size
        self.info.items_sent += 1
        self.info.bytes_sent += size
        session.write(message)

    def takes_items(self) -> bool:
        """Return whether items may still be sent. Called by the window."""
        return self._state is _OPEN

    async def drain(self) -> None:
        """Wait until the transport is writable. Called by the window."""
        await self._session.drain()

    async def wait_for_credit(self) -> None:
        """Wait until the server has granted more, or is known not to support flow control. Called by the window."""
        timer: asyncio.TimerHandle | None = None
        if not self._window.certain:
            self._session.probe_flow_control()
            loop = asyncio.get_running_loop()
            timer = loop.call_later(_GRANT_WITHIN, self._session.make_unlimited, self._window)
        try:
            await self._window.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def end(self, *, within: float = 5.0) -> None:
        """Say that no further items come; those of the server still do, and its result.

        The handler's ``async for`` ends as it does when the call is closed, but it may go on sending as long as it
        likes. After the end of the call, do nothing.

        Args:
            within: How long to wait for the server to show that it knows this, in seconds.

        Raises:
            ConnectionLost: The connection is gone.
            NotSupported: The server does not know it, as the TypeScript original does not: ``close()`` asks for the
                result.
            UsageError: ``within`` is no time.
        """
        require_seconds("within", within)
        self._require_opened()
        try:
            async with asyncio.timeout(within):
                while self._state is ClientState.OPEN and not self._window.certain:
                    self._session.probe_flow_control()
                    await self._window.wait()
        except TimeoutError:
            self._session.make_unlimited(self._window)
        if isinstance(self._reply, ConnectionLost):
            raise self._reply.with_traceback(None)
        if self._state is ClientState.OPEN and self._session.flow_control != "yes":
            raise NotSupported(
                f"{self.procedure.name}: the server does not know half-closed channels"
            )
        if self._step(Step.HALF_CLOSE):
            self._session.write(encode_end(self.info.rid))

    def _open(self) -> None:
        self.outgoing = self._window = self._session.new_window()
        super()._open()
        self._head = send_head(self.procedure.name, self.info.rid)

    def _why_not(self) -> str:
        if self._state is ClientState.HALF_CLOSED:
            return "end() has said that none come"
        return "it is closing" if self._state is ClientState.CLOSING else "it has ended"
