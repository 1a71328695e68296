"""The session of a server that asks who calls: each message passes the gate before anything of it is used.

What comes right behind an opening, such as its items, waits for nothing: the call is open while its task waits to be admitted.
Only a stream's acceptance, which tells the client that the call exists, waits as well, and so does every error.

Over HTTP, a session belongs to who has opened it: what a POST of somebody else brings is refused, and has no effect on its calls.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

from msgspec import UNSET

from enkaku._json import dump_json
from enkaku.calls.deadlines import due_after
from enkaku.calls.info import ConnectionInfo
from enkaku.calls.logins import LOGIN, LOGIN_REQUEST, LoginReply, describe_login
from enkaku.errors import DecodeError, InvalidMessage, Rejected
from enkaku.flow.send_window import Window
from enkaku.identity.messages import SignedClaims, SignedMessage, Verification
from enkaku.identity.proofs import ACCESS_DENIED
from enkaku.identity.tokens import EXPIRED, INVALID_SIGNATURE, denied
from enkaku.procedures import Channel, Procedure, Request, Stream
from enkaku.transports.base import Oversized, Transport
from enkaku.transports.request import HttpRequest
from enkaku.wire.error_codes import FAILED, INVALID, ErrorCode, ErrorReply
from enkaku.wire.messages import (
    ALIVE,
    BOM,
    DESCRIBE,
    Abort,
    CallMessage,
    ClientEnvelope,
    Credit,
    End,
    Event,
    Header,
    OpenChannel,
    OpenRequest,
    OpenStream,
    Send,
    read_ids,
)
from enkaku.wire.metadata import NO_METADATA, decode_metadata

from . import admission
from .call import ServerCall, StreamCall, current_call
from .capacity import CALL_SIZE, metadata_size
from .gate import ADMISSION, Admission, Gate, reason_of
from .handler import Route
from .login import Login
from .post import Post
from .posts import Posts
from .replies import CallRefused, Rejection
from .runner import Runner
from .session import Session
from .shared import Policy

__all__ = ["GuardedSession"]

_UNPROVEN_MAX: Final = 100  # messages whose signature is not valid; then the connection ends
_SIGNED_SIZE: Final = 2048  # bytes of the claims of a call that is signed, and of its identity
_OPENINGS: Final = frozenset({"request", "stream", "channel"})
_EXPIRED: Final = ErrorReply(ErrorCode.ACCESS_DENIED.value, EXPIRED)
_UNKNOWN: Final = Request[None, None]("(unknown)")  # not the name that a client has made up


async def _serve_nothing(*_: object) -> None:
    """Stand for the method of a procedure that does not exist."""


# So that a call of such a procedure passes the same steps of admission as those of others.
_STAND_INS: Final[Mapping[type[CallMessage], Route]] = {
    OpenRequest: Route.request(_UNKNOWN, _serve_nothing),
    OpenStream: Route.stream(Stream[None, int, None]("(unknown)", receive=int), _serve_nothing),
    OpenChannel: Route.channel(
        Channel[None, int, int, None]("(unknown)", send=int, receive=int), _serve_nothing
    ),
}


class _GuardedRunner(Runner):
    """Prepares each call before its task begins."""

    __slots__ = ("prepare",)

    prepare: Callable[[ServerCall], None]

    def start(self, call: ServerCall, route: Route, arguments: tuple[object, ...]) -> None:
        """Run the handler of a call, or of an event, once it is admitted."""
        self.prepare(call)
        super().start(call, route, arguments)


class GuardedSession(Session):
    """Serves one connection of a server that asks who calls.

    Args:
        transport: Carries the messages; not started yet.
        policy: The options and limits of the server.
        gate: Admits calls.
        on_call_end: Called whenever a handler has ended while the session stops.
        on_end: Called when the session has ended.
        info: The connection, as observers see it, if a client's session has it, too.
        posts: Those of its address, if the connection is one POST.

    Attributes:
        signer: Over HTTP, the name of the key that has signed the first message; only its messages are accepted.
    """

    __slots__ = (
        "_accepts",
        "_admission",
        "_bearer",
        "_brief",
        "_bucket",
        "_gate",
        "_header",
        "_login",
        "_named",
        "_post",
        "_signed",
        "_unproven",
        "_verification",
        "signer",
    )

    _runner_type = _GuardedRunner

    def __init__(
        self,
        transport: Transport,
        policy: Policy,
        *,
        gate: Gate,
        on_call_end: Callable[[], None],
        on_end: Callable[[Session], None],
        info: ConnectionInfo | None = None,
        posts: Posts | None = None,
    ) -> None:
        super().__init__(
            transport, policy, on_call_end=on_call_end, on_end=on_end, info=info, posts=posts
        )
        self._gate: Final = gate
        self._bucket: Final = _address_of(transport) or gate.next_bucket()
        self._signed: SignedClaims | None = None  # the message that is being handled
        self._verification: Verification | None = None  # of a large message that is handled next
        self._admission: Admission | None = None  # of the call that it opens
        self._header = Header("JWT", "none")  # of that message
        self._accepts = False  # whether the client waits to be told that the call is accepted
        self._unproven = 0
        self._login: Final = Login(self.info, gate.clock, self) if gate.authenticates else None
        # Over HTTP, a session belongs to who has opened it: by the headers of that POST, and by the key that signed it.
        self._brief: Final = posts is not None
        self._bearer = ""
        self.signer = ""
        self._named: GuardedSession | None = None
        request = None if posts is None else transport.request
        self._post = None if request is None else self._make_post(request, is_first=True)
        assert isinstance(self._runner, _GuardedRunner)  # noqa: S101 # see _runner_type
        self._runner.prepare = self._prepare
        if gate.key is not None:
            self._small = 0  # each message is measured, since its signature takes long to check

    def _decode_unusual(self, raw: bytes) -> ClientEnvelope:
        message = super()._decode_unusual(raw)
        self._is_usual = self._is_usual and self._gate.key is None
        return message

    def _decode(self, raw: bytes) -> ClientEnvelope:
        if self._gate.key is None:
            return super()._decode(raw)
        begun, self._verification = self._verification, None
        verification = begun or self._gate.begin_verification(raw, values=self._limits.values)
        signed = self._verify(raw, verification)
        if signed is None:
            return super()._decode(raw)
        self._signed = signed.without_message()
        return signed.envelope  # nothing is used but what was signed

    def _prepare_large(self, raw: bytes | Oversized) -> bool:
        if type(raw) is not bytes or self._gate.key is None:
            return True
        if self._verification is None:
            message = raw if self._received else raw.removeprefix(BOM)
            values = self._limits.values
            self._verification = self._gate.begin_verification(message, values=values)
        return self._verification.advance()

    def _verify(self, raw: bytes, verification: Verification) -> SignedMessage | None:
        """Check who signed a message; over HTTP also that it is who has opened the session.

        Raises:
            InvalidMessage: It is not a message.
            Rejected: It does not prove who has sent it, or somebody else has.
        """
        try:
            signed = self._gate.verify(raw, verification)
        except InvalidMessage as error:
            if self.signer and self._post is not None and not self._post.is_first:
                # Whoever has not signed it must not use up how many invalid messages the session may get.
                raise Rejected(INVALID.code, INVALID.message) from error
            raise
        if self._post is not None:
            self._require_signer(signed)
            if signed is not None and not self.signer:
                self.signer = signed.claims.iss
        return signed

    def _require_signer(self, signed: SignedMessage | None) -> None:
        """Raise Rejected unless a message is signed as this session, or the one that it calls the client through, needs it."""
        owner = (self._named or self).signer
        if owner and (signed is None or signed.claims.iss != owner):
            raise denied(ACCESS_DENIED)

    @property
    def refusal(self) -> Rejected | None:
        """Why a message of the latest POST was rejected that gets no reply; None if none was."""
        return None if self._post is None else self._post.refusal

    @property
    def busy(self) -> bool:
        """Whether messages wait to be handled."""
        return self._slices.waiting

    def belong_to(self, named: "GuardedSession") -> None:
        """Accept only what comes from who has opened the session that the POST of this one names."""
        self._named = named

    async def claim(self, request: HttpRequest) -> None:
        """Let the session belong to whom the headers of its first POST prove. A bad proof is replied to when its message is handled."""
        self._post = self._make_post(request, is_first=True)
        with suppress(Rejected):
            self._bearer = await self._gate.bearer_of(request, self.info)

    async def require_owner(self, request: HttpRequest) -> None:
        """Check that a later POST comes from who has opened the session, by its headers.

        Raises:
            Rejected: It does not.
        """
        first = self.info.request
        try:
            owner = self._bearer
            if self._brief and first is not None:
                owner = await self._gate.bearer_of(first, self.info)
            if owner and await self._gate.bearer_of(request, self.info) != owner:
                raise denied(ACCESS_DENIED)
        except Rejected as error:
            self._deny("", error)
            raise

    def require_signature(self, raw: bytes) -> None:
        """Check that a message was signed by who has opened the session, without handling it.

        Raises:
            InvalidMessage: It is not a message.
            Rejected: It was not.
        """
        if self._gate.key is not None:
            verification = self._gate.begin_verification(raw, values=self._limits.values)
            self._require_signer(self._gate.verify(raw, verification))

    def begin_post(self, request: HttpRequest) -> Post:
        """Handle the messages that are delivered next as those of a POST. Nothing may wait to be handled."""
        post = self._post = self._make_post(request, is_first=False)
        return post

    def _make_post(self, request: HttpRequest, *, is_first: bool) -> Post:
        return Post(request, self._gate.next_bucket(), is_first=is_first)

    async def handled(self) -> None:
        """Wait until no message waits to be handled."""
        while self._slices.waiting and not self._lost:
            await self._next_taken()

    def _handle_one(self, raw: bytes | Oversized) -> None:
        try:
            super()._handle_one(raw)
        except Rejected as error:  # of _decode_unusual()
            if type(raw) is bytes:
                self._refuse_unproven(raw, error)
        finally:
            self._signed = self._admission = None

    def _refuse_unproven(self, raw: bytes, error: Rejected) -> None:
        """Reply to an opening that does not prove who has sent it. An error for a later message would end the call of another."""
        typ, rid = read_ids(raw)
        self._deny("", error)
        names_other = self._named is not None and bool(self._named.signer)
        if self._post is not None and (
            names_other or not self._post.is_first or typ not in _OPENINGS
        ):
            # Who names the session of another must not end it, or one of its calls.
            self._post.refusal = error
            if names_other:
                self._transport.abort()  # of this POST, which gets no reply
            return
        if typ in _OPENINGS and rid is not None:
            self._replies.send(rid, _reply_of(error))
        self._count_unproven()

    def _count_unproven(self) -> None:
        self._unproven += 1
        if self._unproven > _UNPROVEN_MAX and not self.reason:
            self.drop("the client sent too many messages with invalid signatures")

    def _deny(self, procedure: str, error: Rejected) -> None:
        self._policy.observers.access_denied(self.info, procedure, reason_of(error))

    def _deny_call(self, message: CallMessage | Event, error: Rejected) -> None:
        self._deny(message.prc, error)
        if reason_of(error) == INVALID_SIGNATURE:  # of a capability, which takes as long to check
            self._count_unproven()

    def _open(self, message: CallMessage, header: Header, size: int) -> None:
        if message.prc == ALIVE:  # needs no right
            self._admission = None
        else:
            try:
                self._admission = self._begin(message.prc, message.rid, header)
            except Rejected as error:
                self._replies.send(message.rid, _reply_of(error))
                self._deny_call(message, error)
                return
            if message.prc == LOGIN and self._login is not None:
                self._log_in(message, header, self._admission, self._login)
                return
        self._accepts = False
        self._header = header
        super()._open(message, header, size)

    def _event(self, message: Event, header: Header, size: int) -> None:
        try:
            self._admission = self._begin(message.prc, None, header)
        except Rejected as error:
            self._deny_call(message, error)
            if self._post is not None:
                self._post.refusal = error
        else:
            super()._event(message, header, size)

    def _begin(self, procedure: str, rid: str | None, header: Header) -> Admission:
        meta = header.meta
        metadata = NO_METADATA if meta is UNSET else decode_metadata(meta, rid)
        return self._gate.begin(
            procedure,
            self._signed,
            metadata,
            self.info,
            self._bucket,
            self._login,
            self._post,
        )

    def _log_in(self, message: CallMessage, header: Header, asked: Admission, login: Login) -> None:
        """Let a client log in, in a task of its own: authenticators may take long."""

        async def log_in() -> LoginReply:
            try:
                identity = await self._gate.log_in(asked)
                signed = asked.signed
                login.log_in(identity, None if signed is None else signed.claims.iss)
            except Rejected as error:
                self._deny(LOGIN, error)
                raise CallRefused(error.code, error.message, error.data) from None
            return describe_login(identity, self._gate.clock())

        if self._lost:
            return
        route = Route.request(LOGIN_REQUEST, log_in)
        rejection = admission.check(self._runner, message, header, route)
        if rejection is not None:
            self._replies.reject(message.rid, LOGIN, rejection)
            return
        self._admission = None  # else it would wait to be admitted
        size = metadata_size(asked.metadata)  # which nobody else gets
        self._start_reserved(message, route, LOGIN_REQUEST, header, size)

    def _start_reserved(
        self,
        message: CallMessage,
        route: Route,
        procedure: Procedure,
        header: Header,
        size: int,
    ) -> None:
        """Start a call that the runtime itself serves, and that ``capacity`` has counted.

        Args:
            message: The message that opens it.
            route: What serves it.
            procedure: What observers and access rules see of it.
            header: The header of its message.
            size: How many bytes of memory its metadata takes.
        """
        ttl, now = header.ttl, time.monotonic()
        is_request = type(message) is OpenRequest
        longest = self._limits.request_time if is_request else None
        due = due_after(now, longest, None if ttl is UNSET else ttl / 1000)
        call = (
            ServerCall(procedure, self._context, now, due, message.rid)
            if is_request  # others need no free handler
            else StreamCall(procedure, self._context, now, due, message.rid, Window(None))
        )
        call.reserved = True
        call.memory = CALL_SIZE + size
        self._capacity.hold(call.memory)
        self._runner.start(call, route, ())

    def on_login_expired(self) -> None:
        """End the calls that the login has admitted."""
        admitted = [call for call in self._runner.running if call.needs_login and call.answered]
        self._runner.end_all(admitted, _EXPIRED)

    def on_end(self) -> None:
        """Handle that the connection has ended, its handlers, and its lifespan."""
        if self._login is not None:
            self._login.close()
        super().on_end()

    def _prepare(self, call: ServerCall) -> None:
        """Tell a call who calls, and let its task wait until it is admitted."""
        admission = self._admission
        if admission is None:
            return
        call.proven, call.metadata = admission.proven, admission.metadata
        if admission.procedure == DESCRIBE:
            call.state[ADMISSION] = admission
        if admission.signed is not None:
            size = _SIGNED_SIZE + sum(map(len, admission.signed.claims.capabilities))
            call.memory += size
            self._capacity.hold(size)
        if not admission.granted:
            if not call.answered:
                call.admission = self._taking(admission)
            else:
                call.admission = self._accepting(admission) if self._accepts else admission.finish

    def _taking(self, admission: Admission) -> Callable[[ServerCall], Awaitable[None]]:
        """Return what waits until an event is admitted, after which its POST can be answered."""

        async def finish(call: ServerCall) -> None:
            try:
                await admission.finish(call)
            finally:
                call.admission = None
                self._on_taken()

        return finish

    def _has_untaken(self) -> bool:
        return super()._has_untaken() or any(
            call.admission is not None and not call.answered for call in self._runner.running
        )

    def _accepting(self, admission: Admission) -> Callable[[ServerCall], Awaitable[None]]:
        """Return what waits until a stream is admitted, and then tells the client that it is accepted."""
        accept = super()._accept

        async def finish(call: ServerCall) -> None:
            await admission.finish(call)
            if isinstance(call, StreamCall):
                accept(call)

        return finish

    def _accept(self, call: StreamCall) -> None:
        if self._admission is None or self._admission.granted:
            super()._accept(call)
        else:
            self._accepts = True

    def _refuse(self, message: CallMessage, rejection: Rejection) -> None:
        unknown = rejection.invalid and message.rid not in self._runner.by_rid
        if not unknown or not self._waits():
            super()._refuse(message, rejection)
            return

        def reply() -> ErrorReply:
            self._replies.report(rejection.invalid)
            return self._replies.explain(rejection.invalid)

        self._refuse_later(message, _UNKNOWN, reply)

    def _refuse_value(self, message: CallMessage, error: DecodeError) -> None:
        if not self._waits():
            super()._refuse_value(message, error)
            return
        # The traceback would keep the message.
        found = DecodeError(error.slot, error.problems, more=error.more)

        def reply() -> ErrorReply:
            self._replies.report_value(found)
            return self._replies.explain(found.reason)

        self._refuse_later(message, self._routes[message.prc].procedure, reply)

    def _refuse_failed(self, message: CallMessage) -> None:
        if self._waits():
            self._refuse_later(message, self._routes[message.prc].procedure, lambda: FAILED)
        else:
            super()._refuse_failed(message)

    def _refuse_item(self, call: StreamCall, error: DecodeError) -> None:
        _say(call, partial(super()._refuse_item, call, error))

    def _fail(self, call: ServerCall, reply: ErrorReply) -> None:
        _say(call, partial(super()._fail, call, reply))

    def _waits(self) -> bool:
        return self._admission is not None and not self._admission.granted

    def _refuse_later(
        self, message: CallMessage, procedure: Procedure, reply: Callable[[], ErrorReply]
    ) -> None:
        """Say what is wrong with a call, once its caller is known to have access to the procedure."""
        stand_in = _STAND_INS[type(message)]
        limited = admission.check(self._runner, message, self._header, stand_in)
        if limited is not None:
            super()._refuse(message, limited)
            return

        async def refuse() -> None:
            call = current_call()
            if call.admission is not None:
                await call.admission(call)
            found = reply()
            raise CallRefused(found.code, found.message)

        size = 0 if self._admission is None else metadata_size(self._admission.metadata)
        route = Route.request(_UNKNOWN, refuse)
        self._start_reserved(message, route, procedure, self._header, size)

    def _send(self, message: Send, size: int) -> None:
        if self._is_of_opener("send", message.rid):
            super()._send(message, size)

    def _abort(self, message: Abort) -> None:
        if self._is_of_opener("abort", message.rid):
            super()._abort(message)

    def _end(self, message: End) -> None:
        if self._is_of_opener("end", message.rid):
            super()._end(message)

    def _credit(self, message: Credit) -> None:
        if self._is_of_opener("credit", message.rid):
            super()._credit(message)

    def _is_of_opener(self, typ: str, rid: str) -> bool:
        """Return whether a later message of a call comes from who opened it; else report it, and let the call go on."""
        call = self._runner.by_rid.get(rid)
        if call is None:
            return False
        try:
            origin = self._bucket if self._post is None else self._post.name
            self._gate.admit_later(typ, self._signed, call, origin)
        except Rejected as error:
            self._deny(call.procedure.name, error)
            if self._post is not None:
                self._post.refusal = error
            if error.code == ErrorCode.TOO_MANY_HANDLERS:
                self._fail(call, _reply_of(error))  # its opener would wait for ever
            return False
        return True


def _address_of(transport: Transport) -> str:
    """Return a name of the address of a client over HTTP, whose sessions are no connections; else ``""``."""
    request = transport.request
    if request is None or request.scope.get("type") != "http":
        return ""  # also of a WebSocket
    client = request.client
    return "address" if client is None else f"address {client[0]}"


def _say(call: ServerCall, error: Callable[[], None]) -> None:
    """Tell the client of a call what is wrong with it, once it is admitted; the first error is its last."""
    if call.admission is None:
        error()
    elif call.on_admitted is None:
        call.on_admitted = error


def _reply_of(error: Rejected) -> ErrorReply:
    return ErrorReply(error.code, error.message, dump_json(error.data))
