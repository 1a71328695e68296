"""The transport interface: an ordered, reliable, bidirectional connection that carries messages.

A message is the encoded bytes of one JSON text; each transport frames messages in its own way. Flow control has two
halves. To write, a session checks ``writable`` and waits in ``drain()`` while the write buffer is above its high-water mark.
To read, it pauses and resumes the transport. A transport owns no call: it reports messages and its end to one ``Receiver``.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeAlias, final

from enkaku.errors import EnkakuError
from enkaku.wire.metadata import METADATA_MAX

from .request import HttpRequest

__all__ = [
    "HEAD_SIZE",
    "Certificate",
    "Dial",
    "Listening",
    "Oversized",
    "PausesReading",
    "PeerCredentials",
    "PeerInfo",
    "Receiver",
    "SeparateCalls",
    "Transport",
]


@dataclass(frozen=True, slots=True)
class PeerCredentials:
    """The process at the other end of a Unix socket, as the kernel reports it; the peer cannot forge it.

    The kernel records the credentials when the client connects, or when the server begins to listen. Base decisions on the
    user and the group: the process may have passed its socket on, or have exited, and its id may have been reused.

    Attributes:
        pid: Process id; 0 if this process cannot see the other one, as from inside a container.
        uid: Its effective user id.
        gid: Its effective group id.
    """

    pid: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """A TLS certificate that was verified: an authority that this program trusts has signed it, and it was valid then.

    Attributes:
        subject: Whose it is, as RFC 4514 writes it: ``"CN=alice,O=Example"``.
        issuer: The authority that has signed it, in the same form.
        sans: Its alternative names, with their kinds: ``"DNS:alice.example"``, ``"URI:spiffe://example/alice"``,
            ``"email:alice@example.org"``, ``"IP:192.0.2.1"``. Names of other kinds are left out.
        fingerprint: SHA-256 of its DER form, in lower-case hexadecimal digits.
        not_before: The second since the epoch from which it is valid.
        not_after: The second since the epoch until which it is valid.
    """

    subject: str
    issuer: str
    sans: tuple[str, ...]
    fingerprint: str
    not_before: float
    not_after: float


HEAD_SIZE: Final = 4096 + METADATA_MAX
"""How many bytes of a message that is too large are kept: enough to read which call it belongs to."""


@final
class Oversized(NamedTuple):
    """The head of a message over the size limit, from which the id of its call can be read. The rest was discarded.

    Attributes:
        head: At most its first ``HEAD_SIZE`` bytes.
    """

    head: bytes


class Receiver(Protocol):
    """Receives what a transport delivers: a client's or a server's session. Its methods return at once and never raise."""

    def messages_received(self, batch: Sequence[bytes | Oversized]) -> None:
        """Handle the messages of one read, in order; none if the read completed no message."""

    def message_growing(self, size: int) -> None:
        """Handle that a message is incomplete.

        Args:
            size: How many bytes of it were received, if they are more than 4 KiB. 0 once it is complete.
        """

    def connection_lost(self, error: Exception | None) -> None:
        """Handle the end; the last call of a transport.

        Args:
            error: None if the peer, or this side, ended the connection.
        """


class PausesReading(Protocol):
    """What is read, or not: a transport, or one half of an end that shares it."""

    def pause_reading(self) -> None:
        """Deliver nothing until ``resume_reading``; may be repeated."""

    def resume_reading(self) -> None:
        """Deliver again; may be repeated."""


class Transport(PausesReading, Protocol):
    """An ordered, reliable, bidirectional connection that carries messages.

    A message is the encoded bytes of one JSON text. The transport chooses the framing.
    """

    @property
    def peer(self) -> str:
        """The other end, for log lines and error messages."""
        ...

    @property
    def credentials(self) -> PeerCredentials | None:
        """The process at the other end of a Unix socket; None for TCP, or if the operating system does not report it."""
        ...

    @property
    def certificate(self) -> Certificate | None:
        """The verified TLS certificate of the other end; None without one."""
        ...

    @property
    def request(self) -> HttpRequest | None:
        """The HTTP request by which the client has reached this server; None without HTTP."""
        ...

    @property
    def buffered(self) -> int:
        """How many written bytes have not been sent yet."""
        ...

    @property
    def writable(self) -> bool:
        """Whether the write buffer is below its high-water mark, so that ``drain`` would return at once."""
        ...

    def start(
        self,
        receiver: Receiver,
        *,
        message_size: int,
        message_time: float | None = None,
        unread_time: float | None = None,
    ) -> None:
        """Start to deliver messages; called once, and before ``close``.

        Args:
            receiver: Receives the messages.
            message_size: The size limit of a message, in bytes. A longer one is discarded as it arrives, and delivered as
                ``Oversized``. One that exceeds four times the limit ends the connection.
            message_time: How many seconds the peer may take to send a message of more than 4 KiB, while this end reads; then
                the connection ends with an error. None means no timeout.
            unread_time: Write timeout: for how many seconds the peer may read nothing while this end is not writable; then
                the connection ends with an error. None means no timeout.
        """

    def deliver_to(self, receiver: Receiver) -> None:
        """Deliver to another receiver from now on; after the end, do nothing."""

    def write(self, message: bytes) -> None:
        """Send a message without waiting; after the connection is lost, it is dropped.

        All writes of one event-loop iteration may be coalesced.
        """

    def write_all(self, messages: Sequence[bytes]) -> None:
        """Send several messages, as ``write`` does."""

    async def drain(self) -> None:
        """Wait until this end is writable; concurrent writers continue in the order of their calls.

        Raises:
            ConnectionLost: The connection has ended.
        """

    async def close(self, *, within: float) -> None:
        """Send what was written, then the end; wait for the peer's end, and abort after ``within`` seconds."""

    def abort(self) -> None:
        """End at once; written bytes that were not sent are lost."""


