"""The client's HTTP transport: a request is a POST and its answer; streams and channels share one feed.

*Requests and events* go out side by side, each in a task of its own.

*Streams and channels*: the first one opens the feed, whose head names a session. Others wait for the head, and name the
session in their POSTs. What is written to a call waits for the answer to its opening, then for the messages before it, in the
outbox. When the server says that it does not know the session, the feed is gone and the opening was not executed: another
feed is opened with it.

*Calls from the server* come on the feed, which a client with a handler keeps open, and opens at once. What it replies goes into the
outbox. Its requests and events name the session, too, so that their handlers can call the client.

*A failure ends one call*: a status without a message, an answer that is none, a lost connection. The end of the feed ends its
streams and channels. The transport itself goes on: the next call tries again. But if another transport can replace this one
(``reconnect``), an unreachable or stopping server ends it, so that calls wait for the backoff, as do requests and events that
were not sent yet.
"""

import asyncio
import logging
import random
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Final, TypeVar

from enkaku.errors import (
    CallError,
    ConnectionLost,
    EnkakuError,
    InvalidMessage,
    MessageTooLarge,
    NotSent,
)
from enkaku.transports.base import Oversized, PeerInfo, Receiver, SeparateCalls
from enkaku.transports.write_queue import WriteQueue
from enkaku.wire.error_codes import ErrorCode
from enkaku.wire.messages import (
    BOM,
    CLOSE,
    SERVER_RID,
    encode_abort,
    encode_error,
    find_ids,
    introduce,
    peek,
    read_ids,
)

from .answers import Answer, BodyTooLarge, HttpClient, HttpFailure, read_body, status_error
from .client_feed import SILENCE, ClientFeed, OpenStream
from .outbox import Outbox, Written

__all__ = ["HttpTransport"]

logger: Final = logging.getLogger("enkaku.client")

_HIGH_WATER: Final = 64 * 1024  # bytes
_BATCH_SIZE: Final = 256 * 1024  # bytes of messages
_SIGNED_BATCH_SIZE: Final = 16 * 1024  # bytes of unsigned messages; to sign them takes 10 ms
_SESSION: Final = "enkaku-session-id"
_EVENTS: Final = "text/event-stream"
_BAD_REQUEST: Final = 400
_UNAVAILABLE: Final = frozenset(
    {502, 503}
)  # of a proxy that does not reach the server; of a server that stops
_TOO_LARGE: Final = {"status": 413}
_UNKNOWN_SESSION: Final = b"Invalid session ID"
_EXT: Final = {"enkaku-ext": "1"}
_POST: Final = {"content-type": "application/json", "accept": "application/json"} | _EXT
_OPEN: Final = {"content-type": "application/json", "accept": _EVENTS} | _EXT
_BATCH: Final = {"content-type": "application/x-ndjson", "accept": "application/json"} | _EXT
# Seconds. Feeds that end as soon as they are open are opened less and less often.
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 10.0

T = TypeVar("T")


