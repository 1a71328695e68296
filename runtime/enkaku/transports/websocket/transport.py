"""The WebSocket transport: a task that receives frames, and a task that sends them.

``Frames`` is what a WebSocket library, or an ASGI server, has to offer. One task runs the coroutine that delivers frames until the
end. Frames are sent where they are written, as long as that does not wait. What waits is awaited by the other task, the writer;
meanwhile further frames join a queue, which is full at its high-water mark. In an ASGI server, the writer is the task of the
app, which has nothing else to do.
"""

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from typing_extensions import override

from enkaku.errors import ConnectionLost
from enkaku.transports.base import PeerInfo, Receiver
from enkaku.transports.coalescing import CoalescingWriter
from enkaku.transports.heap import keep_heap
from enkaku.transports.request import HttpRequest
from enkaku.transports.write_queue import WriteQueue

from .first_step import Rest, Writer

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
_BATCH: Final = 64 * 1024  # bytes that are sent together, if several messages are queued


def describe_close(code: int, reason: str) -> str:
    """Return a close code in words, with the peer's reason."""
    meaning = _MEANINGS.get(code, "no registered meaning")
    return f"the peer closed the WebSocket with code {code} ({meaning})" + (
        f": {reason}" if reason else ""
    )


class Frames(Protocol):
    """An open WebSocket."""

    async def receive(self, deliver: Callable[[Sequence[bytes]], None], message_size: int) -> None:
        """Deliver text frames until the WebSocket is closed.

        Args:
            deliver: Takes the messages that are there, one or more; it returns at once and never raises.
            message_size: The largest message, in bytes.

        Raises:
            OSError: It was closed with an error, or a message is too large.
        """

    def pause(self) -> None:
        """Deliver nothing until ``resume``; may be repeated."""

    def resume(self) -> None:
        """Deliver again; may be repeated."""

    def send(self, messages: Sequence[bytes], writer: Writer, /) -> Rest | None:
        """Send a text frame for each message, as far as that needs no waiting.

        Args:
            messages: The messages.
            writer: The task that awaits the rest. It may be the current one.

        Returns:
            What has to be awaited before anything else is sent; None where nothing has.

        Raises:
            OSError: It is closed.
        """

    async def close(self, code: int, /) -> None:
        """Begin the closing handshake. ``receive`` returns after it."""

    def abort(self) -> None:
        """End it at once, if that is possible without waiting."""


