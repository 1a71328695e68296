"""The client's session: which calls are open on one transport, and which call each reply belongs to.

It gives a call its id, writes the message that opens it, and routes ``receive``, ``result``, ``error`` and ``credit``
messages to it. It pings a server that has sent nothing for ``Limits.silence`` while calls are open. A request is handled
here from its opening to its reply; streams and channels have objects of their own, in ``streams``.

Slot values pass through as encoded bytes.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from operator import itemgetter
from typing import Final, Protocol, TypeAlias

from msgspec import UNSET

from enkaku._json import DEPTH_MAX
from enkaku.calls.deadlines import Expiries, left, passed
from enkaku.calls.idle_timer import Silence
from enkaku.calls.info import Call, ConnectionInfo
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
from enkaku.flow.inbox import ReadGate
from enkaku.flow.send_window import EARLY, Window
from enkaku.limits import Limits
from enkaku.procedures import TOO_LONG, Procedure
from enkaku.transports.base import Transport
from enkaku.transports.lines import LineSplitter, Oversized
from enkaku.wire.messages import (
    ALIVE,
    Credit,
    Error,
    Receive,
    Result,
    decode_server_message,
    encode_abort,
    encode_credit,
    encode_open,
    glance_at,
    require_depth,
)

__all__ = ["Link", "OpenCall", "Reply", "exceeded", "finish", "require_time", "send_request"]

logger: Final = logging.getLogger("enkaku.client")

_REFUSED: Final = "EK08"
_size: Final = itemgetter(1)  # of an item's line
_SIGN_OF_LIFE: Final = "alive?"  # no call has this rid: theirs are numbers

Reply: TypeAlias = bytes | EnkakuError | None
"""How a call ended: the text of its result, or None where the procedure has none, or an error."""


class OpenCall(Protocol):
    """What a link knows of a call that the server has not ended yet."""

    @property
    def facts(self) -> Call:
        """What there is to know about it."""
        ...

    @property
    def outgoing(self) -> Window | None:
        """What may be sent into a channel; None where nothing can."""
        ...

    def take_items(self, items: Sequence[tuple[bytes, int]], size: int, /) -> None:
        """The server sent some items; with each come the bytes of its line, which are ``size`` together."""

    def take_end(self, reply: Reply) -> None:
        """The call is over: with a result, or without one where the procedure has none, or with an error."""


class Link:
    """Carries the calls of one connection, as long as it lasts.

    Args:
        transport: What carries the bytes; started here.
        limits: What is kept for the server at the most.
        observers: Are told what happens.
        on_lost: Called when no further calls can be made, if anybody wants to know.

    Attributes:
        is_open: Whether calls can be made.
    """

    def __init__(
        self,
        transport: Transport,
        limits: Limits,
        observers: Observers,
        on_lost: Callable[["Link"], None] | None = None,
    ) -> None:
        self.loop: Final = asyncio.get_running_loop()
        self.info: Final = ConnectionInfo(transport.peer, transport.credentials, self._list_calls)
        self.limits: Final = limits
        self.observers: Final = observers
        self.gate: Final = ReadGate(
            self._settle_reading, buffered=limits.buffered, stall=limits.stall
        )
        self.counts_not = False
        self._transport = transport
        self._on_lost = on_lost
        self._splitter = LineSplitter(limits.message_size)
        self._silence = Silence(self._take_silence)
        self._asked = False
        self._asked_whether = False
        self.expiries: Final = Expiries()
        self._shallow = limits.depth < DEPTH_MAX
        self._rids = count(1)
        self._calls: dict[str, OpenCall] = {}
        self._items: list[tuple[bytes, int]] = []  # of one call, and the bytes of their lines
        self._rid = ""  # of that call
        self.is_open = True
        self._lost = ""
        self._cause: Exception | None = None
        self._reported = False
        transport.limit_unread(limits.unread_time)
        observers.connection_opened(self.info)
        transport.start(self)

    @property
    def has_room(self) -> bool:
        """Whether ``drain`` would return at once."""
        return self._transport.has_room

    def require_open(self, procedure: Procedure) -> None:
        """Raise ConnectionLost unless calls can be made."""
        if not self.is_open:
            raise self.loss(procedure)

    def loss(self, procedure: Procedure) -> ConnectionLost:
        """Make the error of a call that needs the connection, which is over."""
        error = ConnectionLost(f"{procedure.name}: {self._lost} ({self.info.peer})")
        error.__cause__ = self._cause
        return error

    def write(self, line: bytes) -> None:
        """Send one line, without waiting."""
        self._transport.write(line)

    async def drain(self) -> None:
        """Wait until there is room for a line.

        Raises:
            ConnectionLost: There never will be.
        """
        # A server that writes before it reads on may have to be read before it reads this.
        self.gate.count_waiting(1)
        try:
            await self._transport.drain()
        finally:
            self.gate.count_waiting(-1)

    async def close(self, *, within: float) -> None:
        """End every call, and the connection."""
        self._lose("this side closed the connection", None)
        await self._transport.close(within=within)

    def new_window(self) -> Window:
        """Make the window of a channel: unknown, until the server has granted something, or shown that it does not."""
        return Window(None) if self.counts_not else Window(EARLY, certain=False)

    def lift(self, window: Window) -> None:
        """The server grants nothing: what is sent to it is bounded by its socket alone."""
        self.counts_not = not self.gate.credits
        window.lift()

    def open_call(self, opened: OpenCall, prm: bytes | None, *, win: int | None = None) -> None:
        """Send what opens a call, and give it its id."""
        call = opened.facts
        procedure = call.procedure
        if not self.is_open:
            raise self.loss(procedure)
        call.rid = str(next(self._rids))
        ttl = None if call.due is None else round(left(call.due) * 1000) or 1
        line = encode_open(procedure.kind, call.rid, procedure.name, prm, win=win, ttl=ttl)
        call.bytes_sent = len(line)
        if not self._calls:
            self._asked = False
            self._silence.hear()
        self._calls[call.rid] = opened
        self.observers.call_started(call)
        if not self._silence.expecting:
            self._silence.expect(self.limits.silence)
        self._transport.write(line)

    def abort_call(self, call: Call, reason: str | None) -> None:
        """Ask the server to end a call, unless it has."""
        if call.rid in self._calls and self.is_open:
            self._transport.write(encode_abort(call.rid, reason))

    def forget_call(self, call: Call) -> None:
        """Ignore what still comes for a call."""
        self._calls.pop(call.rid, None)

    def grant(self, call: Call, size: int) -> None:
        """Give the server credit for so many more bytes of a call's items."""
        if call.rid in self._calls and self.is_open:
            self._transport.write(encode_credit(call.rid, size))

    def data_received(self, data: bytes) -> None:
        """Take what the server sent."""
        self._silence.hear()
        self._asked = False
        items = self._items
        for line in self._splitter.feed(data):
            if isinstance(line, Oversized):
                self._take_oversized(line)
                continue
            try:
                if self._shallow:
                    require_depth(line, self.limits.depth)
                message = decode_server_message(line)
            except InvalidMessage as error:
                self._fail(error.rid, error)
                continue
            if type(message) is Receive:
                if message.rid != self._rid:
                    if items:
                        self._pass_items_on()
                    self._rid = message.rid
                items.append((bytes(message.val), len(line) + 1))
            else:
                self._take(message, len(line) + 1)
        if items:
            self._pass_items_on()
        if self._splitter.endless:
            self._lose("the server sent a line without an end", None)
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """End every open call."""
        self._lose("the connection was lost" if error else "the server ended the connection", error)

    def _pass_items_on(self) -> None:
        """Give the items that have come one after the other for one call to it."""
        items, size = self._items.copy(), sum(map(_size, self._items))
        self._items.clear()
        opened = self._known(self._rid)
        if opened is None:
            return
        call = opened.facts
        if opened.outgoing is not None:
            self._settle_window(opened.outgoing)
        call.items_received += len(items)
        call.bytes_received += size
        try:
            opened.take_items(items, size)
        except InboxOverflow as error:
            self.observers.overloaded(self.info, call.procedure.name, str(error))
            self._fail(call.rid, error)

    def _known(self, rid: str) -> OpenCall | None:
        """Find the call that something came for."""
        opened = self._calls.get(rid)
        if opened is None and rid != _SIGN_OF_LIFE:
            logger.debug("%s answered a call that is over: %.128r", self.info.peer, rid)
        return opened

    def _settle_window(self, window: Window) -> None:
        """A server that counts says so before anything else, where it does not refuse the call."""
        if not window.certain:
            self.lift(window)

    def _take(self, message: Result | Error | Credit, size: int) -> None:
        if self._items:
            self._pass_items_on()
        if type(message) is Credit:
            self._take_credit(message.n, self._calls.get(message.rid))
            return
        opened = self._known(message.rid)
        if opened is None:
            if message.rid == _SIGN_OF_LIFE:
                self._take_sign_of_life()
            return
        if opened.outgoing is not None and type(message) is not Error:
            self._settle_window(opened.outgoing)
        call = opened.facts
        call.bytes_received += size
        if type(message) is Result:
            reply: Reply = None if message.val is UNSET else bytes(message.val)
        else:
            reply = _error(call.procedure, message)
            if message.code == _REFUSED and call.items_sent:
                # An item was refused: that ends the call here, and not there.
                self.abort_call(call, None)
        self.forget_call(call)
        opened.take_end(reply)

    def _take_credit(self, size: int, opened: OpenCall | None) -> None:
        self.gate.know_credits()
        self.counts_not = False
        if opened is not None and opened.outgoing is not None:
            opened.outgoing.grant(size)

    def _take_oversized(self, line: Oversized) -> None:
        _, rid = glance_at(line.head)
        size = self.limits.message_size
        self._fail(rid, MessageTooLarge(f"a message of more than {size} bytes was discarded"))

    def _fail(self, rid: str | None, error: EnkakuError) -> None:
        """The server sent what nobody can read: the call that it was for ends, the others go on."""
        if self._items:
            self._pass_items_on()
        self.observers.invalid_message(self.info, str(error))
        level = logging.DEBUG if self._reported else logging.WARNING
        self._reported = True
        logger.log(level, "%s sent an invalid message: %.500s", self.info.peer, error)
        opened = None if rid is None else self._calls.get(rid)
        if opened is not None:
            self.abort_call(opened.facts, None)
            self.forget_call(opened.facts)
            opened.take_end(error)

    def _take_silence(self) -> None:
        """Nothing came for a while."""
        if not self._calls:
            self._silence.expect(None)
        elif self.gate.paused:
            self._asked = False  # what came is not read, for this side's sake
        elif self._asked:
            seconds = 2 * (self.limits.silence or 0)
            self._lose(f"the server has sent nothing for {seconds:g} s", None)
            self._transport.abort()
        elif self.gate.credits:
            self._asked = True
            self._ask_for_a_sign_of_life()

    def ask_whether_it_counts(self) -> None:
        """Find out, once, whether the server counts credits: if it does, it shows so before it answers this."""
        if not (self._asked_whether or self.gate.credits):
            self._asked_whether = True
            self._ask_for_a_sign_of_life()

    def _ask_for_a_sign_of_life(self) -> None:
        # Any server answers this, with EK08. One that counts credits is ours, and does so in silence.
        self._transport.write(encode_open("request", _SIGN_OF_LIFE, ALIVE, None))

    def _take_sign_of_life(self) -> None:
        if not self.gate.credits:
            for opened in self._calls.values():
                if opened.outgoing is not None:
                    self.lift(opened.outgoing)

    def _lose(self, reason: str, cause: Exception | None) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._lost, self._cause = reason, cause
        self._silence.expect(None)
        self.gate.close()
        self.expiries.close()
        calls, self._calls = self._calls, {}
        for opened in calls.values():
            opened.take_end(self.loss(opened.facts.procedure))
        self.observers.connection_lost(self.info, reason if cause is None else f"{reason}: {cause}")
        if self._on_lost is not None:
            self._on_lost(self)

    def _list_calls(self) -> Iterable[Call]:
        return (opened.facts for opened in self._calls.values())

    def _settle_reading(self) -> None:
        if self.gate.paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


