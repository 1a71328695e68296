"""The server's session: reads the messages of one client and starts, feeds and ends its calls.

Slot values are decoded before a handler sees them. An event that finds no free handler waits, and with it everything after it,
since messages keep their order; after ``Limits.stall`` seconds such events are dropped.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Final

from msgspec import UNSET

from enkaku._json import DEPTH_MAX
from enkaku.calls.deadlines import due_after
from enkaku.calls.info import Call, ConnectionInfo
from enkaku.calls.states import ServerState, Step
from enkaku.errors import DecodeError, InboxOverflow, InvalidMessage
from enkaku.flow.inbox import Inbox
from enkaku.flow.send_window import Window
from enkaku.procedures import TOO_LONG
from enkaku.transports.base import Transport
from enkaku.transports.lines import LineSplitter, Oversized
from enkaku.wire.messages import (
    ALIVE,
    ANSWERED,
    CLOSE,
    Abort,
    CallMessage,
    Credit,
    End,
    Event,
    Header,
    OpenChannel,
    OpenRequest,
    OpenStream,
    Send,
    decode_client_message,
    encode_credit,
    require_depth,
)

from .call import Context, ServerCall, StreamCall
from .handler import Route
from .lifecycle import Life
from .replies import FAILED, INVALID, Refusals
from .runner import STOPPING, Calls
from .shared import Policy, Refusal

__all__ = ["Session"]

logger: Final = logging.getLogger("enkaku.server")

_OVERFLOW: Final = ("EKP02", "Too many items wait to be handled")

_KINDS: Final[Mapping[type[CallMessage], str]] = {
    OpenRequest: "request",
    OpenStream: "stream",
    OpenChannel: "channel",
}
_OPEN: Final = frozenset({ServerState.RUNNING, ServerState.HALF_CLOSED})
_NO_TIME: Final = (TOO_LONG, "The deadline had passed before the call began")


class Session:
    """Serves one connection.

    Args:
        transport: What carries the bytes; not started yet.
        policy: What holds for all connections of the server.
        on_call_end: Called whenever a handler has ended while the session stops.
    """

    __slots__ = (
        "__weakref__",
        "_calls",
        "_context",
        "_crowded",
        "_held",
        "_holding",
        "_life",
        "_limits",
        "_on_call_end",
        "_policy",
        "_refusals",
        "_shallow",
        "_shown_credits",
        "_splitter",
        "_taking",
        "_transport",
    )

    def __init__(
        self, transport: Transport, policy: Policy, *, on_call_end: Callable[[], None]
    ) -> None:
        limits = policy.limits
        self._transport = transport
        self._policy = policy
        self._limits = limits
        self._on_call_end = on_call_end
        self._splitter = LineSplitter(limits.message_size)
        self._life = Life(
            transport,
            limits,
            lifespan=policy.lifespan,
            list_calls=self._list_calls,
        )
        self._refusals = Refusals(transport, self._life.info, policy)
        self._calls = Calls(transport, policy, on_end=self._take_call_end)
        self._context = Context(
            connection=self._life.info,
            transport=transport,
            observers=policy.observers,
            turns=policy.turns,
            outbox_size=limits.window,
            loop=asyncio.get_running_loop(),
            exceed=self._calls.exceed,
        )
        self._shallow = limits.depth < DEPTH_MAX
        self._held: deque[bytes | Oversized] | None = None  # read, and without room to be taken
        self._taking = False
        self._holding: asyncio.TimerHandle | None = None
        self._crowded = False
        self._shown_credits = False

    @property
    def info(self) -> ConnectionInfo:
        """The connection, as observers and handlers see it."""
        return self._life.info

    @property
    def ended(self) -> asyncio.Future[None]:
        """Done when the connection is gone and the last handler with it."""
        return self._life.ended

    @property
    def reason(self) -> str:
        """Why the connection ended, or will; ``""`` while it does not."""
        return self._life.reason

    def is_served_by(self, task: asyncio.Task[object] | None) -> bool:
        """Tell whether a handler of this connection runs in a task."""
        return self._calls.runs_in(task)

    def start(self) -> None:
        """Begin to serve."""
        self._policy.observers.connection_opened(self.info)
        self._life.start(self)

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        self._life.hear()
        lines = self._splitter.feed(data)
        if self._held is None:
            self._take_lines(lines)
        else:
            self._held.extend(lines)
        if self._splitter.endless:
            self._refusals.report("a line without an end")
            self._life.drop("the client sent a line without an end")
        else:
            self._life.check_backlog()

    def connection_lost(self, error: Exception | None) -> None:
        """Cancel what still runs: nobody is there to be answered."""
        self._held = None
        self._stop_holding()
        self._calls.give_up_all()
        self._life.lose(error)

    async def stop(self, *, grace: float) -> None:
        """Take no new calls, ask the running handlers to finish, answer every call, close the transport.

        Args:
            grace: How long handlers may go on, in seconds.
        """
        await self._calls.stop(grace=grace)
        await self._life.stop()

    async def abandon(self) -> None:
        """Wait no longer for what stands around the connection."""
        await self._life.abandon()

    def abort(self) -> None:
        """Cancel every handler and drop the connection."""
        self._calls.cancel_all()
        self._life.drop("this server was aborted")

    def _take_lines(self, lines: list[bytes | Oversized]) -> None:
        """Take what was read, in its order; an event that there is no room for waits, and what is behind it."""
        for number, line in enumerate(lines):
            if not self._take_line(line):
                self._held = deque(lines[number:])
                self._hold()
                break
        self._life.settle(full=self._held is not None)

    def _take_held(self) -> None:
        """Take what has waited, as far as there is room now."""
        held = self._held
        if held is None or self._taking:  # by now: an eager task has ended
            return
        self._taking = True
        self._stop_holding()
        while held and self._take_line(held[0]):
            held.popleft()
        self._taking = False
        if held:
            self._hold()
        else:
            self._held = None
        self._life.settle(full=self._held is not None)

    def _hold(self) -> None:
        """Let an event wait for its turn, but not for ever: what is behind it may be an abort."""
        if self._limits.stall is not None:
            loop = asyncio.get_running_loop()
            self._holding = loop.call_later(self._limits.stall, self._crowd_out)

    def _stop_holding(self) -> None:
        if self._holding is not None:
            self._holding.cancel()
            self._holding = None

    def _crowd_out(self) -> None:
        """From now on, until one finds room again, drop events that find none."""
        self._crowded = True
        self._take_held()

    def _take_line(self, line: bytes | Oversized) -> bool:
        """Take a line; return False if there is no room for what it wants."""
        if isinstance(line, Oversized):
            self._refusals.oversized(line)
            return True
        try:
            if self._shallow:
                require_depth(line, self._limits.depth)
            message = decode_client_message(line)
        except InvalidMessage as error:
            self._refusals.report(str(error))
            if error.rid is not None and error.typ in ANSWERED:
                self._refusals.refuse(error.rid, INVALID)
            return True
        payload, size = message.payload, len(line) + 1
        match payload:
            case OpenRequest() | OpenStream() | OpenChannel():
                self._open(payload, message.header, size)
            case Send():
                self._send(payload, size)
            case Credit():
                self._credit(payload)
            case Abort():
                self._abort(payload)
            case Event():
                return self._event(payload, size)
            case End():
                self._end(payload)
        return True

    def _open(self, message: CallMessage, header: Header, size: int) -> None:
        kind = _KINDS[type(message)]
        route = self._policy.routes.get(message.prc)
        if message.rid in self._calls.by_rid:
            self._refusals.invalid(message.rid, f"the rid {message.rid!r} is in use")
        elif route is None or route.procedure.kind != kind:
            if message.prc == ALIVE:
                self._refusals.refuse(message.rid, INVALID)  # which is all that was wanted
            else:
                self._refusals.invalid(message.rid, f"there is no {kind} {message.prc!r}")
        elif self._calls.stopping:
            self._refusals.refuse(message.rid, STOPPING)
        elif refusal := self._calls.capacity.refuse(kind):
            self._refusals.overload(message.prc, refusal[1])
            self._refusals.refuse(message.rid, refusal)
        elif header.ttl == 0:
            self._refusals.refuse(message.rid, _NO_TIME)
        else:
            self._start_call(route, message, header, size)

    def _start_call(self, route: Route, message: CallMessage, header: Header, size: int) -> None:
        try:
            prm = message.prm
            arguments = route.read(None if prm is UNSET else bytes(prm))
        except DecodeError as error:
            self._refusals.value(message.rid, error)
        except Exception:
            logger.exception("%s: reading its param failed", message.prc)
            self._refusals.refuse(message.rid, FAILED)
        else:
            call = self._make_call(message.rid, route, header)
            call.bytes_received = size
            self._calls.start(call, route, arguments)

    def _make_call(self, rid: str, route: Route, header: Header) -> ServerCall:
        ttl = None if header.ttl is UNSET else header.ttl / 1000
        if route.procedure.kind == "request":
            due = due_after(ttl, self._limits.request_time)
            return ServerCall(route.procedure, self._context, due, rid)
        win = None if header.win is UNSET else header.win
        call = StreamCall(route.procedure, self._context, due_after(ttl), rid, Window(win))
        if route.decode_item is not None:
            call.decode_item = route.decode_item
            call.inbox = Inbox(
                self._life.gate,
                window=self._limits.window,
                limit=self._limits.inbox_limit,
                grant=lambda size: self._transport.write(encode_credit(rid, size)),
                on_drop=call.note_dropped,
            )
        if win is not None:
            self._show_credits(call)
        return call

    def _show_credits(self, call: StreamCall) -> None:
        """Grant a channel its window; and let a client know, by its first stream, that credits are counted here."""
        self._life.gate.know_credits()
        if call.inbox is not None or not self._shown_credits:
            granted = 0 if call.inbox is None else call.inbox.window
            self._transport.write(encode_credit(call.rid, granted))
            self._shown_credits = True

    def _event(self, message: Event, size: int) -> bool:
        route = self._policy.routes.get(message.prc)
        if route is None or route.procedure.kind != "event":
            self._refusals.report(f"there is no event {message.prc!r}")
        elif self._calls.stopping:
            pass
        elif refusal := self._policy.capacity.refuse("event"):
            self._refusals.overload(message.prc, refusal[1])
        elif refusal := self._calls.capacity.refuse("event"):
            # An event is never answered, so it cannot be refused; handlers here will end, sooner or later.
            if not self._crowded:
                return False
            self._refusals.overload(message.prc, refusal[1])
        else:
            self._crowded = False
            self._start_event(route, message, size)
        return True

    def _start_event(self, route: Route, message: Event, size: int) -> None:
        try:
            data = message.data
            arguments = route.read(None if data is UNSET else bytes(data))
        except DecodeError as error:
            self._refusals.report(str(error))
        except Exception:
            logger.exception("%s: reading its data failed", message.prc)
        else:
            due = due_after(self._limits.request_time)
            call = ServerCall(route.procedure, self._context, due)
            call.bytes_received = size
            self._calls.start(call, route, arguments)

    def _send(self, message: Send, size: int) -> None:
        call = self._calls.by_rid.get(message.rid)
        if call is None or call.state is ServerState.ENDED:
            return
        if not isinstance(call, StreamCall) or call.inbox is None or call.decode_item is None:
            self._refusals.report(f"{call.procedure.name!r} takes no items")
            return
        text = bytes(message.val)
        try:
            call.inbox.put(call.decode_item(text), size)
        except DecodeError as error:
            self._refusals.value(message.rid, error)
        except InboxOverflow as error:
            self._refusals.overload(call.procedure.name, str(error))
            self._fail(call, _OVERFLOW)
        except Exception:
            logger.exception("%s: reading an item failed", call.procedure.name)
            self._fail(call, FAILED)
        else:
            call.bytes_received += size
            call.items_received += 1

    def _credit(self, message: Credit) -> None:
        self._life.gate.know_credits()
        call = self._calls.by_rid.get(message.rid)
        if isinstance(call, StreamCall):
            call.window.grant(message.n)

    def _end(self, message: End) -> None:
        call = self._calls.by_rid.get(message.rid)
        if call is None:
            return
        if not isinstance(call, StreamCall) or call.inbox is None:
            self._refusals.report(f"{call.procedure.name!r} takes no items")
        else:
            call.step(Step.HALF_CLOSE)

    def _abort(self, message: Abort) -> None:
        call = self._calls.by_rid.get(message.rid)
        if call is None or call.state not in _OPEN:
            return  # unknown, or ended already: the first end wins
        if message.rsn == CLOSE:
            self._calls.close(call)
        else:
            self._calls.give_up(call)

    def _fail(self, call: ServerCall, refusal: Refusal) -> None:
        self._refusals.refuse(call.rid, refusal)
        self._calls.give_up(call, "error", refusal[0])

    def _list_calls(self) -> Collection[Call]:
        return self._calls.running.keys()

    def _take_call_end(self) -> None:
        if self._calls.stopping:
            self._on_call_end()
        if self._held is not None:
            self._take_held()
        else:
            self._life.settle(full=False)