class WebSocketTransport(PeerInfo, CoalescingWriter):
    """Adapts a WebSocket to the ``Transport`` interface.

    Args:
        frames: The WebSocket, after its handshake.
        peer: The other end, for log lines and error messages.
        end_code: The close code with which this side ends it.
        request: The handshake that a client has sent; None at the client.
        hosted: Whether the task that starts it then calls ``run``, so that it needs no other task to send.
    """

    __slots__ = (
        "_end_code",
        "_ending",
        "_error",
        "_flushed",
        "_frames",
        "_hosted",
        "_idle",
        "_interrupted",
        "_lost",
        "_queue",
        "_reader",
        "_receiver",
        "_rest",
        "_sent",
        "_size",
        "_write_queue",
        "_writer",
        "peer",
        "request",
    )

    def __init__(
        self,
        frames: Frames,
        *,
        peer: str,
        end_code: int,
        request: HttpRequest | None = None,
        hosted: bool = False,
    ) -> None:
        super().__init__(asyncio.get_running_loop(), terminator=b"")
        keep_heap()
        self._frames: Final = frames
        self.peer = peer
        self._end_code: Final = end_code
        self.request = request
        self._hosted: Final = hosted
        self._receiver: Receiver | None = None
        self._reader: asyncio.Task[None] | None = None
        self._writer: Writer | None = None
        self._interrupted = False  # the writer, since the WebSocket has ended
        self._idle: asyncio.Future[None] | None = None  # while the writer waits for something to do
        self._rest: tuple[Rest, int] | None = (
            None  # what the writer awaits, and the size of its messages
        )
        self._queue: list[bytes] = []
        self._flushed: asyncio.Future[None] | None = None  # while ``close`` waits for that
        self._size = 0
        self._sent = 0
        self._write_queue: Final = WriteQueue(self)
        self._ending = False
        self._error: Exception | None = None
        self._lost: Final[asyncio.Future[None]] = self._loop.create_future()

    @property
    def buffered(self) -> int:
        """How many bytes of messages wait to be sent."""
        return self._pending_size + self._size

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
        self._write_queue.unread_time = unread_time
        self._reader = self._loop.create_task(self._frames.receive(self._deliver, message_size))
        # Not in the task itself: one that is cancelled before its first step runs none of its code.
        self._reader.add_done_callback(self._on_read)
        context = contextvars.copy_context()
        host = asyncio.current_task() if self._hosted else None
        self._writer = Writer(host or self._loop.create_task(self.run(), context=context), context)

    def deliver_to(self, receiver: Receiver) -> None:
        """Deliver to another receiver from now on."""
        if self._receiver is not None:
            self._receiver = receiver

    async def drain(self) -> None:
        """Wait until this end is writable.

        Raises:
            ConnectionLost: The connection has ended.
        """
        await self._write_queue.wait()
        if self._ending or self._lost.done():
            await asyncio.shield(self._lost)
            raise ConnectionLost(f"the connection to {self.peer} has ended") from self._error

    def pause_reading(self) -> None:
        """Deliver nothing until ``resume_reading``. No effect while this end closes: it needs the peer's end."""
        if not self._ending:
            self._frames.pause()

    def resume_reading(self) -> None:
        """Deliver again."""
        self._frames.resume()

    async def close(self, *, within: float) -> None:
        """Send what was written, then the close frame; wait for the peer's, and abort after a timeout."""
        try:
            async with asyncio.timeout(within):
                if self._reader is None:
                    self.abort()
                elif not self._lost.done():
                    self._flush()
                    self._ending = True
                    self.resume_reading()
                    await self._wait_flushed()
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

    def _deliver(self, messages: Sequence[bytes]) -> None:
        self._replying = self._alone
        if self._receiver is not None:
            self._receiver.messages_received(messages)

    async def run(self) -> None:
        """Send what has to wait, until the WebSocket has ended. If this is cancelled, it ends at once."""
        try:
            while self._reader is not None:
                self._send_queued()
                if self._rest is not None:
                    await self._send_rest(*self._rest)
                else:
                    self._report_flushed()
                    self._idle = self._loop.create_future()
                    await self._idle
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._interrupted or task is None or task.uncancel():
                await self._end_reader()
                raise
        finally:
            if self._rest is not None:
                self._rest[0].close()

    async def _send_rest(self, rest: Rest, size: int) -> None:
        try:
            await rest
        except Exception as error:  # noqa: BLE001 # of the library, which ends the connection
            self._rest = None
            self._on_send_error(error)
        else:
            self._rest = None
            self._on_sent(size)

    async def _end_reader(self) -> None:
        self._interrupted = True
        self.abort()
        if self._reader is not None:
            await asyncio.wait((self._reader,))

    async def _wait_flushed(self) -> None:
        while self._queue or self._rest is not None:
            if self._flushed is None:
                self._flushed = self._loop.create_future()
            await asyncio.shield(self._flushed)

    def _report_flushed(self) -> None:
        flushed, self._flushed = self._flushed, None
        if flushed is not None:
            flushed.set_result(None)

    @override
    def _flush(self) -> None:
        pending, size = self._pending, self._pending_size
        if pending:
            super()._discard()
            self._send_frames(pending, size)

    @override
    def _send_messages(self, data: bytes) -> None:
        self._send_frames((data,), len(data))  # one message, that is

    def _send_frames(self, messages: Sequence[bytes], size: int) -> None:
        if self._ending or self._lost.done():
            return
        self._queue += messages
        self._size += size
        idle = self._idle
        if idle is not None and not idle.done():  # else the writer sends it
            self._send_queued()
            if self._rest is not None:
                idle.set_result(None)
        if self._size > _HIGH_WATER and self._write_queue.writable:
            self._write_queue.mark_full()

    def _send_queued(self) -> None:
        """Send what is queued, until sending has to wait."""
        while self._queue and self._rest is None and self._writer is not None:
            messages, size = self._take_queued()
            try:
                rest = self._frames.send(messages, self._writer)
            except Exception as error:  # noqa: BLE001 # of the library, which ends the connection
                self._on_send_error(error)
                return
            if rest is None:
                self._on_sent(size)
            else:
                self._rest = (rest, size)

    def _take_queued(self) -> tuple[list[bytes], int]:
        """Return the next messages, and their size."""
        messages, self._queue = self._queue, []
        size = 0
        for count, message in enumerate(messages, 1):
            size += len(message)
            if size >= _BATCH:
                self._queue = messages[count:]
                return messages[:count], size
        return messages, size

    def _on_sent(self, size: int) -> None:
        self._size -= size
        self._sent += size
        if self._size <= _HIGH_WATER and not self._write_queue.writable:
            self._write_queue.mark_writable()

    def _on_read(self, task: asyncio.Task[None]) -> None:
        """Handle the end of the WebSocket."""
        if not task.cancelled():
            error = task.exception()
            self._error = self._error or (error if isinstance(error, Exception) else None)
        if self._writer is not None and not self._interrupted:
            self._interrupted = True
            self._writer.task.cancel()
        self._discard()
        if not self._lost.done():
            self._lost.set_result(None)
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.connection_lost(self._error)

    def _on_send_error(self, error: Exception) -> None:
        """Handle that nothing can be sent any more: the reader will soon get the end."""
        self._discard()
        if not isinstance(error, OSError):
            self._fail(error)

    @override
    def _discard(self) -> None:
        super()._discard()
        self._queue = []
        self._size = 0
        self._report_flushed()
        self._write_queue.release_all()

    def count_sent(self) -> int:
        """Return the number of bytes of messages that were sent."""
        return self._sent

    def on_write_timeout(self, error: Exception) -> None:
        """End at once: the peer reads nothing."""
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error
        self.abort()
