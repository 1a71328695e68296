"""The client's public connection: makes calls, whatever transport carries them.

Each method encodes the param, waits for an open client session (with ``reconnect``, for the next one), runs the
interceptors, and hands the call to the session. A request that hooks or interceptors wrap, and one that is sent again, are
made by ``_send_request``; the first attempt of any other is made without further coroutines, since it is the usual one.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, Unpack

from enkaku._checks import enter_block, require_loop, require_seconds
from enkaku.calls.deadlines import left, scope
from enkaku.calls.hooks import Hook, OutgoingCall
from enkaku.calls.info import Call, ConnectionInfo
from enkaku.calls.observers import Interceptor, Observers, run_inside
from enkaku.errors import CallError, ConnectionLost, EncodeError, NotSent, Problem, UsageError
from enkaku.limits import Limits
from enkaku.options import (
    CallOptions,
    ClientOptions,
    MetadataSource,
    StreamOptions,
    check_call,
    check_stream,
    metadata_of,
    signer_of,
)
from enkaku.procedures import Channel, Event, Procedure, Request, Stream
from enkaku.transports.base import SeparateCalls, Transport
from enkaku.values.slot import Slot
from enkaku.wire.messages import NEWLINE_SIZE, add_metadata, encode_event
from enkaku.wire.metadata import NO_METADATA, copy_metadata, encode_metadata

from .hooked import HookedChannel, HookedStream, run_wrapped
from .lifespan import Living
from .login import Login
from .metadata import gather_metadata
from .paired import ServedCalls
from .reconnect import ConnectionState, Connector, Sessions, States
from .session import (
    ClientSession,
    Reply,
    RequestCall,
    decode_reply,
    finish,
    send_request,
    timed_out,
)
from .streams import ClientChannel, ClientStream, PreparedCall, encode_param

if TYPE_CHECKING:
    from enkaku.calls.descriptions import Description

    from .compare import Comparisons

__all__ = ["Connection", "ConnectionLifespan", "ConnectionOptions", "send_event"]


async def send_event(session: ClientSession, call: Call, message: bytes) -> None:
    """Send an event; wait until the transport is writable again, or until it has sent the event by itself."""
    session.observers.call_started(call)
    call.bytes_sent = session.size_of(message) + NEWLINE_SIZE
    separate = session.separate
    if separate is None:
        if session.is_new:
            message = session.introduce(message)
            call.bytes_sent = session.size_of(message) + NEWLINE_SIZE
        session.write(message)
    reply: Reply = None
    try:
        async with asyncio.timeout(None if call.due is None else left(call.due)):
            await (session.drain() if separate is None else separate.post(message))
    except TimeoutError:
        reply = timed_out(call.procedure)
        raise reply from None
    except ConnectionLost as error:
        if separate is None:
            reply = error
            raise
        reply = session.name_error(error, call.procedure)
        raise reply from error.__cause__
    except CallError as error:
        reply = session.name_error(error, call.procedure)
        raise
    finally:
        finish(session, call, reply)


_Data = TypeVar("_Data")
_Param = TypeVar("_Param")
_Send = TypeVar("_Send")
_Receive = TypeVar("_Receive")
_Result = TypeVar("_Result")

_TIMEOUT: Final = 60.0  # seconds


class Connection:
    """The client's end of a connection; many calls may be open on it at the same time.

    ``connect_unix``, ``connect_tcp`` and ``connect_memory`` make connections; generated clients call the
    methods of this class. It belongs to the event loop in which it was made.

    Args:
        transport: Carries the messages; started here.
        connector: Makes further transports; None if the connection does not reconnect.
        served: Serves the calls of the server; made from the option ``handler`` by the function that connects.
        options: See ``ConnectionOptions``.
    """

    _comparisons: "Comparisons | None" = None

    def __init__(
        self,
        transport: Transport,
        connector: Connector | None = None,
        served: ServedCalls | None = None,
        **options: Unpack["ConnectionOptions"],
    ) -> None:
        limits = options.get("limits") or Limits()
        observers = Observers(options.get("observers", ()))
        if served is None and options.get("handler") is not None:
            raise UsageError(
                "handler: only the functions that connect take it, such as connect_unix"
            )
        connect_peer = None if served is None else self._connect_peer
        lifespan, metadata = options.get("lifespan"), options.get("metadata")
        source, timeout = options.get("login"), options.get("timeout", _TIMEOUT)
        login = None if source is None else Login(source, timeout, observers.log)
        if login is not None and isinstance(transport, SeparateCalls):
            metadata = login.add_to(metadata)  # each POST is a connection of its own
        begin = None
        if login is not None or lifespan is not None:
            begin = partial(self._begin_lifespan, login, lifespan)
        sessions = Sessions(
            connector, limits, observers, served, connect_peer, begin, signer_of(options)
        )
        self._begin(
            sessions,
            options.get("interceptors", ()),
            options.get("hooks", ()),
            timeout,
            metadata,
        )
        if options.get("compare"):
            from .compare import Comparisons  # noqa: PLC0415 # few clients compare

            self._comparisons = Comparisons(self._loop)
        self._sessions.start(transport)

    def _begin(
        self,
        sessions: Sessions,
        interceptors: Sequence[Interceptor],
        hooks: Sequence[Hook] = (),
        timeout: float | None = _TIMEOUT,
        metadata: MetadataSource | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._interceptors: Sequence[Interceptor] = tuple(interceptors)
        self._hooks: Sequence[Hook] = tuple(hooks)
        if metadata is not None and not callable(metadata):
            metadata = copy_metadata(metadata, "metadata") or None
        self._metadata = metadata
        self._wrapped = bool(self._interceptors or self._hooks or metadata)
        self._sessions = sessions
        self._inner: Connection | None = None  # of the newest lifespan

    def _begin_lifespan(
        self, login: Login | None, lifespan: "ConnectionLifespan | None", session: ClientSession
    ) -> Living:
        log_in = None if login is None else login.logged_in
        observers, cleanup = self._sessions.observers, session.limits.cleanup
        if lifespan is None:
            return Living(log_in, None, session, observers, cleanup)
        sessions = self._sessions.only(session)
        inner = self._inner = _SessionConnection(
            sessions, self._interceptors, self._hooks, self._timeout, self._metadata
        )

        async def enter(stack: AsyncExitStack) -> None:
            await enter_block(stack, lifespan, inner, "the lifespan")

        return Living(log_in, enter, session, observers, cleanup)

    def _connect_peer(self) -> "Connection":
        """Return the connection for a handler: while a lifespan is entered again, that of its session, since other calls wait."""
        inner = self._inner
        is_entering = inner is not None and inner.is_open and inner.info is not self.info
        return inner if inner is not None and is_entering else self

    async def entered(self) -> None:
        """Log in, and wait until the lifespan is entered. Called by the functions that connect.

        Raises:
            CallError: The server has rejected the login.
            ConnectionLost: The connection was lost meanwhile.
            Exception: What the function of the login, or the lifespan, has raised.
        """
        await self._sessions.enter_lifespan(self._sessions.session)

    def __repr__(self) -> str:
        return f"<connection to {self.peer}: {self.state}, {len(self.calls)} open calls>"

    @property
    def peer(self) -> str:
        """The server's address."""
        return self.info.peer

    @property
    def is_open(self) -> bool:
        """Whether there is a connection to the server now."""
        return self._sessions.session.is_open

    @property
    def state(self) -> ConnectionState:
        """The state of the connection."""
        return self._sessions.history.state

    def states(self) -> AsyncIterator[ConnectionState]:
        """Iterate over the states of the connection: the present one, and each that follows, until the last.

        A late iterator gets the newest sixteen; the connection does not wait for it. It need not be closed, and
        many tasks may have one each.
        """
        return States(self._sessions.history)

    @property
    def info(self) -> ConnectionInfo:
        """Metadata of the newest session."""
        return self._sessions.session.info

    @property
    def calls(self) -> tuple[Call, ...]:
        """The open calls, oldest first."""
        return self.info.calls

    async def event(
        self, procedure: Event[_Data], data: _Data, **options: Unpack[CallOptions]
    ) -> None:
        """Send an event (a notification); ``data`` is None where it has none.

        Raises:
            CallError: Over HTTP, the server did not take it.
            ConnectionLost: It was not sent. Over HTTP: whether it was is unknown.
            DeadlineExceeded: The transport was not writable in time.
            EncodeError: The data does not fit its schema, or the message is larger than ``Limits.message_size``.
            UsageError: There is no such option, or the connection belongs to another event loop.
        """
        if self._hooks:
            call = self._outgoing(procedure, data, options)

            async def send() -> None:
                message = self._encode_event(procedure, call.param)
                await self._send_event(procedure, call, message)

            return await run_wrapped(self._hooks, call, send)
        message = self._encode_event(procedure, data)
        outgoing = self._outgoing(procedure, data, options)
        return await self._send_event(procedure, outgoing, message)

    async def request(
        self,
        procedure: Request[_Param, _Result],
        param: _Param,
        **options: Unpack[CallOptions],
    ) -> _Result:
        """Send a request and wait for its result; ``param`` is None where it has none.

        If the waiting task is cancelled, so is the handler.

        Raises:
            CallError: The server rejected the request, or the handler failed; a ``DeclaredError`` where the
                protocol declares the error.
            ConnectionLost: The connection ended first.
            DeadlineExceeded: It took longer than its ``timeout``, or than the ``deadline()`` around it.
            DecodeError: The result does not fit its schema.
            EncodeError: The param does not fit its schema; nothing was sent.
            UsageError: There is no such option, or the connection belongs to another event loop.
        """
        if self._wrapped or (options and "metadata" in options):
            return await self._wrap_request(procedure, param, options)
        slot = procedure.param
        prm = slot.encode(param) if slot.declared else encode_param(procedure, slot, param)
        now = time.monotonic()
        due = self._due(procedure, options, now)
        session = self._sessions.session
        if not session.is_open:
            session = await self._sessions.ready(procedure, due)
            now = time.monotonic()
        call = RequestCall(procedure, session, now, due)
        call.param = param
        try:
            # As send_request() does, without another coroutine for each request.
            session.open_request(call, prm)
            try:
                reply = await call.reply
            except asyncio.CancelledError:
                call.cancel()
                raise
            if isinstance(reply, bytes) and procedure.result.declared:
                return procedure.result.decode(reply)
            return decode_reply(procedure.result, reply)
        except ConnectionLost as error:
            if not self._may_repeat(procedure, session, error):
                raise
            alone = session.is_open
        outgoing = OutgoingCall(procedure, param, now, due)
        outgoing.attempts = 1
        return await self._send_request(procedure, outgoing, prm, lost_alone=alone)

    def stream(
        self,
        procedure: Stream[_Param, _Receive, _Result],
        param: _Param,
        **options: Unpack[StreamOptions],
    ) -> "ClientStream[_Receive, _Result]":
        """Prepare a stream; ``async with`` opens it.

        Raises:
            EncodeError: The param does not fit its schema.
            UsageError: There is no such option, or an option cannot have this value.
        """
        prepared = self._prepare(procedure, procedure.param, param, options)
        if self._hooks:
            return HookedStream(prepared, procedure.receive, procedure.result)
        return ClientStream(prepared, procedure.receive, procedure.result)

    def channel(
        self,
        procedure: Channel[_Param, _Send, _Receive, _Result],
        param: _Param,
        **options: Unpack[StreamOptions],
    ) -> "ClientChannel[_Send, _Receive, _Result]":
        """Prepare a channel; ``async with`` opens it.

        Raises:
            EncodeError: The param does not fit its schema.
            UsageError: There is no such option, or an option cannot have this value.
        """
        prepared = self._prepare(procedure, procedure.param, param, options)
        if self._hooks:
            return HookedChannel(prepared, procedure.receive, procedure.result, procedure.send)
        return ClientChannel(prepared, procedure.receive, procedure.result, procedure.send)

    async def describe(self, **options: Unpack[CallOptions]) -> "Description":
        """Ask the server what it serves: the procedures that this client may call, with their schemas.

        Raises:
            CallError: The server does not describe itself, or rejects the call.
            ConnectionLost: The connection ended first.
            DeadlineExceeded: It took longer than its ``timeout``, or than the ``deadline()`` around it.
            DecodeError: The reply is no description.
            UsageError: There is no such option, or the connection belongs to another event loop.
        """
        from .describe import ask_for_description  # noqa: PLC0415 # few clients ask

        return await ask_for_description(self, **options)

    def expect(self, package: str, prefix: str = "") -> None:
        """Compare the protocol of a generated package with that of the server, if the connection has the option ``compare``.

        Called by generated clients, in any thread. Nothing waits for the comparison, and it is made once.

        Args:
            package: The package.
            prefix: Precedes the names of its procedures at the server.
        """
        if self._comparisons is not None:
            self._comparisons.begin(self, package, prefix)

    async def close(self, *, within: float = 2.0) -> None:
        """End the connection: open calls end with ``ConnectionLost``, their handlers are cancelled.

        Args:
            within: How long the server may take to end its side, in seconds.

        Raises:
            UsageError: ``within`` is not a time, or the connection belongs to another event loop.
        """
        require_seconds("within", within)
        require_loop(self._loop, "the connection")
        if self._comparisons is not None:
            await self._comparisons.close()
        await self._sessions.close(within=within)

    def _due(self, procedure: Procedure, options: CallOptions, now: float) -> float | None:
        if asyncio.get_running_loop() is not self._loop:
            require_loop(self._loop, "the connection")
        timeout = self._timeout
        if options:
            check_call(procedure.name, options)
            timeout = options.get("timeout", timeout)
        outer = scope.get()
        due = None if outer is None else outer.limit()
        if timeout is not None and (due is None or now + timeout < due):
            due = now + timeout
        if due is not None and due <= now:
            raise timed_out(procedure)
        return due

    def _outgoing(
        self, procedure: Procedure, param: _Param, options: CallOptions
    ) -> OutgoingCall[_Param]:
        now = time.monotonic()
        call = OutgoingCall(procedure, param, now, self._due(procedure, options, now))
        if options:
            call.metadata = metadata_of(procedure.name, options)
        return call

    def _encode_event(self, procedure: Event[_Data], data: _Data) -> bytes:
        """Encode an event; reject one that the server would discard, since it has no reply that would say so."""
        message = encode_event(procedure.name, encode_param(procedure, procedure.data, data))
        self._require_fit(procedure, message)
        return message

    def _require_fit(self, procedure: Event[_Data], message: bytes) -> None:
        session = self._sessions.session
        most, size = session.limits.message_size, session.size_of(message)
        if size > most:
            problem = Problem("", f"a message of at most {most} bytes", f"{size} bytes")
            raise EncodeError(procedure.data.label, (problem,))

    async def _send_event(
        self, procedure: Event[_Data], outgoing: OutgoingCall[_Data], encoded: bytes
    ) -> None:
        """Send an event, in as many attempts as it needs."""
        while True:
            session = await self._sessions.ready(procedure, outgoing.due)
            message, metadata = encoded, NO_METADATA
            if self._metadata is not None or outgoing.metadata:
                session, metadata = await self._gather_metadata(outgoing)
                message = add_metadata(encoded, encode_metadata(metadata))
                self._require_fit(procedure, message)
            call = Call(procedure, session.info, time.monotonic(), outgoing.due)
            self._begin_attempt(outgoing, call, metadata)
            try:
                if self._interceptors:
                    run = partial(send_event, session, call, message)
                    return await run_inside(self._interceptors, call, run)
                return await send_event(session, call, message)
            except NotSent:
                if not self._sessions.reconnects:
                    raise

    async def _wrap_request(
        self, procedure: Request[_Param, _Result], param: _Param, options: CallOptions
    ) -> _Result:
        """Make a request that hooks or interceptors wrap."""
        if not self._hooks:
            prm = encode_param(procedure, procedure.param, param)
            call = self._outgoing(procedure, param, options)
            return await self._send_request(procedure, call, prm)
        call = self._outgoing(procedure, param, options)

        async def send() -> _Result:
            prm = encode_param(procedure, procedure.param, call.param)
            return await self._send_request(procedure, call, prm)

        return await run_wrapped(self._hooks, call, send)

    async def _send_request(
        self,
        procedure: Request[_Param, _Result],
        outgoing: OutgoingCall[_Param],
        prm: bytes | None,
        *,
        lost_alone: bool = False,
    ) -> _Result:
        """Send a request, in as many attempts as it needs.

        Args:
            procedure: The procedure.
            outgoing: The logical call.
            prm: The encoded param.
            lost_alone: Whether an attempt was lost while its session stayed open.
        """
        while True:
            session, metadata = await self._sessions.ready(procedure, outgoing.due), NO_METADATA
            if self._metadata is not None or outgoing.metadata:
                session, metadata = await self._gather_metadata(outgoing)
            call = RequestCall(procedure, session, time.monotonic(), outgoing.due)
            self._begin_attempt(outgoing, call, metadata)
            run = partial(send_request, procedure, call, prm)
            try:
                if self._interceptors:
                    return await run_inside(self._interceptors, call, run)
                return await run()
            except ConnectionLost as error:
                if not self._may_repeat(procedure, session, error, lost_alone=lost_alone):
                    raise
                lost_alone = lost_alone or session.is_open

    def _may_repeat(
        self,
        procedure: Request[_Param, _Result],
        session: ClientSession,
        error: ConnectionLost,
        *,
        lost_alone: bool = False,
    ) -> bool:
        """Return whether a request whose attempt was lost may be sent again; if the call was lost alone, once."""
        if not (self._sessions.reconnects and (procedure.idempotent or isinstance(error, NotSent))):
            return False
        # Only a transport that carries each call by itself can lose one alone.
        return not session.is_open or (session.separate is not None and not lost_alone)

    async def _gather_metadata(
        self, outgoing: OutgoingCall[_Param]
    ) -> tuple[ClientSession, Mapping[str, str]]:
        """Return the metadata of an attempt, and the session to send it on: another one, if that was lost meanwhile."""
        procedure, due = outgoing.procedure, outgoing.due
        metadata = await gather_metadata(self._metadata, outgoing.metadata, procedure, due)
        return await self._sessions.ready(procedure, due), metadata

    @staticmethod
    def _begin_attempt(
        outgoing: OutgoingCall[_Param], call: Call, metadata: Mapping[str, str]
    ) -> None:
        outgoing.attempts += 1
        call.attempt = outgoing.attempts
        call.param = outgoing.param
        if metadata:
            call.metadata = metadata

    def _prepare(
        self, procedure: Procedure, slot: Slot[_Param], param: _Param, options: StreamOptions
    ) -> PreparedCall:
        if options:
            check_stream(procedure.name, options)
        encode = partial(encode_param, procedure, slot)
        return PreparedCall(
            self._sessions,
            procedure,
            param,
            encode,
            encode(param),
            timeout=options.get("timeout"),
            when_full=options.get("when_full", "wait"),
            interceptors=self._interceptors,
            hooks=self._hooks,
            metadata=metadata_of(procedure.name, options),
            source=self._metadata,
        )


