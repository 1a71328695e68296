"""WebSocket connector: opens a client's transport by the library ``websockets``, again for each reconnect."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any, Final, Literal, cast

from typing_extensions import override
from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedOK,
    InvalidHandshake,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
)
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event, State
from websockets.typing import Origin, Subprotocol

from enkaku._checks import require_seconds
from enkaku.errors import ConnectFailed, UsageError

from .first_step import Rest, Writer
from .transport import NORMAL, SUBPROTOCOL, WebSocketTransport, describe_close

__all__ = ["WebSocketDialer"]

logger: Final = logging.getLogger("enkaku.websockets")
logger.setLevel(logging.INFO)  # below are the frames, with secrets in them


class _Connection(ClientConnection):
    """Delivers all messages of a read at once, and sends several by one system call: the library's own class takes each alone."""

    def __init__(
        self,
        protocol: ClientProtocol,
        **options: Any,  # noqa: ANN401 # of the library, which makes the instances
    ) -> None:
        super().__init__(protocol, **options)
        self._messages: list[bytes] = []
        self._fragments: list[bytes] = []
        self._deliver: Callable[[Sequence[bytes]], None] | None = None
        self._reading_paused = False

    @override
    def process_event(self, event: Event) -> None:
        """Part of the library's class: handle a frame."""
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
        elif not event.fin:
            if event.data:
                self._fragments.append(bytes(event.data))
        elif self._fragments:
            self._messages.append(b"".join((*self._fragments, event.data)))
            self._fragments.clear()
        else:
            self._messages.append(bytes(event.data))

    @override
    def data_received(self, data: bytes) -> None:
        """Part of asyncio's protocol."""
        super().data_received(data)
        if not self._messages:
            return
        if self._deliver is None:
            self.transport.pause_reading()
            return
        messages, self._messages = self._messages, []
        self._deliver(messages)

    async def receive(self, deliver: Callable[[Sequence[bytes]], None]) -> None:
        """Deliver messages until the WebSocket is closed.

        Raises:
            ConnectionClosed: Always: the reason.
        """
        self._deliver = deliver
        messages, self._messages = self._messages, []
        if messages:
            deliver(messages)
            if not self._reading_paused:
                self.resume_reading()
        await self.wait_closed()
        await self.recv()  # raises the reason

    def pause_reading(self) -> None:
        """Deliver nothing until ``resume_reading``."""
        self._reading_paused = True
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Deliver again."""
        self._reading_paused = False
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def send_all(self, messages: Sequence[bytes]) -> Rest | None:
        """Send a text frame for each message; return what waits while the peer does not read, or None if it reads.

        Raises:
            ConnectionResetError: The WebSocket is closed.
        """
        protocol = self.protocol
        if protocol.state is not State.OPEN:
            raise ConnectionResetError("the WebSocket is closed")
        for message in messages:
            protocol.send_text(message)
        self.transport.write(b"".join(protocol.data_to_send()))
        return self.drain() if self.paused else None


class _ClientFrames:
    """A WebSocket of the library ``websockets``."""

    def __init__(self, connection: _Connection) -> None:
        self._connection: Final = connection

    async def receive(self, deliver: Callable[[Sequence[bytes]], None], message_size: int) -> None:
        del message_size  # the library knows it
        try:
            await self._connection.receive(deliver)
        except ConnectionClosedOK:
            return
        except ConnectionClosed as closed:
            code, reason = 1006, ""
            if closed.rcvd is not None:
                code, reason = closed.rcvd.code, closed.rcvd.reason
            elif closed.sent is not None and closed.sent.code != NORMAL:
                raise ConnectionAbortedError(
                    f"this side closed the WebSocket with code {closed.sent.code}: {closed.sent.reason}"
                ) from None
            raise ConnectionResetError(describe_close(code, reason)) from None

    def pause(self) -> None:
        self._connection.pause_reading()

    def resume(self) -> None:
        self._connection.resume_reading()

    def send(self, messages: Sequence[bytes], writer: Writer, /) -> Rest | None:
        del writer  # nothing here depends on the task
        return self._connection.send_all(messages)

    async def close(self, code: int, /) -> None:
        await self._connection.close(code)

    def abort(self) -> None:
        self._connection.transport.abort()


@dataclass(frozen=True, slots=True)
class WebSocketDialer:
    """Connects to one URL at each call; a ``Dial``.

    Attributes:
        where: The URL.
        timeout: The time limit of a connect, in seconds, handshakes included.
        message_size: The largest message that is received, in bytes.
        headers: Further headers of the handshake.
        origin: The header ``Origin``; None sends none.
        ssl: How to verify the server, for ``wss:``; None is as browsers do.
        proxy: The URL of a proxy; True takes that of the environment, None uses none.
    """

    where: str
    timeout: float
    message_size: int
    headers: Mapping[str, str]
    origin: str | None
    ssl: SSLContext | None
    proxy: str | Literal[True] | None

    def __post_init__(self) -> None:
        require_seconds("connect_timeout", self.timeout)

    async def __call__(self) -> WebSocketTransport:
        """Connect, and return an open transport, which delivers nothing before its ``start``.

        Raises:
            ConnectFailed: No server answers within the timeout, or it rejects the handshake.
            UsageError: The URL is not valid.
        """
        try:
            async with asyncio.timeout(self.timeout):
                connection = await self._connect()
        except TimeoutError:
            raise ConnectFailed(
                f"{self.where}: no server answered within {self.timeout:g} s"
            ) from None
        except InvalidURI as error:
            raise UsageError(f"{self.where}: not a URL of a WebSocket: {error}") from error
        except InvalidStatus as error:
            status = error.response.status_code
            raise ConnectFailed(
                f"{self.where}: the server rejected the WebSocket with HTTP status {status}"
            ) from error
        except (OSError, InvalidHandshake, InvalidProxy, EOFError) as error:
            raise ConnectFailed(f"{self.where}: {str(error) or type(error).__name__}") from error
        if connection.subprotocol != SUBPROTOCOL:
            connection.transport.abort()
            raise ConnectFailed(f"{self.where}: the server does not speak {SUBPROTOCOL}")
        return WebSocketTransport(_ClientFrames(connection), peer=self.where, end_code=NORMAL)

    async def _connect(self) -> _Connection:
        connection = await connect(
            self.where,
            create_connection=_Connection,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            additional_headers=dict(self.headers),
            origin=None if self.origin is None else Origin(self.origin),
            proxy=self.proxy,
            compression=None,  # it takes time and memory for each connection, and messages are small
            max_size=self.message_size,
            open_timeout=None,  # this class has its own
            logger=logger,
            # None would be no TLS, which the library rejects for wss:.
            ssl=True if self.ssl is None and self.where.lower().startswith("wss:") else self.ssl,
        )
        return cast(_Connection, connection)
