"""In-process transport: both ends of a connection in one process, without a socket.

A connection has two pipes, one per direction. A pipe delivers in a later event-loop iteration, as a socket does, and has the
same high-water mark and write timeout. By default it carries messages as they are. With a framing, it carries bytes, which
``enkaku.testing`` delays, splits and cuts.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from enkaku.errors import ConnectionLost

from .base import HEAD_SIZE, Oversized, PeerCredentials, PeerInfo, Receiver
from .lines import Framing
from .write_queue import WriteQueue

__all__ = ["MemoryTransport", "memory_pair"]

_HIGH_WATER: Final = 64 * 1024  # bytes


class _Pipe:
    """One direction of a connection: queues messages or bytes, and finally None, the end, until the reader takes them."""

    def __init__(self) -> None:
        self.size = 0
        self.delivered = 0
        self._loop = asyncio.get_running_loop()
        self._items: deque[bytes | None] = deque()
        self._on_data: Callable[[bytes | None], None] | None = None
        self._reading = True
        self._scheduled = False
        self.write_queue: Final = WriteQueue(self)
        self.fail: Callable[[Exception], None] | None = None  # ends the connection

    def put(self, data: bytes | None) -> None:
        self._items.append(data)
        self._resize(len(data or b""))
        self._schedule()

    def connect(self, on_data: Callable[[bytes | None], None]) -> None:
        self._on_data = on_data
        self._schedule()

    def set_reading(self, reading: bool) -> None:  # noqa: FBT001 # a state, not an option
        self._reading = reading
        self._schedule()

    def clear(self) -> None:
        self._items.clear()
        self._resize(-self.size)

    def _resize(self, change: int) -> None:
        self.size += change
        if self.size > _HIGH_WATER:
            self.write_queue.mark_full()
        else:
            self.write_queue.mark_writable()

    def _schedule(self) -> None:
        if self._items and self._reading and self._on_data is not None and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        delivered = False
        while self._items and self._reading and self._on_data is not None:
            if delivered and self._items[0] is None:
                # As with a socket, the end arrives one event-loop iteration after the data, so
                # that the handlers of the last messages have started by then.
                self._schedule()
                return
            delivered = True
            data = self._items.popleft()
            self.delivered += len(data or b"")
            self._resize(-len(data or b""))
            self._on_data(data)

    def count_sent(self) -> int:
        return self.delivered

    def on_write_timeout(self, error: Exception) -> None:
        if self.fail is not None:
            self.fail(error)


class MemoryTransport(PeerInfo):
    """One end of a connection inside a process; messages arrive in a later event-loop iteration.

    Args:
        peer: The other end, for log lines and error messages.
        incoming: The pipe to read from.
        outgoing: The pipe to write to.
        framing: How messages become bytes; None passes messages on as they are.
    """

    def __init__(
        self,
        peer: str,
        incoming: _Pipe,
        outgoing: _Pipe,
        framing: type[Framing] | None = None,
    ) -> None:
        self.peer = peer
        # This process has both ends.
        self.credentials = PeerCredentials(os.getpid(), os.geteuid(), os.getegid())
        self._incoming = incoming
        self._outgoing = outgoing
        outgoing.fail = self._fail
        self._framing: Framing | None = None if framing is None else framing(0)
        self._message_size = 0
        self._receiver: Receiver | None = None
        self._error: Exception | None = None
        self._ending = False
        self._unfinished = 0
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def buffered(self) -> int:
        """How many written bytes have not been delivered to the other end yet."""
        return self._outgoing.size

    @property
    def writable(self) -> bool:
        """Whether ``drain`` would return at once."""
        return self._outgoing.write_queue.writable and not self._lost.done()

    def start(
        self,
        receiver: Receiver,
        *,
        message_size: int,
        message_time: float | None = None,
        unread_time: float | None = None,
    ) -> None:
        """Start to deliver messages."""
        if self._framing is not None:
            self._framing = type(self._framing)(message_size)
        self._message_size = message_size
        del message_time  # both ends are in this process, and whole messages are passed on
        self._outgoing.write_queue.unread_time = unread_time
        self._receiver = receiver
        self._incoming.connect(self._on_data)

    def deliver_to(self, receiver: Receiver) -> None:
        """Deliver to another receiver from now on."""
        if self._receiver is not None:
            self._receiver = receiver

    def write(self, message: bytes) -> None:
        """Send a message to the other end."""
        if not self._ending:
            framing = self._framing
            self._outgoing.put(message if framing is None else message + framing.terminator)

    def write_all(self, messages: Sequence[bytes]) -> None:
        """Send several messages to the other end."""
        for message in messages:
            self.write(message)

    async def drain(self) -> None:
        """Wait until the other end has read most of what was written.

        Raises:
            ConnectionLost: The connection has ended.
        """
        await self._outgoing.write_queue.wait()
        if self._lost.done():
            raise ConnectionLost(f"the connection to {self.peer} has ended") from self._error

    def pause_reading(self) -> None:
        """Deliver nothing until ``resume_reading``. No effect while this end closes: it needs the peer's end."""
        if not self._ending:
            self._incoming.set_reading(False)

    def resume_reading(self) -> None:
        """Deliver again."""
        self._incoming.set_reading(True)

    async def close(self, *, within: float) -> None:
        """Send the end after what was written, and wait for the peer's end; abort after a timeout."""
        self._end_writing()
        self.resume_reading()
        try:
            async with asyncio.timeout(within):
                await asyncio.shield(self._lost)
        except TimeoutError:
            self.abort()
        except asyncio.CancelledError:
            self.abort()
            raise

    def abort(self) -> None:
        """End at once; undelivered messages of both directions are lost."""
        self._ending = True
        for pipe in (self._outgoing, self._incoming):
            pipe.clear()
            pipe.put(None)
        self.resume_reading()

    def _on_data(self, data: bytes | None) -> None:
        if self._receiver is None or self._lost.done():
            return
        if data is not None:
            self._deliver(self._receiver, data)
            return
        # The end of one direction ends the other one, too, as with a socket whose peer closes it.
        self._lost.set_result(None)
        self._end_writing()
        self._outgoing.write_queue.release_all()
        self._receiver.connection_lost(self._error)

    def _deliver(self, receiver: Receiver, data: bytes) -> None:
        framing = self._framing
        if framing is None:
            whole = len(data) <= self._message_size
            receiver.messages_received((data if whole else Oversized(data[:HEAD_SIZE]),))
            return
        receiver.messages_received(framing.split(data))
        if framing.violation:
            self._fail(ConnectionAbortedError(framing.violation))
        elif framing.unfinished != self._unfinished:
            self._unfinished = framing.unfinished
            receiver.message_growing(framing.unfinished)

    def _fail(self, error: Exception) -> None:
        self._error = error
        self.abort()

    def _end_writing(self) -> None:
        if not self._ending:
            self._ending = True
            self._outgoing.put(None)


def memory_pair(
    client: type[Framing] | None = None, server: type[Framing] | None = None
) -> tuple[MemoryTransport, MemoryTransport]:
    """Return the two ends of a connection without a socket.

    Args:
        client: The framing of the client's end; None, the default, passes messages on as they are.
        server: The framing of the server's end.

    Returns:
        The client's end and the server's end; when one ends, so does the other.

    Raises:
        RuntimeError: No event loop is running.
    """
    to_server, to_client = _Pipe(), _Pipe()
    return (
        MemoryTransport("the server in memory", to_client, to_server, client),
        MemoryTransport("the client in memory", to_server, to_client, server),
    )
