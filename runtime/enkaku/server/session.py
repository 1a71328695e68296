"""The server's session: reads the messages of one client and starts, feeds and ends its calls.

Slot values are decoded before a handler sees them. An event that finds no free handler waits, and with it everything after it,
since messages keep their order; after ``Limits.stall`` seconds such events are dropped.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from msgspec import UNSET

from enkaku._json import DEPTH_MAX
from enkaku.calls.deadlines import due_after
from enkaku.calls.info import Call, ConnectionInfo
from enkaku.calls.states import ServerState, Step
from enkaku.errors import DecodeError, InboxOverflow, InvalidMessage
from enkaku.flow.inbox import Inbox
from enkaku.flow.send_window import Window
from enkaku.transports.base import Oversized, Transport
from enkaku.wire.error_codes import FAILED, INVALID, ErrorCode, ErrorReply
from enkaku.wire.messages import (
    ANSWERED,
    CLOSE,
    NEWLINE_SIZE,
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

from .admission import STEPS
from .call import Context, ServerCall, StreamCall
from .handler import Route
from .lifecycle import Lifecycle, Pause
from .replies import ErrorReplies
from .runner import Runner
from .shared import TOO_MANY_HANDLERS, Policy

__all__ = ["Session"]

logger: Final = logging.getLogger("enkaku.server")

_OVERFLOW: Final = ErrorReply(ErrorCode.TOO_SLOW.value, "Too many items wait to be handled")

_KINDS: Final[Mapping[type[CallMessage], str]] = {
    OpenRequest: "request",
    OpenStream: "stream",
    OpenChannel: "channel",
}
_LEAST_BACKLOG: Final = 64 * 1024  # bytes: with fewer than this a transport is writable
_OPEN: Final = frozenset({ServerState.RUNNING, ServerState.HALF_CLOSED})


class Session:
    """Serves one connection.

    Args:
        transport: Carries the messages; not started yet.
        policy: The options and limits of the server.
        on_call_end: Called whenever a handler has ended while the session stops.
    """

    __slots__ = (
        "__weakref__",
        "_context",
        "_handling_queued",
        "_lifecycle",
        "_limits",
        "_loop",
        "_on_call_end",
        "_policy",
        "_queued",
        "_replies",
        "_runner",
        "_shallow",
        "_shedding",
        "_shown_credits",
        "_transport",
        "_waiting",
    )

    def __init__(
        self, transport: Transport, policy: Policy, *, on_call_end: Callable[[], None]
    ) -> None:
        limits = policy.limits
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._policy = policy
        self._limits = limits
        self._on_call_end = on_call_end
        self._lifecycle = Lifecycle(
            transport,
            limits,
            lifespan=policy.lifespan,
            list_calls=self._list_calls,
        )
        self._replies = ErrorReplies(transport, self._lifecycle.info, policy)
        self._runner = Runner(transport, policy, on_end=self._on_handler_end)
        self._context = Context(
            connection=self._lifecycle.info,
            transport=transport,
            observers=policy.observers,
            fairness=policy.fairness,
            send_buffer=limits.window,
            loop=self._loop,
            end_at_deadline=self._runner.end_at_deadline,
        )
        self._shallow = limits.depth < DEPTH_MAX
        self._queued: deque[bytes | Oversized] | None = (
            None  # after an event without a free handler
        )
        self._handling_queued = False
        self._waiting: asyncio.TimerHandle | None = None
        self._shedding = False
        self._shown_credits = False

    @property
    def info(self) -> ConnectionInfo:
        """The connection, as observers and handlers see it."""
        return self._lifecycle.info

    @property
    def running(self) -> Collection[ServerCall]:
        """The calls whose handlers have not ended, oldest first."""
        return self._runner.running

    @property
    def ended(self) -> asyncio.Future[None]:
        """Done when the connection was lost and its last handler has ended."""
        return self._lifecycle.ended

    @property
    def reason(self) -> str:
        """Why the connection ended, or will; ``""`` while it is open."""
        return self._lifecycle.reason

    def is_served_by(self, task: asyncio.Task[object] | None) -> bool:
        """Return whether a handler of this connection runs in a task."""
        return self._runner.runs_in(task)

    def start(self) -> None:
        """Begin to serve."""
        self._policy.observers.connection_opened(self.info)
        self._lifecycle.start(self)

    def messages_received(self, batch: Sequence[bytes | Oversized]) -> None:
        """Handle messages of the client."""
        if self._lifecycle.watches_idle:
            self._lifecycle.on_activity()
        if self._queued is not None:
            self._queued.extend(batch)
        else:
            for number, raw in enumerate(batch):
                if not self._handle_one(raw):
                    # An event without a free handler waits, and all messages after it.
                    self._queued = deque(batch[number:])
                    self._wait_for_handler()
                    self._lifecycle.pause(Pause.EVENTS)
                    break
        if not self._transport.writable or self._limits.backlog < _LEAST_BACKLOG:
            self._lifecycle.check_backlog()

    def connection_lost(self, error: Exception | None) -> None:
        """Cancel the handlers, since no reply can be sent."""
        self._queued = None
        self._stop_waiting()
        self._runner.abort_all()
        self._lifecycle.on_connection_lost(error)

    async def stop(self, *, grace: float) -> None:
        """Reject new calls, ask the running handlers to finish, reply to every call, close the transport.

        Args:
            grace: How long handlers may go on, in seconds.
        """
        await self._runner.stop(grace=grace)
        await self._lifecycle.stop()

    async def abandon(self) -> None:
        """Cancel the lifespan of the connection."""
        await self._lifecycle.abandon()

    def abort(self) -> None:
        """Cancel every handler, and end the connection."""
        self._runner.cancel_all()
        self._lifecycle.drop("this server was aborted")

    def _handle_queued(self) -> None:
        """Handle queued messages, until an event finds no free handler again."""
        queued = self._queued
        if (
            queued is None or self._handling_queued
        ):  # a handler that runs as an eager task has ended
            return
        self._handling_queued = True
        self._stop_waiting()
        while queued and self._handle_one(queued[0]):
            queued.popleft()
        self._handling_queued = False
        if queued:
            self._wait_for_handler()
        else:
            self._queued = None
            self._lifecycle.resume(Pause.EVENTS)

    def _wait_for_handler(self) -> None:
        """Let the first event wait for a free handler, for a bounded time: an abort may be behind it."""
        if self._limits.stall is not None:
            self._waiting = self._loop.call_later(self._limits.stall, self._start_shedding)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _start_shedding(self) -> None:
        """Drop events until a handler is free again."""
        self._shedding = True
        self._handle_queued()

    def _handle_one(self, raw: bytes | Oversized) -> bool:
        """Handle a message; return False if it is an event that has to wait."""
        if type(raw) is Oversized:
            self._replies.oversized(raw)
            return True
        try:
            if self._shallow:
                require_depth(raw, self._limits.depth)
            message = decode_client_message(raw)
        except InvalidMessage as error:
            self._replies.report(str(error))
            if error.rid is not None and error.typ in ANSWERED:
                self._replies.send(error.rid, INVALID)
            return True
        payload, size = message.payload, len(raw) + NEWLINE_SIZE
        if isinstance(payload, OpenRequest | OpenStream | OpenChannel):
            self._open(payload, message.header, size)
        elif isinstance(payload, Send):
            self._send(payload, size)
        elif isinstance(payload, Event):
            return self._event(payload, size)
        elif isinstance(payload, Credit):
            self._credit(payload)
        elif isinstance(payload, Abort):
            self._abort(payload)
        else:
            self._end(payload)
        return True

    def _open(self, message: CallMessage, header: Header, size: int) -> None:
        kind = _KINDS[type(message)]
        route = self._policy.routes.get(message.prc)
        for step in STEPS:
            rejection = step(self._runner, message, header, kind, route)
            if rejection is not None:
                self._replies.reject(message.rid, message.prc, rejection)
                return
        assert route is not None  # noqa: S101 # a step has seen to that
        try:
            prm = message.prm
            if prm is UNSET or not route.value.declared:
                arguments = route.decode_unusual(None if prm is UNSET else bytes(prm))
            else:
                arguments = (route.value.decode(bytes(prm)),)
        except DecodeError as error:
            self._runner.capacity.release(kind)
            self._replies.value(message.rid, error)
            return
        except Exception:
            self._runner.capacity.release(kind)
            logger.exception("%s: reading its param failed", message.prc)
            self._replies.send(message.rid, FAILED)
            return
        now = time.monotonic()
        ttl = None if header.ttl is UNSET else header.ttl / 1000
        if kind == "request":
            longest = self._limits.request_time  # as due_after() would, without another function
            seconds = longest if ttl is None or (longest is not None and longest < ttl) else ttl
            due = None if seconds is None else now + seconds
            call = ServerCall(route.procedure, self._context, now, due, message.rid)
        else:
            due = due_after(now, ttl)
            call = self._make_stream(message.rid, route, header, now, due)
        call.bytes_received = size
        self._runner.start(call, route, arguments)

    def _make_stream(
        self, rid: str, route: Route, header: Header, now: float, due: float | None
    ) -> StreamCall:
        win = None if header.win is UNSET else header.win
        call = StreamCall(route.procedure, self._context, now, due, rid, Window(win))
        if route.send is not None:
            call.decode_item = route.send.decode
            call.inbox = Inbox(
                self._lifecycle.reading,
                window=self._limits.window,
                limit=self._limits.inbox_limit,
                grant=lambda size: self._transport.write(encode_credit(rid, size)),
                on_drop=call.record_dropped,
            )
        if win is not None:
            self._show_credits(call)
        return call

    def _show_credits(self, call: StreamCall) -> None:
        """Grant a channel its window; and show a client, by its first stream, that this server supports flow control."""
        self._lifecycle.reading.enable_flow_control()
        if call.inbox is not None or not self._shown_credits:
            granted = 0 if call.inbox is None else call.inbox.capacity
            self._transport.write(encode_credit(call.rid, granted))
            self._shown_credits = True

    def _event(self, message: Event, size: int) -> bool:
        route = self._policy.routes.get(message.prc)
        if route is None or route.procedure.kind != "event":
            self._replies.report(f"there is no event {message.prc!r}")
        elif self._runner.stopping:
            pass
        elif self._policy.capacity.events_full:
            self._replies.overload(message.prc, TOO_MANY_HANDLERS.message)
        elif full := self._runner.capacity.claim("event"):
            # An event is never answered, so it cannot be rejected; handlers here will end, sooner or later.
            if not self._shedding:
                return False
            self._replies.overload(message.prc, full.message)
        else:
            self._shedding = False
            self._start_event(route, message, size)
        return True

    def _start_event(self, route: Route, message: Event, size: int) -> None:
        try:
            data = message.data
            if data is UNSET or not route.value.declared:
                arguments = route.decode_unusual(None if data is UNSET else bytes(data))
            else:
                arguments = (route.value.decode(bytes(data)),)
        except DecodeError as error:
            self._runner.capacity.release("event")
            self._replies.report(str(error))
        except Exception:
            self._runner.capacity.release("event")
            logger.exception("%s: reading its data failed", message.prc)
        else:
            now = time.monotonic()
            due = due_after(now, self._limits.request_time)
            call = ServerCall(route.procedure, self._context, now, due)
            call.bytes_received = size
            self._runner.start(call, route, arguments)

    def _send(self, message: Send, size: int) -> None:
        call = self._runner.by_rid.get(message.rid)
        if call is None or call.state is ServerState.ENDED:
            return
        if not isinstance(call, StreamCall) or call.inbox is None or call.decode_item is None:
            self._replies.report(f"{call.procedure.name!r} takes no items from the client")
            return
        text = bytes(message.val)
        try:
            call.inbox.put(((call.decode_item(text), size),), size)
        except DecodeError as error:
            self._replies.value(message.rid, error)
        except InboxOverflow as error:
            self._replies.overload(call.procedure.name, str(error))
            self._fail(call, _OVERFLOW)
        except Exception:
            logger.exception("%s: reading an item failed", call.procedure.name)
            self._fail(call, FAILED)
        else:
            call.bytes_received += size
            call.items_received += 1

    def _credit(self, message: Credit) -> None:
        self._lifecycle.reading.enable_flow_control()
        call = self._runner.by_rid.get(message.rid)
        if isinstance(call, StreamCall):
            call.window.grant(message.n)

    def _end(self, message: End) -> None:
        call = self._runner.by_rid.get(message.rid)
        if call is None:
            return
        if not isinstance(call, StreamCall) or call.inbox is None:
            self._replies.report(f"{call.procedure.name!r} takes no items from the client")
        else:
            call.step(Step.HALF_CLOSE)

    def _abort(self, message: Abort) -> None:
        call = self._runner.by_rid.get(message.rid)
        if call is None or call.state not in _OPEN:
            return  # unknown, or ended already: the first end wins
        if message.rsn == CLOSE:
            self._runner.close(call)
        else:
            self._runner.abort(call)

    def _fail(self, call: ServerCall, reply: ErrorReply) -> None:
        self._replies.send(call.rid, reply)
        self._runner.abort(call, "error", reply.code)

    def _list_calls(self) -> Collection[Call]:
        return self._runner.running.keys()

    def _on_handler_end(self) -> None:
        if self._runner.stopping:
            self._on_call_end()
        if self._queued is not None:
            self._handle_queued()
        if self._lifecycle.lost or self._lifecycle.watches_idle:
            self._lifecycle.on_handler_end()
