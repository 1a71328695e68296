"""The client's session: which calls are open on one transport, and which call each reply belongs to.

It gives a call its id, sends the message that opens it, and routes ``receive``, ``result``, ``error`` and ``credit`` messages to
it. A request is handled here from its opening to its reply; streams and channels have objects of their own, in ``streams``.
Slot values pass through as encoded bytes.

*Extensions*: the first message says which the client supports (``header.ext``), and the first message of the server answers in
kind. A peer that does not know them ignores that.

*Whether the server supports flow control* is unknown at first. A ``credit`` shows that it does, and comes before anything else
for a channel; another message for a channel, or the reply to a ping, shows that it does not. While it is unknown, a
channel sends at most ``EARLY`` bytes.

A transport with separate calls (HTTP) knows both from the start. It can also lose one call alone: see ``fail_call``.

*Idle timeout*: while calls are open and nothing has come for ``Limits.silence``, a server that supports flow control is pinged;
when nothing comes for as long again, the connection is lost. Other servers need not answer a ping.

*A client with an identity* signs every message. The size of a message, for flow control and metadata, is that of the signed one.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from operator import itemgetter
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias, TypeVar

from msgspec import UNSET

from enkaku._json import DEPTH_MAX
from enkaku.calls.deadlines import Deadlines, passed
from enkaku.calls.idle_timer import IdleTimer
from enkaku.calls.info import Call, ConnectionInfo
from enkaku.calls.invalid_messages import InvalidMessages
from enkaku.calls.observers import Observers
from enkaku.errors import (
    CallClosed,
    CallError,
    ConnectionLost,
    DeadlineExceeded,
    DecodeError,
    EnkakuError,
    InboxOverflow,
    InvalidMessage,
    MessageTooLarge,
)
from enkaku.flow.fairness import CHUNK, TimeSlices
from enkaku.flow.inbox import ReadControl
from enkaku.flow.send_window import EARLY, Window
from enkaku.limits import Limits
from enkaku.procedures import Procedure, Request
from enkaku.transports.base import Oversized, PausesReading, SeparateCalls, Transport
from enkaku.values.slot import Slot
from enkaku.wire.error_codes import ErrorCode
from enkaku.wire.messages import (
    ALIVE,
    BOM,
    NEWLINE_SIZE,
    Credit,
    Error,
    Leaving,
    Receive,
    Result,
    ServerMessage,
    add_metadata,
    decode_server_message,
    encode_abort,
    encode_credit,
    encode_open,
    introduce,
    peek,
    require_depth,
    supported_by_first,
)
from enkaku.wire.metadata import encode_metadata

if TYPE_CHECKING:
    from enkaku.identity.messages import Signer

__all__ = [
    "ClientSession",
    "OpenCall",
    "Reply",
    "RequestCall",
    "decode_reply",
    "finish",
    "require_time",
    "send_request",
    "timed_out",
]

_Param = TypeVar("_Param")
_Result = TypeVar("_Result")

logger: Final = logging.getLogger("enkaku.client")

_CANCELLED: Final = "Cancelled"
_size: Final = itemgetter(1)  # of an item's message
_REJECTIONS: Final = frozenset({ErrorCode.INVALID_MESSAGE, ErrorCode.MESSAGE_TOO_LARGE})
_PING: Final = "alive?"  # the rid of a ping; those of calls are numbers

Reply: TypeAlias = bytes | EnkakuError | None
"""How a call ended: its encoded result, or None where the procedure has none, or an error."""


class OpenCall(Protocol):
    """A call that the server has not ended yet, as the session sees it."""

    @property
    def info(self) -> Call:
        """The call, as observers see it."""
        ...

    @property
    def due(self) -> float | None:
        """Its deadline."""
        ...

    @property
    def outgoing(self) -> Window | None:
        """The send window of a channel; None for other calls."""
        ...

    @property
    def over(self) -> asyncio.Future[Reply] | asyncio.Future[None]:
        """Done when the call has ended, or the task that waits for its reply was cancelled."""
        ...

    def on_accepted(self, *, flow_control: bool) -> None:
        """The server has accepted the call; or it does not support flow control, and so does not show that."""

    def on_items(self, items: Sequence[tuple[bytes, int]], size: int, /) -> None:
        """The server sent some items, each with the size of its message; ``size`` is their sum."""

    def on_end(self, reply: Reply, /) -> None:
        """The call has ended."""

    def on_leaving(self) -> None:
        """The server is about to stop."""

    def on_deadline(self) -> None:
        """The deadline of the call has passed."""


class RequestCall(Call):
    """A request, and the future of its reply.

    Args:
        procedure: The procedure that is called.
        session: Carries it.
        started: When it began, by ``time.monotonic()``.
        due: Its deadline.
    """

    outgoing = None

    def __init__(
        self, procedure: Procedure, session: "ClientSession", started: float, due: float | None
    ) -> None:
        # As the base class does, without a second function for each request. What each request reads is set here, since
        # Python finds the defaults of a class more slowly.
        self.outcome = None
        self.bytes_received = 0
        self.procedure = procedure
        self.connection = session.info
        self.rid = ""
        self.due = due
        self.started = started
        self.session: Final = session
        # An error is a value here: asyncio logs an exception of a future that no task fetches.
        self.reply: Final[asyncio.Future[Reply]] = asyncio.Future(loop=session.loop)

    @property
    def info(self) -> Call:
        """The call, as observers see it."""
        return self

    @property
    def over(self) -> asyncio.Future[Reply]:
        """The reply."""
        return self.reply

    def on_accepted(self, *, flow_control: bool) -> None:
        """Do nothing: the reply is all that is waited for."""

    def on_items(self, items: Sequence[tuple[bytes, int]], size: int, /) -> None:
        """Ignore items: a request has none."""
        name = self.procedure.name
        logger.debug("%s: %d items, %d bytes, for a request are ignored", name, len(items), size)

    def on_leaving(self) -> None:
        """Do nothing: the request may still end in time."""

    def on_end(self, reply: Reply, /) -> None:
        """Pass the reply to the task that waits for it."""
        if self.outcome is None:
            self.session.close_request()
            finish(self.session, self, reply)
        if not self.reply.done():  # it is, if the task that waits for it was cancelled
            self.reply.set_result(reply)

    def cancel(self) -> None:
        """Abort, since the task that waited was cancelled."""
        self.abort(_CANCELLED, CallClosed(f"{self.procedure.name}: cancelled"))

    def abort(self, reason: str, error: EnkakuError) -> None:
        """End the call on this side, and ask the server to cancel its handler."""
        self.session.abort_call(self, reason)
        self.session.remove_call(self)
        self.on_end(error)

    def on_deadline(self) -> None:
        """Abort."""
        self.abort("Timeout", timed_out(self.procedure))


class ClientSession:
    """Carries the calls of one transport.

    Args:
        transport: Carries the messages; started here.
        limits: How much is buffered, and how long the server may be silent.
        observers: Are notified of what happens.
        on_lost: Called when no further calls can be made.
        info: The connection, as observers see it, if another session has it, too.
        signer: Signs the messages; None for a client without an identity.

    Attributes:
        is_open: Whether calls can be made.
        is_new: Whether no message was sent; see ``introduce``.
        leaving: Whether the server has said that it is about to stop.
        transport: Carries the messages.
        reader: Pauses and resumes reading: the transport, unless another session shares it.
        write: Sends a message, without waiting; signs it.
        size_of: Returns how many bytes a message has when it was signed.
        flow_control: Whether the server supports flow control, as far as it has shown.
        separate: The transport, if it carries each call by itself; else None.
    """

    def __init__(
        self,
        transport: Transport,
        limits: Limits,
        observers: Observers,
        on_lost: Callable[["ClientSession"], None],
        info: ConnectionInfo | None = None,
        signer: "Signer | None" = None,
    ) -> None:
        self.loop: Final = asyncio.get_running_loop()
        self.info: Final = info or ConnectionInfo(
            transport.peer, transport.credentials, self, certificate=transport.certificate
        )
        self.limits: Final = limits
        self.observers: Final = observers
        self.reading: Final = ReadControl(self, buffered=limits.buffered, stall=limits.stall)
        self.deadlines: Final = Deadlines(self._list_open)
        self.flow_control: Literal["unknown", "yes", "no"] = "unknown"
        self.write: Final = _writer(transport, signer)
        self.size_of: Final[Callable[[bytes], int]] = len if signer is None else signer.size
        self.transport: Final = transport
        self.reader: PausesReading = transport
        self._on_lost = on_lost
        self._idle = IdleTimer(self._on_idle)
        self._pinged = False  # for the idle timeout, and nothing has come since
        self._probed = False  # a ping was sent to find out about flow control
        self._decode = decode_server_message if limits.depth >= DEPTH_MAX else self._decode_shallow
        self._ping_rid = _PING
        self._rids = map(str, count(1))
        self._calls: dict[str, OpenCall] = {}
        self._slices = TimeSlices(self)
        self._failed: list[tuple[str, EnkakuError]] = []  # calls, once what waits is handled
        self.is_open = True
        self.is_new = True
        self.leaving = False
        self._received = False
        self._loss = ""
        self._cause: Exception | None = None
        self._invalid = InvalidMessages(self.info, observers, logger)
        self.separate: Final = transport if isinstance(transport, SeparateCalls) else None
        if self.separate is not None:
            self._separate_calls(self.separate)
        elif signer is not None:
            # The ids are not those of another connection, so that no captured message fits a call of this one.
            self._rids = map(f"{secrets.token_urlsafe(9)}.".__add__, self._rids)
        observers.connection_opened(self.info)
        transport.start(
            self,
            message_size=limits.message_size,
            message_time=limits.message_time,
            unread_time=limits.unread_time,
        )

    def _separate_calls(self, transport: SeparateCalls) -> None:
        """Begin with what is known of the server of a transport with separate calls."""
        self.is_new = False
        self._received = True
        self._rids = map(transport.call_prefix.__add__, self._rids)
        transport.fail_call = self.fail_call
        if transport.flow_control:
            self._on_flow_control()
        else:
            self.flow_control = "no"

    def require_open(self, procedure: Procedure) -> None:
        """Raise ConnectionLost unless calls can be made."""
        if not self.is_open:
            raise self.make_loss(procedure)

    def make_loss(self, procedure: Procedure) -> ConnectionLost:
        """Return the error of a call that needs the connection after it was lost."""
        return self.lost_error(procedure.name)

    def lost_error(self, what: str) -> ConnectionLost:
        """Return the error of what needs the connection after it was lost."""
        error = ConnectionLost(f"{what}: {self._loss} ({self.info.peer})")
        error.__cause__ = self._cause
        return error

    async def drain(self) -> None:
        """Wait until the transport is writable.

        Raises:
            ConnectionLost: It never will be.
        """
        # The server may not read this message before the client has read what the server has sent.
        with self.reading.waiting():
            await self.transport.drain()

    async def close(self, *, within: float) -> None:
        """End every call, and the connection."""
        self._lose("this side closed the connection", None)
        await self.transport.close(within=within)

    def drop(self, reason: str, cause: Exception | None) -> None:
        """End every call, and the connection, at once."""
        self._lose(reason, cause)
        self.transport.abort()

    def open_request(self, call: RequestCall, prm: bytes | None) -> None:
        """Send a request whose reply a task will wait for."""
        self.open_call(call, call, prm)
        reading = self.reading
        # Until the request ends: as reading.waiting(), without a coroutine around the reply.
        reading.waiters += 1
        if reading.full:
            reading.update()

    def close_request(self) -> None:
        """Uncount a request: it has ended."""
        reading = self.reading
        reading.waiters -= 1
        if reading.full:
            reading.update()

    def open_call(
        self, opened: OpenCall, call: Call, prm: bytes | None, *, win: int | None = None
    ) -> None:
        """Send the message that opens a call, and give the call its id.

        Args:
            opened: Gets the messages of the server for the call.
            call: The call, as observers see it.
            prm: The encoded param, None where the procedure has none.
            win: How many bytes of items this side buffers for it.
        """
        procedure, due = call.procedure, call.due
        if not self.is_open:
            raise self.make_loss(procedure)
        rid = call.rid = next(self._rids)
        ttl = None
        if due is not None:
            ttl = int((due - call.started) * 1000 + 0.5) or 1
            if due < self.deadlines.wakes:
                self.deadlines.wake_at(due)
        message = encode_open(procedure.kind, rid, procedure.name, prm, win=win, ttl=ttl)
        if call.metadata:
            message = add_metadata(message, encode_metadata(call.metadata))
        if self.is_new:
            message = self.introduce(message)
        call.bytes_sent = self.size_of(message) + NEWLINE_SIZE
        if not self._calls:
            self._pinged = False
            self._idle.last = call.started
        self._calls[rid] = opened
        if self.observers.started:
            self.observers.call_started(call)
        if not self._idle.active:
            self._idle.restart(self.limits.silence)
        self.write(message)

    def introduce(self, message: bytes) -> bytes:
        """Return the first message with what this client supports."""
        self.is_new = False
        return introduce(message)

    def abort_call(self, call: Call, reason: str | None) -> None:
        """Ask the server to abort or close a call, unless it has ended."""
        if call.rid in self._calls and self.is_open:
            self.write(encode_abort(call.rid, reason))

    def remove_call(self, call: Call) -> None:
        """Ignore further messages for a call."""
        self._calls.pop(call.rid, None)

    def fail_call(self, rid: str, error: EnkakuError) -> None:
        """End a call with an error of its transport, once what was read before is handled; if it has ended, do nothing."""
        if self._slices.waiting:
            self._failed.append((rid, error))
            return
        opened = self._calls.pop(rid, None)
        if opened is not None:
            opened.on_end(self.name_error(error, opened.info.procedure))

    def name_error(self, error: EnkakuError, procedure: Procedure) -> EnkakuError:
        """Return an error of the transport as that of a call."""
        if isinstance(error, CallError):
            error.procedure = procedure.name
            return error
        if not isinstance(error, ConnectionLost):
            return error
        named = type(error)(f"{procedure.name}: {error} ({self.info.peer})")
        named.__cause__ = error.__cause__
        return named

    def grant(self, call: Call, size: int) -> None:
        """Grant the server so many more bytes of items of a call."""
        if call.rid in self._calls and self.is_open:
            self.write(encode_credit(call.rid, size))

    def new_window(self) -> Window:
        """Return the send window of a new channel."""
        return Window(None) if self.flow_control == "no" else Window(EARLY, certain=False)

    def make_unlimited(self, window: Window) -> None:
        """Treat the server as one without flow control: only the transport slows the sender down."""
        if self.flow_control == "unknown":
            self.flow_control = "no"
        window.make_unlimited()

    def probe_flow_control(self) -> None:
        """Ping the server once, since one with flow control shows that before it answers."""
        if not self._probed and self.flow_control != "yes":
            self._probed = True
            self._ping()

    def messages_received(  # noqa: C901, PLR0912 # one loop, since a function for each step costs as much as the step
        self, batch: Sequence[bytes | Oversized]
    ) -> None:
        """Handle messages of the server. Successive items of one call are delivered together."""
        if len(batch) > CHUNK or self._slices.waiting:
            self._slices.add(batch)
            return
        now = self._idle.last = time.monotonic()
        self._pinged = False
        if not self._received and batch:
            batch = self._on_first(batch)
        calls, reading = self._calls, self.reading
        items: list[tuple[bytes, int]] = []
        rid = ""  # of the call of the items
        for raw in batch:
            if type(raw) is Oversized:
                if items:
                    self._deliver(rid, items)
                self._on_oversized(raw)
                continue
            try:
                message = self._decode(raw)
            except InvalidMessage as error:
                if items:
                    self._deliver(rid, items)
                self._on_invalid(error.rid, error)
                continue
            if type(message) is Receive:
                if message.rid != rid:
                    if items:
                        self._deliver(rid, items)
                    rid = message.rid
                items.append((bytes(message.val), len(raw) + NEWLINE_SIZE))
                continue
            if items:
                self._deliver(rid, items)
            if type(message) is Result:
                call = calls.get(message.rid)
                if type(call) is RequestCall and call.outcome is None:
                    # The usual end of a request: _on_reply(), on_end() and finish() in one.
                    del calls[message.rid]
                    call.bytes_received += len(raw) + NEWLINE_SIZE
                    call.outcome, call.ended = "result", now
                    reading.waiters -= 1
                    if reading.full:
                        reading.update()
                    if self.observers.ended:
                        self.observers.call_ended(call)
                    reply, val = call.reply, message.val
                    if not reply.done():
                        reply.set_result(None if val is UNSET else bytes(val))
                    continue
            self._on_reply(message, len(raw) + NEWLINE_SIZE)
        if items:
            self._deliver(rid, items)

    def _decode_shallow(self, raw: bytes) -> ServerMessage:
        """Decode a message that has to be less deep than the decoder allows."""
        require_depth(raw, self.limits.depth)
        return decode_server_message(raw)

    def _on_first(self, batch: Sequence[bytes | Oversized]) -> Sequence[bytes | Oversized]:
        """Read from the first message of the server what it supports; skip its byte order mark."""
        self._received = True
        first = batch[0]
        if type(first) is Oversized:
            return batch
        if first.startswith(BOM):
            batch = [first.removeprefix(BOM), *batch[1:]]
        if "credit" in supported_by_first(first.removeprefix(BOM)):
            self._on_flow_control()
        return batch

    def _on_flow_control(self) -> None:
        self.reading.enable_flow_control()
        self.flow_control = "yes"

    def message_growing(self, size: int) -> None:
        """Do nothing: the transport bounds the message."""

    def connection_lost(self, error: Exception | None) -> None:
        """End every open call, once what was read before is handled."""
        if self._slices.waiting:
            self._slices.end(lambda: self.connection_lost(error))
            return
        if isinstance(
            error, ConnectionLost
        ):  # the transport knows the reason, such as an exit status
            self._lose(str(error), None)
            return
        self._lose("the connection was lost" if error else "the server ended the connection", error)

    def _deliver(self, rid: str, items: list[tuple[bytes, int]]) -> None:
        """Deliver successive items of one call, and clear the list."""
        opened = self._calls.get(rid)
        if opened is None:
            logger.debug("%s: ignored items of unknown or ended call %.128r", self.info.peer, rid)
            items.clear()
            return
        window = opened.outgoing
        if window is not None and not window.certain:
            self.make_unlimited(window)  # a server with flow control grants credit first
        call, size = opened.info, sum(map(_size, items))
        call.items_received += len(items)
        call.bytes_received += size
        try:
            opened.on_items(items, size)
        except InboxOverflow as error:
            self.observers.overloaded(self.info, call.procedure.name, str(error))
            self._on_invalid(call.rid, error)
        items.clear()

    def _on_reply(self, message: Result | Error | Credit | Leaving, size: int) -> None:
        if type(message) is Credit:
            self._on_credit(message.n, self._calls.get(message.rid))
            return
        if type(message) is Leaving:
            self._on_leaving()
            return
        opened = self._calls.get(message.rid)
        if opened is None:
            if message.rid == self._ping_rid:
                self._on_pong()
            else:
                text = "%s: ignored a reply to unknown or ended call %.128r"
                logger.debug(text, self.info.peer, message.rid)
            return
        window = opened.outgoing
        if window is not None and not window.certain and type(message) is not Error:
            self.make_unlimited(window)
        call = opened.info
        call.bytes_received += size
        if type(message) is Result:
            reply: Reply = None if message.val is UNSET else bytes(message.val)
        else:
            reply = _decode_error(call.procedure, message)
            if message.code in _REJECTIONS and call.items_sent:
                # The server has rejected an item, which ends the call at the client only.
                self.abort_call(call, None)
        self.remove_call(call)
        opened.on_end(reply)

    def _on_credit(self, size: int, opened: OpenCall | None) -> None:
        self._on_flow_control()
        if opened is not None:
            opened.on_accepted(flow_control=True)
            if opened.outgoing is not None:
                opened.outgoing.grant(size)

    def _on_leaving(self) -> None:
        """End the items of open channels: the server delivers those before this to its handlers, and none after it."""
        self.leaving = True
        for opened in tuple(self._calls.values()):
            opened.on_leaving()

    def _on_oversized(self, message: Oversized) -> None:
        _, rid = peek(message.head)
        size = self.limits.message_size
        self._on_invalid(rid, MessageTooLarge(f"a message of more than {size} bytes was discarded"))

    def _on_invalid(self, rid: str | None, error: EnkakuError) -> None:
        """End the call of an invalid message; other calls go on."""
        self._invalid.report(str(error))
        opened = None if rid is None else self._calls.get(rid)
        if opened is not None:
            self.abort_call(opened.info, None)
            self.remove_call(opened.info)
            opened.on_end(error)
        if self._invalid.exceed(self.limits.invalid):
            self._lose("the server sent too many invalid messages", None)
            self._slices.clear()
            self.transport.abort()

    def _on_idle(self) -> None:
        """Ping the server, or end the connection: nothing was received for ``Limits.silence``."""
        if not self._calls:
            self._idle.restart(None)
        elif self._is_reading_paused():
            self._pinged = False  # the silence is this side's: it does not read
        elif self._pinged:
            seconds = 2 * (self.limits.silence or 0)
            reason = f"the server has sent nothing for {seconds:g} s"
            if self.separate is not None:
                for opened in tuple(self._calls.values()):
                    self.abort_call(opened.info, None)
                    self.fail_call(opened.info.rid, ConnectionLost(reason))
                return
            self._lose(reason, None)
            self.transport.abort()
        elif self.flow_control == "yes":
            self._pinged = True
            self._ping()

    def _is_reading_paused(self) -> bool:
        return self.reading.paused

    def _ping(self) -> None:
        # A server that validates messages answers this with EK08; an Enkaku server for Python logs nothing.
        self.write(encode_open("request", self._ping_rid, ALIVE, None))

    def _on_pong(self) -> None:
        if self.flow_control != "yes":
            self.flow_control = "no"
            for opened in tuple(self._calls.values()):
                opened.on_accepted(flow_control=False)
                if opened.outgoing is not None:
                    self.make_unlimited(opened.outgoing)

    def _lose(self, reason: str, cause: Exception | None) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._loss, self._cause = reason, cause
        self._idle.restart(None)
        self.reading.close()
        self.deadlines.close()
        calls, self._calls = self._calls, {}
        for opened in calls.values():
            opened.on_end(self.make_loss(opened.info.procedure))
        self.observers.connection_lost(self.info, reason if cause is None else f"{reason}: {cause}")
        self._on_lost(self)

    def list_calls(self) -> Iterable[Call]:
        """Return the calls that have not ended. Called by the information about the connection."""
        return (opened.info for opened in self._calls.values())

    def _list_open(self) -> Iterable[OpenCall]:
        return self._calls.values()

    def connect_peer(self) -> object:
        """Return None: the server cannot be called by a handler that there is not."""

    def on_slices(self) -> None:
        """Handle that messages wait for a slice of time, or no longer."""
        self.update_reading()
        if self._failed and not self._slices.waiting:
            failed, self._failed = self._failed, []
            for rid, error in failed:
                self.fail_call(rid, error)

    def update_reading(self) -> None:
        """Read, or not: what there is to wait for has changed."""
        if self.reading.paused or self._slices.waiting:
            self.reader.pause_reading()
        else:
            self.reader.resume_reading()


def decode_reply(slot: Slot[_Result], reply: Reply) -> _Result:
    """Return the value of a result, or raise the error of the call."""
    if isinstance(reply, EnkakuError):
        # Several tasks may ask, and one repeatedly: the traceback is that of the last.
        raise reply.with_traceback(None)
    if not slot.declared:
        return None  # type: ignore[return-value] # a procedure without result has the type None for it
    return slot.decode_absent() if reply is None else slot.decode(reply)


async def send_request(
    procedure: Request[_Param, _Result], call: RequestCall, prm: bytes | None
) -> _Result:
    """Send a request, and wait for its result."""
    call.session.open_request(call, prm)
    try:
        return decode_reply(procedure.result, await call.reply)
    except asyncio.CancelledError:
        call.cancel()
        raise


def _writer(transport: Transport, signer: "Signer | None") -> Callable[[bytes], None]:
    """Return what signs a message and sends it."""
    if signer is None:
        return transport.write
    if isinstance(transport, SeparateCalls):
        transport.sign = signer.sign  # later: there, a message may wait
        return transport.write
    return lambda message: transport.write(signer.sign(message))


def timed_out(procedure: Procedure) -> DeadlineExceeded:
    """Return the error of a call whose deadline has passed at the client."""
    code = ErrorCode.DEADLINE_PASSED.value
    return DeadlineExceeded(code, "The deadline has passed", procedure=procedure.name)


def require_time(procedure: Procedure, due: float | None) -> None:
    """Raise DeadlineExceeded if no time is left, so that nothing is sent."""
    if due is not None and passed(due):
        raise timed_out(procedure)


def finish(session: ClientSession, call: Call, reply: Reply) -> None:
    """Record how a call has ended, and notify the observers."""
    match reply:
        case bytes() | None:
            call.record_end("result")
        case ConnectionLost():
            call.record_end("lost")
        case CallClosed():
            call.record_end("aborted")
        case CallError(code=code):
            call.record_end("error", code)
        case EnkakuError():
            call.record_end("error")
    session.observers.call_ended(call)


def _decode_error(procedure: Procedure, message: Error) -> EnkakuError:
    try:
        return procedure.decode_error(message.code, message.msg, bytes(message.data))
    except DecodeError as error:
        return error