def _error(procedure: Procedure, message: Error) -> EnkakuError:
    try:
        return procedure.decode_error(message.code, message.msg, bytes(message.data))
    except DecodeError as error:
        return error


_CANCELLED: Final = "Cancelled"


class _PendingRequest:
    __slots__ = ("_link", "facts", "reply")

    outgoing = None

    def __init__(self, link: Link, call: Call) -> None:
        self.facts = call
        self._link = link
        # An error is a value here: a future whose exception nobody fetches would complain.
        self.reply: asyncio.Future[Reply] = link.loop.create_future()

    def take_items(self, items: Sequence[tuple[bytes, int]], size: int, /) -> None:
        name = self.facts.procedure.name
        logger.debug("%s: %d items, %d bytes, for a request are ignored", name, len(items), size)

    def take_end(self, reply: Reply) -> None:
        if self.facts.outcome is None:
            finish(self._link, self.facts, reply)
        if not self.reply.done():  # it is, if the task that waits for it was cancelled
            self.reply.set_result(reply)

    def give_up(self, reason: str, error: EnkakuError) -> None:
        self._link.abort_call(self.facts, reason)
        self._link.forget_call(self.facts)
        self.take_end(error)

    def expire(self) -> None:
        """Its time is over."""
        self.give_up("Timeout", exceeded(self.facts.procedure))