class _SessionConnection(Connection):
    """The connection that a lifespan is given: one session."""

    def __init__(
        self,
        sessions: Sessions,
        interceptors: Sequence[Interceptor],
        hooks: Sequence[Hook],
        timeout: float | None,
        metadata: MetadataSource | None,
    ) -> None:
        self._begin(sessions, interceptors, hooks, timeout, metadata)


ConnectionLifespan: TypeAlias = Callable[[Connection], AbstractAsyncContextManager[None]]
"""A function that takes a ``Connection`` and returns an async context manager, which each session of a connection lives in.

Code before its ``yield`` runs when the connection is open, and again after each reconnect, before other calls are made: for logins and
subscriptions. It calls through the connection that it is given, which ends with the session. Code after the ``yield`` runs when the session
was lost, or before it is closed. Raising before the ``yield`` fails the attempt to connect.
"""


class ConnectionOptions(ClientOptions, total=False):
    """Options of a client's connection.

    Attributes:
        limits: Resource limits and timeouts of the client.
        timeout: Default time limit of requests and events, in seconds; 60 by default, None means no timeout.
        observers: Notified of calls and of the connection's state.
        interceptors: Wrap each attempt of a call; the first is outermost. An idempotent request that is sent again after a
            reconnect has several attempts.
        hooks: Wrap each call as a whole, with all attempts and the waiting between them; the first is outermost. They may change
            params, metadata, items and results.
        metadata: Strings by name that the server gets with each call and event; or an async function that returns them, for
            tokens that expire. It is called for each attempt of a call, within the timeout of the call, whose error is what it
            raises. At most 4 KiB as JSON, together with those of the call itself, which replace those of the same name.
        login: An async function that returns the metadata of a login, such as a token, by which the server learns who makes all
            further calls. It is called before the first call, after each reconnect, and before the login expires; within
            ``timeout``. None by default.
        reconnect: Reconnect policy after the connection is lost; None, the default, does not reconnect. Calls that are open
            at the loss end with ``ConnectionLost``; new ones wait for the next connection.
        handler: Serves calls of the server, a generated handler; None, the default, for none. ``limits``, ``observers`` and
            ``interceptors`` are also for those calls.
        compare: Whether to compare the protocol of each generated client with that of the server, which has the option
            ``describe``: if they differ, a warning says where. False by default. Calls do not wait for it.
        identity: The key with which the client signs each of its messages; None, the default, signs nothing.
        audience: The name of the server's key, ``"did:key:..."``: no other server accepts the messages. Required with ``identity``.
        subject: In whose name the client calls; None, the default, for the one that ``capabilities`` name, or its own.
        capabilities: The tokens that prove it: the one granted to the client first. None by default.
        lifespan: Wraps each session of the connection: code to run when it is open, and again after each reconnect; None, the
            default, for none.
    """

    lifespan: ConnectionLifespan | None
