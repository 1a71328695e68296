"""The feed as the server has it: the endless response that carries what a session's calls are sent.

The client's POSTs to its session are delivered by the tasks of their requests. The task of the POST that has opened the session
sends what the server writes, many events at a time. Its queue is full above a high-water mark, so that handlers wait for a client that reads slowly.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final, Protocol, cast

from enkaku.errors import ConnectionLost
from enkaku.transports.asgi import AsgiSend
from enkaku.transports.base import Receiver
from enkaku.transports.request import HttpRequest
from enkaku.transports.write_queue import Sending, WriteQueue
from enkaku.wire.messages import HELLO

from .posted import Posted

__all__ = ["FeedTransport", "Feeds"]

_CHUNK: Final = 64 * 1024  # bytes of events that are sent at once
_HIGH_WATER: Final = 64 * 1024  # bytes
_AT_ONCE: Final = 1.0  # seconds that the client has to read the end of a feed that was aborted
_SILENCE: Final = 15.0  # seconds, until a comment is sent
_COMMENT: Final = b":\n\n"
_EVENT: Final = b"data: %b\n\n"


class _Queue:
    """Messages that wait until a task sends them.

    Args:
        sending: Ends the feed when the peer reads nothing for the write timeout, while the queue is full.

    Attributes:
        size: How many bytes wait, or are being sent.
        total_sent: How many bytes were sent.
        writers: What waits while it is full.
    """

    __slots__ = ("_changed", "_messages", "size", "total_sent", "writers")

    def __init__(self, sending: Sending) -> None:
        self.size = 0
        self.total_sent = 0
        self._messages: list[bytes] = []
        self._changed: asyncio.Future[None] | None = None
        self.writers: Final = WriteQueue(sending)

    @property
    def writable(self) -> bool:
        """Whether ``drain`` would return at once."""
        return self.writers.writable

    @property
    def waiting(self) -> bool:
        """Whether messages wait that no task sends yet."""
        return bool(self._messages)

    def put(self, messages: Iterable[bytes]) -> None:
        """Add messages."""
        for message in messages:
            self._messages.append(message)
            self.size += len(message)
        if self.size > _HIGH_WATER and self.writers.writable:
            self.writers.mark_full()
        self.wake()

    def wake(self) -> None:
        """Complete the future of ``changed``."""
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    def changed(self) -> asyncio.Future[None]:
        """Return a future that is done when there is a message, or at the next ``wake``."""
        changed = self._changed = asyncio.get_running_loop().create_future()
        if self._messages:
            changed.set_result(None)
        return changed

    def take(self) -> list[bytes]:
        """Return the messages that wait, which the task is about to send."""
        messages, self._messages = self._messages, []
        return messages

    def sent(self, messages: Iterable[bytes]) -> None:
        """Count messages that were taken and are sent."""
        size = sum(map(len, messages))
        self.size -= size
        self.total_sent += size
        if self.size <= _HIGH_WATER and not self.writers.writable:
            self.writers.mark_writable()

    async def drain(self) -> None:
        """Wait until it is not full; writers continue in order."""
        await self.writers.wait()

    def clear(self) -> None:
        """Drop what waits, and release all that wait."""
        self._messages = []
        self.size = 0
        self.writers.release_all()
        self.wake()


class Feeds(Protocol):
    """The feeds of a server."""

    async def wait_answered(self) -> None:
        """Wait until no other request of a client is being answered."""

    def remove(self, name: str) -> None:
        """Handle that a feed has ended."""


class FeedTransport(Posted):
    """Carries the messages of a session.

    Args:
        request: The POST that has opened the session.
        peer: The client.
        name: The id of the session, which only its client knows.
        feeds: The feeds of the server. One ends after all other requests of clients: clients of the TypeScript
            implementation take its end for the end of the server.
        delay: How long the end waits after that, in seconds, until the client has read those answers.
    """

    __slots__ = ("_blocked", "_delay", "_feeds", "_interrupted", "_queue", "_sending", "name")

    def __init__(
        self,
        request: HttpRequest,
        peer: str,
        *,
        name: str,
        feeds: Feeds,
        delay: float,
    ) -> None:
        super().__init__(request, peer)
        self.name: Final = name
        self._feeds: Final = feeds
        self._delay: Final = delay
        self._queue: Final = _Queue(self)
        self._sending: asyncio.Task[object] | None = None
        self._interrupted = False
        self._blocked = False  # while the ASGI server sends

    @property
    def buffered(self) -> int:
        """How many bytes of messages wait to be sent."""
        return self._queue.size

    @property
    def writable(self) -> bool:
        """Whether ``drain`` would return at once."""
        return self._queue.writable and not self._ending

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
        self._queue.writers.unread_time = unread_time

    def write(self, message: bytes) -> None:
        """Send a message without waiting."""
        if not self._ending and message is not HELLO:
            self._queue.put((message,))

    def write_all(self, messages: Sequence[bytes]) -> None:
        """Send several messages, as ``write`` does."""
        if not self._ending:
            self._queue.put(messages)

    async def drain(self) -> None:
        """Wait until this end is writable.

        Raises:
            ConnectionLost: The session has ended.
        """
        await self._queue.drain()
        if self._ending:
            await self._wait_ended()  # before that, the session would take the error for the handler's own
            raise ConnectionLost(f"the connection to {self.peer} has ended") from self._error

    async def run(self, send: AsgiSend) -> None:
        """Send events until the session ends, or the client leaves; that is its end.

        Args:
            send: Sends an event of ASGI. The headers of the feed are sent already.
        """
        task = self._sending = cast(asyncio.Task[object], asyncio.current_task())
        queue, loop = self._queue, asyncio.get_running_loop()
        last = loop.time()
        silence = loop.call_later(_SILENCE, queue.wake)
        try:
            await self._send(send, _COMMENT)
            while queue.waiting or not self._ending:
                await queue.changed()
                if queue.waiting:
                    await self._send_queued(send)
                    last = loop.time()
                elif loop.time() >= last + _SILENCE:
                    await self._send(send, _COMMENT)
                    last = loop.time()
                if loop.time() >= silence.when():
                    silence = loop.call_at(last + _SILENCE, queue.wake)
            await self._finish(send)
        except asyncio.CancelledError:
            if not self._interrupted or task.uncancel():
                raise
        except Exception as error:  # noqa: BLE001 # whatever the ASGI server raises
            self._error = self._error or error
        finally:
            silence.cancel()
            self._sending = None
            queue.clear()
            await self.finish()

    async def close(self, *, within: float) -> None:
        """Let the feed end after the answers to other requests, and wait for that; abort after a timeout from then on."""
        try:
            await self._feeds.wait_answered()
        except asyncio.CancelledError:
            self.abort()
            raise
        await super().close(within=within)

    def abort(self) -> None:
        """End at once; what was not sent is lost."""
        self._queue.clear()
        super().abort()
        if self._blocked:
            self._interrupt()  # else it would wait for a client that reads nothing

    def leave(self) -> None:
        """Handle that the client has left."""
        super().leave()
        self._interrupt()

    async def finish(self) -> None:
        """Report the end, and watch the client no longer."""
        self._feeds.remove(self.name)
        await super().finish()

    def _interrupt(self) -> None:
        """End ``run`` where it waits."""
        if self._sending is not None and not self._interrupted:
            self._interrupted = True
            self._sending.cancel()

    async def _send_queued(self, send: AsgiSend) -> None:
        for chunk in _chunks(self._queue.take()):
            await self._send(send, b"".join([_EVENT % message for message in chunk]))
            self._queue.sent(chunk)

    async def _finish(self, send: AsgiSend) -> None:
        if not self.aborted:
            await asyncio.sleep(self._delay)
        with suppress(TimeoutError):
            async with asyncio.timeout(_AT_ONCE if self.aborted else None):
                await self._send(send, b"", more=False)

    async def _send(self, send: AsgiSend, data: bytes, *, more: bool = True) -> None:
        self._blocked = True
        try:
            await send({"type": "http.response.body", "body": data, "more_body": more})
        finally:
            self._blocked = False

    def _end_response(self) -> None:
        self._queue.wake()

    def count_sent(self) -> int:
        """Return the number of bytes of messages that were sent."""
        return self._queue.total_sent

    def on_write_timeout(self, error: Exception) -> None:
        """End at once: the client reads nothing."""
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
