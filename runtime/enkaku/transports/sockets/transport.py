"""The socket transport: Unix sockets and TCP, with or without TLS, over an asyncio transport.

Reading: on asyncio, all connections of an event loop read into one shared buffer (``BufferedProtocol``), since asyncio's plain
``Protocol`` allocates 256 KiB for every read. uvloop has such a buffer itself, so there the transport receives bytes. Nothing is
delivered before ``start``; bytes that an event loop reads earlier are kept in ``_early_data``.

Writing: ``CoalescingWriter`` buffers messages, ``_send_messages`` passes them on to asyncio, and asyncio reports its
high-water mark by ``pause_writing`` and ``resume_writing``.

Ending: a transport moves forward through the states of ``State``, as ``TRANSITIONS`` allows. ``close`` sends the end (with TLS,
its close_notify first) and keeps reading until the peer ends too: a socket that is closed with unread bytes is reset, and the
peer may lose the last messages. ``abort`` and every error skip that.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from typing import Final, NamedTuple, TypeAlias, cast
from weakref import WeakKeyDictionary

from enkaku.errors import ConnectionLost
from enkaku.transports.base import Certificate, PeerCredentials, PeerInfo, Receiver
from enkaku.transports.coalescing import CoalescingWriter
from enkaku.transports.heap import keep_heap
from enkaku.transports.lines import Framing, Lines
from enkaku.transports.write_queue import WriteQueue

from .fork import close_in_children
from .options import describe_address, peer_credentials, set_keepalive
from .tls import Tls

__all__ = ["OnOpen", "ReadBuffer", "SocketTransport", "State", "shared_buffer"]


class State(Enum):
    """State of a connection; no state is entered twice."""

    CONNECTING = auto()  # no socket yet
    HANDSHAKE = auto()  # TLS handshake
    OPEN = auto()  # reads and writes
    ENDING = auto()  # half-closed: this side has sent its end, and reads until the peer's
    ENDED = auto()  # neither reads nor accepts writes; asyncio may still send earlier ones
    LOST = auto()  # the socket is closed


TRANSITIONS: Final[Mapping[State, frozenset[State]]] = {
    State.CONNECTING: frozenset({State.HANDSHAKE, State.OPEN, State.ENDED}),
    State.HANDSHAKE: frozenset({State.OPEN, State.ENDED, State.LOST}),
    State.OPEN: frozenset({State.ENDING, State.ENDED, State.LOST}),
    State.ENDING: frozenset({State.ENDED, State.LOST}),
    State.ENDED: frozenset({State.LOST}),
    State.LOST: frozenset(),
}
_OPEN: Final = State.OPEN  # a module global: attribute lookup on an enum is slow before Python 3.12
_READING: Final = (State.OPEN, State.ENDING)
_CLOSED: Final = (State.ENDED, State.LOST)


_UNCONNECTED: Final = "an unconnected peer"
_READ_SIZE: Final = 256 * 1024  # bytes, the size of asyncio's own reads
_LONG_READ: Final = 4096  # bytes, from which lines are copied out of the buffer one by one

_buffers: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, "ReadBuffer"]] = WeakKeyDictionary()


class ReadBuffer(NamedTuple):
    """The read buffer of an event loop.

    Attributes:
        whole: Its bytes.
        view: A view of them, which makes parts without copying.
    """

    whole: bytearray
    view: memoryview


def shared_buffer(loop: asyncio.AbstractEventLoop) -> ReadBuffer:
    """Return the read buffer of an event loop.

    All its sockets can share one: ``buffer_updated`` copies the bytes before another socket can be read.
    """
    buffer = _buffers.get(loop)
    if buffer is None:
        keep_heap()
        whole = bytearray(_READ_SIZE)
        buffer = _buffers[loop] = ReadBuffer(whole, memoryview(whole))
    return buffer


_TLS_REPLIES_MAX: Final = 64 * 1024  # unread bytes of TLS itself, such as replies to key updates


class SocketTransport(PeerInfo, CoalescingWriter, asyncio.Protocol, asyncio.BufferedProtocol):
    """Adapts an asyncio transport to the ``Transport`` interface.

    It implements both protocol interfaces of asyncio. asyncio prefers ``BufferedProtocol`` and reads into the shared buffer;
    uvloop passes bytes to ``data_received``.

    Args:
        on_open: Called once: with None when the connection is open, after the TLS handshake; or with the error that
            ended the connection before. Bytes that the peer sends before ``start`` are not lost.
        peer: The other end, for log lines and error messages; None for its address.
        tls: This side of a TLS connection; None for no TLS.
        keepalive: TCP keepalive: after how many seconds without a response the connection is lost; None leaves it to the
            operating system.
        framing: How bytes are split into messages.

    Attributes:
        writable: Whether ``drain`` would return at once.
    """

    __slots__ = (
        "_buffer",
        "_direct",
        "_early_data",
        "_error",
        "_framing",
        "_keepalive",
        "_lost",
        "_message_left",
        "_message_time",
        "_message_timer",
        "_on_open",
        "_reading_paused",
        "_receiver",
        "_state",
        "_tls",
        "_tls_replies",
        "_transport",
        "_unfinished",
        "_view",
        "_write_queue",
        "_written",
        "certificate",
        "credentials",
        "peer",
        "writable",
    )

    def __init__(
        self,
        on_open: "OnOpen",
        *,
        peer: str | None = None,
        tls: Tls | None = None,
        keepalive: float | None = None,
        framing: type[Framing] = Lines,
    ) -> None:
        super().__init__(asyncio.get_running_loop(), framing.terminator)
        self._on_open: OnOpen | None = on_open
        self.peer = peer or _UNCONNECTED
        self.credentials: PeerCredentials | None = None
        self.certificate: Certificate | None = None
        self._tls = tls
        self._keepalive = keepalive
        self._framing: Framing = framing(0)
        self._state = State.CONNECTING
        self._error: Exception | None = None
        self._tls_replies = 0
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._written = 0  # bytes, while not writable
        self.writable = False
        self._buffer, self._view = shared_buffer(self._loop)
        self._write_queue = WriteQueue(self)
        self._receiver: Receiver | None = None
        self._direct: Receiver | None = None  # gets what is read at once; see _update_direct()
        self._reading_paused = False
        self._early_data = b""
        self._unfinished = 0  # bytes of a message, as the receiver knows
        self._message_time: float | None = None
        self._message_left = 0.0  # seconds of it, when reading was paused
        self._message_timer: asyncio.TimerHandle | None = None

    @property
    def buffered(self) -> int:
        """How many written bytes the operating system has not accepted yet."""
        return self._pending_size + self._transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio's protocol."""
        # asyncio passes a full Transport to stream protocols; only the signature is wider.
        self._transport = cast(asyncio.Transport, transport)
        if self._state is State.ENDED:  # aborted before there was a socket
            self._transport.abort()
            return
        self._inspect_socket()
        close_in_children(self)
        if self._tls is None:
            self._open()
        else:
            self._enter(State.HANDSHAKE)
            self._continue_handshake(self._tls)

    def descriptors(self) -> Iterable[int]:
        """Return the descriptor of its socket, while that is open."""
        if self._state in (State.CONNECTING, State.LOST):
            return ()
        return (self._transport.get_extra_info("socket").fileno(),)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 # the buffer fits any hint
        """Part of asyncio's protocol."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Part of asyncio's protocol."""
        # The body of data_received(), repeated: one call fewer for each read.
        self._replying = self._alone
        receiver = self._direct
        if receiver is None:
            self._on_unusual_data(self._view[:nbytes].tobytes())
            return
        framing = self._framing
        if nbytes < _LONG_READ:
            receiver.messages_received(framing.split(self._view[:nbytes].tobytes()))
        else:
            receiver.messages_received(framing.split_buffer(self._buffer, nbytes))
        if framing.changed:
            self._on_unfinished(receiver)

    def data_received(self, data: bytes) -> None:
        """Part of asyncio's protocol."""
        self._replying = self._alone
        receiver = self._direct
        if receiver is None:
            self._on_unusual_data(data)
            return
        framing = self._framing
        receiver.messages_received(framing.split(data))
        if framing.changed:
            self._on_unfinished(receiver)

    def _update_direct(self) -> None:
        """Let the receiver get what is read at once; not while reading is paused or earlier data waits, nor with TLS."""
        delayed = self._reading_paused or self._early_data or self._tls is not None
        self._direct = None if delayed else self._receiver

    def _on_unusual_data(self, data: bytes) -> None:
        """Handle data over TLS, before ``start``, or while reading is paused."""
        if self._tls is not None:
            self._tls.feed(data)
            if self._state is State.HANDSHAKE:
                self._continue_handshake(self._tls)
            elif self._reading_paused:
                self._transport.pause_reading()
            else:
                self._read_tls(self._tls)
        elif self._reading_paused or self._early_data:
            # uvloop starts to read after connection_made, even if that has paused reading.
            self._early_data += data
            if self._reading_paused:
                self._transport.pause_reading()

    def eof_received(self) -> None:
        """Part of asyncio's protocol, which closes the transport after this."""
        if self._state is State.HANDSHAKE:
            self._fail(
                ConnectionResetError("the peer ended the connection during the TLS handshake")
            )
            return
        self._flush()
        if self._enter(State.ENDED):
            # Before asyncio reports the loss, so that no handler writes to a closing transport.
            self._report_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio's protocol."""
        if (
            exc is not None
        ):  # its traceback leads here: a cycle that only the garbage collector would free
            exc.with_traceback(None)
        self._error = self._error or exc
        self._enter(State.LOST)
        self._discard()
        self._lost.set_result(None)
        self._write_queue.release_all()
        self._report_lost(self._error)
        self._report_open(
            self._error or ConnectionResetError("the peer ended the connection before it was open")
        )

    def pause_writing(self) -> None:
        """Part of asyncio's protocol."""
        self._write_queue.mark_full()
        self.writable = False

    def resume_writing(self) -> None:
        """Part of asyncio's protocol."""
        self.writable = self._state is State.OPEN
        self._write_queue.mark_writable()

    def start(
        self,
        receiver: Receiver,
        *,
        message_size: int,
        message_time: float | None = None,
        unread_time: float | None = None,
    ) -> None:
        """Start to deliver messages."""
        self._framing = type(self._framing)(message_size)
        self._message_time = message_time
        self._message_left = message_time or 0.0
        self._write_queue.unread_time = unread_time
        if self._current_state() in _CLOSED:
            if self._early_data:
                self._loop.call_soon(self._deliver, receiver, self._early_data)
            self._loop.call_soon(receiver.connection_lost, self._error)
            return
        self._receiver = receiver
        self._update_direct()
        self.resume_reading()

    def deliver_to(self, receiver: Receiver) -> None:
        """Deliver to another receiver from now on."""
        if self._receiver is not None:
            self._receiver = receiver
            self._update_direct()

    async def drain(self) -> None:
        """Wait until this end is writable; concurrent writers continue in the order of their calls.

        Raises:
            ConnectionLost: The connection has ended.
        """
        await self._write_queue.wait()
        if self._current_state() in _CLOSED:
            await asyncio.shield(self._lost)
            raise ConnectionLost(f"the connection to {self.peer} has ended") from self._error

    def pause_reading(self) -> None:
        """Deliver nothing until ``resume_reading``. No effect while this end closes: it needs the peer's end."""
        if self._current_state() is State.OPEN:
            self._pause_reading()

    def resume_reading(self) -> None:
        """Deliver again; no effect before ``start``."""
        if self._receiver is None or self._current_state() not in _READING:
            return
        self._resume_reading()

    async def close(self, *, within: float) -> None:
        """Send what was written, then the end; wait for the peer's end, and abort after a timeout."""
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
        """End at once, in any state."""
        if self._state not in (State.CONNECTING, State.LOST):
            self._transport.abort()
        self._discard()
        self._enter(State.ENDED)

    def _inspect_socket(self) -> None:
        sock = self._transport.get_extra_info("socket")
        if self.peer is _UNCONNECTED:
            self.peer = describe_address(self._transport.get_extra_info("peername"))
        self.credentials = peer_credentials(sock)
        if self._keepalive is not None:
            set_keepalive(sock, self._keepalive)

    def _open(self) -> None:
        self._enter(State.OPEN)
        self._pause_reading()  # until start()
        self._report_open(None)

    def _pause_reading(self) -> None:
        self._reading_paused = True
        self._direct = None
        if self._message_timer is not None:  # the peer cannot send
            self._message_left = max(self._message_timer.when() - self._loop.time(), 0.0)
            self._stop_message_timer()
        self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            self._update_direct()
            self._start_message_timer()
            self._transport.resume_reading()
            # TLS may have buffered data that arrived with the last bytes of the handshake.
            if self._tls is not None or self._early_data:
                self._loop.call_soon(self._read_buffered)

    def _deliver(self, receiver: Receiver, data: bytes) -> None:
        framing = self._framing
        receiver.messages_received(framing.split(data))
        if framing.changed:
            self._on_unfinished(receiver)

    def _on_unfinished(self, receiver: Receiver) -> None:
        framing = self._framing
        framing.changed = False
        if self._current_state() in _CLOSED:
            return
        if framing.violation:
            self._fail(ConnectionAbortedError(framing.violation))
        else:
            if framing.unfinished < self._unfinished:  # it is another message
                self._stop_message_timer()
                self._message_left = self._message_time or 0.0
            self._unfinished = framing.unfinished
            self._start_message_timer()
            receiver.message_growing(framing.unfinished)

    def _start_message_timer(self) -> None:
        if self._unfinished and self._message_timer is None and self._message_time is not None:
            self._message_timer = self._loop.call_later(self._message_left, self._on_message_time)

    def _stop_message_timer(self) -> None:
        if self._message_timer is not None:
            self._message_timer.cancel()
            self._message_timer = None

    def _on_message_time(self) -> None:
        self._message_timer = None
        self._fail(
            TimeoutError(f"the peer took more than {self._message_time:g} s to send a message")
        )

    def _send_messages(self, data: bytes) -> None:
        if self._state is not _OPEN or self._transport.is_closing():
            return
        if self._tls is None:
            if not self.writable:
                self._written += len(data)
            self._transport.write(data)
            return
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            self._fail(error)
        else:
            self._send(self._tls.take_outgoing())

    def count_sent(self) -> int:
        """Return the number of bytes that the operating system has accepted while it was not writable."""
        return self._written - self._transport.get_write_buffer_size()

    def on_write_timeout(self, error: Exception) -> None:
        """End at once: the peer reads nothing."""
        self._fail(error)

    def _send(self, data: bytes) -> None:
        if not self.writable:
            self._written += len(data)
        self._transport.write(data)

    def _report_open(self, error: Exception | None) -> None:
        on_open, self._on_open = self._on_open, None
        if on_open is not None:
            on_open(self, error)

    def _continue_handshake(self, tls: Tls) -> None:
        try:
            done = tls.continue_handshake()
        except ssl.SSLError as error:
            self._fail(error)
            return
        self._send(tls.take_outgoing())
        if not done:
            return
        try:
            self.certificate = tls.certificate
        except ValueError as failed:
            self._fail(ConnectionAbortedError(f"the peer's certificate cannot be read: {failed}"))
        else:
            self._open()

    def _read_buffered(self) -> None:
        if self._state is State.LOST or self._reading_paused:
            return
        if self._tls is not None:
            self._read_tls(self._tls)
        else:
            self._deliver_early_data()

    def _read_tls(self, tls: Tls) -> None:
        data, error = tls.read()
        if data and self._receiver is not None:
            self._deliver(self._receiver, data)
        if error is not None:
            self._fail(error)
        elif tls.ended:
            self._on_tls_end(tls)
        elif (reply := tls.take_outgoing()) and self._current_state() is State.OPEN:
            self._send_tls_reply(reply)

    def _send_tls_reply(self, reply: bytes) -> None:
        """Send a reply of TLS itself, such as to a key update; bounded, since it bypasses ``writable``."""
        self._send(reply)
        self._tls_replies = 0 if self._write_queue.writable else self._tls_replies + len(reply)
        if self._tls_replies > _TLS_REPLIES_MAX:
            self._fail(ConnectionAbortedError("the peer sends TLS key updates, but reads nothing"))

    def _on_tls_end(self, tls: Tls) -> None:
        must_reply = self._state is State.OPEN
        self._flush()
        if self._enter(State.ENDED):
            self._report_lost(None)
            if must_reply:
                tls.end()
                self._send(tls.take_outgoing())
            self._transport.close()  # asyncio sends what was written first

    def _end_writing(self) -> None:
        if self._current_state() in (State.CONNECTING, State.HANDSHAKE):
            self.abort()
            return
        self._flush()
        if self._enter(State.ENDING):
            # The kernel resets a socket that is closed with unread bytes, and the peer may lose the
            # last messages: so read until the peer's end arrives.
            self._resume_reading()
            if self._tls is not None:
                self._tls.end()
                self._send(self._tls.take_outgoing())
            try:
                self._transport.write_eof()
            except OSError:  # reset, but asyncio has not noticed yet
                self._fail(ConnectionResetError("the peer reset the connection"))

    def _fail(self, error: Exception) -> None:
        """End at once with an error; with TLS, send the peer its alert first."""
        self._error = error
        if self._tls is not None and self._state in (State.HANDSHAKE, State.OPEN):
            self._send(self._tls.take_outgoing())
        self.abort()

    def _deliver_early_data(self) -> None:
        if self._early_data and self._receiver is not None:
            data, self._early_data = self._early_data, b""
            self._update_direct()
            self._deliver(self._receiver, data)

    def _report_lost(self, error: Exception | None) -> None:
        self._deliver_early_data()
        self._stop_message_timer()
        # An unfinished message goes now, and not when the garbage collector frees this transport.
        self._framing, self._early_data = type(self._framing)(0), b""
        receiver, self._receiver = self._receiver, None
        self._direct = None
        if receiver is not None:
            receiver.connection_lost(error)

    def _current_state(self) -> State:
        """Return the state; after a failed write, asyncio is closing but reports it one iteration later."""
        if self._state not in (State.CONNECTING, *_CLOSED) and self._transport.is_closing():
            self._enter(State.ENDED)
        return self._state

    def _enter(self, state: State) -> bool:
        """Enter a state, and return whether ``TRANSITIONS`` allows it; if not, nothing changes."""
        allowed = state in TRANSITIONS[self._state]
        if allowed:
            self._state = state
            self.writable = state is State.OPEN and self._write_queue.writable
        return allowed


OnOpen: TypeAlias = Callable[[SocketTransport, Exception | None], None]
"""Called when a transport is open, or with the error that prevented it."""