async def send_request(link: Link, call: Call, prm: bytes | None) -> Reply:
    """Send a request, and wait for its end; the caller's cancellation aborts it."""
    pending = _PendingRequest(link, call)
    link.open_call(pending, prm)
    if call.due is not None:
        link.expiries.add(call.due, pending)
    link.gate.count_waiting(1)
    try:
        # Without waiting for room: the answer may come before the last of a large param has left.
        return await pending.reply
    except asyncio.CancelledError:
        pending.give_up(_CANCELLED, CallClosed(f"{call.procedure.name}: cancelled"))
        raise
    finally:
        link.gate.count_waiting(-1)
        link.expiries.forget(pending)


def exceeded(procedure: Procedure) -> DeadlineExceeded:
    """Make the error of a call whose deadline has passed on this side."""
    return DeadlineExceeded(TOO_LONG, "The deadline has passed", procedure=procedure.name)


def require_time(procedure: Procedure, due: float | None) -> None:
    """Raise DeadlineExceeded if no time is left: then nothing is sent."""
    if due is not None and passed(due):
        raise exceeded(procedure)


def finish(link: Link, call: Call, reply: Reply) -> None:
    """Note how a call has ended, and tell who watches."""
    match reply:
        case bytes() | None:
            call.note_end("result")
        case ConnectionLost():
            call.note_end("lost")
        case CallClosed():
            call.note_end("aborted")
        case CallError(code=code):
            call.note_end("error", code)
        case EnkakuError():
            call.note_end("error")
    link.observers.call_ended(call)
