"""The server's transports over HTTP. The messages of a client come as POSTs, each delivered by the task of its request.

``PostTransport`` is a connection of one POST: a request or an event that belongs to no session. What the server replies is
the response. ``FeedTransport`` is a session: its client's later POSTs are delivered to it, and a task writes what the server
sends into the feed, an endless response of server-sent events.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from enkaku.errors import ConnectionLost
from enkaku.transports.base import PeerCredentials, Receiver
from enkaku.transports.outbox import Outbox
from enkaku.transports.request import HttpRequest
from enkaku.wire.messages import HELLO

from .exchange import Exchange

__all__ = ["FeedTransport", "PostTransport"]

_CHUNK: Final = 64 * 1024  # bytes of events that are sent at once
_SILENCE: Final = 15.0  # seconds, until a comment is sent
_COMMENT: Final = b":\n\n"
_EVENT: Final = b"data: %b\n\n"


class _Posted:
    """What both transports have in common: how messages are delivered, and the end.

    Args:
        request: The first POST.
        peer: The client, for log lines and error messages.

    Attributes:
        request: The first POST.
        peer: The client.
        aborted: Whether it was ended at once.
        paused: Whether nothing is delivered.
    """

    def __init__(self, request: HttpRequest, peer: str) -> None:
        self.request: Final = request
        self.peer: Final = peer
        self.aborted = False
        self.paused = False
        self._receiver: Receiver | None = None
        self._resumed: asyncio.Future[None] | None = None  # while a message waits to be delivered
        self._ending = False
        self._ended: asyncio.Future[None] | None = None  # while ``close`` waits
        self._error: Exception | None = None

    @property
    def credentials(self) -> PeerCredentials | None:
        """None: nothing is known of the process at the other end."""
        return None

    def start(
        self,
        receiver: Receiver,
        *,
        message_size: int,
        message_time: float | None = None,
        unread_time: float | None = None,
    ) -> None:
        """Keep the receiver. Bodies are limited where they are read."""
        del message_size, message_time, unread_time
        self._receiver = receiver

    def pause_reading(self) -> None:
        """Deliver nothing until ``resume_reading``."""
        self.paused = True

    def resume_reading(self) -> None:
        """Deliver again."""
        self.paused = False
        self._release()

    async def readable(self) -> bool:
        """Wait while reading is paused; return whether the transport is open."""
        while self.paused and not self.aborted and self._receiver is not None:
            if self._resumed is None:
                self._resumed = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._resumed)
        return not self.aborted and self._receiver is not None

    async def deliver(self, messages: Sequence[bytes]) -> bool:
        """Deliver messages, when reading is not paused; return whether the transport was open."""
        if (self.paused and not await self.readable()) or self._receiver is None or self.aborted:
            return False
        self._receiver.messages_received(messages)
        return True

    def lose(self) -> None:
        """Report the end: the response is complete, or the client has left."""
        self._ending = True
        receiver, self._receiver = self._receiver, None
        self._release()
        if receiver is not None:
            receiver.connection_lost(self._error)
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    async def close(self, *, within: float) -> None:
        """Let the response end, and wait for that; abort after a timeout."""
        self._ending = True
        self._end_response()
        if self._receiver is None:
            return
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(within):
                await asyncio.shield(self._ended)
        except TimeoutError:
            self.abort()
            await asyncio.shield(self._ended)
        except asyncio.CancelledError:
            self.abort()
            raise

    def abort(self) -> None:
        """End at once."""
        self.aborted = self._ending = True
        self._release()
        self._end_response()

    def _end_response(self) -> None:
        raise NotImplementedError

    def _release(self) -> None:
        resumed, self._resumed = self._resumed, None
        if resumed is not None and not resumed.done():
            resumed.set_result(None)


class PostTransport(_Posted):
    """Carries the message of one POST, and its reply.

    Args:
        request: The POST.
        peer: The client, for log lines and error messages.

    Attributes:
        reply: The reply, once there is one.
    """

    def __init__(self, request: HttpRequest, peer: str) -> None:
        super().__init__(request, peer)
        self.reply: bytes | None = None
        self._progress: asyncio.Future[None] | None = None

    @property
    def buffered(self) -> int:
        """0: the reply is sent by the task of the POST."""
        return 0

    @property
    def writable(self) -> bool:
        """True: there is one reply."""
        return True

    def write(self, message: bytes) -> None:
        """Keep the reply. The server's first message, which says what it supports, is none."""
        if self.reply is None and message is not HELLO:
            self.reply = message
            self._wake()

    def write_all(self, messages: Sequence[bytes]) -> None:
        """Keep the first message as the reply."""
        for message in messages:
            self.write(message)

    async def drain(self) -> None:
        """Do nothing."""

    async def wait(self, seconds: float) -> bool:
        """Wait for the reply or an abort, for so many seconds; return whether there is one."""
        loop = asyncio.get_running_loop()
        if self.reply is None and not self.aborted:
            self._progress = loop.create_future()
            timer = loop.call_later(seconds, self._wake)
            try:
                await self._progress
            finally:
                timer.cancel()
                self._progress = None
        return self.reply is not None or self.aborted

    def _end_response(self) -> None:
        self._wake()

    def _wake(self) -> None:
        if self._progress is not None and not self._progress.done():
            self._progress.set_result(None)


