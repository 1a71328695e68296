"""A transport over one of asyncio's, whatever socket that has.

Above it: ``sockets``, which make connections. Below it: asyncio.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from .errors import ConnectionLost
from .transport import Receiver

__all__ = ["SocketTransport", "join_address"]


class SocketTransport(asyncio.Protocol):
    """An asyncio transport, as the connection and the session see it.

    Args:
        on_connected: Called once with this object as soon as bytes can flow; it calls ``start``.
        peer: The other end, for messages to people; None for the address that it comes from.
    """

    def __init__(
        self, on_connected: "Callable[[SocketTransport], None]", peer: str | None = None
    ) -> None:
        self._on_connected = on_connected
        self._loop = asyncio.get_running_loop()
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._room: asyncio.Future[None] | None = None
        self._receiver: Receiver | None = None
        self._ending = False
        self._peer = peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio's protocol."""
        # asyncio gives stream protocols such a transport; its signature only says less.
        self._transport = cast(asyncio.Transport, transport)
        if self._peer is None:
            self._peer = f"tcp:{join_address(*transport.get_extra_info('peername')[:2])}"
        self._on_connected(self)

    def data_received(self, data: bytes) -> None:
        """Part of asyncio's protocol."""
        if self._receiver is not None:
            self._receiver.data_received(data)

    def eof_received(self) -> None:
        """Part of asyncio's protocol, which closes the transport after this."""
        # Said at once, so that no handler is surprised by a transport that is closing.
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio's protocol."""
        self._lost.set_result(None)
        self.resume_writing()
        self._end(exc)

    def _end(self, error: Exception | None) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.connection_lost(error)

    def pause_writing(self) -> None:
        """Part of asyncio's protocol."""
        self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        """Part of asyncio's protocol."""
        if self._room is not None:
            self._room.set_result(None)
            self._room = None

    @property
    def peer(self) -> str:
        """The other end, for messages to people."""
        return self._peer or "nobody yet"

    @property
    def buffered(self) -> int:
        """How many written bytes the operating system has not taken yet."""
        return self._transport.get_write_buffer_size()

    def start(self, receiver: Receiver) -> None:
        """Begin to deliver."""
        self._receiver = receiver

    def write(self, data: bytes) -> None:
        """Send some bytes."""
        if not self._ending and not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until there is room for more.

        Raises:
            ConnectionLost: There never will be.
        """
        if self._room is not None:
            await asyncio.shield(self._room)
        if self._transport.is_closing():
            await asyncio.shield(self._lost)
            raise ConnectionLost(f"the connection to {self.peer} is gone")

    def pause_reading(self) -> None:
        """Deliver nothing until told to."""
        if not self._ending and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Deliver again."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    async def close(self, *, within: float) -> None:
        """Send what was written, then the end; wait for the peer's end."""
        try:
            async with asyncio.timeout(within):
                if not self._ending:
                    self._end_writing()
                await asyncio.shield(self._lost)
        except TimeoutError:
            self.abort()
            await asyncio.shield(self._lost)
        except asyncio.CancelledError:
            self.abort()
            raise

    def _end_writing(self) -> None:
        # A socket that is closed with unread bytes in it is reset, and what it wrote last is lost:
        # so read on until the peer has seen the end.
        self.resume_reading()
        self._ending = True
        if self._transport.is_closing():
            return  # asyncio's TLS transport cannot be closed twice
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def abort(self) -> None:
        """End at once."""
        self._ending = True
        self._transport.abort()


def join_address(host: str, port: int) -> str:
    """Write host and port as one, with brackets around an IPv6 address (RFC 3986, 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
