"""How a handler is served over HTTP: what each POST of a client means, and what it is answered.

Each message of a client is the body of a POST. A request, and an event, is a connection of its own. The first stream or
channel opens a session: its response is the feed, which carries what the server sends to the session's calls. Later
openings, items, aborts and credits are POSTs that name the session. Clients of the TypeScript implementation name it in openings
only, so that their other messages are matched by the id of the call.

The server's own calls to a client are sent on the feed, and the client replies in a batch. A request or event of a client that can be
called names the session, so that its handler calls the client there.
"""

import asyncio
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from math import ceil
from typing import Final, TypeVar
from uuid import uuid4

from enkaku.server.guarded import GuardedSession
from enkaku.server.posts import POST_SIZE
from enkaku.server.server import Server
from enkaku.server.session import Session
from enkaku.transports.asgi import AsgiReceive, AsgiSend, Header, Scope, peer_of
from enkaku.transports.http.exchange import Exchange
from enkaku.transports.http.feed import FeedTransport
from enkaku.transports.http.origins import Access, needs_preflight
from enkaku.transports.http.posted import PART, Posted, PostTransport
from enkaku.transports.request import HttpRequest
from enkaku.wire.error_codes import FAILED, ErrorCode
from enkaku.wire.messages import (
    BOM,
    CLOSE,
    RID_MAX,
    Abort,
    decode_client_message,
    encode_error,
    read_head,
    read_head_quickly,
)

from .errors import InvalidMessage, Rejected

__all__ = ["HttpApp"]

_QUICK: Final = 0.02  # seconds, until the headers of a response leave without the reply
_SILENCE: Final = 15.0  # seconds, until a blank is sent in front of a reply
_END_DELAY: Final = 0.1  # seconds
_EXTENSIONS: Final[Header] = (b"enkaku-ext", b"1")
_SESSION: Final = b"enkaku-session-id"
_RETRY: Final[Header] = (b"retry-after", b"1")
_JSON: Final[Header] = (b"content-type", b"application/json")
_JAVASCRIPT: Final[Header] = (b"content-type", b"text/javascript; charset=utf-8")
_BATCH: Final = b"application/x-ndjson"
_BATCH_MAX: Final = 10_000  # messages: to look at their heads takes 10 ms
_REPLACED: Final = 1024 * 1024  # bytes of a body with invalid UTF-8; larger ones are rejected
_UNBUFFERED: Final[Header] = (b"x-accel-buffering", b"no")  # nginx sends it on at once
_FEED: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    _UNBUFFERED,
)
_INDEX_MIN: Final = 1000  # ids of calls
_OPENINGS: Final = frozenset({"stream", "channel"})
_TO_CALLS: Final = frozenset({"send", "abort"})
_OURS_TO_CALLS: Final = frozenset({"send", "abort", "credit", "end"})
_REPLIES: Final = frozenset({"receive", "result", "error"})  # to calls of the server
_BATCHED: Final = _OURS_TO_CALLS | _REPLIES | {"event"}


T = TypeVar("T")


class _Full(Exception):
    """Too many messages wait for sessions that are not read."""


@dataclass(eq=False, slots=True)
class _Feed:
    """A session of a client.

    Attributes:
        transport: Carries its messages.
        session: Serves it.
        named: Whether its client names the session in every message to its calls.
    """

    transport: FeedTransport
    session: Session
    named: bool = False


class _CallIndex:
    """Finds the open calls of clients that do not name their session.

    Nothing reports the end of a call. So the ids of ended ones are removed whenever the index has doubled.

    Args:
        feeds: The sessions, by their names.
    """

    def __init__(self, feeds: Mapping[str, _Feed]) -> None:
        self._feeds: Final = feeds
        self._names: dict[str, tuple[str, ...]] = {}  # of sessions, by the ids of calls
        self._most = _INDEX_MIN

    def add(self, rid: str, name: str) -> None:
        """Record that a session is about to get a call."""
        if len(rid) > RID_MAX:
            return  # such a call is not opened
        if len(self._names) >= self._most:
            found = {each: self._may_have(each) for each in self._names}
            self._names = {each: names for each, names in found.items() if names}
            self._most = max(_INDEX_MIN, 2 * len(self._names))
        others = (each for each in self._may_have(rid) if each != name)
        self._names[rid] = (*others, name)

    def find(self, rid: str) -> list[_Feed]:
        """Return the sessions in which a call with this id is open."""
        feeds = [self._feeds[name] for name in self._may_have(rid)]
        return [feed for feed in feeds if feed.session.has_call(rid)]

    def _may_have(self, rid: str) -> tuple[str, ...]:
        names, feeds = self._names.get(rid, ()), self._feeds
        return tuple(
            name for name in names if name in feeds and feeds[name].session.may_have_call(rid)
        )


