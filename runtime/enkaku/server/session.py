"""The server's session: reads the messages of one client and starts, feeds and ends its calls.

Slot values are decoded before a handler sees them. Requests and events that find no free handler wait. A request that is one
too many is rejected. An event has no reply: when too many wait, the connection is not read. If none of them could be handled for
``Limits.stall`` seconds, reading resumes, and further events are dropped (load shedding).
"""

import asyncio
import gc
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import IntEnum, auto
from typing import Any, ClassVar, Final

from msgspec import UNSET
from typing_extensions import TypeIs

from enkaku._json import DEPTH_MAX, dump_json
from enkaku.calls.deadlines import due_after, left
from enkaku.calls.halves import Halves
from enkaku.calls.info import Call, ConnectionInfo
from enkaku.calls.states import ServerState, Step
from enkaku.errors import (
    ConnectionLost,
    DecodeError,
    InboxOverflow,
    InvalidMessage,
    UsageError,
)
from enkaku.flow.fairness import CHUNK, TimeSlices
from enkaku.flow.inbox import Inbox
from enkaku.flow.send_window import Window
from enkaku.transports.base import Oversized, Transport
from enkaku.values.unions import costly
from enkaku.wire.error_codes import FAILED, ErrorCode, ErrorReply
from enkaku.wire.messages import (
    BOM,
    CLOSE,
    HELLO,
    LEAVING,
    NEWLINE_SIZE,
    SERVER_RID,
    Abort,
    CallMessage,
    ClientEnvelope,
    ClientMessage,
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
    encode_result,
    require_depth,
    supported,
)
from enkaku.wire.metadata import decode_metadata
from enkaku.wire.tally import VALUES_MAX, Plain, Tally, count, plain

from . import admission
from .call import Context, ServerCall, StreamCall
from .capacity import CALL_SIZE, PER_BYTE, SMALL, Capacity, decoded_size, metadata_size
from .handler import Route
from .health import HEALTH, PROBE_MAX, part_of
from .lifecycle import Lifecycle, Pause
from .posts import POST_SIZE, PostCapacity, Posts
from .replies import ErrorReplies, Rejection
from .runner import Runner
from .shared import Policy

__all__ = ["Session"]

_HEALTH: Final = f'"{HEALTH}"'.encode()
_OVERFLOW: Final = ErrorReply(ErrorCode.TOO_SLOW.value, "Too many items wait to be handled")

# Bytes of a message that is handled by itself, if it cannot have too many values.
_LARGE: Final = 32 * 1024
_HUGE: Final = 1024 * 1024  # bytes of a message that is handled in several iterations
_LEAST_BACKLOG: Final = 64 * 1024  # bytes: with fewer than this a transport is writable
_NO_EXTENSIONS: Final = frozenset[str]()  # one object: each empty set takes 216 bytes
_OPEN: Final = frozenset({ServerState.RUNNING, ServerState.HALF_CLOSED, ServerState.STOPPING})
_ENDED: Final = ServerState.ENDED  # looking up the members of an enum is slow before Python 3.12


class _Intake(IntEnum):
    OPEN = auto()  # events are accepted
    PAUSED = auto()  # too many wait: the connection is not read
    SHEDDING = auto()  # too many wait, and for too long: further ones are dropped


class _IntakeEvent(IntEnum):
    FULL = auto()
    STALLED = auto()
    FREE = auto()


_ACCEPTS_EVENTS: Final = _Intake.OPEN
_INTAKES: Final[Mapping[tuple[_Intake, _IntakeEvent], _Intake]] = {
    (_Intake.OPEN, _IntakeEvent.FULL): _Intake.PAUSED,
    (_Intake.PAUSED, _IntakeEvent.STALLED): _Intake.SHEDDING,
    (_Intake.PAUSED, _IntakeEvent.FREE): _Intake.OPEN,
    (_Intake.SHEDDING, _IntakeEvent.FREE): _Intake.OPEN,
}


