"""The server's transports over HTTP: the messages of a client come as POSTs, each delivered by the task of its request.

``PostTransport`` is a connection of one POST: a request or an event that belongs to no session. What the server replies is
the response. ``feed.FeedTransport`` is a session.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from enkaku.transports.asgi import AsgiReceive
from enkaku.transports.base import PeerInfo, Receiver
from enkaku.transports.request import HttpRequest
from enkaku.transports.write_queue import WriteTimeout
from enkaku.wire.messages import HELLO

from .exchange import Exchange, json_headers

__all__ = ["PART", "PostTransport", "Posted"]

PART: Final = 64 * 1024
"""Bytes of a reply that are sent at once."""


class Posted(PeerInfo, ABC):
    """What both kinds of transports have in common: how messages are delivered, and the end.

    Args:
        request: The first POST.
        peer: The client, for log lines and error messages.

    Attributes:
        aborted: Whether it was ended at once.
        paused: Whether nothing is delivered.
    """

    __slots__ = (
        "_ended",
        "_ending",
        "_error",
        "_receiver",
        "_resumed",
        "_watching",
        "aborted",
        "paused",
        "peer",
        "request",
    )

    def __init__(self, request: HttpRequest, peer: str) -> None:
        self.request = request
        self.peer = peer
        self.aborted = False
        self.paused = False
        self._receiver: Receiver | None = None
        self._resumed: asyncio.Future[None] | None = None  # while a message waits to be delivered
        self._ending = False
        self._ended: asyncio.Future[None] | None = None  # while somebody waits for the end
        self._error: Exception | None = None
        self._watching: asyncio.Task[None] | None = None

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

    def deliver_to(self, receiver: Receiver) -> None:
        """Deliver to another receiver from now on."""
        if self._receiver is not None:
            self._receiver = receiver

    def pause_reading(self) -> None:
        """Deliver nothing until ``resume_reading``."""
        self.paused = True

    def resume_reading(self) -> None:
        """Deliver again."""
        self.paused = False
        self._release()

    def watch(self, exchange: Exchange) -> None:
        """Abort when the client has left; may be repeated."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(exchange.receive))

    async def _watch(self, receive: AsgiReceive) -> None:
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            self.leave()

    def leave(self) -> None:
        """Handle that the client has left."""
        self.abort()

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

    async def finish(self) -> None:
        """Report the end, as ``lose`` does, and watch the client no longer."""
        self.lose()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})

    async def close(self, *, within: float) -> None:
        """Let the response end, and wait for that; abort after a timeout."""
        self._ending = True
        self._end_response()
        try:
            async with asyncio.timeout(within):
                await self._wait_ended()
        except TimeoutError:
            self.abort()
            await self._wait_ended()
        except asyncio.CancelledError:
            self.abort()
            raise

    def abort(self) -> None:
        """End at once."""
        self.aborted = self._ending = True
        self._release()
        self._end_response()

    async def _wait_ended(self) -> None:
        if self._receiver is not None:
            if self._ended is None:
                self._ended = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._ended)

    @abstractmethod
    def _end_response(self) -> None:
        """Let the task that sends the response end it."""

    def _release(self) -> None:
        resumed, self._resumed = self._resumed, None
        if resumed is not None and not resumed.done():
            resumed.set_result(None)


class PostTransport(Posted):
    """Carries the message of one POST, and its reply.

    Args:
        request: The POST.
        peer: The client, for log lines and error messages.

    Attributes:
        reply: The reply, once there is one.
    """

    __slots__ = ("_progress", "_sending", "_sent", "_unread_time", "_unsent", "reply")

    def __init__(self, request: HttpRequest, peer: str) -> None:
        super().__init__(request, peer)
        self.reply: bytes | None = None
        self._progress: asyncio.Future[None] | None = None
        self._unsent = 0  # bytes of a large reply
        self._sent: asyncio.Future[None] | None = None  # while ``drain`` waits for that
        self._sending: asyncio.Task[None] | None = None
        self._unread_time: float | None = None

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
        self._unread_time = unread_time

    @property
    def buffered(self) -> int:
        """How many bytes of a large reply were not sent. Small ones are not counted."""
        return self._unsent

    @property
    def writable(self) -> bool:
        """Whether no large reply is being sent."""
        return not self._unsent

    def write(self, message: bytes) -> None:
        """Keep the reply. The server's first message, which says what it supports, is none."""
        if self.reply is None and message is not HELLO:
            self.reply = message
            if len(message) > PART and not self.aborted:
                self._unsent = len(message)
            self._wake()

    def write_all(self, messages: Sequence[bytes]) -> None:
        """Keep the first message as the reply."""
        for message in messages:
            self.write(message)

    async def drain(self) -> None:
        """Wait until a large reply was sent, or given up."""
        if self._unsent:
            if self._sent is None:
                self._sent = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._sent)

    async def send_parts(self, response: Exchange, reply: bytes) -> None:
        """Send a large reply in parts, each when the client has read most of those before, until that takes too long."""
        self._sending = asyncio.create_task(self._send_parts(response, reply))
        timeout = WriteTimeout(lambda: -self._unsent, lambda _: self.abort())
        timeout.seconds = self._unread_time
        timeout.start()
        try:
            await asyncio.wait({self._sending})
            if not self._sending.cancelled():
                self._sending.result()
        finally:
            self._sending.cancel()
            timeout.stop()

    def lose(self) -> None:
        """Report the end: the response is complete, or the client has left."""
        self._unsent = 0
        if self._sent is not None:
            self._sent.set_result(None)
            self._sent = None
        super().lose()

    def abort(self) -> None:
        """End at once."""
        super().abort()
        if self._sending is not None:
            self._sending.cancel()

    async def _send_parts(self, response: Exchange, reply: bytes) -> None:
        if not response.started:
            await response.start(200, json_headers(reply))
        for start in range(0, len(reply), PART):
            part = reply[start : start + PART]
            await response.write(part)
            self._unsent -= len(part)
        await response.finish()

    async def wait(self, seconds: float) -> bool:
        """Wait for the reply or an abort, for so many seconds; return whether there is one."""
        if self.reply is None and not self.aborted:
            await asyncio.sleep(0)  # a handler that waits for nothing has replied then
        if self.reply is None and not self.aborted:
            loop = asyncio.get_running_loop()
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
