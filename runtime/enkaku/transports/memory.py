"""The memory transport: both ends of a connection in one process.

Messages are handed over as they are. With a framing, an end carries bytes instead, as a socket does: tests with faults need
them, to cut and delay them.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from enkaku.errors import ConnectionLost

from .base import Oversized, PeerCredentials, Receiver
from .lines import Framing
from .write_queue import Room, Unread

__all__ = ["MemoryTransport", "memory_pair"]

_HIGH_WATER: Final = 64 * 1024  # bytes
_HEAD_SIZE: Final = 1024  # bytes of a message that is too large


class _Pipe:
    """One direction of a memory connection: messages or bytes, and at last None for the end, on their way to a reader."""

    def __init__(self) -> None:
        self.size = 0
        self.taken = 0
        self._loop = asyncio.get_running_loop()
        self._items: deque[bytes | None] = deque()
        self._take: Callable[[bytes | None], None] | None = None
        self._reading = True
        self._scheduled = False
        self.unread: Final = Unread(lambda: self.taken, self._give_up)
        self.room: Final = Room(self.unread)
        self.on_unread: Callable[[Exception], None] | None = None

    def put(self, data: bytes | None) -> None:
        self._items.append(data)
        self._resize(len(data or b""))
        self._schedule()

    def connect(self, take: Callable[[bytes | None], None]) -> None:
        self._take = take
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
            self.room.fill()
        else:
            self.room.clear()

    def _schedule(self) -> None:
        if self._items and self._reading and self._take is not None and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        delivered = False
        while self._items and self._reading and self._take is not None:
            if delivered and self._items[0] is None:
                self._schedule()  # as from a socket, the end comes a turn later: what was asked for has begun
                return
            delivered = True
            data = self._items.popleft()
            self.taken += len(data or b"")
            self._resize(-len(data or b""))
            self._take(data)

    def _give_up(self, error: Exception) -> None:
        if self.on_unread is not None:
            self.on_unread(error)


class MemoryTransport:
    """One end of a connection inside a process; messages arrive in a later event-loop iteration.

    Args:
        peer: The other end, for messages to people.
        incoming: Where messages come from.
        outgoing: Where they go.
        framing: How messages become bytes; None carries them as they are.
    """

    def __init__(
        self,
        peer: str,
        incoming: _Pipe,
        outgoing: _Pipe,
        framing: type[Framing] | None = None,
    ) -> None:
        self._peer = peer
        self._incoming = incoming
        self._outgoing = outgoing
        outgoing.on_unread = self._fail
        self._framing: Framing | None = None if framing is None else framing(0)
        self._message_size = 0
        self._receiver: Receiver | None = None
        self._error: Exception | None = None
        self._ending = False
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def peer(self) -> str:
        """The other end, for messages to people."""
        return self._peer

    @property
    def credentials(self) -> PeerCredentials:
        """This process: both ends are in it."""
        return PeerCredentials(os.getpid(), os.geteuid(), os.getegid())

    @property
    def buffered(self) -> int:
        """How many written bytes the other end has not been given yet."""
        return self._outgoing.size

    @property
    def has_room(self) -> bool:
        """Whether ``drain`` would return at once."""
        return not (self._outgoing.room.full or self._lost.done())

    def start(
        self, receiver: Receiver, *, message_size: int, unread_time: float | None = None
    ) -> None:
        """Begin to deliver."""
        if self._framing is not None:
            self._framing = type(self._framing)(message_size)
        self._message_size = message_size
        self._outgoing.unread.seconds = unread_time
        self._receiver = receiver
        self._incoming.connect(self._take)

    def write(self, message: bytes) -> None:
        """Hand a message to the other end."""
        if not self._ending:
            framing = self._framing
            self._outgoing.put(message if framing is None else message + framing.terminator)

    def write_all(self, messages: Sequence[bytes]) -> None:
        """Hand some messages to the other end."""
        for message in messages:
            self.write(message)

    async def drain(self) -> None:
        """Wait until the other end has taken most of what was written.

        Raises:
            ConnectionLost: The connection is gone.
        """
        await self._outgoing.room.wait()
        if self._lost.done():
            raise ConnectionLost(f"the connection to {self._peer} is gone") from self._error

    def pause_reading(self) -> None:
        """Deliver nothing until told to; while this side ends, read on."""
        if not self._ending:
            self._incoming.set_reading(False)

    def resume_reading(self) -> None:
        """Deliver again."""
        self._incoming.set_reading(True)

    async def close(self, *, within: float) -> None:
        """Send the end behind what was written, and wait for the other's."""
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
        """End at once; what was not delivered in either direction is lost."""
        self._ending = True
        for pipe in (self._outgoing, self._incoming):
            pipe.clear()
            pipe.put(None)
        self.resume_reading()

    def _take(self, data: bytes | None) -> None:
        if self._receiver is None or self._lost.done():
            return
        if data is not None:
            self._deliver(self._receiver, data)
            return
        # The end of one side is the end of both, as with a socket whose peer closes.
        self._lost.set_result(None)
        self._end_writing()
        self._outgoing.room.give_up()
        self._receiver.connection_lost(self._error)

    def _deliver(self, receiver: Receiver, data: bytes) -> None:
        framing = self._framing
        if framing is None:
            whole = len(data) <= self._message_size
            receiver.messages_received((data if whole else Oversized(data[:_HEAD_SIZE]),))
            return
        receiver.messages_received(framing.split(data))
        if framing.endless:
            self._fail(ConnectionAbortedError("the peer sent a message without an end"))

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
    """Make the two ends of a connection without a socket.

    Args:
        client: How the client's end makes bytes of messages; None, the default, not at all.
        server: The same for the server's end.

    Returns:
        The client's end and the server's; either ends with the other.

    Raises:
        RuntimeError: No event loop is running.
    """
    to_server, to_client = _Pipe(), _Pipe()
    return (
        MemoryTransport("the server in memory", to_client, to_server, client),
        MemoryTransport("the client in memory", to_server, to_client, server),
    )