class Session:
    """Serves one connection.

    Args:
        transport: Carries the messages; not started yet.
        policy: The options and limits of the server.
        on_call_end: Called whenever a handler has ended while the session stops.
        on_end: Called when the connection was lost and its last handler has ended.
        info: The connection, as observers see it, if a client's session has it, too: this is then the client's end.
        posts: Those of its address, if the connection is one POST.

    Attributes:
        posts: Those of its address, if the connection is one POST; else None.
    """

    __slots__ = (
        "__weakref__",
        "_borrowers",
        "_called",
        "_capacity",
        "_carries_calls",
        "_client",
        "_client_connection",
        "_context",
        "_counted",
        "_first",
        "_halves",
        "_intake",
        "_introduced",
        "_is_received",
        "_is_usual",
        "_large",
        "_lifecycle",
        "_limits",
        "_loop",
        "_lost",
        "_on_call_end",
        "_on_end",
        "_plain",
        "_policy",
        "_received",
        "_replies",
        "_routes",
        "_runner",
        "_serves_server",
        "_slices",
        "_small",
        "_small_backlog",
        "_stall_timer",
        "_taken",
        "_transport",
        "posts",
    )

    _runner_type: ClassVar[type[Runner]] = Runner

    def __init__(
        self,
        transport: Transport,
        policy: Policy,
        *,
        on_call_end: Callable[[], None],
        on_end: Callable[["Session"], None],
        info: ConnectionInfo | None = None,
        posts: Posts | None = None,
    ) -> None:
        limits = policy.limits
        self.posts: Final = posts
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._policy = policy
        self._limits = limits
        self._on_call_end = on_call_end
        self._on_end = on_end
        self._capacity = (
            Capacity(policy.capacity, calls=limits.calls, holder=self)
            if posts is None
            else PostCapacity(posts, policy, holder=self)
        )
        self._runner = self._runner_type(
            transport, policy, self._capacity, session=self, posts=posts
        )
        self._lifecycle = Lifecycle(
            transport,
            limits,
            self._capacity,
            lifespans=policy.lifespans,
            observers=policy.observers,
            running=self._runner.running,
            info=info
            or ConnectionInfo(
                transport.peer,
                transport.credentials,
                self,
                certificate=transport.certificate,
                request=transport.request,
            ),
        )
        self._replies = ErrorReplies(transport, self._lifecycle.info, policy)
        self._context = Context(
            connection=self._lifecycle.info,
            transport=transport,
            capacity=self._capacity,
            observers=policy.observers,
            fairness=policy.fairness,
            send_buffer=limits.window,
            loop=self._loop,
            runner=self._runner,
        )
        self._routes = policy.routes
        self._small_backlog = limits.backlog < _LEAST_BACKLOG
        self._large = min(_LARGE, limits.values // VALUES_MAX)
        self._small = min(SMALL, self._large)
        self._intake = _ACCEPTS_EVENTS
        self._stall_timer: asyncio.TimerHandle | None = None
        self._slices = TimeSlices(self)
        self._counted: Tally | None = None  # of the large message that is handled now, or next
        self._is_received = False  # the huge message whose values are counted next
        self._plain: Plain | None = None  # that message, without its escapes
        self._received = False
        self._lost = False
        self._introduced = False  # by a valid message, which says what the client supports
        self._is_usual = False  # whether messages need nothing of _decode_unusual()
        self._client = _NO_EXTENSIONS  # the extensions that it supports
        self._first: asyncio.Future[None] | None = None  # while somebody waits for that message
        self._serves_server = info is not None
        self._carries_calls = True
        self._borrowers: dict[Session, None] | None = None
        self._called = self._serves_server  # calls go both ways, so that rids have to differ
        self._halves: Halves | None = None
        self._client_connection: object = None  # that calls the client
        self._taken: asyncio.Future[None] | None = None  # while somebody waits for ``taken_up``
        if posts is not None:
            self._capacity.hold(POST_SIZE)

    @property
    def info(self) -> ConnectionInfo:
        """The connection, as observers and handlers see it."""
        return self._lifecycle.info

    @property
    def callable(self) -> bool | None:
        """Whether the client can be called; None until its first message has shown that."""
        return self._called if self._introduced else None

    async def first_message(self) -> None:
        """Wait for the client's first message, the end of the connection, or ``stop_waiting``.

        Raises:
            UsageError: The lifespan of the connection waits for it, before which nothing is read.
        """
        if self._lifecycle.is_entered_by(asyncio.current_task()):
            raise UsageError(
                "the lifespan cannot call the client before its yield, since nothing is read until then; "
                "start a task that calls it"
            )
        if not self._introduced and not self._lost:
            if self._first is None:
                self._first = self._loop.create_future()
            await asyncio.shield(self._first)

    def stop_waiting(self) -> None:
        """Let those go on who wait for the client's first message."""
        first, self._first = self._first, None
        if first is not None:
            first.set_result(None)

    def share(self) -> Halves:
        """Share the transport with the session that calls the client."""
        self._halves = Halves(
            self._transport,
            self,
            self._lifecycle.read_by,
            at_server=True,
            most=self._limits.window,
        )
        self._lifecycle.share(self._halves)
        if self._lost:
            self._halves.end_guest(None)
        return self._halves

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

    @property
    def rejected(self) -> bool:
        """Whether the lifespan has rejected the connection."""
        return self._lifecycle.rejected

    @property
    def failed(self) -> bool:
        """Whether the lifespan of the connection has failed."""
        return self._lifecycle.failed

    @property
    def silent_since(self) -> float:
        """The time of the client's last call, or of its connecting, by ``time.monotonic()``."""
        return self._lifecycle.last_active

    @property
    def memory(self) -> int:
        """How many bytes of memory the client makes the server hold."""
        return self._capacity.held

    @property
    def unused(self) -> bool:
        """Whether no call of either side and no event is open, and the connection does not end yet."""
        return not (self._runner.running or self._lifecycle.reason or self._list_made())

    @property
    def stuck(self) -> bool:
        """Whether a handler ignores its cancellation, so that the end of the connection frees not all of its memory."""
        return any(call.stuck for call in self._runner.running)

    def has_call(self, rid: str) -> bool:
        """Return whether a call with this id is open."""
        return rid in self._runner.by_rid

    def may_have_call(self, rid: str) -> bool:
        """Return whether a call with this id is open, or may be opened by a message that waits to be handled."""
        return rid in self._runner.by_rid or self._slices.waiting

    async def taken_up(self, *, within: float | None) -> bool:
        """Wait until what was received is handled, and no event waits for a free handler; return whether that is so.

        Args:
            within: How long, in seconds; then what waits is dropped. None means no timeout.
        """
        if not self._has_untaken():
            return True
        try:
            async with asyncio.timeout(within):
                while not self._lost and self._has_untaken():
                    await self._next_taken()
        except TimeoutError:
            self._runner.cancel_all()
            self.drop("no handler was free for its event")
            return False
        return True

    def _has_untaken(self) -> bool:
        """Return whether messages wait to be handled, or events to begin."""
        return self._slices.waiting or self._runner.has_waiting_event()

    async def _next_taken(self) -> None:
        """Wait until fewer messages or events may wait."""
        if self._taken is None:
            self._taken = self._loop.create_future()
        await asyncio.shield(self._taken)

    def drop(self, reason: str) -> None:
        """End the connection at once; its handlers are cancelled, as when the client ends it."""
        self._replies.overload("", reason)
        self._slices.clear()
        self._lifecycle.drop(reason)

    def is_served_by(self, task: asyncio.Task[object] | None) -> bool:
        """Return whether a handler of this connection runs in a task."""
        return self._runner.runs_in(task)

    def start(self) -> None:
        """Begin to serve."""
        self._policy.observers.connection_opened(self.info)
        self._lifecycle.start(self)

    def messages_received(self, batch: Sequence[bytes | Oversized]) -> None:
        """Handle messages of the client: now, or many of them in slices of time."""
        if len(batch) > CHUNK or self._slices.waiting:
            self._slices.add(batch)
            return
        whole = self._capacity.whole
        if whole.held > whole.most and batch:
            if len(batch) != 1 or not self._answer_probe(batch[0]):
                whole.pause(self._capacity)
                self._slices.defer(batch)
            elif not self._transport.writable:
                self._lifecycle.check_backlog()
            return
        if self._lifecycle.watches_idle:
            self._lifecycle.on_activity()
        if len(batch) == 1 and len(batch[0]) <= self._small:  # nothing to measure, nor to defer
            self._handle_one(batch[0])
        else:
            self._handle_batch(batch)
        if self._small_backlog or not self._transport.writable:
            self._lifecycle.check_backlog()

    def _handle_batch(self, batch: Sequence[bytes | Oversized]) -> None:
        """Handle messages as long as there is time, and the rest in the next slice."""
        replies, slices, before = self._replies, self._slices, costly.reads
        reports = replies.reports
        for index, raw in enumerate(batch):
            size = len(raw)
            if (size > self._small or replies.reports != reports) and not slices.has_time():
                slices.defer(batch[index:])
                break
            if size <= self._large:
                self._handle_one(raw)
            elif not self._handle_large(raw):
                slices.defer(batch[index:])
                break
            if costly.reads != before:
                slices.defer(batch[index + 1 :])
                break

    def message_growing(self, size: int) -> None:
        """Count an incomplete message; of one that is too large, nothing is kept."""
        self._capacity.set_unfinished(size if size <= self._limits.message_size else 0)

    def connection_lost(self, error: Exception | None) -> None:
        """Cancel the handlers of calls, since no reply can be sent; handle the events that were read before."""
        self._lost = True
        self.stop_waiting()
        if self._halves is not None:
            self._halves.end_guest(error)
        self._capacity.set_unfinished(0)
        if self._slices.held:
            self._slices.clear()  # there is no memory to handle them
        if self._slices.waiting:
            self._runner.abort_all()
            self._slices.end(lambda: self.connection_lost(error))
            return
        if self._intake is not _ACCEPTS_EVENTS:
            self._step_intake(_IntakeEvent.FREE)
        self._runner.abort_all()
        self._lifecycle.on_connection_lost(error)

    def drain(self) -> None:
        """Reject new calls."""
        self._runner.draining = True

    async def stop(self, *, grace: float) -> None:
        """Reject new calls, ask the running handlers to finish, reply to every call, close the transport.

        Args:
            grace: How long handlers may go on, in seconds.
        """
        leaving = "leaving" in self._client
        if leaving:
            self._transport.write(LEAVING)
        ends = time.monotonic() + grace
        await self._runner.stop(grace=grace, leaving=leaving)
        made = self._list_made()
        if made:
            await asyncio.wait(made, timeout=left(ends))
        if self._borrowers:
            ended = [session.ended for session in self._borrowers]
            await asyncio.wait(ended, timeout=grace + self._limits.cleanup)
        if self._halves is not None:
            self._halves.end_guest(ConnectionLost("this server has stopped"))
        await self._lifecycle.stop()

    async def abandon(self) -> None:
        """Cancel the lifespan of the connection."""
        await self._lifecycle.abandon()

    def abort(self) -> None:
        """Cancel every handler, and end the connection."""
        self._runner.cancel_all()
        self._lifecycle.drop("this server was aborted")

    def on_end(self) -> None:
        """Handle that the connection has ended, its handlers, and its lifespan."""
        self._on_end(self)

    def on_slices(self) -> None:
        """Handle that messages wait for a slice of time, or no longer."""
        if self._slices.waiting:
            self._lifecycle.pause(Pause.SLICE)
        else:
            self._lifecycle.resume(Pause.SLICE)
            self._on_taken()

    def _on_taken(self) -> None:
        taken, self._taken = self._taken, None
        if taken is not None and not taken.done():
            taken.set_result(None)

    def on_memory(self) -> None:
        """Handle that the memory of the server is used up, or no longer."""
        if self._capacity.paused and self._lost:
            self._slices.clear()  # nothing waits for memory any more, so that the connection can end
        elif self._capacity.paused:
            self._slices.hold()
            self._lifecycle.pause(Pause.MEMORY)
        else:
            self._lifecycle.resume(Pause.MEMORY)
            self._slices.release()

    def _step_intake(self, event: _IntakeEvent) -> None:
        """Pause reading while too many events wait; drop events if none of them could be handled for ``Limits.stall``."""
        intake = _INTAKES.get((self._intake, event))
        if intake is None:
            return
        self._intake = intake
        self._restart_stall_timer()
        if intake is _Intake.PAUSED:
            self._lifecycle.pause(Pause.EVENTS)
        else:
            self._lifecycle.resume(Pause.EVENTS)

    def _restart_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
        if self._intake is _Intake.PAUSED and self._limits.stall is not None:
            # An abort, or the end of the connection, may be behind the events.
            self._stall_timer = self._loop.call_later(
                self._limits.stall, self._step_intake, _IntakeEvent.STALLED
            )

    def _handle_large(self, raw: bytes | Oversized) -> bool:
        """Handle a message that may take long: no other follows in the same iteration of the event loop.

        Returns:
            False if it is to be handled again in the next iteration: a huge message is received in one, prepared and counted
            in others, and decoded in the last. What ``_prepare_large`` does is in iterations between.
        """
        costly.reads += 1
        if type(raw) is bytes and self._counted is None:
            most, is_huge = self._limits.values, len(raw) > _HUGE
            if is_huge and not self._is_received:
                self._is_received = True
                return False
            message = self._plain
            if message is None:
                message = plain(raw, most)
                if is_huge and message is not None and b"\\" in raw:
                    self._plain = message
                    return False
            self._is_received, self._plain = False, None
            self._counted = None if message is None else count(message, most)
            if self._counted is None:
                self._replies.too_many_values(raw)
                return True
            if is_huge:
                return False
        collects, ready = gc.isenabled(), True
        gc.disable()  # it would visit the new objects again and again, and with them all others of the program
        try:
            ready = self._prepare_large(raw)
            if ready:
                self._handle_one(raw)
        finally:
            if ready:
                self._counted = None
            if collects:
                gc.enable()
        return ready

    def _prepare_large(self, raw: bytes | Oversized) -> bool:  # noqa: ARG002 # for subclasses
        """Do a part of what a large message needs before it is handled, and return whether that was the last."""
        return True

    def _handle_one(self, raw: bytes | Oversized) -> None:
        if type(raw) is Oversized:
            self._received = True
            self._replies.oversized(raw)
            return
        try:
            message = decode_client_message(raw) if self._is_usual else self._decode_unusual(raw)
            payload, size = message.payload, len(raw) + NEWLINE_SIZE
            # Not isinstance(), which takes five times as long for each class that it is not.
            if type(payload) is OpenRequest:
                self._open(payload, message.header, size)
            elif type(payload) is Send:
                self._send(payload, size)
            elif type(payload) is OpenStream or type(payload) is OpenChannel:
                self._open(payload, message.header, size)
            elif type(payload) is Event:
                self._event(payload, message.header, size)
            elif type(payload) is Credit:
                self._credit(payload)
            elif type(payload) is Abort:
                self._abort(payload)
            else:
                self._end(payload)
        except InvalidMessage as error:
            if self._replies.undecodable(error) and not self.reason:
                self.drop("the client sent too many invalid messages")

    def _decode_unusual(self, raw: bytes) -> ClientEnvelope:
        """Decode the first messages, until one is valid; and each that has to be less deep than the decoder allows."""
        if not self._received:
            self._received = True
            raw = raw.removeprefix(BOM)
        require_depth(raw, self._limits.depth)
        message = self._decode(raw)
        if not self._introduced:
            self._introduced = True
            self._on_first(message.header)
            self._is_usual = self._limits.depth >= DEPTH_MAX and not self._called
        if self._called:
            self._require_direction(message.payload)
        return message

    def _decode(self, raw: bytes) -> ClientEnvelope:
        return decode_client_message(raw)

    def _require_direction(self, message: ClientMessage) -> None:
        """Raise InvalidMessage if the id of a new call is one of the other direction."""
        if isinstance(message, OpenRequest | OpenStream | OpenChannel):
            rid = message.rid
            if rid.startswith(SERVER_RID) is not self._serves_server:
                raise InvalidMessage(f"the rid {rid!r} is one of the other side's", rid=rid)

    def _open(self, message: CallMessage, header: Header, size: int) -> None:
        if self._lost:
            return
        metadata = None if header.meta is UNSET else decode_metadata(header.meta, message.rid)
        route = self._routes.get(message.prc)
        rejection = admission.check(self._runner, message, header, route)
        if rejection is not None:
            if self._asks_health(message):
                # A client that asks again and again, and reads nothing, must not grow the write buffer by details.
                detailed = self._transport.writable and self._sees_details()
                self._answer_health(message, detailed=detailed)
            else:
                self._refuse(message, rejection)
            return
        assert route is not None  # noqa: S101 # admission has seen to that
        try:
            prm = message.prm
            if prm is UNSET or not route.value.declared:
                value = b"" if prm is UNSET else bytes(prm)
                arguments = route.decode_unusual(None if prm is UNSET else value)
            else:
                value = bytes(prm)
                arguments = (route.value.decode(value),)
        except DecodeError as error:
            self._capacity.release()
            self._refuse_value(message, error)
            return
        except Exception as error:  # noqa: BLE001 # of the program's own types
            self._capacity.release()
            self._replies.failure(message.prc, "reading its param", error)
            self._refuse_failed(message)
            return
        now = self._lifecycle.last_active = time.monotonic()
        due = None if header.ttl is UNSET else now + header.ttl / 1000
        if type(message) is OpenRequest:
            longest = self._limits.request_time
            if longest is not None and (due is None or now + longest < due):
                due = now + longest
            call = ServerCall(route.procedure, self._context, now, due, message.rid)
        else:
            call = self._make_stream(message.rid, route, header, now, due)
        call.bytes_received = size
        # As decoded_size() does, without another function for each small message.
        held = CALL_SIZE + size * PER_BYTE if size <= SMALL else decoded_size(value, self._counted)
        if metadata is not None:
            call.metadata = metadata
            held += metadata_size(metadata)
        call.memory = held
        capacity = self._capacity
        whole = capacity.whole
        capacity.held += held  # as hold() does
        whole.held += held
        if whole.held > whole.memory:
            whole.on_held(capacity, held)
        self._runner.start(call, route, arguments)

    def _refuse(self, message: CallMessage, rejection: Rejection) -> None:
        self._replies.reject(message.rid, message.prc, rejection)

    def _answer_probe(self, raw: bytes | Oversized) -> bool:
        """Answer a request for the health from anybody, whatever else the session can do now; return whether it is one."""
        if type(raw) is not bytes or len(raw) > PROBE_MAX or _HEALTH not in raw:
            return False
        try:
            message = decode_client_message(raw)
        except InvalidMessage:
            return False
        payload = message.payload
        if not self._asks_health(payload) or message.header.alg != "none":
            return False
        self._answer_health(payload, detailed=False)
        return True

    def _asks_health(self, message: ClientMessage) -> TypeIs[OpenRequest]:
        return (
            type(message) is OpenRequest
            and message.prc == HEALTH
            and message.rid not in self._runner.by_rid
        )

    def _answer_health(self, message: OpenRequest, *, detailed: bool) -> None:
        """Answer at once: it takes no handler, waits for nothing, and opens no call, so that no limit of calls applies."""
        part = part_of(b"" if message.prm is UNSET else bytes(message.prm))
        if part is None:
            self._replies.invalid(message.rid, f"{HEALTH}: expected an object with a string 'part'")
        else:
            answer = self._policy.health.describe(part, detailed=detailed)
            self._transport.write(encode_result(message.rid, dump_json(answer)))

    def _sees_details(self) -> bool:
        """Return whether the client sees more of the health than whether the server serves."""
        return bool(self.info.identities)

    def _refuse_value(self, message: CallMessage, error: DecodeError) -> None:
        self._replies.value(message.rid, error)

    def _refuse_failed(self, message: CallMessage) -> None:
        self._replies.send(message.rid, FAILED)

    def _refuse_item(self, call: StreamCall, error: DecodeError) -> None:
        self._replies.value(call.rid, error)

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
            self._accept(call)
        return call

    def _on_first(self, header: Header) -> None:
        """Read from the first message of the client what it supports; if it says so, answer in kind."""
        if header.ext is not UNSET:
            self._client = supported(header.ext)
            if "credit" in self._client:
                self._lifecycle.reading.enable_flow_control()
                self._called |= self._carries_calls and "call" in self._client
            self._transport.write(HELLO)
        self.stop_waiting()

    def call_through(self, other: "Session | None") -> None:
        """Let handlers call the client through another session: this one lasts for one message, and cannot carry calls."""
        self._carries_calls = False
        if other is not None:
            self.info.share_peer(other.info)
            other.lend(self)

    def lend(self, other: "Session") -> None:
        """Let the handlers of another session call the client through this one, until they have ended."""
        borrowers = self._borrowers = self._borrowers or {}
        borrowers[other] = None
        other.ended.add_done_callback(lambda _: borrowers.pop(other, None))

    def connect_peer(self) -> object:
        """Return the connection that calls the client; None if there is no way to."""
        if self._client_connection is None and self._policy.call_client is not None:
            self._client_connection = self._policy.call_client(self)
        return self._client_connection

    def _accept(self, call: StreamCall) -> None:
        """Show a client with flow control that its call is accepted: grant a channel its window, a stream nothing."""
        self._lifecycle.reading.enable_flow_control()
        granted = 0 if call.inbox is None else call.inbox.capacity
        self._transport.write(encode_credit(call.rid, granted))

    def _event(self, message: Event, header: Header, size: int) -> None:
        metadata = None if header.meta is UNSET else decode_metadata(header.meta, None)
        route, waiting = self._routes.get(message.prc), self._runner.events
        if route is None or route.kind != "event":
            self._replies.report(f"there is no event {message.prc!r}")
        elif self._runner.cancelled:
            pass
        elif self._intake is _Intake.SHEDDING and waiting.size > waiting.capacity:
            self._replies.overload(message.prc, "Too many events wait for a handler")
        else:
            self._start_event(route, message, metadata, size)
            if waiting.size > waiting.capacity:
                self._step_intake(_IntakeEvent.FULL)

    def _start_event(
        self, route: Route, message: Event, metadata: Mapping[str, str] | None, size: int
    ) -> None:
        try:
            data = message.data
            if data is UNSET or not route.value.declared:
                arguments = route.decode_unusual(None if data is UNSET else bytes(data))
            else:
                arguments = (route.value.decode(bytes(data)),)
        except DecodeError as error:
            self._replies.report_value(error)
        except Exception as error:  # noqa: BLE001 # of the program's own types
            self._replies.failure(message.prc, "decoding its data", error)
        else:
            now = time.monotonic()
            due = due_after(now, self._limits.request_time)
            call = ServerCall(route.procedure, self._context, now, due, answered=False)
            call.bytes_received = size
            value = bytes(data) if data is not UNSET else b""
            call.memory = decoded_size(value, self._counted)
            if metadata is not None:
                call.metadata = metadata
                call.memory += metadata_size(metadata)
            self._capacity.claim_event(call.memory)
            self._runner.start(call, route, arguments)

    def _send(self, message: Send, size: int) -> None:
        call = self._runner.by_rid.get(message.rid)
        if call is None or call.phase is _ENDED:
            return
        if not isinstance(call, StreamCall) or call.inbox is None or call.decode_item is None:
            self._replies.report(f"{call.procedure.name!r} takes no items from the client")
            return
        text = bytes(message.val)
        try:
            item = call.decode_item(text)
            memory = decoded_size(text, self._counted)
            call.memory += memory
            self._capacity.hold(memory)
            call.inbox.put((((item, memory), size),), size)
        except DecodeError as error:
            self._refuse_item(call, error)
        except InboxOverflow as error:
            self._replies.overload(call.procedure.name, str(error))
            self._fail(call, _OVERFLOW)
        except Exception as error:  # noqa: BLE001 # of the program's own types
            self._replies.failure(call.procedure.name, "reading an item", error)
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
        if call is None or call.phase not in _OPEN:
            return  # unknown, or ended already: the first end wins
        if message.rsn == CLOSE:
            self._runner.close(call)
        else:
            self._runner.abort(call)

    def _fail(self, call: ServerCall, reply: ErrorReply) -> None:
        self._replies.send(call.rid, reply)
        self._runner.abort(call, "error", reply.code)

    def list_calls(self) -> Collection[Call]:
        """Return the calls whose handlers have not ended, and the events."""
        return self._runner.running.keys()

    def _list_made(self) -> Collection[asyncio.Future[Any]]:
        """Return the ends of the open calls to the client."""
        return () if self._halves is None else self._halves.list_made()

    def on_event_start(self) -> None:
        """Handle that an event has waited long enough: read again, or at least wait for ``Limits.stall`` anew."""
        self._on_taken()
        self._check_intake()
        if self._intake is _Intake.PAUSED:
            self._restart_stall_timer()

    def _check_intake(self) -> None:
        if self._intake is not _Intake.OPEN and self._runner.events.size <= self._limits.buffered:
            self._step_intake(_IntakeEvent.FREE)

    def on_handler_end(self) -> None:
        """Handle that a handler has ended: the next may begin, or the connection end."""
        if self._taken is not None:
            self._on_taken()
        if not self._transport.writable and not self._lifecycle.lost:
            self._lifecycle.check_backlog()
        if self._runner.draining:
            self._on_call_end()
        if self._intake is not _ACCEPTS_EVENTS:
            self._check_intake()
        if self._lifecycle.lost or self._lifecycle.watches_idle:
            self._lifecycle.on_handler_end()