class HttpApp:
    """Answers the requests of clients.

    Args:
        server: Serves the handler.
        access: The web pages and host names that are allowed.
        scripts: What a GET returns, by the name of the file.
        proof_headers: The headers that may prove who calls, in lower case.
    """

    def __init__(
        self,
        server: Server,
        access: Access,
        scripts: Mapping[str, bytes],
        proof_headers: Collection[str],
    ) -> None:
        self._server: Final = server
        self._proof_headers: Final = proof_headers
        self._access: Final = access
        self._scripts: Final = scripts
        self._feeds: Final[dict[str, _Feed]] = {}
        self._calls: Final = _CallIndex(self._feeds)
        self._posts: Final[dict[str, list[tuple[PostTransport, Session]]]] = {}  # by rid
        self._answered: asyncio.Future[None] | None = None  # while feeds wait for their end
        self._bodies: Final = server.new_capacity()  # of those that are incomplete
        self._waiting = 0  # bytes of bodies that wait for a session which is not read

    async def answer(
        self, scope: Scope, receive: AsgiReceive, send: AsgiSend
    ) -> FeedTransport | None:
        """Answer one request.

        Returns:
            The feed that its response is to carry on, which the caller runs: it lasts long, and needs nothing of the request.
        """
        exchange = Exchange(scope, receive, send)
        try:
            if await self._admit(exchange, scope):
                body = await self._read(exchange)
                if body is not None:
                    return await self._handle(exchange, scope, body)
        except _Full:
            await exchange.refuse(503, "Messages that wait use too much memory", (_RETRY,))
        except Rejected as error:
            await _refuse_caller(exchange, error)
        except OSError:
            pass  # the client has left: there is nobody to answer
        return None

    async def _admit(self, exchange: Exchange, scope: Scope) -> bool:
        """Answer what is no POST of an allowed page; return whether the body is to be read."""
        exchange.answer_headers = (_EXTENSIONS,)
        headers, access = exchange.headers, self._access
        origin, host = headers.get(b"origin"), headers.get(b"host")
        if not access.allows_host(host):
            await exchange.refuse(403, "Host not allowed")
        elif self._scripts and (script := self._asked_script(exchange, scope)) is not None:
            await _answer_script(exchange, script)
        elif exchange.method not in ("POST", "OPTIONS"):
            if self._server.stopping:
                await _refuse_stopping(exchange)
            else:
                allow = (b"allow", b"POST, OPTIONS")
                await exchange.refuse(405, "Method not allowed", (allow,))
        elif not access.allows_origin(origin, host, secure=exchange.secure):
            await exchange.refuse(403, "Origin not allowed", access.refusal_headers)
        else:
            exchange.answer_headers = (_EXTENSIONS, *access.cors_headers(origin))
            if exchange.method == "OPTIONS":
                await exchange.answer(204)
            elif origin is not None and not needs_preflight(headers.get(b"content-type")):
                # Other types could be posted by a form of any page, without asking first.
                await exchange.refuse(415, "Content-Type must be application/json")
            else:
                return True
        return False

    def _asked_script(self, exchange: Exchange, scope: Scope) -> bytes | None:
        if exchange.method != "GET":
            return None
        path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")))
        return self._scripts.get(path[1:]) if path.startswith("/") else None

    async def _read(self, exchange: Exchange) -> bytes | None:
        """Read the body; answer one that is too large or too slow, or for which there is no memory, and return None."""
        limits = self._server.limits
        if exchange.announced_size() > limits.message_size:
            await exchange.refuse(413, "Request body too large")
            return None
        try:
            async with asyncio.timeout(limits.message_time):
                body, more = await exchange.part()
                if more:
                    return await self._read_rest(exchange, body)
        except TimeoutError:
            await exchange.refuse(408, "Request body too slow")
            return None
        if len(body) > limits.message_size:
            await exchange.refuse(413, "Request body too large")
            return None
        return body

    async def _read_rest(self, exchange: Exchange, first: bytes) -> bytes | None:
        """Read the other parts of the body, and count what they take meanwhile."""
        bodies, most = self._bodies, self._server.limits.message_size
        body, counted, more = bytearray(first), 0, True
        try:
            while more and len(body) <= most and not bodies.paused:
                bodies.hold(len(body) - counted)
                counted = len(body)
                part, more = await exchange.part()
                body += part
        finally:
            bodies.hold(-counted)
        if len(body) > most:
            await exchange.refuse(413, "Request body too large")
        elif more:
            await exchange.refuse(503, "Incomplete requests use too much memory", (_RETRY,))
        else:
            return bytes(body)
        return None

    async def _handle(self, exchange: Exchange, scope: Scope, body: bytes) -> FeedTransport | None:
        """Answer a POST whose body was read; return the feed that it has opened."""
        if exchange.headers.get(b"content-type", b"").startswith(_BATCH):
            await self._deliver_batch(exchange, scope, body)
            return None
        body = _decodable(body)
        try:
            head = read_head(body)
        except ValueError:
            await self._report(exchange, scope, body)
            await exchange.refuse(400, "Invalid request")
            return None
        typ, rid = ("", None) if head is None else head
        if typ == "request" and rid is not None:
            await self._request(exchange, scope, body, rid)
        elif typ == "event":
            await self._event(exchange, scope, body)
        elif typ in _OPENINGS and rid is not None:
            name = exchange.headers.get(_SESSION)
            if name is None:
                return await self._open_feed(exchange, scope, body, rid)
            await self._open(exchange, scope, name.decode("latin-1"), body, rid)
        elif typ in (_OURS_TO_CALLS if b"enkaku-ext" in exchange.headers else _TO_CALLS):
            await self._to_call(exchange, scope, typ, body, rid)
        else:
            await self._report(exchange, scope, body)
            unnamed = typ == "request" or typ in _OPENINGS
            await exchange.refuse(400, "Invalid request" if unnamed else "Invalid message type")
        return None

    def _request_of(self, scope: Scope) -> HttpRequest:
        return HttpRequest(scope, self._proof_headers)

    async def _connect(
        self, exchange: Exchange, scope: Scope
    ) -> tuple[PostTransport, Session | None]:
        """Return a connection for one POST, and its session, unless the server stops. The caller finishes the transport.

        Raises:
            Rejected: The POST names the session of somebody else.
        """
        request = self._request_of(scope)
        name = exchange.headers.get(_SESSION)
        feed = None if name is None else self._feeds.get(name.decode("latin-1"))
        named = None if feed is None else feed.session
        if named is not None:
            await _require_owner(named, request)
        transport = PostTransport(request, peer_of(scope, "http"))
        # If its client can be called, handlers call it there.
        through = named if named is not None and named.callable else None
        session = self._server.admit(transport, brief=True, through=through)
        if isinstance(session, GuardedSession) and isinstance(named, GuardedSession):
            session.belong_to(named)
        if transport.paused:  # a lifespan has begun, which may take long
            transport.watch(exchange)
        return transport, session

    async def _report(self, exchange: Exchange, scope: Scope, body: bytes) -> None:
        """Report a message that is none, as over other transports."""
        transport, session = await self._connect(exchange, scope)
        if session is not None:
            try:
                await transport.deliver((body,))
            finally:
                await transport.finish()

    async def _request(self, exchange: Exchange, scope: Scope, body: bytes, rid: str) -> None:
        transport, session = await self._connect(exchange, scope)
        if session is None:
            await _refuse_stopping(exchange)
            return
        entry = (transport, session)
        entries = self._posts.setdefault(rid, [])
        entries.append(entry)
        try:
            if not await transport.deliver((body,)):
                await _refuse(exchange, session)
                return
            if not await transport.wait(_QUICK):
                transport.watch(exchange)
                await exchange.start(200, (_JSON, _UNBUFFERED))
                await exchange.write(
                    b" "
                )  # granian sends the headers with the first bytes of the body
                while not await transport.wait(_SILENCE):
                    await exchange.write(b" ")  # JSON may begin with blanks
            await _reply(exchange, transport, session, rid)
        finally:
            entries.remove(entry)
            if not entries:
                self._posts.pop(rid, None)
            if not self._posts and self._answered is not None:
                self._answered.set_result(None)
                self._answered = None
            await transport.finish()

    async def wait_answered(self) -> None:
        """Wait until no request is being answered."""
        while self._posts:
            if self._answered is None:
                self._answered = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._answered)

    async def _event(self, exchange: Exchange, scope: Scope, body: bytes) -> None:
        transport, session = await self._connect(exchange, scope)
        if session is None:
            await _refuse_stopping(exchange)
            return
        try:
            if not await transport.deliver((body,)):
                await _refuse(exchange, session)
            elif await session.taken_up(within=self._server.limits.stall):
                if isinstance(session, GuardedSession) and session.refusal is not None:
                    raise session.refusal
                await exchange.answer(204)
            else:
                await exchange.refuse(503, "Too many events wait for a handler", (_RETRY,))
        finally:
            await transport.finish()

    async def _open(
        self, exchange: Exchange, scope: Scope, name: str, body: bytes, rid: str
    ) -> None:
        """Open a stream or channel on the feed of a session."""
        feed, request = self._feeds.get(name), self._request_of(scope)
        if feed is not None:
            with self._held(body):
                await _require_owner(feed.session, request)
        if feed is not None and feed.session.has_call(rid):
            await exchange.refuse(409, "Duplicate request ID")
        elif feed is None or not await self._deliver(exchange, request, feed, (body,)):
            await exchange.refuse(400, "Invalid session ID")
        else:
            self._calls.add(rid, name)
            await exchange.answer(204)

    async def _open_feed(
        self, exchange: Exchange, scope: Scope, body: bytes, rid: str
    ) -> FeedTransport | None:
        """Open a session by its first stream or channel; return its feed, whose headers are sent, or None if it was refused."""
        ours = b"enkaku-ext" in exchange.headers
        request = self._request_of(scope)
        transport = FeedTransport(
            request,
            peer_of(scope, "http"),
            name=str(uuid4()),
            feeds=self,
            delay=0.0 if ours else _END_DELAY,
        )
        session = self._server.admit(transport)
        if session is None:
            if self._server.stopping:
                await _refuse_stopping(exchange)
            else:
                await exchange.refuse(503, "Session limit reached", (_RETRY,))
            return None
        transport.watch(exchange)
        opened, name = False, transport.name
        try:
            if not await transport.readable():  # a lifespan may reject the connection
                await _refuse(exchange, session)
                return None
            if isinstance(session, GuardedSession):
                await session.claim(request)
            self._feeds[name] = _Feed(transport, session)
            await transport.deliver((body,))  # before the client learns the id, and sends more
            self._calls.add(rid, name)
            await exchange.start(200, (*_FEED, (_SESSION, name.encode())))
            opened = True
        finally:
            if not opened:
                await transport.finish()
        return transport

    def remove(self, name: str) -> None:
        """Handle that a feed has ended. Called by it."""
        self._feeds.pop(name, None)

    async def _to_call(
        self, exchange: Exchange, scope: Scope, typ: str, body: bytes, rid: str | None
    ) -> None:
        """Deliver a message to an open call, whatever it is; an unknown call is no error."""
        rid = "" if rid is None else rid
        name = exchange.headers.get(_SESSION)
        named = None if name is None else self._feeds.get(name.decode("latin-1"))
        request = self._request_of(scope)
        if named is not None:
            with self._held(body):
                await _require_owner(named.session, request)
            if not isinstance(named.session, GuardedSession):
                named.named = True
        posts = list(self._posts.get(rid, ()))
        if named is not None and named.session.has_call(rid):
            feeds, posts = [named], []
        else:
            feeds = self._calls.find(rid)
        if len(feeds) + len(posts) > 1:  # a client may choose the id of another client's call
            feeds = [each for each in feeds if await _is_of(each.session, request, body)]
            posts = [each for each in posts if await _is_of(each[1], request, body)]
        if name is not None and named is None and not posts:
            await exchange.refuse(400, "Invalid session ID")
            return
        if any(feed.named for feed in feeds) and named not in feeds:
            await exchange.refuse(403, "The call belongs to another session")
        elif len(feeds) + len(posts) > 1:
            await exchange.refuse(409, "The request ID belongs to calls of several sessions")
        else:
            for feed in feeds:
                if feed is not named:
                    with self._held(body):
                        await _require_owner(feed.session, request)
                await self._deliver(exchange, request, feed, (body,))
                feed.named |= feed is named
            for transport, session in posts if typ == "abort" else ():  # a request takes no items
                with self._held(body):
                    await _require_owner(session, request)
                await _take(transport, session, request, (body,))
                _complete(transport, rid, body)
            await exchange.answer(204)

    async def _deliver(
        self, exchange: Exchange, request: HttpRequest, feed: _Feed, messages: Sequence[bytes]
    ) -> bool:
        """Deliver messages to a session; return whether it was open.

        While it is not read, they wait, and count: over a socket, they would wait at the client.

        Raises:
            _Full: Too much waits already.
            Rejected: A message was rejected that gets no reply.
            ConnectionResetError: The client has left meanwhile.
        """
        if not feed.transport.paused:
            return await _take(feed.transport, feed.session, request, messages)
        with self._held(*messages):
            taking = _take(feed.transport, feed.session, request, messages)
            delivering = asyncio.create_task(taking)
            left = asyncio.create_task(exchange.disconnected())
            try:
                await asyncio.wait({delivering, left}, return_when=asyncio.FIRST_COMPLETED)
                if delivering.done():
                    return delivering.result()
                raise ConnectionResetError("the client has left before its message was delivered")
            finally:
                await _end(delivering)
                await _end(left)

    @contextmanager
    def _held(self, *messages: bytes) -> Generator[None, None, None]:
        """Count messages that wait.

        Raises:
            _Full: Too much waits already.
        """
        size = POST_SIZE + sum(map(len, messages))
        if self._waiting + size > self._server.limits.memory:
            raise _Full
        self._waiting += size
        try:
            yield
        finally:
            self._waiting -= size

    async def _deliver_batch(self, exchange: Exchange, scope: Scope, body: bytes) -> None:
        """Deliver messages of one session, a line each."""
        name = exchange.headers.get(_SESSION, b"").decode("latin-1")
        feed = self._feeds.get(name)
        if feed is None or b"enkaku-ext" not in exchange.headers:
            await exchange.refuse(400, "Invalid session ID")
            return
        body = body.strip(b"\n")
        if body.count(b"\n") >= _BATCH_MAX:
            await exchange.refuse(413, f"More than {_BATCH_MAX} messages in a request")
            return
        messages = [line for line in _decodable(body).split(b"\n") if line]
        if not all(map(_is_batched, messages)):
            await exchange.refuse(400, "Invalid message type")
        else:
            request = self._request_of(scope)
            with self._held(body):
                await _require_owner(feed.session, request)
            if await self._deliver(exchange, request, feed, messages):
                feed.named = True
                await exchange.answer(204)
            else:
                await exchange.refuse(400, "Invalid session ID")


