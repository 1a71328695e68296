"""The WebSocket transport: a task that reads frames, and a task that writes them.

WebSocket libraries have coroutines to receive and to send, each with backpressure of its own. So a transport is two tasks: the
reader awaits a frame and delivers it, and awaits no other while reading is paused; the writer sends the frames of a queue,
which is full at its high-water mark. ``Frames`` is what a library, or an ASGI server, has to offer.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from enkaku.errors import ConnectionLost
from enkaku.transports.base import PeerCredentials, Receiver
from enkaku.transports.request import HttpRequest
from enkaku.transports.write_queue import WriteQueue, WriteTimeout

__all__ = [
    "BINARY",
    "GOING_AWAY",
    "NORMAL",
    "SUBPROTOCOL",
    "TOO_LARGE",
    "TRY_AGAIN",
    "Frames",
    "WebSocketTransport",
    "describe_close",
]

SUBPROTOCOL: Final = "enkaku.v1"
"""The subprotocol that both sides agree on in the handshake."""

# Close codes of RFC 6455, section 7.4.1, and of its registry.
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
BINARY: Final = 1003
TOO_LARGE: Final = 1009
TRY_AGAIN: Final = 1013
_MEANINGS: Final = {
    1002: "protocol error",
    1003: "unsupported kind of frame",
    1006: "without a closing handshake",
    1007: "invalid UTF-8",
    1008: "policy violation",
    1009: "message too big",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
    1015: "TLS failed",
}
_HIGH_WATER: Final = 64 * 1024  # bytes


def describe_close(code: int, reason: str) -> str:
    """Return a close code in words, with the peer's reason."""
    meaning = _MEANINGS.get(code, "no registered meaning")
    return f"the peer closed the WebSocket with code {code} ({meaning})" + (
        f": {reason}" if reason else ""
    )


class Frames(Protocol):
    """An open WebSocket."""

    async def receive(self) -> bytes | None:
        """Wait for the next text frame; return None when the WebSocket is closed.

        Raises:
            OSError: It was closed with an error.
        """
        ...

    async def send(self, message: bytes, /) -> None:
        """Send a text frame; wait while the peer does not read.

        Raises:
            OSError: It is closed.
        """

    async def close(self, code: int, /) -> None:
        """Begin the closing handshake. ``receive`` returns None after it."""

    def abort(self) -> None:
        """End it at once, if that is possible without waiting."""