class HttpTransport(PeerInfo, SeparateCalls):
    """Adapts HTTP to the ``Transport`` interface.

    Args:
        http: The connections.
        peer: The other end, for log lines and error messages.
        flow_control: Whether the server is one of this library, which supports every extension.
        replaceable: Whether another transport follows when this one ends.
    """

    def __init__(
        self,
        http: HttpClient,
        *,
        peer: str,
        flow_control: bool,
        replaceable: bool,
    ) -> None:
        super().__init__(call_prefix=f"{secrets.token_urlsafe(12)}.", flow_control=flow_control)
        self._http: Final = http
        self.peer = peer
        self._replaceable: Final = replaceable
        self._loop: Final = asyncio.get_running_loop()
        self._receiver: Receiver | None = None
        self._message_size = 0
        self._message_time: float | None = None
        self._tasks: Final[set[asyncio.Task[object]]] = set()
        self._unsent: set[asyncio.Task[object]] = set()  # when the transport ended
        self._requests: Final[dict[str, asyncio.Task[None]]] = {}
        self._streams: Final[dict[str, OpenStream]] = {}
        self._feed: ClientFeed | None = None
        self._pause = 0.0  # before the next feed is opened
        self.readable: Final = asyncio.Event()
        self.readable.set()
        self._waiting = 0
        self._posting = 0
        self._sent = 0
        self._write_queue: Final = WriteQueue(self)
        self._error: Exception | None = None
        self._finish: asyncio.Task[None] | None = None
        self._accepts_calls = False
        self._on_link: Callable[[bool], None] = lambda _: None
        self._linked: Final = asyncio.Event()  # or the first attempt has failed

    @property
    def buffered(self) -> int:
        """How many bytes of messages for streams and channels were written, and have not arrived yet."""
        return self._waiting + self._posting

    @property
    def writable(self) -> bool:
        """Whether ``drain`` would return at once."""
        return self._write_queue.writable and self._finish is None

    def start(
        self,
        receiver: Receiver,
        *,
        message_size: int,
        message_time: float | None = None,
        unread_time: float | None = None,
    ) -> None:
        """Start to deliver messages. ``message_time`` is for those of the feed, ``unread_time`` for what is written to its calls."""
        if self._finish is not None:
            self._loop.call_soon(receiver.connection_lost, self._error)
            return
        self._receiver = receiver
        self._message_size = message_size
        self._message_time = message_time
        self._write_queue.unread_time = unread_time

    def deliver_to(self, receiver: Receiver) -> None:
        """Deliver to another receiver from now on."""
        if self._receiver is not None:
            self._receiver = receiver

    def write(self, message: bytes) -> None:
        """Send a message without waiting."""
        if self._finish is not None:
            return
        typ, rid = find_ids(message)
        if rid is None:
            self._spawn(self._send_event(message))
        elif typ == "request":
            self._requests[rid] = self._spawn(self._request(rid, message))
        elif typ in {"stream", "channel"}:
            stream = self._streams[rid] = OpenStream(rid)
            self._spawn(self._open(stream, message))
        elif rid.startswith(SERVER_RID):
            self._write_reply(rid, message)
        elif rid in self._requests:
            self._abort_request(rid, message)
        else:
            self._write_to(rid, message, ends=typ == "abort")

    def write_all(self, messages: Sequence[bytes]) -> None:
        """Send several messages, as ``write`` does."""
        for message in messages:
            self.write(message)

    async def post(self, message: bytes) -> None:
        """Send an event, and wait until the server has taken it."""
        if self._finish is None:
            task = self._spawn(self._post_event(message))
            try:
                await asyncio.wait((task,))
            finally:
                task.cancel()
            if not task.cancelled():
                error = task.result()
                if error is not None:
                    raise error
                return
            if task in self._unsent:
                raise NotSent("the connection was lost before the event was sent")
        raise ConnectionLost(f"the connection to {self.peer} has ended") from self._error

    async def drain(self) -> None:
        """Wait until this end is writable.

        Raises:
            ConnectionLost: The connection has ended.
        """
        await self._write_queue.wait()
        if self._finish is not None:
            raise ConnectionLost(f"the connection to {self.peer} has ended") from self._error

    def pause_reading(self) -> None:
        """Do not read the feed until ``resume_reading``."""
        self.readable.clear()

    def resume_reading(self) -> None:
        """Read the feed again."""
        self.readable.set()

    async def close(self, *, within: float) -> None:
        """Send what was written, then end every request and the feed."""
        try:
            feed = self._feed
            if self._finish is None and feed is not None and feed.outbox is not None:
                task = feed.outbox.task
                if task is not None:
                    await asyncio.wait((task,), timeout=within)
        finally:
            self._end(None)
        if self._finish is not None:
            await asyncio.shield(self._finish)

    def abort(self) -> None:
        """End at once; what was not sent is lost."""
        self._end(self._error)

    # Requests and events

    async def _request(self, rid: str, message: bytes) -> None:
        try:
            answer = await self._http.send("POST", await self._headers(), self._body(message))
            body = await read_body(answer, self._message_size)
            error = self._take(rid, answer.status, body)
        except HttpFailure as failure:
            error = self._explain(failure)
        self._requests.pop(rid, None)
        # Without effect if the answer was the reply. Otherwise, the call would never end.
        self.fail_call(rid, error)

    def _take(self, rid: str, status: int, body: bytes) -> EnkakuError:
        """Deliver an answer that is a message for the call; return the error of the call if it was none."""
        message = body.removeprefix(BOM)
        typ, found = find_ids(message)
        if found == rid and (status < 300 or typ == "error"):
            self.on_messages((message,))
        elif status >= 300:
            return self._status_error(status, body)
        elif not message.strip():
            return InvalidMessage(f"the server answered without a reply (HTTP status {status})")
        return InvalidMessage("the server's answer is not a reply to this call")

    def _status_error(self, status: int, body: bytes) -> EnkakuError:
        """Return the error of a status; end the transport if the server is not available, and another one may follow."""
        error = status_error(status, body)
        if status in _UNAVAILABLE and self._replaceable:
            lost = ConnectionLost(error.message)
            self._end(lost)
            return lost
        return error

    def _explain(self, failure: HttpFailure) -> EnkakuError:
        """Return the error of a call that got no answer; end the transport if no call would get any."""
        if isinstance(failure, BodyTooLarge):
            return MessageTooLarge(str(failure))
        if failure.unreachable and self._replaceable:
            self._loop.call_soon(self._end, ConnectionLost(str(failure)))  # the call ends first
            return NotSent(str(failure))
        return ConnectionLost(f"the connection was lost: {failure}")

    async def _post_event(self, message: bytes) -> EnkakuError | None:
        try:
            answer = await self._http.send("POST", await self._headers(), self._body(message))
            body = await read_body(answer, self._message_size)
        except BodyTooLarge:
            return None  # it was taken, whatever that is
        except HttpFailure as failure:
            return self._explain(failure)
        return self._status_error(answer.status, body) if answer.status >= 300 else None

    def _batch_size(self) -> int:
        if not self.flow_control:
            return 0
        return _BATCH_SIZE if self.sign is None else _SIGNED_BATCH_SIZE

    def _body(self, message: bytes) -> Callable[[], bytes]:
        """Return what makes the body of a POST. A message is signed when it leaves, since a server rejects an old one."""
        sign = self.sign
        return lambda: message if sign is None else sign(message)

    def _batch_body(self, batch: Sequence[Written]) -> Callable[[], bytes]:
        """Return what makes the body of a batch. Replies to calls of the server are not signed."""
        sign = self.sign
        return lambda: b"\n".join(
            message if sign is None or rid.startswith(SERVER_RID) else sign(message)
            for rid, message in batch
        )

    async def _headers(self) -> Mapping[str, str]:
        """Return the headers of a request or event; they name the feed on which its handler can call this client."""
        if not self._accepts_calls:
            return _POST
        await self._linked.wait()
        feed = self._feed
        if feed is not None and not feed.session_id:
            await asyncio.shield(feed.ready)
        return _POST if feed is None or not feed.session_id else _POST | {_SESSION: feed.session_id}

    async def _send_event(self, message: bytes) -> None:
        error = await self._post_event(message)
        if error is not None:
            logger.warning("%s: an event was not sent: %s", self.peer, error)

    def _abort_request(self, rid: str, message: bytes) -> None:
        """End the POST of a request, which a server of this library takes as an abort; others get one, too."""
        self._requests.pop(rid).cancel()
        if not self.flow_control:
            self._spawn(self._post_abort(message))

    async def _post_abort(self, message: bytes) -> None:
        try:
            answer = await self._http.send("POST", _POST, self._body(message), ordered=True)
            await read_body(answer, self._message_size)
        except HttpFailure as failure:
            logger.debug("%s: an abort was not sent: %s", self.peer, failure)

    # Calls from the server

    def accept_calls(self, opening: bytes, on_change: Callable[[bool], None]) -> None:
        """Keep a feed open, on which the server can call this client, if it is one of this library."""
        if self.flow_control and self._finish is None:
            self._accepts_calls = True
            self._on_link = on_change
            self._spawn(self._keep_feed(opening))

    async def _keep_feed(self, opening: bytes) -> None:
        rid = peek(opening)[1] or ""
        pause = _FIRST_PAUSE
        while True:
            began = self._loop.time()
            if self._feed is None:
                stream = self._streams[rid] = OpenStream(rid)
                await asyncio.wait((self._spawn(self._open(stream, opening)),))
                self._streams.pop(rid, None)
            feed = self._feed  # another call may have opened it
            if feed is not None and feed.task is not None:
                await asyncio.wait((feed.task,))
            self._linked.set()
            lasted = self._loop.time() - began
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 # no secret
            pause = _FIRST_PAUSE if lasted > _LONGEST_PAUSE else min(_LONGEST_PAUSE, 2 * pause)

    def _write_reply(self, rid: str, message: bytes) -> None:
        """Write to a call of the server, after what was written before."""
        feed = self._feed
        if feed is not None and feed.outbox is not None and not feed.ended:
            feed.outbox.put(Written(rid, message))
            self._on_outbox(len(message))

    def _on_reply_error(self, feed: ClientFeed, rid: str, error: EnkakuError) -> None:
        """Handle that a reply did not arrive: the server's call must not wait for it."""
        if isinstance(error, CallError) and error.data == _TOO_LARGE:
            code = ErrorCode.MESSAGE_TOO_LARGE.value
            self._write_reply(rid, encode_error(rid, code, "The reply exceeds the maximum size"))
            self.on_messages(
                (encode_abort(rid, None),)
            )  # its handler may go on: nobody would read it
        else:
            lost = error if isinstance(error, ConnectionLost) else ConnectionLost(str(error))
            self.end_feed(feed, lost)

    # Streams and channels

    async def _open(self, stream: OpenStream, message: bytes) -> None:
        """Send the opening of a stream or channel: on the feed if there is one; else it opens the feed."""
        while stream.rid in self._streams:
            feed = self._feed
            if feed is None:
                await self._open_feed(stream, message)
                return
            feed.add(stream)
            await asyncio.shield(feed.ready)
            if feed.ended:
                continue  # it could not be opened; that was another call's error
            if stream.rid in self._streams and await self._open_on(feed, stream, message):
                return

    async def _open_on(self, feed: ClientFeed, stream: OpenStream, message: bytes) -> bool:
        """Send an opening for a feed; return whether it was executed, or failed."""
        try:
            answer = await self._http.send(
                "POST", _POST | {_SESSION: feed.session_id}, self._body(message)
            )
            opens_another = answer.header("content-type").startswith(_EVENTS)
            body = b"" if opens_another else await read_body(answer, self._message_size)
            if opens_another:
                await answer.close()
        except HttpFailure as failure:
            self._fail_stream(stream, self._explain(failure))
            if not (failure.unreachable or feed.ended):
                self._write_to(stream.rid, encode_abort(stream.rid, None), ends=True)  # it may run
            return True
        if answer.status == _BAD_REQUEST and _UNKNOWN_SESSION in body:
            feed.remove(stream.rid)
            self.end_feed(feed, ConnectionLost("the server does not know the feed any more"))
            return False
        if answer.status >= 300 or body.strip():
            self._fail_stream(stream, self._take(stream.rid, answer.status, body))
        elif opens_another:
            self._fail_stream(stream, InvalidMessage("the server opened a second feed"))
        elif feed.ended:
            self._fail_stream(stream, ConnectionLost("the server ended the feed"))
        else:
            self._release(stream)
        return True

    async def _open_feed(self, stream: OpenStream, message: bytes) -> None:
        """Open the feed by a stream, and read it to its end. The task is the feed's, and not that of the stream."""
        feed = self._feed = ClientFeed(
            self,
            message_size=self._message_size,
            message_time=self._message_time,
            silence=SILENCE if self.flow_control else None,
            accepts_calls=self._accepts_calls,
        )
        if self._accepts_calls:
            message = introduce(message, call=True)
        feed.task, feed.opener = asyncio.current_task(), stream.rid
        feed.add(stream)
        error: EnkakuError
        try:
            if self._pause:
                await asyncio.sleep(random.uniform(0, self._pause))  # noqa: S311 # no secret
            answer = await self._http.send("POST", _OPEN, self._body(message), ordered=True)
            try:
                if _is_feed(answer):
                    self._on_head(feed, answer.header(_SESSION))
                    self._release(stream)
                    if not feed.ended:  # by the session that it begins
                        await feed.read(answer)
                    error = ConnectionLost("the server ended the feed")
                else:
                    error = await self._take_instead(stream.rid, answer)
            finally:
                await answer.close()
        except HttpFailure as failure:
            error = self._explain(failure)
        except ConnectionLost as violation:
            error = violation
        if feed.session_id:
            lost = error if isinstance(error, ConnectionLost) else ConnectionLost(str(error))
            self.end_feed(feed, lost)
        else:
            feed.remove(stream.rid)
            self.end_feed(feed, None)
            self._fail_stream(stream, error)

    async def _take_instead(self, rid: str, answer: Answer) -> EnkakuError:
        """Take an answer to the opening of the feed that is none."""
        if answer.status < 300 and answer.header("content-type").startswith(_EVENTS):
            return InvalidMessage(f"the server opened a feed without {_SESSION}")
        return self._take(rid, answer.status, await read_body(answer, self._message_size))

    def _on_head(self, feed: ClientFeed, session_id: str) -> None:
        feed.outbox = Outbox(
            lambda batch: self._post_batch(feed, batch),
            self._spawn,
            self._on_outbox,
            limit=self._batch_size(),
        )
        feed.on_head(session_id)
        self._linked.set()
        self._on_link(True)  # noqa: FBT003 # a state

    def _write_to(self, rid: str, message: bytes, *, ends: bool) -> None:
        """Write to a stream or channel: after its opening, and after what was written before."""
        stream = self._streams.get(rid)
        if ends and message != encode_abort(rid, CLOSE):
            self._streams.pop(rid, None)
            if stream is not None and self._never_sent(stream):
                return
        feed = self._feed if stream is None else stream.feed
        if stream is not None and stream.held is not None:
            stream.held.append(message)
        elif feed is not None and feed.outbox is not None and not feed.ended:
            feed.outbox.put(Written(rid, message))
            if stream is not None and rid not in self._streams:
                feed.remove(rid)
        else:
            return
        self._on_outbox(len(message))

    def _never_sent(self, stream: OpenStream) -> bool:
        """Return whether the opening of an aborted stream has not been sent; if it was, but alone for a feed, end that."""
        feed = stream.feed
        if feed is not None and feed.session_id:
            return False  # the abort follows the opening
        if feed is not None:
            feed.remove(stream.rid)
            if feed.opener == stream.rid:
                if feed.calls:
                    feed.add(stream)  # others wait for the feed
                    return False
                self.end_feed(feed, None)
                if not self.flow_control:
                    self._spawn(self._post_abort(encode_abort(stream.rid, None)))
        self._drop_held(stream)
        return True

    def _release(self, stream: OpenStream) -> None:
        """Send what waits for the opening of a stream."""
        feed, held, stream.held = stream.feed, stream.held or (), None
        for message in held:
            if feed is not None and feed.outbox is not None and not feed.ended:
                feed.outbox.put(Written(stream.rid, message))
            else:
                self._on_outbox(-len(message))
        if stream.rid not in self._streams and feed is not None:
            feed.remove(stream.rid)  # it was aborted meanwhile

    def _drop_held(self, stream: OpenStream) -> None:
        held, stream.held = stream.held or (), None
        self._on_outbox(-sum(map(len, held)))

    def _fail_stream(self, stream: OpenStream, error: EnkakuError) -> None:
        """End a stream or channel with an error."""
        self._drop_held(stream)
        self._streams.pop(stream.rid, None)
        if stream.feed is not None:
            stream.feed.remove(stream.rid)
        self.fail_call(stream.rid, error)

    def end_feed(self, feed: ClientFeed, error: ConnectionLost | None) -> None:
        """End the feed, and each call on it with the error; those whose opening has no answer yet may try another feed."""
        if feed.ended:
            return
        if self._feed is feed:
            self._feed = None
        feed.close()
        if feed.task is not None and feed.task is not asyncio.current_task():
            feed.task.cancel()
        if feed.session_id:
            self._on_link(False)  # noqa: FBT003 # a state
        if error is None:
            return
        lasted = self._loop.time() - feed.opened_at
        grown = max(_FIRST_PAUSE, 2 * self._pause)
        self._pause = 0.0 if lasted > _LONGEST_PAUSE else min(_LONGEST_PAUSE, grown)
        for stream in tuple(feed.calls.values()):
            if stream.held is None:
                self._fail_stream(stream, error)

    # What is written to streams and channels

    async def _post_batch(self, feed: ClientFeed, batch: Sequence[Written]) -> None:
        """Send some messages of the outbox; if that fails, end their calls."""
        size = sum(len(written.message) for written in batch)
        self._posting += size
        try:
            error = await self._try_batch(feed, batch)
        finally:
            self._posting -= size
            self._sent += size
        if error is None:
            return
        if len(batch) > 1 and isinstance(error, CallError) and error.data == _TOO_LARGE:
            # Each message may be small enough. None was executed.
            if feed.outbox is not None:
                feed.outbox.limit //= 4
            for written in batch:
                await self._post_batch(feed, (written,))
            return
        for rid in {written.rid for written in batch}:
            if rid.startswith(SERVER_RID):
                self._on_reply_error(feed, rid, error)
                continue
            stream = self._streams.get(rid)
            if stream is None:
                logger.debug("%s: an abort was not sent: %s", self.peer, error)
                continue
            self._fail_stream(stream, error)
            if not feed.ended:
                self._write_to(rid, encode_abort(rid, None), ends=True)  # its handler still runs

    async def _try_batch(self, feed: ClientFeed, batch: Sequence[Written]) -> EnkakuError | None:
        single = len(batch) == 1 and not batch[0].rid.startswith(SERVER_RID)
        headers = _POST if single else _BATCH
        if self.flow_control:
            headers = headers | {_SESSION: feed.session_id}
        try:
            answer = await self._http.send("POST", headers, self._batch_body(batch), ordered=True)
            body = await read_body(answer, self._message_size)
        except HttpFailure as failure:
            return self._explain(failure)
        if answer.status == _BAD_REQUEST and _UNKNOWN_SESSION in body:
            self.end_feed(feed, ConnectionLost("the server does not know the feed any more"))
        elif answer.status >= 300:
            return self._status_error(answer.status, body)
        elif body:
            lines = body.splitlines() if self.flow_control else [body]
            self.on_messages([line for line in lines if read_ids(line)[1] in self._streams])
        return None

    def _on_outbox(self, change: int) -> None:
        """Count bytes that wait to be sent."""
        self._waiting += change
        if self._waiting > _HIGH_WATER:
            if self._write_queue.writable:
                self._write_queue.mark_full()
        elif not self._write_queue.writable:
            self._write_queue.mark_writable()

    def count_sent(self) -> int:
        """Return the number of bytes of messages that have arrived."""
        return self._sent

    def on_write_timeout(self, error: Exception) -> None:
        """End at once: the server reads nothing."""
        if self._feed is not None:
            self.end_feed(self._feed, ConnectionLost(str(error)))

    # Messages and the end

    def on_messages(self, messages: Sequence[bytes | Oversized]) -> None:
        """Deliver messages."""
        if self._receiver is not None:
            self._receiver.messages_received(messages)

    def on_growing(self, size: int) -> None:
        """Report that a message of the feed is incomplete."""
        if self._receiver is not None:
            self._receiver.message_growing(size)

    def _spawn(self, work: Coroutine[None, None, T]) -> asyncio.Task[T]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            error = task.exception()
            logger.error("%s: the connection is ended by an error", self.peer, exc_info=error)
            self._end(error if isinstance(error, Exception) else None)

    def _end(self, error: Exception | None) -> None:
        """End every request and the feed, and tell the receiver."""
        if self._finish is not None:
            return
        self._error = error
        self._finish = self._loop.create_task(self._close_all())
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.close()
        self._unsent = {task for task in self._tasks if self._http.is_unsent(task)}
        unsent = [rid for rid, task in self._requests.items() if task in self._unsent]
        self._requests.clear()
        self._streams.clear()
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()
        self._write_queue.release_all()
        for rid in unsent:
            self.fail_call(rid, NotSent("the connection was lost before the request was sent"))
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.connection_lost(error)

    async def _close_all(self) -> None:
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))
        await self._http.close()


def _is_feed(answer: Answer) -> bool:
    events = answer.header("content-type").startswith(_EVENTS)
    return answer.status < 300 and events and bool(answer.header(_SESSION))
