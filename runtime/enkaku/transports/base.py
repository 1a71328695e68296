"""The interface of transports: an ordered duplex between a client's session and a server's."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

__all__ = ["Dial", "Listening", "PeerCredentials", "Receiver", "Transport"]


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


class Receiver(Protocol):
    """What a transport delivers to: a connection or a session. Its methods return at once and never raise."""

    def data_received(self, data: bytes) -> None:
        """Some bytes came; lines may begin and end anywhere in them."""

    def connection_lost(self, error: Exception | None) -> None:
        """The last call: no further bytes come or go. ``error`` is None if the peer, or this side, ended it."""


class Transport(Protocol):
    """An ordered, reliable duplex of bytes; one for each connection."""

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

    def limit_unread(self, seconds: float | None) -> None:
        """Let the peer read nothing for so long, while there is no room, and then end at once, with an error.

        None, as it is at first, is for ever. Called before ``start``.
        """

    def start(self, receiver: Receiver) -> None:
        """Begin to deliver; called once, and before ``close``."""

    def write(self, data: bytes) -> None:
        """Send some bytes, without waiting; after the connection is lost they are dropped.

        What is written in one turn of the event loop may leave together at its end.
        """

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
