"""Calls both ways on one connection: its two halves, and which of them each message belongs to.

An end of a connection has a half that makes calls, and a half that serves calls: a client's session and a server's session,
each as if it were alone. A connection begins with the one half that every end has: at the client the one that makes calls, at the
server the one that serves them. It is the *owner* of the transport. Where calls go the other way, too, the transport delivers
to ``Halves``, which passes each message on by its type. The second half is the *guest*. Its transport is a ``Half``, which writes to
the same transport and never closes it. A connection without a second half has no ``Halves``, which so cost it nothing.

*Reading* is paused by each half for its own reasons, and neither may stop the other:

- The half that makes calls need not pause. What comes to it is bounded without that: by the windows of its calls, and one reply
  for each. Only while many messages of one read are handled in slices of time does it pause the transport.
- The half that serves calls pauses while its queues or the memory are full, or the replies that it has written are not read. Then a
  reply to the other half may be behind requests. So reading goes on, and requests wait here, until they are ``most`` bytes. Then the
  transport is paused after all, as without a second half, and the limits of that pause hold (``Limits.stall``, ``unread_time``).
  They do not count as memory, since they may wait for memory themselves; ``server/capacity`` says more of that.

Two ends that both wait for the other to read would wait for ever. So only the server stops reading when its replies are not read. The
client reads on: it trusts its server, whose unread requests and replies end with its own pause.

*The end* of the transport is the end of both halves. When the owner closes the transport, it ends the guest first.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, Protocol

from enkaku.errors import ConnectionLost
from enkaku.flow.fairness import CHUNK, TimeSlices
from enkaku.transports.base import (
    Certificate,
    Oversized,
    PausesReading,
    PeerCredentials,
    Receiver,
    Transport,
)
from enkaku.transports.request import HttpRequest
from enkaku.wire.messages import is_for_caller

from .info import ConnectionInfo

__all__ = ["Half", "Halves", "ServerEnd"]

_MESSAGE: Final = 64  # bytes of memory that a message takes while it waits, besides its own


class ServerEnd(Protocol):
    """The session of a server, for which another one calls its client."""

    @property
    def info(self) -> ConnectionInfo:
        """The connection, as observers and handlers see it."""
        ...

    @property
    def callable(self) -> bool | None:
        """Whether the client can be called; None until its first message has shown that."""
        ...

    async def first_message(self) -> None:
        """Wait for the client's first message, the end of the connection, or ``stop_waiting``."""

    def stop_waiting(self) -> None:
        """Let those go on who wait for the client's first message."""

    def share(self) -> "Halves":
        """Share the transport."""
        ...


class _Reading:
    """Pauses and resumes the reading of a transport, for one half.

    Args:
        on_change: Called when ``paused`` has changed.

    Attributes:
        paused: Whether the half wants no messages.
    """

    __slots__ = ("_on_change", "paused")

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.paused = False
        self._on_change: Final = on_change

    def pause_reading(self) -> None:
        """Deliver nothing to this half until ``resume_reading``."""
        if not self.paused:
            self.paused = True
            self._on_change()

    def resume_reading(self) -> None:
        """Deliver again."""
        if self.paused:
            self.paused = False
            self._on_change()


class Halves:
    """Receives what a transport delivers, for both halves of an end.

    Args:
        transport: Carries the messages; started by its owner already.
        owner: The half that every end has.
        read_by: Lets the owner pause and resume reading by another object than the transport.
        at_server: Whether this is the server's end, whose owner serves calls.
        most: How many bytes of messages may wait while the half that serves calls is paused.

    Attributes:
        guest: The transport of the second half. Over HTTP, a client may have one after the other.
        paused: Whether the transport is not read.
        list_made: Returns, for each open call of the server to its client, a future that is done when the call has ended.
    """

    def __init__(
        self,
        transport: Transport,
        owner: Receiver,
        read_by: Callable[[PausesReading], None],
        *,
        at_server: bool,
        most: int,
    ) -> None:
        self.guest = Half(transport, self._update, self._on_guest_end)
        self._transport: Final = transport
        self._reading: Final = _Reading(self._update)  # of the owner
        self._read_by: Final = read_by
        self._begun = False
        self._owner: Final = owner
        self._at_server: Final = at_server
        self._most: Final = most
        self._waiting: list[bytes | Oversized] = []  # of the half that serves calls
        self._waiting_size = 0
        self._delivers = False  # in the next iteration of the event loop, what waits
        self._slices = TimeSlices(self)
        self.paused = False
        self.list_made: Callable[[], Collection[asyncio.Future[Any]]] = tuple

    def begin(self) -> None:
        """Receive what the transport delivers from now on."""
        self._begun = True
        self._read_by(self._reading)
        self._transport.deliver_to(self)

    def messages_received(self, batch: Sequence[bytes | Oversized]) -> None:
        """Pass messages on: now, or many of them in slices of time."""
        if len(batch) > CHUNK or self._slices.waiting:
            self._slices.add(batch)
            return
        at_server = self._at_server
        to_caller: list[bytes | Oversized] = []
        others: list[bytes | Oversized] = []
        for raw in batch:
            head = raw.head if type(raw) is Oversized else raw
            (to_caller if is_for_caller(head, at_server=at_server) else others).append(raw)
        calling = self.guest.receiver if at_server else self._owner
        # Without a message, too: whatever comes shows both halves that the peer is alive.
        if calling is not None:
            calling.messages_received(to_caller)
        if self._serving.paused or self._waiting:
            self._wait(others)
        else:
            self._serve(others)

    def message_growing(self, size: int) -> None:
        """Count an incomplete message for the half that serves calls; the other one needs no count."""
        serving = self._owner if self._at_server else self.guest.receiver
        if serving is not None:
            serving.message_growing(size)

    def on_slices(self) -> None:
        """Handle that messages wait for a slice of time, or no longer."""
        self._update()

    def connection_lost(self, error: Exception | None) -> None:
        """End both halves, once what was read before is handled."""
        if self._slices.waiting:
            self._slices.end(lambda: self.connection_lost(error))
            return
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._serve(waiting)
        if self._at_server:
            self.end_guest(error)
            self._owner.connection_lost(error)
        else:
            self._owner.connection_lost(error)
            self.end_guest(error)

    def end_guest(self, error: Exception | None) -> None:
        """End the second half; the transport goes on."""
        self.guest.end(error)

    def replace_guest(self) -> "Half":
        """Return the transport of another second half, after the end of the last one."""
        self.guest = Half(self._transport, self._update, self._on_guest_end)
        return self.guest

    def _on_guest_end(self) -> None:
        if not self._at_server:
            self._waiting, self._waiting_size = [], 0
        self._update()

    @property
    def _calling(self) -> _Reading:
        return self.guest.reading if self._at_server else self._reading

    @property
    def _serving(self) -> _Reading:
        return self._reading if self._at_server else self.guest.reading

    def _serve(self, messages: Sequence[bytes | Oversized]) -> None:
        serving = self._owner if self._at_server else self.guest.receiver
        if serving is not None:
            serving.messages_received(messages)

    def _wait(self, messages: Sequence[bytes | Oversized]) -> None:
        self._waiting += messages
        self._waiting_size += sum(map(_size_of, messages))
        self._update()

    def _update(self) -> None:
        """Pause or resume the transport; deliver what waits."""
        if not self._begun:
            return
        full = self._serving.paused and self._waiting_size > self._most
        self.paused = self._slices.waiting or self._calling.paused or full
        if self.paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
        if self._waiting and not self._serving.paused and not self._delivers:
            # Not now: the half may be handling the messages before these.
            self._delivers = True
            asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        self._delivers = False
        if not self._serving.paused:
            waiting, self._waiting, self._waiting_size = self._waiting, [], 0
            self._serve(waiting)
            self._update()


