"""The interface of transports: an ordered duplex between a client's session and a server's."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias, final

__all__ = ["Dial", "Listening", "Oversized", "PeerCredentials", "Receiver", "Transport"]


@dataclass(frozen=True, slots=True)
class PeerCredentials:
    """Who is at the other end of a Unix socket, as the operating system says, and not the peer.

    They are those of the moment at which the client connected, or the server began to listen. Decide by the user
    and the group: the process may have handed its socket on, or have ended and left its number to another.

    Attributes:
        pid: The process; 0 where this one cannot see it, as from inside a container.
        uid: Its effective user.
        gid: Its effective group.
    """

    pid: int
    uid: int
    gid: int


@final
class Oversized(NamedTuple):
    """A message over the size limit: its first bytes, enough to read which call it was for. The rest was discarded.

    Attributes:
        head: At most the first 1,024 bytes.
    """

    head: bytes


class Receiver(Protocol):
    """What a transport delivers to: a client's or a server's session. Its methods return at once and never raise."""

    def messages_received(self, batch: Sequence[bytes | Oversized]) -> None:
        """Handle the messages that one read has brought, in their order; none if it was only a part of one."""

    def connection_lost(self, error: Exception | None) -> None:
        """The last call: nothing more comes or goes. ``error`` is None if the peer, or this side, ended the connection."""


class Transport(Protocol):
    """An ordered, reliable duplex of messages; one for each connection.

    A message is the bytes of one JSON text. How messages are told apart on the way is the business of the transport.
    """

    @property
    def peer(self) -> str:
        """The other end, for messages to people."""
        ...

    @property
    def credentials(self) -> PeerCredentials | None:
        """Whose process is at the other end of a Unix socket; None for TCP, or where the system does not say."""
        ...

    @property
    def buffered(self) -> int:
        """How many written bytes have not left yet."""
        ...

    @property
    def has_room(self) -> bool:
        """Whether ``drain`` would return at once."""
        ...

    def start(
        self, receiver: Receiver, *, message_size: int, unread_time: float | None = None
    ) -> None:
        """Begin to deliver; called once, and before ``close``.

        Args:
            receiver: Gets the messages.
            message_size: The longest message that is kept, in bytes; a longer one is discarded while it comes in, and
                delivered as ``Oversized``. One that goes on to four times the size ends the connection.
            unread_time: How long the peer may read nothing while this end is not writable, in seconds; then the
                connection ends with an error. None is without limit.
        """

    def write(self, message: bytes) -> None:
        """Send a message, without waiting; after the connection is lost it is dropped.

        All that is written in one event-loop iteration may leave together at its end.
        """

    def write_all(self, messages: Sequence[bytes]) -> None:
        """Send some messages, as ``write`` does."""

    async def drain(self) -> None:
        """Return once there is room for more: at once, or in the order in which it was asked for.

        Raises:
            ConnectionLost: There never will be.
        """

    def pause_reading(self) -> None:
        """Deliver nothing until told to; may be repeated."""

    def resume_reading(self) -> None:
        """Deliver again; may be repeated."""

    async def close(self, *, within: float) -> None:
        """Send what was written, then the end; wait for the peer's end, or give up after ``within`` seconds."""

    def abort(self) -> None:
        """End at once; what was written and has not left is lost."""


class Listening(Protocol):
    """What brings a server its connections."""

    def close(self) -> None:
        """Take no new connections, and drop those that are not open yet."""


Dial: TypeAlias = Callable[[], Awaitable[Transport]]
"""Connects, each time that it is called: returns a transport that is open and delivers nothing before its ``start``.

It raises ConnectFailed where nobody answers.
"""
