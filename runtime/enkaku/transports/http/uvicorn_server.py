"""An HTTP server: uvicorn's protocols, which turn bytes into events of ASGI, at sockets that Enkaku's listener accepts.

uvicorn's own ``Server`` ends feeds and WebSockets before their calls are answered, handles signals, and changes the logging of
the whole program. So only its protocols for HTTP and WebSocket are used. What they leave open is bounded here: the size of a
request's head and the time it takes, the number of connections, and the end.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import partial
from time import monotonic
from typing import Any, Final, TypeAlias, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from enkaku.transports.asgi import AsgiReceive, AsgiSend, Scope
from enkaku.transports.sockets.options import KEEPALIVE, set_keepalive

__all__ = ["App", "UvicornServer"]

App: TypeAlias = Callable[[Scope, AsgiReceive, AsgiSend], Awaitable[None]]
"""An ASGI 3.0 app."""

logger: Final = logging.getLogger("enkaku.uvicorn")
logger.setLevel(logging.ERROR)  # below are a line for each bad request, and for each WebSocket
# The app breaks off responses that nobody reads, on purpose.
logger.addFilter(lambda record: "without completing response" not in record.msg)

_HEAD_SIZE: Final = 64 * 1024  # bytes of a request's first line and headers
# Seconds from a connection, or from the first byte of a later request; and for the rest of a body that was refused.
_HEAD_TIME: Final = 10.0
_IDLE: Final = 75  # seconds; more than the clients and proxies that keep connections, often for 60
_HANDSHAKE: Final = 10.0  # seconds of TLS
_PIECE: Final = 8 * 1024  # bytes of frames that are parsed before the time is checked
_SLICE: Final = 0.005  # seconds of parsing in one iteration of the event loop
_PONGS_MAX: Final = 256 * 1024  # bytes that are not sent yet, of replies to pings and of messages
_AT_ONCE: Final = 1.0  # seconds that apps have to end when their connections are aborted
_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)


class UvicornServer:
    """The HTTP and WebSocket connections of an app.

    Args:
        app: Serves the requests.
        tls: The certificate, for TLS; None for none.
        message_size: The size limit of a message, in bytes. A WebSocket frame above four times the limit is not received.
        connections: The limit of open connections. One more is closed at once.
    """

    def __init__(
        self, app: App, *, tls: ssl.SSLContext | None, message_size: int, connections: int
    ) -> None:
        self._tls: Final = tls
        self._most: Final = connections
        self._config: Final = uvicorn.Config(
            app,
            http="httptools",
            ws="websockets-sansio",
            ws_max_size=4 * message_size,
            ws_per_message_deflate=False,  # as in connect_ws
            interface="asgi3",
            lifespan="off",
            log_config=None,
            proxy_headers=False,  # anybody can send them
            server_header=False,
            timeout_keep_alive=_IDLE,
        )
        self._config.load()
        self._state: Final = ServerState()
        self._loop: Final = asyncio.get_running_loop()
        self._empty: Final = asyncio.Event()
        self._clock: asyncio.TimerHandle | None = None
        self._renew_date()

    async def open(self, accepted: socket.socket) -> None:
        """Serve an accepted connection; returns after the handshake of TLS.

        Raises:
            OSError: The handshake fails.
        """
        set_keepalive(accepted, KEEPALIVE)
        await self._loop.connect_accepted_socket(
            partial(_Http, self, self._config, self._state),
            accepted,
            ssl=self._tls,
            ssl_handshake_timeout=None if self._tls is None else _HANDSHAKE,
        )

    async def close(self, *, within: float) -> None:
        """End all connections, after the responses that have begun.

        Args:
            within: How many seconds clients have to read the last replies, and to answer the end of a WebSocket.
        """
        try:
            for protocol in tuple(self._state.connections):
                if isinstance(protocol, _Http):  # the app has begun to close each WebSocket
                    protocol.shutdown()
            await self._wait_empty(within)
        finally:
            for protocol in tuple(self._state.connections):
                protocol.transport.abort()
            if self._clock is not None:
                self._clock.cancel()
        await self._wait_empty(_AT_ONCE)
        if tasks := tuple(self._state.tasks):
            _, late = await asyncio.wait(tasks, timeout=_AT_ONCE)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_AT_ONCE)

    def admit(self, protocol: "_Http") -> None:
        """Count a new connection, and end it if there are too many. Called by the protocol."""
        if len(self._state.connections) > self._most:
            protocol.transport.abort()

    def on_lost(self) -> None:
        """Handle that a connection has ended. Called by the protocols."""
        if not self._state.connections:
            self._empty.set()

    async def _wait_empty(self, seconds: float) -> None:
        self._empty.clear()
        if self._state.connections:
            try:
                async with asyncio.timeout(seconds):
                    await self._empty.wait()
            except TimeoutError:
                return

    def _renew_date(self) -> None:
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        self._clock = self._loop.call_later(1.0, self._renew_date)


class _Http(HttpToolsProtocol):
    """An HTTP connection, which bounds the head of each request."""

    # With more than 30 attributes in a dictionary, Python 3.11 gives each connection 1 KB for their names.
    __slots__ = (
        "_answering",
        "_head_begun",
        "_head_done",
        "_head_size",
        "_head_timer",
        "_messages",
        "_owner",
    )

    def __init__(self, owner: UvicornServer, config: uvicorn.Config, state: ServerState) -> None:
        super().__init__(config, state, {})
        self.logger, self.access_log = logger, False
        self.ws_protocol_class = cast(type[asyncio.Protocol], partial(_WebSocket, owner))
        self._owner = owner
        self._head_size = 0
        self._head_begun = False
        self._head_done = False
        self._messages = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._answering: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self._start_head_timer()
        self._owner.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._unset_keepalive_if_required()
        self._leave()
        super().connection_lost(exc)
        self._owner.on_lost()

    def eof_received(self) -> None:
        super().eof_received()
        self._leave()  # asyncio closes the transport now

    def data_received(self, data: bytes) -> None:
        before = self._messages
        super().data_received(data)
        if self.transport.is_closing():
            self._leave()  # it was no HTTP
        # Bytes of a head, or before one; not the end of a body.
        if not self._head_done and (self._head_begun or self._messages == before):
            self._head_size += len(data)
            if self._head_size > _HEAD_SIZE and not self.transport.is_closing():
                self.transport.write(_TOO_LARGE)
                self.transport.close()
            self._start_head_timer()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_begun, self._head_done, self._head_size = True, False, 0

    def on_headers_complete(self) -> None:
        self._head_done = True
        self._stop_head_timer()
        before = cast(RequestResponseCycle | None, self.cycle)  # None at first
        super().on_headers_complete()
        if before is None or before.response_complete:
            self._answering = self.cycle

    def on_response_complete(self) -> None:
        self._answering = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()
        if self._head_done and self.cycle.response_complete:
            self._start_head_timer()  # for the rest of a body that was refused

    def on_message_complete(self) -> None:
        if self._head_done:
            self._stop_head_timer()
        self._messages += 1
        self._head_begun = self._head_done = False
        super().on_message_complete()

    def _leave(self) -> None:
        """Tell the app that the client has left. uvicorn tells only the last of several requests, and that late."""
        cycle = self._answering
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()

    def handle_websocket_upgrade(self) -> None:
        self._stop_head_timer()
        super().handle_websocket_upgrade()
        protocol = self.transport.get_protocol()
        if isinstance(protocol, _WebSocket) and not protocol.handshake_initiated:
            self.transport.abort()  # the library rejects the handshake, of which uvicorn learns nothing

    def _start_head_timer(self) -> None:
        if self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(_HEAD_TIME, self.transport.abort)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _WebSocket(WebSocketsSansIOProtocol):
    """A WebSocket, from its handshake on.

    One read may bring forty thousand frames, each of which takes 4 us to parse: they are parsed in slices of time.
    """

    # As above. Many of the names are uvicorn's; of its others, there are fewer than 30.
    __slots__ = (
        "_owner",
        "_unparsed",
        "app",
        "app_state",
        "asgi_version",
        "close_timeout",
        "config",
        "default_headers",
        "initial_response",
        "last_ping_rtt",
        "pending_ping_payload",
        "ping_interval",
        "ping_sent_at",
        "ping_timeout",
        "request",
        "response",
        "root_path",
    )

    def __init__(
        self,
        owner: UvicornServer,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, object],
    ) -> None:
        super().__init__(config, server_state, app_state)
        self.logger = self.conn.logger = logger
        self._owner = owner
        self._unparsed = b""

    def data_received(self, data: bytes) -> None:
        if self._unparsed:
            self._unparsed += data
        elif len(data) <= _PIECE:
            super().data_received(data)
        else:
            self._parse(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unparsed = b""
        super().connection_lost(exc)
        self._owner.on_lost()

    def start_keepalive(self) -> None:
        # Of the handshake, which is over: 4 KB. An older uvicorn does not call this, and keeps them.
        del self.request, self.response
        super().start_keepalive()

    def handle_ping(self) -> None:
        if self.transport.get_write_buffer_size() > _PONGS_MAX:
            self.transport.abort()  # the client reads nothing
        else:
            super().handle_ping()

    async def send(self, message: Any) -> None:  # noqa: ANN401 # a union of classes of uvicorn
        if self.transport.is_closing():  # asyncio would log each write
            raise ConnectionResetError("the client has left")
        await super().send(message)

    def _parse(self, data: bytes) -> None:
        """Parse as much as there is time for, and the rest in the next iterations of the event loop."""
        start, ends = 0, monotonic() + _SLICE
        while start < len(data) and monotonic() < ends and not self.transport.is_closing():
            super().data_received(data[start : start + _PIECE])
            start += _PIECE
        self._unparsed = b"" if self.transport.is_closing() else data[start:]
        if self._unparsed:
            self.transport.pause_reading()
            self.loop.call_soon(self._parse_rest)
        elif not self.read_paused:
            self.transport.resume_reading()

    def _parse_rest(self) -> None:
        data, self._unparsed = self._unparsed, b""
        if data:
            self._parse(data)