async def _take(
    transport: Posted, session: Session, request: HttpRequest, messages: Sequence[bytes]
) -> bool:
    """Deliver the messages of a POST to a session; return whether it was open.

    Raises:
        Rejected: A message was rejected that gets no reply.
    """
    if not isinstance(session, GuardedSession):
        return await transport.deliver(messages)
    # The messages of two POSTs must not be mixed up: each is handled as one of its own POST.
    while await transport.readable() and session.busy:
        await session.handled()
    post = session.begin_post(request)
    delivered = await transport.deliver(messages)
    await session.handled()
    if post.refusal is not None:
        raise post.refusal
    return delivered


async def _require_owner(session: Session, request: HttpRequest) -> None:
    """Raise Rejected if the headers of a POST do not prove who has opened a session."""
    if isinstance(session, GuardedSession):
        await session.require_owner(request)


async def _is_of(session: Session, request: HttpRequest, body: bytes) -> bool:
    """Return whether a message may come from who has opened a session."""
    if not isinstance(session, GuardedSession):
        return True
    try:
        await session.require_owner(request)
        session.require_signature(body)
    except (InvalidMessage, Rejected):
        return False
    return True


async def _answer_script(exchange: Exchange, script: bytes) -> None:
    """Send the script, or that the client has it already."""
    etag = b'"%b"' % sha256(script).hexdigest()[:32].encode()
    headers: list[Header] = [(b"etag", etag), (b"cache-control", b"no-cache")]
    if exchange.headers.get(b"if-none-match", b"").removeprefix(b"W/") == etag:
        await exchange.answer(304, headers=headers)
        return
    size = (b"content-length", b"%d" % len(script))
    await exchange.start(200, (_JAVASCRIPT, size, *headers))
    await exchange.finish(script)


