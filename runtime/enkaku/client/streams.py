"""Streams and channels as the client sees them: ``async with`` opens one, ``async for`` receives its items.

A channel is a stream whose client also sends items. Leaving the ``async with`` block of a call that has not ended aborts it;
``close()`` asks the handler to finish and returns its result.

A ``ClientStream`` is made from a prepared call, which says what to open. When it is opened it gets an open call, which the
session delivers to: its state, its inbox, and for a channel its send window.
"""

import asyncio
import time
from asyncio import get_running_loop
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Final, Generic, NoReturn, Self, TypeVar

from enkaku._checks import AsyncBlock, AsyncItems, require_loop, require_seconds
from enkaku.calls.deadlines import due_within
from enkaku.calls.hooks import Hook, OutgoingCall
from enkaku.calls.info import Call
from enkaku.calls.observers import Interceptor, enter_all
from enkaku.calls.states import CLIENT, ClientState, Step, after
from enkaku.errors import (
    CallClosed,
    ConnectionLost,
    DecodeError,
    EnkakuError,
    NotSupported,
    UsageError,
)
from enkaku.flow.fairness import STREAK
from enkaku.flow.inbox import NOTHING, End, Inbox
from enkaku.flow.overflow import WhenFull
from enkaku.flow.send_window import Window
from enkaku.options import MetadataSource
from enkaku.procedures import Procedure
from enkaku.values.slot import Slot
from enkaku.wire.messages import (
    CLOSE,
    NEWLINE_SIZE,
    encode_end,
    encode_item,
    send_head,
    without_properties,
)
from enkaku.wire.metadata import NO_METADATA

from .metadata import gather_metadata
from .reconnect import Sessions
from .session import ClientSession, Reply, decode_reply, finish, require_time, timed_out

__all__ = ["ClientChannel", "ClientStream", "PreparedCall", "encode_param"]

_Param = TypeVar("_Param")
_Receive = TypeVar("_Receive")
_Result = TypeVar("_Result")
_Send = TypeVar("_Send")

