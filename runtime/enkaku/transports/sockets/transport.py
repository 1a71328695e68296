"""The socket transport: Unix sockets and TCP, with or without TLS, over an asyncio transport.

On asyncio it reads into one buffer that all connections of an event loop share (``BufferedProtocol``): asyncio's plain
``Protocol`` allocates 256 KiB for every read. uvloop has such a buffer itself, so there it receives bytes.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Final, TypeAlias, cast
from weakref import WeakKeyDictionary

from enkaku.errors import ConnectionLost
from enkaku.transports.base import PeerCredentials, Receiver
from enkaku.transports.lines import Framing, Lines
from enkaku.transports.write_queue import Room, Unread

from .coalescing import CoalescingWriter
from .options import describe_address, peer_credentials, set_keepalive
from .tls import Tls

__all__ = ["NEXT", "OVER", "READING", "OnSettled", "SocketTransport", "State", "shared_buffer"]


class State(Enum):
    """Where a connection stands; it never goes back."""

    CONNECTING = auto()  # there is no socket yet
    SHAKING = auto()  # TLS: both sides find out whether they trust each other
    OPEN = auto()  # bytes go both ways
    ENDING = (
        auto()
    )  # our end goes out behind what was written; the peer's is awaited, and read on until then
    ENDED = auto()  # nothing is read or taken any more; what was written may still leave
    LOST = auto()  # the socket is closed


NEXT: Final[Mapping[State, frozenset[State]]] = {
    State.CONNECTING: frozenset({State.SHAKING, State.OPEN, State.ENDED}),
    State.SHAKING: frozenset({State.OPEN, State.ENDED, State.LOST}),
    State.OPEN: frozenset({State.ENDING, State.ENDED, State.LOST}),
    State.ENDING: frozenset({State.ENDED, State.LOST}),
    State.ENDED: frozenset({State.LOST}),
    State.LOST: frozenset(),
}
_OPEN: Final = State.OPEN  # looking up the members of an enum is slow before Python 3.12
READING: Final = (State.OPEN, State.ENDING)
OVER: Final = (State.ENDED, State.LOST)


_SIZE: Final = 256 * 1024  # as much as a read of asyncio's takes

_buffers: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, bytearray]] = WeakKeyDictionary()


def shared_buffer(loop: asyncio.AbstractEventLoop) -> bytearray:
    """Return the buffer of an event loop.

    One is enough for all its sockets: what is read is taken out before anything else can run.
    """
    buffer = _buffers.get(loop)
    if buffer is None:
        buffer = _buffers[loop] = bytearray(_SIZE)
    return buffer


_ANSWERS_MAX: Final = 64 * 1024  # bytes of TLS' own that a peer may make this side keep for it


class SocketTransport(CoalescingWriter, asyncio.Protocol, asyncio.BufferedProtocol):
    """An asyncio transport, as the connection and the session see it.

    It is a protocol of both kinds, and each event loop takes the one that is cheaper there: asyncio asks for a buffer, into
    which it reads; uvloop reads into one of its own, and hands out bytes.

    Args:
        on_settled: Called once: with None as soon as bytes can flow, TLS handshake included; or with what ended
            the connection before. Nothing that the peer sends is lost before ``start``: it is not read.
        peer: The other end, for messages to people; None for the address that it comes from.
        tls: This side of a TLS connection; None for none.
        keepalive: After how many seconds without an answer of its system a TCP peer counts as gone; None leaves that to
            the operating system.
        framing: How messages are told apart.

    Attributes:
        has_room: Whether ``drain`` would return at once.
    """

    def __init__(
        self,
        on_settled: "OnSettled",
        *,
        peer: str | None = None,
        tls: Tls | None = None,
        keepalive: float | None = None,
        framing: type[Framing] = Lines,
    ) -> None:
        super().__init__(asyncio.get_running_loop())
        self._on_settled: OnSettled | None = on_settled
        self._peer = peer
        self._tls = tls
        self._keepalive = keepalive
        self._framing: Framing = framing(0)
        self._state = State.CONNECTING
        self._error: Exception | None = None
        self._answers = 0
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._written = 0
        self.has_room = False
        self._buffer = shared_buffer(self._loop)
        self._view = memoryview(self._buffer)
        self._unread = Unread(self._count_left, self._fail)
        self._room = Room(self._unread)
        self._credentials: PeerCredentials | None = None
        self._receiver: Receiver | None = None
        self._held = False
        self._early = b""

    @property
    def peer(self) -> str:
        """The other end, for messages to people."""
        return self._peer or "nobody yet"

    @property
    def credentials(self) -> PeerCredentials | None:
        """Whose process is at the other end of a Unix socket; None for TCP, or where the system does not say."""
        return self._credentials

    @property
    def buffered(self) -> int:
        """How many written bytes the operating system has not taken yet."""
        return self._waiting_size + self._transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio's protocol."""
        # asyncio gives stream protocols such a transport; its signature only says less.
        self._transport = cast(asyncio.Transport, transport)
        if self._state is State.ENDED:  # aborted before there was a socket
            self._transport.abort()
            return
        self._look_at_socket()
        if self._tls is None:
            self._open()
        else:
            self._become(State.SHAKING)
            self._shake_hands(self._tls)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 # any size is asked for
        """Part of asyncio's protocol."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Part of asyncio's protocol."""
        # As data_received(), without another function for each read.
        data = bytes(self._view[:nbytes])
        self._answering = True
        receiver = self._receiver
        if receiver is None or self._held or self._early or self._tls is not None:
            self._on_unusual_data(data)
            return
        framing = self._framing
        receiver.messages_received(framing.split(data))
        if framing.endless:
            self._on_endless()

    def data_received(self, data: bytes) -> None:
        """Part of asyncio's protocol."""
        self._answering = True
        receiver = self._receiver
        if receiver is None or self._held or self._early or self._tls is not None:
            self._on_unusual_data(data)
            return
        framing = self._framing
        receiver.messages_received(framing.split(data))
        if framing.endless:
            self._on_endless()

    def _on_unusual_data(self, data: bytes) -> None:
        """Handle what comes over TLS, before the start, or while nothing is to be delivered."""
        if self._tls is not None:
            self._tls.feed(data)
            if self._state is State.SHAKING:
                self._shake_hands(self._tls)
            elif self._held:
                self._transport.pause_reading()
            else:
                self._read(self._tls)
        elif self._held or self._early:
            # uvloop begins to read when connection_made has returned, whatever was said in there.
            self._early += data
            if self._held:
                self._transport.pause_reading()

    def eof_received(self) -> None:
        """Part of asyncio's protocol, which closes the transport after this."""
        if self._state is State.SHAKING:
            self._fail(
                ConnectionResetError("the peer ended the connection during the TLS handshake")
            )
            return
        self._flush()
        if self._become(State.ENDED):
            # Said at once, so that no handler is surprised by a transport that is closing.
            self._tell(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio's protocol."""
        self._error = self._error or exc
        self._become(State.LOST)
        self._discard()
        self._lost.set_result(None)
        self._room.give_up()
        self._tell(self._error)
        self._settle(self._error or ConnectionResetError("the connection ended at once"))

    def pause_writing(self) -> None:
        """Part of asyncio's protocol."""
        self._room.fill()
        self.has_room = False

    def resume_writing(self) -> None:
        """Part of asyncio's protocol."""
        self.has_room = self._state is State.OPEN
        self._room.clear()

    def start(
        self, receiver: Receiver, *, message_size: int, unread_time: float | None = None
    ) -> None:
        """Begin to deliver."""
        self._framing = type(self._framing)(message_size)
        self._unread.seconds = unread_time
        if self._now() in OVER:
            if self._early:
                self._loop.call_soon(self._deliver, receiver, self._early)
            self._loop.call_soon(receiver.connection_lost, self._error)
            return
        self._receiver = receiver
        self.resume_reading()

    async def drain(self) -> None:
        """Return once there is room for more: at once, or in the order in which it was asked for.

        Raises:
            ConnectionLost: There never will be.
        """
        await self._room.wait()
        if self._now() in OVER:
            await asyncio.shield(self._lost)
            raise ConnectionLost(f"the connection to {self.peer} is gone") from self._error

    def pause_reading(self) -> None:
        """Deliver nothing until told to; while this side ends, read on."""
        if self._now() is State.OPEN:
            self._hold()

    def resume_reading(self) -> None:
        """Deliver again, once started."""
        if self._receiver is None or self._now() not in READING:
            return
        self._let_go()

    async def close(self, *, within: float) -> None:
        """Send what was written, then the end; wait for the peer's end."""
        try:
            async with asyncio.timeout(within):
                self._end_writing()
                await asyncio.shield(self._lost)
        except TimeoutError:
            self.abort()
            await asyncio.shield(self._lost)
        except asyncio.CancelledError:
            self.abort()
            raise

    def abort(self) -> None:
        """End at once, in whatever state."""
        if self._state not in (State.CONNECTING, State.LOST):
            self._transport.abort()
        self._discard()
        self._become(State.ENDED)

    def _look_at_socket(self) -> None:
        sock = self._transport.get_extra_info("socket")
        if self._peer is None:
            self._peer = describe_address(self._transport.get_extra_info("peername"))
        self._credentials = peer_credentials(sock)
        if self._keepalive is not None:
            set_keepalive(sock, self._keepalive)

    def _open(self) -> None:
        self._become(State.OPEN)
        self._hold()  # until the start
        self._settle(None)

    def _hold(self) -> None:
        self._held = True
        self._transport.pause_reading()

    def _let_go(self) -> None:
        if self._held:
            self._held = False
            self._transport.resume_reading()
            # TLS may hold what came with the handshake's last bytes.
            if self._tls is not None or self._early:
                self._loop.call_soon(self._read_on)

    def _deliver(self, receiver: Receiver, data: bytes) -> None:
        framing = self._framing
        receiver.messages_received(framing.split(data))
        if framing.endless:
            self._on_endless()

    def _on_endless(self) -> None:
        if self._now() not in OVER:
            self._fail(ConnectionAbortedError("the peer sent a message without an end"))

    def _flush(self) -> None:
        waiting = self._waiting
        if not waiting:
            return
        self._waiting, self._waiting_size = [], 0
        if self._state is not _OPEN or self._transport.is_closing():
            return
        waiting.append(b"")  # for the last terminator
        data = self._framing.terminator.join(waiting)
        if self._tls is None:
            self._written += len(data)
            self._transport.write(data)
            return
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            self._fail(error)
        else:
            self._put(self._tls.take_outgoing())

    def _count_left(self) -> int:
        return self._written - self._transport.get_write_buffer_size()

    def _put(self, data: bytes) -> None:
        self._written += len(data)
        self._transport.write(data)

    def _settle(self, error: Exception | None) -> None:
        on_settled, self._on_settled = self._on_settled, None
        if on_settled is not None:
            on_settled(self, error)

    def _shake_hands(self, tls: Tls) -> None:
        try:
            done = tls.shake_hands()
        except ssl.SSLError as error:
            self._fail(error)
            return
        self._put(tls.take_outgoing())
        if done:
            self._open()

    def _read_on(self) -> None:
        if self._state is State.LOST or self._held:
            return
        if self._tls is not None:
            self._read(self._tls)
        else:
            self._deliver_early()

    def _read(self, tls: Tls) -> None:
        data, error = tls.read()
        if data and self._receiver is not None:
            self._deliver(self._receiver, data)
        if error is not None:
            self._fail(error)
        elif tls.ended:
            self._take_end(tls)
        elif (answer := tls.take_outgoing()) and self._now() is State.OPEN:
            self._answer(answer)

    def _answer(self, answer: bytes) -> None:
        """Send what TLS itself answers, to new keys; a peer that reads nothing could have us keep any number."""
        self._put(answer)
        self._answers = self._answers + len(answer) if self._room.full else 0
        if self._answers > _ANSWERS_MAX:
            self._fail(ConnectionAbortedError("the peer goes on renewing keys, and reads nothing"))

    def _take_end(self, tls: Tls) -> None:
        unanswered = self._state is State.OPEN
        self._flush()
        if self._become(State.ENDED):
            self._tell(None)
            if unanswered:
                tls.end()
                self._put(tls.take_outgoing())
            self._transport.close()  # behind what was written

    def _end_writing(self) -> None:
        if self._now() in (State.CONNECTING, State.SHAKING):
            self.abort()
            return
        self._flush()
        if self._become(State.ENDING):
            # A socket that is closed with unread bytes in it is reset, and what it wrote last is lost:
            # so read on until the peer has seen the end.
            self._let_go()
            if self._tls is not None:
                self._tls.end()
                self._put(self._tls.take_outgoing())
            try:
                self._transport.write_eof()
            except OSError:  # asyncio has not heard of it yet
                self._fail(ConnectionResetError("the peer reset the connection"))

    def _fail(self, error: Exception) -> None:
        """End at once for a reason, which the peer is told where it can be."""
        self._error = error
        if self._tls is not None and self._state in (State.SHAKING, State.OPEN):
            self._put(self._tls.take_outgoing())
        self.abort()

    def _deliver_early(self) -> None:
        if self._early and self._receiver is not None:
            early, self._early = self._early, b""
            self._deliver(self._receiver, early)

    def _tell(self, error: Exception | None) -> None:
        self._deliver_early()
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.connection_lost(error)

    def _now(self) -> State:
        """Where the connection stands: asyncio closes by itself where it fails, and says so a turn later."""
        if self._state not in (State.CONNECTING, *OVER) and self._transport.is_closing():
            self._become(State.ENDED)
        return self._state

    def _become(self, state: State) -> bool:
        """Go on to a state, and return whether that was possible: no state is entered twice, or again."""
        possible = state in NEXT[self._state]
        if possible:
            self._state = state
            self.has_room = state is State.OPEN and not self._room.full
        return possible


OnSettled: TypeAlias = Callable[[SocketTransport, Exception | None], None]
"""Told that a transport is open, or why it never will be."""