def _is_batched(message: bytes) -> bool:
    head = read_head_quickly(message)
    # What cannot be read quickly is left to the session, which reports what is invalid.
    return head is None or head[0] in _BATCHED


def _complete(transport: PostTransport, rid: str, body: bytes) -> None:
    """Complete the response of a request that was aborted, and not closed: its handler replies nothing more."""
    try:
        abort = decode_client_message(body).payload
    except InvalidMessage:
        return
    if isinstance(abort, Abort) and abort.rsn != CLOSE:
        transport.write(encode_error(rid, ErrorCode.DEADLINE_PASSED.value, "Aborted"))


def _decodable(body: bytes) -> bytes:
    """Return a body without its byte order mark, and with U+FFFD for what is no UTF-8, as the TypeScript server reads it."""
    body = body.removeprefix(BOM)
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            if len(body) <= _REPLACED:  # else it would take long; decoders reject it
                return body.decode("utf-8", "replace").encode()
    return body


async def _end(task: asyncio.Task[T]) -> None:
    task.cancel()
    await asyncio.wait({task})


async def _reply(exchange: Exchange, transport: PostTransport, session: Session, rid: str) -> None:
    """Send the reply to a request. A response that has begun is always completed."""
    reply = transport.reply
    if reply is not None and len(reply) > PART:
        await transport.send_parts(exchange, reply)
    elif exchange.started:
        await exchange.finish(encode_error(rid, *FAILED) if reply is None else reply)
    elif reply is None:
        await _refuse(exchange, session)
    else:
        await exchange.answer(200, reply)


async def _refuse(exchange: Exchange, session: Session) -> None:
    """Answer a POST whose connection has ended before the reply."""
    if isinstance(session, GuardedSession) and session.refusal is not None:
        raise session.refusal
    if session.rejected:
        await exchange.refuse(403, "Rejected")
    elif session.failed:
        await exchange.refuse(500, "Internal server error")
    else:
        await exchange.refuse(503, "The server has ended the connection", (_RETRY,))


async def _refuse_caller(exchange: Exchange, error: Rejected) -> None:
    """Answer a POST that gets no message as its reply, and whose sender may not send it."""
    if error.code == ErrorCode.TOO_OFTEN.value:
        wait = ceil(float(str(error.data["retry_after"])))
        await exchange.refuse(429, error.message, ((b"retry-after", b"%d" % wait),))
    elif error.code == ErrorCode.TOO_MANY_HANDLERS.value:
        await exchange.refuse(503, error.message, (_RETRY,))
    else:
        status = 400 if error.code == ErrorCode.INVALID_MESSAGE.value else 403
        await exchange.refuse(status, error.message)


async def _refuse_stopping(exchange: Exchange) -> None:
    await exchange.refuse(503, "The server is stopping", (_RETRY,))
