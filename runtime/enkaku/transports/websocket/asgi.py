"""The server's end of a WebSocket in an ASGI server, such as uvicorn or granian (ASGI 3.0, section "WebSocket")."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Final

from enkaku.transports.asgi import AsgiReceive, AsgiSend

from .first_step import Rest, Writer, run_first_step
from .transport import BINARY, TOO_LARGE, TRY_AGAIN, describe_close

__all__ = ["AsgiFrames"]

_SLICE: Final = 0.005  # seconds of handling messages
_RECEIVE: Final = 5e-6  # seconds in which a frame is received; about
_FINE: Final = frozenset({1000, 1001, 1005})  # close codes of a client that has finished


class AsgiFrames:
    """A WebSocket that an ASGI server has accepted.

    Args:
        receive: Waits for the next event.
        send: Sends an event.
    """

    __slots__ = ("_closed", "_receive", "_resumed", "_send")

    def __init__(self, receive: AsgiReceive, send: AsgiSend) -> None:
        self._receive: Final = receive
        self._send: Final = send
        self._closed = False
        self._resumed: asyncio.Future[None] | None = None  # while nothing is delivered

    async def receive(self, deliver: Callable[[Sequence[bytes]], None], message_size: int) -> None:
        """Deliver text frames until the WebSocket is closed. Other tasks run when that has taken a slice of time."""
        spent = 0.0
        while (event := await self._receive())["type"] != "websocket.disconnect":
            text = event.get("text")
            if not isinstance(text, str):
                await self.close(BINARY)
                raise ConnectionAbortedError("the peer sent a binary frame")
            message = text.encode()
            if len(message) > message_size:
                await self.close(TOO_LARGE)
                raise ConnectionAbortedError(
                    f"the peer sent a message of more than {message_size} bytes"
                )
            while self._resumed is not None:
                await asyncio.shield(self._resumed)
            began = monotonic()
            deliver((message,))
            spent += monotonic() - began + _RECEIVE
            if spent > _SLICE:  # without this, frames that are there already keep others waiting
                spent = 0.0
                await asyncio.sleep(0)
        self._closed = True
        code, reason = event.get("code"), event.get("reason")
        code = code if isinstance(code, int) else 1005
        if code not in _FINE:
            raise ConnectionResetError(describe_close(code, str(reason or "")))

    def pause(self) -> None:
        """Deliver nothing until ``resume``."""
        if self._resumed is None:
            self._resumed = asyncio.get_running_loop().create_future()

    def resume(self) -> None:
        """Deliver again."""
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            resumed.set_result(None)

    def send(self, messages: Sequence[bytes], writer: Writer, /) -> Rest | None:
        """Send a text frame for each message, as far as that needs no waiting; return the rest."""
        sending = self._send_all(messages)
        if asyncio.current_task() is writer.task:
            return sending
        return run_first_step(sending, writer)

    async def _send_all(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            if self._closed:
                raise ConnectionResetError("the WebSocket is closed")
            await self._send({"type": "websocket.send", "text": message.decode()})

    async def close(self, code: int, /) -> None:
        """Begin the closing handshake, unless it has begun."""
        if not self._closed:
            self._closed = True
            await self._send({"type": "websocket.close", "code": code, "reason": ""})

    def abort(self) -> None:
        """Do nothing: ASGI has no such thing. The app calls ``end`` when the transport has ended."""

    async def end(self) -> None:
        """Close the WebSocket if neither side has begun to."""
        with suppress(Exception):  # what a server raises that has closed it already
            await self.close(TRY_AGAIN)