class Half:
    """The transport of the second half of an end; see ``Transport`` for what each method does.

    Args:
        transport: Carries the messages of both halves.
        on_reading: Called when reading was paused or resumed.
        on_end: Called when it has ended.

    Attributes:
        receiver: The half; None before it has started, and after its end.
        reading: Pauses reading for this half.
    """

    def __init__(
        self, transport: Transport, on_reading: Callable[[], None], on_end: Callable[[], None]
    ) -> None:
        self.receiver: Receiver | None = None
        self.reading: Final = _Reading(on_reading)
        self._ended = False
        self._on_end: Final = on_end
        self._transport: Final = transport
        self.pause_reading: Final = self.reading.pause_reading
        self.resume_reading: Final = self.reading.resume_reading

    @property
    def peer(self) -> str:
        """The other end."""
        return self._transport.peer

    @property
    def credentials(self) -> PeerCredentials | None:
        """The process at the other end."""
        return self._transport.credentials

    @property
    def certificate(self) -> Certificate | None:
        """The verified TLS certificate of the other end."""
        return self._transport.certificate

    @property
    def request(self) -> HttpRequest | None:
        """The HTTP request by which the client has reached this server."""
        return self._transport.request

    @property
    def buffered(self) -> int:
        """How many written bytes of both halves have not been sent yet."""
        return self._transport.buffered

    @property
    def writable(self) -> bool:
        """Whether ``drain`` would return at once."""
        return self.receiver is not None and self._transport.writable

    def start(
        self,
        receiver: Receiver,
        *,
        message_size: int,
        message_time: float | None = None,
        unread_time: float | None = None,
    ) -> None:
        """Receive what belongs to this half. The limits are those with which the owner has started the transport."""
        del message_size, message_time, unread_time
        if self._ended:
            asyncio.get_running_loop().call_soon(receiver.connection_lost, None)
        else:
            self.receiver = receiver

    def deliver_to(self, receiver: Receiver) -> None:
        """Deliver to another receiver."""
        self.receiver = receiver

    def write(self, message: bytes) -> None:
        """Send a message; after the end of this half, do nothing."""
        if self.receiver is not None:
            self._transport.write(message)

    def write_all(self, messages: Sequence[bytes]) -> None:
        """Send several messages, as ``write`` does."""
        if self.receiver is not None:
            self._transport.write_all(messages)

    async def drain(self) -> None:
        """Wait until the transport is writable.

        Raises:
            ConnectionLost: It never will be, or this half has ended.
        """
        await self._transport.drain()
        if self.receiver is None:
            raise ConnectionLost(f"the connection to {self.peer} has ended")

    async def close(self, *, within: float) -> None:
        """End this half, once the transport is writable, or after a timeout."""
        try:
            async with asyncio.timeout(within):
                await self._transport.drain()
        except (TimeoutError, ConnectionLost):
            pass
        self.end(None)

    def abort(self) -> None:
        """End the transport, and so both halves, at once."""
        self._transport.abort()

    def end(self, error: Exception | None) -> None:
        """End this half."""
        if self._ended:
            return
        receiver, self.receiver = self.receiver, None
        self._ended = True
        self.reading.resume_reading()
        self._on_end()
        if receiver is not None:
            receiver.connection_lost(error)


def _size_of(message: bytes | Oversized) -> int:
    return len(message.head if type(message) is Oversized else message) + _MESSAGE