class WebSocketTransport:
    """Adapts a WebSocket to the ``Transport`` interface.

    Args:
        frames: The WebSocket, after its handshake.
        peer: The other end, for log lines and error messages.
        end_code: The close code with which this side ends it.
        request: The handshake that a client has sent; None at the client.
    """

    def __init__(
        self, frames: Frames, *, peer: str, end_code: int, request: HttpRequest | None = None
    ) -> None:
        self._frames: Final = frames
        self._peer: Final = peer
        self._end_code: Final = end_code
        self._request: Final = request
        self._loop: Final = asyncio.get_running_loop()
        self._message_size = 0
        self._receiver: Receiver | None = None
        self._reader: asyncio.Task[None] | None = None
        self._writer: asyncio.Task[None] | None = None
        self._readable: Final = asyncio.Event()
        self._readable.set()
        self._queue: Final[deque[bytes]] = deque()
        self._queued: Final = asyncio.Event()
        self._flushed: Final = asyncio.Event()
        self._flushed.set()
        self._size = 0
        self._sent = 0
        self._write_timeout: Final = WriteTimeout(lambda: self._sent, self._fail)
        self._write_queue: Final = WriteQueue(self._write_timeout)
        self._ending = False
        self._error: Exception | None = None
        self._lost: Final[asyncio.Future[None]] = self._loop.create_future()

    @property
    def peer(self) -> str:
        """The other end, for log lines and error messages."""
        return self._peer

    @property
    def credentials(self) -> PeerCredentials | None:
        """None: nothing is known of the process at the other end."""
        return None

    @property
    def request(self) -> HttpRequest | None:
        """The client's handshake; None at the client."""
        return self._request

    @property
    def buffered(self) -> int:
        """How many bytes of messages wait to be sent."""
        return self._size

    @property
    def writable(self) -> bool:
        """Whether ``drain`` would return at once."""
        return self._write_queue.writable and not self._ending and not self._lost.done()

    def start(
        self,
        receiver: Receiver,
        *,
        message_size: int,
        message_time: float | None = None,
        unread_time: float | None = None,
    ) -> None:
        """Start to deliver messages. ``message_time`` has no effect: the library receives whole messages."""
        del message_time
        if self._lost.done():
            self._loop.call_soon(receiver.connection_lost, self._error)
            return
        self._receiver = receiver
        self._message_size = message_size
        self._write_timeout.seconds = unread_time
        self._reader = self._loop.create_task(self._read(receiver))
        self._writer = self._loop.create_task(self._write())
        # Not in the task itself: one that is cancelled before its first step runs none of its code.
        self._reader.add_done_callback(self._on_read)
        self._writer.add_done_callback(self._on_written)

    def write(self, message: bytes) -> None:
        """Send a message without waiting."""
        if self._ending or self._lost.done():
            return
        self._queue.append(message)
        self._size += len(message)
        self._queued.set()
        self._flushed.clear()
        if self._size > _HIGH_WATER and self._write_queue.writable:
            self._write_queue.mark_full()

    def write_all(self, messages: Sequence[bytes]) -> None:
        """Send several messages, as ``write`` does."""
        for message in messages:
            self.write(message)

    async def drain(self) -> None:
        """Wait until this end is writable.

        Raises:
            ConnectionLost: The connection has ended.
        """
        await self._write_queue.wait()
        if self._ending or self._lost.done():
            await asyncio.shield(self._lost)
            raise ConnectionLost(f"the connection to {self._peer} has ended") from self._error

    def pause_reading(self) -> None:
        """Deliver nothing until ``resume_reading``. No effect while this end closes: it needs the peer's end."""
        if not self._ending:
            self._readable.clear()

    def resume_reading(self) -> None:
        """Deliver again."""
        self._readable.set()

    async def close(self, *, within: float) -> None:
        """Send what was written, then the close frame; wait for the peer's, and abort after a timeout."""
        try:
            async with asyncio.timeout(within):
                if self._reader is None:
                    self.abort()
                elif not self._lost.done():
                    self._ending = True
                    self.resume_reading()
                    await self._flushed.wait()
                    await self._frames.close(self._end_code)
                await asyncio.shield(self._lost)
        except (TimeoutError, OSError):
            self.abort()
            await asyncio.shield(self._lost)
        except asyncio.CancelledError:
            self.abort()
            raise

    def abort(self) -> None:
        """End at once; what was not sent is lost."""
        self._ending = True
        self._discard()
        self._frames.abort()
        if self._reader is not None:
            self._reader.cancel()
        elif not self._lost.done():
            self._lost.set_result(None)

    async def wait_closed(self) -> None:
        """Wait until the connection has ended, and its tasks."""
        await asyncio.shield(self._lost)
        tasks = [task for task in (self._reader, self._writer) if task is not None]
        if tasks:
            await asyncio.wait(tasks)

    async def _read(self, receiver: Receiver) -> None:
        while (message := await self._frames.receive()) is not None:
            await self._readable.wait()
            if len(message) > self._message_size:
                await self._frames.close(TOO_LARGE)
                raise ConnectionAbortedError(
                    f"the peer sent a message of more than {self._message_size} bytes"
                )
            receiver.messages_received((message,))

    async def _write(self) -> None:
        while True:
            await self._queued.wait()
            while self._queue:
                message = self._queue.popleft()
                await self._frames.send(message)
                self._size -= len(message)
                self._sent += len(message)
                if self._size <= _HIGH_WATER and not self._write_queue.writable:
                    self._write_queue.mark_writable()
            self._queued.clear()
            self._flushed.set()

    def _on_read(self, task: asyncio.Task[None]) -> None:
        """Handle the end of the WebSocket."""
        if not task.cancelled():
            error = task.exception()
            self._error = self._error or (error if isinstance(error, Exception) else None)
        if self._writer is not None:
            self._writer.cancel()
        self._discard()
        if not self._lost.done():
            self._lost.set_result(None)
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.connection_lost(self._error)

    def _on_written(self, task: asyncio.Task[None]) -> None:
        """Handle that nothing can be sent any more: the reader will soon get the end."""
        self._discard()
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, OSError):
            self._fail(error if isinstance(error, Exception) else RuntimeError(repr(error)))

    def _discard(self) -> None:
        self._queue.clear()
        self._size = 0
        self._flushed.set()
        self._write_queue.release_all()

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error
        self.abort()