class FeedTransport(_Posted):
    """Carries the messages of a session.

    Args:
        request: The POST that has opened the session.
        peer: The client.
    """

    def __init__(self, request: HttpRequest, peer: str) -> None:
        super().__init__(request, peer)
        self._outbox: Final = Outbox(self._on_write_timeout)
        self._sending: asyncio.Task[None] | None = None
        self._blocked = False  # while the ASGI server sends

    @property
    def buffered(self) -> int:
        """How many bytes of messages wait to be sent."""
        return self._outbox.size

    @property
    def writable(self) -> bool:
        """Whether ``drain`` would return at once."""
        return self._outbox.writable and not self._ending

    def start(
        self,
        receiver: Receiver,
        *,
        message_size: int,
        message_time: float | None = None,
        unread_time: float | None = None,
    ) -> None:
        """Keep the receiver. Bodies are limited where they are read."""
        super().start(receiver, message_size=message_size, message_time=message_time)
        self._outbox.timeout.seconds = unread_time

    def write(self, message: bytes) -> None:
        """Send a message without waiting."""
        if not self._ending and message is not HELLO:
            self._outbox.put((message,))

    def write_all(self, messages: Sequence[bytes]) -> None:
        """Send several messages, as ``write`` does."""
        if not self._ending:
            self._outbox.put(messages)

    async def drain(self) -> None:
        """Wait until this end is writable.

        Raises:
            ConnectionLost: The session has ended.
        """
        await self._outbox.drain()
        if self._ending:
            raise ConnectionLost(f"the connection to {self.peer} has ended") from self._error

    async def run(
        self,
        response: Exchange,
        left: asyncio.Task[None],
    ) -> None:
        """Send events until the session ends, or the client leaves.

        Args:
            response: The feed; its headers are sent already.
            left: Ends when the client has left.
        """
        sending = self._sending = asyncio.create_task(self._send_events(response))
        try:
            await asyncio.wait({sending, left}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            await asyncio.wait({sending})
            self._outbox.clear()
            if not sending.cancelled() and self._error is None:
                error = sending.exception()
                self._error = error if isinstance(error, Exception) else None

    def abort(self) -> None:
        """End at once; what was not sent is lost."""
        self._outbox.clear()
        super().abort()
        if self._blocked and self._sending is not None:
            self._sending.cancel()  # else it would wait for a client that reads nothing

    async def _send_events(self, response: Exchange) -> None:
        outbox, loop = self._outbox, asyncio.get_running_loop()
        last = loop.time()
        await self._send(response, _COMMENT)
        silence = loop.call_later(_SILENCE, outbox.wake)
        try:
            while True:
                await outbox.wait()
                for chunk in _chunks(outbox.take()):
                    await self._send(response, b"".join([_EVENT % message for message in chunk]))
                    outbox.sent(chunk)
                    last = loop.time()
                if self._ending and not outbox.waiting:
                    break
                if loop.time() >= silence.when():
                    if loop.time() - last >= _SILENCE:
                        await self._send(response, _COMMENT)
                        last = loop.time()
                    silence = loop.call_at(last + _SILENCE, outbox.wake)
        finally:
            silence.cancel()
        await response.finish()

    async def _send(self, response: Exchange, data: bytes) -> None:
        self._blocked = True
        try:
            await response.write(data)
        finally:
            self._blocked = False

    def _end_response(self) -> None:
        self._outbox.wake()

    def _on_write_timeout(self, error: Exception) -> None:
        self._error = self._error or error
        self.abort()


def _chunks(messages: list[bytes]) -> Iterator[list[bytes]]:
    """Split messages into those that are sent at once."""
    chunk: list[bytes] = []
    size = 0
    for message in messages:
        chunk.append(message)
        size += len(message)
        if size >= _CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