class PeerInfo:
    """Base of transports: what is known of the other end, which by default is nothing but its name.

    Attributes:
        peer: The other end, for log lines and error messages.
        credentials: The process at the other end of a Unix socket; None if it is not known.
        certificate: The verified TLS certificate of the other end; None without one.
        request: The HTTP request by which the client has reached this server; None without HTTP.
    """

    __slots__ = ()

    peer: str
    credentials: PeerCredentials | None = None
    certificate: Certificate | None = None
    request: HttpRequest | None = None


class SeparateCalls(ABC):
    """A client's transport that carries each call by itself, so that one call can be lost alone.

    Which extensions the server supports is known when it is open, so that no message needs to say it.

    Args:
        call_prefix: With what the ids of calls begin. All clients of a server may share one set of ids.
        flow_control: Whether the server supports flow control.

    Attributes:
        fail_call: Ends a call with an error, by its id; does nothing if it has ended. The session sets it.
        sign: Signs a message when it is sent, since it may wait until then; None if the client signs nothing. The session
            sets it.
    """

    def __init__(self, *, call_prefix: str, flow_control: bool) -> None:
        self.call_prefix: Final = call_prefix
        self.flow_control: Final = flow_control
        self.fail_call: Callable[[str, EnkakuError], None] = _ignore
        self.sign: Callable[[bytes], bytes] | None = None

    @abstractmethod
    def accept_calls(self, opening: bytes, on_change: Callable[[bool], None]) -> None:
        """Let the server call this client; called once, after ``start``.

        Calls from the server need a connection that the client keeps open. It may be lost alone, and is opened again.

        Args:
            opening: The message that opens a connection; the transport adds that the client can be called.
            on_change: Called with True when such a connection is open, and with False when it was lost.
        """

    @abstractmethod
    async def post(self, message: bytes) -> None:
        """Send an event, and wait until the server has taken it.

        Raises:
            CallError: The server did not take it.
            ConnectionLost: Whether it arrived is unknown.
        """


def _ignore(rid: str, error: EnkakuError) -> None:
    """Do nothing: no session has started the transport."""


class Listening(Protocol):
    """A source of new connections for a server."""

    def close(self) -> None:
        """Stop accepting connections, and drop those that are not open yet."""


Dial: TypeAlias = Callable[[], Awaitable[Transport]]
"""Opens a new connection at each call: returns an open transport, which delivers nothing before its ``start``.

It raises ConnectFailed if no server answers.
"""
