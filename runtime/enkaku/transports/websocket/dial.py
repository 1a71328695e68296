"""WebSocket connector: opens a client's transport by the library ``websockets``, again for each reconnect."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from ssl import SSLContext
from typing import Final, Literal

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedOK,
    InvalidHandshake,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
)
from websockets.typing import Origin, Subprotocol

from enkaku._checks import require_seconds
from enkaku.errors import ConnectFailed, UsageError

from .transport import NORMAL, SUBPROTOCOL, WebSocketTransport, describe_close

__all__ = ["WebSocketDialer"]


class _ClientFrames:
    """A WebSocket of the library ``websockets``."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection: Final = connection

    async def receive(self) -> bytes | None:
        try:
            return await self._connection.recv(decode=False)
        except ConnectionClosedOK:
            return None
        except ConnectionClosed as closed:
            code, reason = 1006, ""
            if closed.rcvd is not None:
                code, reason = closed.rcvd.code, closed.rcvd.reason
            elif closed.sent is not None and closed.sent.code != NORMAL:
                raise ConnectionAbortedError(
                    f"this side closed the WebSocket with code {closed.sent.code}: {closed.sent.reason}"
                ) from None
            raise ConnectionResetError(describe_close(code, reason)) from None

    async def send(self, message: bytes, /) -> None:
        try:
            await self._connection.send(message, text=True)
        except ConnectionClosed as closed:
            raise ConnectionResetError(str(closed)) from None

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

    async def _connect(self) -> ClientConnection:
        return await connect(
            self.where,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            additional_headers=dict(self.headers),
            origin=None if self.origin is None else Origin(self.origin),
            proxy=self.proxy,
            compression=None,  # it takes time and memory for each connection, and messages are small
            max_size=self.message_size,
            open_timeout=None,  # this class has its own
            ssl=self.ssl,
        )