_CANCELLED: Final = "Cancelled"
_OPEN: Final = ClientState.OPEN
_GRANT_WITHIN: Final = 5.0  # seconds in which a server has to show that it supports flow control


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A stream or channel that can be opened.

    Attributes:
        sessions: Its client session comes from here.
        procedure: What is called.
        param: Its param.
        encode: Encodes the param.
        prm: The encoded param, None where the procedure has none.
        timeout: How long it may take, in seconds; None is without a timeout.
        when_full: The overflow policy of its inbox.
        interceptors: The call runs inside of them.
        hooks: They see the call, its items and its result.
        metadata: That of the call itself.
        source: The metadata of the connection.
    """

    sessions: Sessions
    procedure: Procedure
    param: object
    encode: Callable[[Any], bytes | None]
    prm: bytes | None
    timeout: float | None = field(kw_only=True)
    when_full: WhenFull = field(kw_only=True)
    interceptors: Sequence[Interceptor] = field(kw_only=True)
    hooks: Sequence[Hook] = field(kw_only=True)
    metadata: Mapping[str, str] = field(kw_only=True, repr=False)
    source: MetadataSource | None = field(kw_only=True, repr=False)

    def changed(self, call: OutgoingCall[object]) -> "PreparedCall":
        """Return the call with what its hooks have left of it."""
        param = call.param
        prm = self.prm if param is self.param else self.encode(param)
        return replace(self, param=param, prm=prm, timeout=call.remaining, metadata=call.metadata)


class _OpenStream:
    """An open stream, as its session sees it: the end of the call that receives.

    Args:
        session: Carries the call.
        info: The call, as observers see it.
        when_full: The overflow policy of the inbox.

    Attributes:
        inbox: The encoded items that were received.
        ended: Done when the call has ended.
        reply: How it ended.
        state: Where it stands.
        outgoing: The send window of a channel.
        on_items: Called by the session with items, each with the bytes of its message, and their sum.
    """

    outgoing: Window | None = None

    def __init__(self, session: ClientSession, info: Call, when_full: WhenFull) -> None:
        self.session: Final = session
        self.info: Final = info
        self.state = _OPEN
        self.reply: Reply = None
        self.ended: Final[asyncio.Future[None]] = session.loop.create_future()
        self.inbox: Final[Inbox[bytes]] = Inbox(
            session.reading,
            window=session.limits.window,
            limit=session.limits.inbox_limit,
            grant=lambda size: session.grant(info, size),
            when_full=when_full,
            on_drop=self._on_drop,
        )
        self.on_items: Callable[[Sequence[tuple[bytes, int]], int], None] = self._on_first_items
        self._accepted: bool | None = None  # as far as the server has shown
        self._acceptance = asyncio.Event()

    @property
    def due(self) -> float | None:
        """The deadline of the call."""
        return self.info.due

    @property
    def over(self) -> asyncio.Future[None]:
        """Done when the call has ended."""
        return self.ended

    def open(self, prm: bytes | None) -> None:
        """Send the message that opens the call."""
        try:
            self.session.open_call(self, self.info, prm, win=self.inbox.capacity)
        except BaseException as error:
            # Without an end, a task that asks for the result all the same would wait without a timeout.
            closed = CallClosed(f"{self.info.procedure.name}: the call was not opened")
            self.reply = error if isinstance(error, EnkakuError) else closed
            self.step(Step.FINISH)
            self.ended.set_result(None)
            self.inbox.put_end(self.reply)
            self.inbox.release()
            raise

    def step(self, step: Step) -> bool:
        """Go to the next state, and return True; return False where the step is none from this state."""
        state = after(CLIENT, self.state, step)
        if state is None:
            return False
        self.state = state
        if self.outgoing is not None:
            self.outgoing.wake()  # a sender that waits checks the state again
        return True

    def on_accepted(self, *, flow_control: bool) -> None:
        """Record that the server has accepted the call, or does not show whether it has. Called by the session."""
        if not self._accepted:
            self._accepted = flow_control
            self._acceptance.set()

    def _on_first_items(self, items: Sequence[tuple[bytes, int]], size: int) -> None:
        self.on_items = self.inbox.put
        self.on_accepted(flow_control=True)
        self.inbox.put(items, size)

    def on_leaving(self) -> None:
        """Go on: the server ends the call in time. Called by the session."""

    def on_end(self, reply: Reply, /) -> None:
        """Record how the call has ended. Called by the session."""
        if self.step(Step.FINISH):
            self.reply = reply
            self._acceptance.set()
            self.inbox.put_end(reply if isinstance(reply, EnkakuError) else None)
            self.ended.set_result(None)
            finish(self.session, self.info, reply)

    def on_deadline(self) -> None:
        """Abort, since the deadline has passed. Called by the session."""
        self.abort(timed_out(self.info.procedure), "Timeout")

    def abort(self, error: EnkakuError, reason: str | None) -> None:
        """End with an error, and ask the server to cancel the handler."""
        if self.state is not ClientState.CLOSING:  # a second abort message would be ignored
            self.session.abort_call(self.info, reason)
        self.session.remove_call(self.info)
        self.on_end(error)

    async def wait_accepted(self, within: float) -> None:
        """Wait until the server has accepted the call, for so many seconds where it has not shown flow control."""
        if self._accepted is None and self.state is not ClientState.ENDED:
            if self.session.flow_control == "unknown":
                self.session.probe_flow_control()
            known = self.session.flow_control == "yes"
            with suppress(TimeoutError):
                async with asyncio.timeout(None if known else within):
                    with self.session.reading.waiting():
                        await self._acceptance.wait()
        name = self.info.procedure.name
        if isinstance(self.reply, EnkakuError):
            raise self.reply.with_traceback(None)
        if not self._accepted and self.state is not ClientState.ENDED:
            raise NotSupported(f"{name}: the server does not show whether it has accepted a stream")

    async def wait(self) -> Reply:
        """Wait until the call has ended; return how."""
        with self.session.reading.waiting():
            await asyncio.shield(self.ended)
        return self.reply

    def _on_drop(self, count: int) -> None:
        self.info.dropped += count
        self.session.observers.item_dropped(self.info, count)


class _OpenChannel(_OpenStream):
    """An open channel: an open stream with a send window."""

    def __init__(self, session: ClientSession, info: Call, when_full: WhenFull) -> None:
        super().__init__(session, info, when_full)
        self.outgoing = self.window = session.new_window()
        self.head = b""
        self.streak = 0  # items that were sent without yielding to other tasks

    def open(self, prm: bytes | None) -> None:
        """Send the message that opens the call."""
        super().open(prm)
        self.head = send_head(self.info.procedure.name, self.info.rid)

    def takes_items(self) -> bool:
        """Return whether items may still be sent. Called by the window."""
        return self.state is _OPEN

    async def drain(self) -> None:
        """Wait until the transport is writable. Called by the window."""
        await self.session.drain()

    async def wait_for_credit(self) -> None:
        """Wait until the server has granted more, or is known not to support flow control. Called by the window."""
        session, window = self.session, self.window
        timer: asyncio.TimerHandle | None = None
        if not window.certain:
            session.probe_flow_control()
            timer = session.loop.call_later(_GRANT_WITHIN, session.make_unlimited, window)
        try:
            await window.wait()
        finally:
            if timer is not None:
                timer.cancel()

    def on_leaving(self) -> None:
        """Half-close: the server delivers what was sent before, and nothing after. Called by the session."""
        if self.step(Step.HALF_CLOSE):
            self.session.write(encode_end(self.info.rid))

    async def wait_until_certain(self, within: float) -> None:
        """Wait until the server has shown whether it supports flow control, which it has to within so many seconds."""
        try:
            async with asyncio.timeout(within):
                while self.state is _OPEN and not self.window.certain:
                    self.session.probe_flow_control()
                    await self.window.wait()
        except TimeoutError:
            self.session.make_unlimited(self.window)

    def raise_not_sent(self) -> NoReturn:
        """Raise why no item can be sent."""
        if isinstance(self.reply, EnkakuError):
            raise self.reply.with_traceback(None)
        reasons = {
            ClientState.HALF_CLOSED: (
                "the server is stopping" if self.session.leaving else "end() was called"
            ),
            ClientState.CLOSING: "it is closing",
            ClientState.ENDED: "it has ended",
        }
        name = self.info.procedure.name
        raise CallClosed(f"{name}: the call takes no more items: {reasons[self.state]}")


class ClientStream(AsyncBlock, AsyncItems, Generic[_Receive, _Result]):
    """A stream: an async iterator over the server's items, with a result at the end.

    Use it in ``async with``. Leaving the block while the call is open aborts it, and cancels the handler::

        async with client.metrics_stream(param) as stream:
            async for metric in stream:
                ...
            result = await stream.result()
    """

    def __init__(
        self, prepared: PreparedCall, receive: Slot[_Receive], result: Slot[_Result]
    ) -> None:
        self.procedure: Final = prepared.procedure
        self._prepared = prepared
        self._session = prepared.sessions.session
        self._opened: _OpenStream | None = None
        self._receive = receive
        self._result = result
        self._iterated = False
        self._stack = AsyncExitStack()

    def __repr__(self) -> str:
        if self._opened is None:
            return f"<{self.procedure.kind} {self.procedure.name}: not open>"
        return self.call.describe(self._opened.state.name.lower().replace("_", "-"))

    @property
    def call(self) -> Call:
        """Metadata of the call, once it is open."""
        return self._require_known().info

    @property
    def window(self) -> Window | None:
        """The send window; None where this is no channel."""
        return self._require_known().outgoing

    @property
    def dropped(self) -> int:
        """How many items were dropped: because of ``when_full``, or while the call closes."""
        return self.call.dropped

    async def __aenter__(self) -> Self:
        prepared = self._prepared
        if self._opened is not None:
            raise UsageError(f"{self.procedure.name}: a call can be opened once")
        due = due_within(time.monotonic(), prepared.timeout)
        require_time(self.procedure, due)
        self._session = await prepared.sessions.ready(self.procedure, due)
        metadata = NO_METADATA
        if prepared.source is not None or prepared.metadata:
            metadata = await gather_metadata(
                prepared.source, prepared.metadata, self.procedure, due
            )
            self._session = await prepared.sessions.ready(self.procedure, due)
        info = Call(self.procedure, self._session.info, time.monotonic(), due)
        info.param = prepared.param
        if metadata:
            info.metadata = metadata
        try:
            await enter_all(self._stack, prepared.interceptors, info)
            self._opened = self._new(self._session, info)
            self._opened.open(prepared.prm)
        except BaseException as error:
            await self._stack.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    def _new(self, session: ClientSession, info: Call) -> _OpenStream:
        return _OpenStream(session, info, self._prepared.when_full)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.abort(_CANCELLED if isinstance(error, asyncio.CancelledError) else None)
        if self._opened is not None:
            self._opened.inbox.release()
        await self._stack.__aexit__(kind, error, traceback)

    def __aiter__(self) -> AsyncIterator[_Receive]:
        return self

    async def __anext__(self) -> _Receive:
        opened = self._opened
        if opened is None or get_running_loop() is not opened.session.loop:
            opened = self._require_opened()
        self._iterated = True
        encoded = opened.inbox.get_nowait()
        if encoded is NOTHING:
            try:
                encoded = await opened.inbox.get()
            except End:
                raise StopAsyncIteration from None
        try:
            return self._receive.decode(encoded)
        except DecodeError as error:
            return self._decode_again(opened, encoded, error)

    def ready(self) -> Iterator[_Receive]:
        """Iterate over items that need not be waited for, as far as no other task has to run. For ``enkaku.sync``.

        With another overflow policy than ``"wait"``, there are none: an item is taken as late as possible.
        """
        opened = self._require_opened()
        if self._prepared.when_full != "wait":
            return
        while (encoded := opened.inbox.get_nowait()) is not NOTHING:
            try:
                yield self._receive.decode(encoded)
            except DecodeError as error:
                yield self._decode_again(opened, encoded, error)

    def _decode_again(self, opened: _OpenStream, encoded: bytes, error: DecodeError) -> _Receive:
        """Decode a value that further properties follow; if none follow, end the call."""
        value = without_properties(encoded)
        try:
            if value is None:
                raise error
            return self._receive.decode(value)
        except DecodeError as final:
            opened.abort(final, None)
            raise

    async def opened(self, *, within: float = 5.0) -> None:
        """Wait until the server has accepted the call, or has sent an item.

        Args:
            within: How long a server that has not shown flow control may take, in seconds.

        Raises:
            CallError: The server has rejected the call, or it ended with an error.
            ConnectionLost: The connection ended first.
            DeadlineExceeded: The deadline of the call has passed.
            NotSupported: The server does not show it, such as the TypeScript implementation.
            UsageError: ``within`` is not a time.
        """
        require_seconds("within", within)
        await self._require_opened().wait_accepted(within)

    async def result(self) -> _Result:
        """Wait until the server ends the call by itself.

        If no task iterates over the items, those that do not fit the inbox are dropped.

        Raises:
            CallError: The call ended with an error.
            ConnectionLost: The connection ended first.
            DeadlineExceeded: It took longer than its ``timeout``, or than the ``deadline()`` around it.
            DecodeError: The result does not fit its schema.
            InboxOverflow: Too many items came that no task took.
        """
        opened = self._require_opened()
        if not self._iterated:
            opened.inbox.drop_excess()
        return decode_reply(self._result, await opened.wait())

    async def close(self) -> _Result:
        """Ask the handler to finish, and wait for its result.

        Items that came before can still be iterated over; those that do not fit the inbox are dropped.

        Raises:
            CallError: The call ended with an error.
            ConnectionLost: The connection ended first.
            DeadlineExceeded: It took longer than its ``timeout``, or than the ``deadline()`` around it.
            DecodeError: The result does not fit its schema.
        """
        opened = self._require_opened()
        if opened.step(Step.CLOSE):
            opened.session.abort_call(opened.info, CLOSE)
        opened.inbox.drop_excess()
        return decode_reply(self._result, await opened.wait())

    def abort(self, reason: str | None = None) -> None:
        """Abort the call: the handler is cancelled, and nothing more is received. After the end, do nothing.

        Args:
            reason: For the server, at most 1,024 characters.

        Raises:
            UsageError: The reason is ``"Close"``, which means something else on the wire; or the connection belongs to
                another event loop.
        """
        require_loop(self._session.loop, "the connection")
        if reason == CLOSE:
            raise UsageError(
                f"abort: reason must not be {CLOSE!r}, which asks the handler to finish; await close() for that"
            )
        opened = self._opened
        if opened is not None and opened.state is not ClientState.ENDED:
            opened.inbox.clear()
            opened.abort(CallClosed(f"{self.procedure.name}: this side aborted the call"), reason)

    async def can_follow(self) -> bool:
        """Wait until the session of the call is lost, if another may follow; return whether one may. For ``reopening``."""
        return await self._prepared.sessions.follows(self._session)

    def _require_opened(self) -> _OpenStream:
        opened = self._require_known()
        require_loop(opened.session.loop, "the connection")
        return opened

    def _require_known(self) -> _OpenStream:
        if self._opened is None:
            raise UsageError(f"{self.procedure.name}: open the call first, with 'async with'")
        return self._opened


class ClientChannel(ClientStream[_Receive, _Result], Generic[_Send, _Receive, _Result]):
    """A channel: a stream whose client also sends items to the handler."""

    def __init__(
        self,
        prepared: PreparedCall,
        receive: Slot[_Receive],
        result: Slot[_Result],
        send: Slot[_Send],
    ) -> None:
        super().__init__(prepared, receive, result)
        self._send = send
        self._channel: _OpenChannel | None = None

    def _new(self, session: ClientSession, info: Call) -> _OpenStream:
        self._channel = _OpenChannel(session, info, self._prepared.when_full)
        return self._channel

    async def send(self, item: _Send) -> None:
        """Wait until an item may be sent, and send it.

        Raises:
            CallClosed: The call is closing, or has ended with its result; or ``end()`` was called; or the server is stopping.
            CallError: The call has ended with this error.
            ConnectionLost: The connection was lost.
            DeadlineExceeded: The deadline of the call has passed.
            EncodeError: The item does not fit its schema; nothing was sent.
        """
        channel = self._channel
        if channel is None or get_running_loop() is not channel.session.loop:
            channel = self._require_channel()
        session, window = channel.session, channel.window
        message = encode_item(channel.head, self._send.encode(item))
        size = session.size_of(message) + NEWLINE_SIZE
        channel.streak += 1
        if channel.streak >= STREAK:
            # A sender that never has to wait would keep every other task from running.
            channel.streak = 0
            await asyncio.sleep(0)
        if (
            window.reserving
            or size > window.free
            or channel.state is not _OPEN
            or not session.transport.writable
        ):
            await window.reserve(size, channel)
            if channel.state is not _OPEN:
                channel.raise_not_sent()
        # Nothing is awaited from here on: an item is sent if and only if this returns.
        window.free -= size
        channel.info.items_sent += 1
        channel.info.bytes_sent += size
        session.write(message)

    async def end(self, *, within: float = 5.0) -> None:
        """Half-close: send no further items; the server's items still come, and its result.

        The handler's ``async for`` ends as it does when the call is closed, but the handler may go on sending. After
        the end of the call, do nothing.

        Args:
            within: How long to wait until the server shows that it supports this, in seconds.

        Raises:
            ConnectionLost: The connection was lost.
            NotSupported: The server does not support it, such as the TypeScript implementation; ``close()`` asks for
                the result.
            UsageError: ``within`` is no time.
        """
        require_seconds("within", within)
        channel = self._require_channel()
        await channel.wait_until_certain(within)
        if isinstance(channel.reply, ConnectionLost):
            raise channel.reply.with_traceback(None)
        if channel.state is _OPEN and channel.session.flow_control != "yes":
            raise NotSupported(
                f"{self.procedure.name}: the server does not support half-closed channels"
            )
        if channel.step(Step.HALF_CLOSE):
            channel.session.write(encode_end(channel.info.rid))

    def _require_channel(self) -> _OpenChannel:
        self._require_opened()
        assert self._channel is not None  # noqa: S101 # it is what was opened
        return self._channel


def encode_param(procedure: Procedure, slot: Slot[_Param], value: _Param) -> bytes | None:
    """Return the encoded param or data of a call, None where the procedure has none."""
    if slot.declared:
        return slot.encode(value)
    if value is not None:
        noun = "data" if procedure.kind == "event" else "param"
        raise UsageError(f"{procedure.name} takes no {noun}: pass None; got {value!r:.100}")
    return None
