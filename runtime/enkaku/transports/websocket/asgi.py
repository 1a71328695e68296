"""The server's end of a WebSocket in an ASGI server, such as uvicorn or granian (ASGI 3.0, section "WebSocket")."""

from typing import Final

from enkaku.transports.asgi import AsgiReceive, AsgiSend

from .transport import BINARY, describe_close

__all__ = ["AsgiFrames"]

_FINE: Final = frozenset({1000, 1001, 1005})  # close codes of a client that has finished


class AsgiFrames:
    """A WebSocket that an ASGI server has accepted.

    Args:
        receive: Waits for the next event.
        send: Sends an event.
    """

    def __init__(self, receive: AsgiReceive, send: AsgiSend) -> None:
        self._receive: Final = receive
        self._send: Final = send
        self._closed = False

    async def receive(self) -> bytes | None:
        """Wait for the next text frame; return None when the WebSocket is closed."""
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            self._closed = True
            code, reason = event.get("code"), event.get("reason")
            code = code if isinstance(code, int) else 1005
            if code in _FINE:
                return None
            raise ConnectionResetError(describe_close(code, str(reason or "")))
        text = event.get("text")
        if isinstance(text, str):
            return text.encode()
        await self.close(BINARY)
        raise ConnectionAbortedError("the peer sent a binary frame")

    async def send(self, message: bytes, /) -> None:
        """Send a text frame."""
        if self._closed:
            raise ConnectionResetError("the WebSocket is closed")
        await self._send({"type": "websocket.send", "text": message.decode()})

    async def close(self, code: int, /) -> None:
        """Begin the closing handshake, unless it has begun."""
        if not self._closed:
            self._closed = True
            await self._send({"type": "websocket.close", "code": code, "reason": ""})

    def abort(self) -> None:
        """Do nothing: ASGI has no such thing. The app closes it when the transport has ended."""
