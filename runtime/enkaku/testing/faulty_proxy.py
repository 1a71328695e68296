"""A proxy between clients and a server at a socket, in the process of a test, that injects faults."""

import asyncio
import os
import socket
import struct
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from enkaku.transports.sockets.transport import SocketTransport

from .faults import Faults
from .faulty_wire import End, Pieces

__all__ = ["faulty_tcp", "faulty_unix"]

_LINGER_NOT: Final = struct.pack("ii", 1, 0)  # closed like this, a TCP socket sends a reset


@asynccontextmanager
async def faulty_unix(path: str | os.PathLike[str], faults: Faults) -> AsyncGenerator[Path, None]:
    """Stand between clients and a server at a Unix socket.

    Connect to the proxy instead of the server::

        async with faulty_unix(path, faults) as faulty, connect_unix(faulty) as connection:
            faults.to_client.stall()

    A connection that is still stalled or half-open at the end of its own block waits there for 2 s: end the
    stall, or ``cut()``, before.

    Args:
        path: The server's socket.
        faults: What happens to the bytes.

    Returns:
        Where to connect to instead. Where no server answers, a connection ends as soon as it is made.
    """
    loop = asyncio.get_running_loop()
    proxy = _Proxy(faults, partial(loop.create_unix_connection, path=os.fspath(path)))
    with tempfile.TemporaryDirectory(prefix="enk-") as directory:
        here = Path(directory, "faulty")
        listener = await loop.create_unix_server(proxy.accept, here)
        async with proxy.running(listener):
            yield here


@asynccontextmanager
async def faulty_tcp(host: str, port: int, faults: Faults) -> AsyncGenerator[int, None]:
    """Stand between clients and a server at a TCP port; as ``faulty_unix``, also below TLS.

    Args:
        host: Where the server is.
        port: Its port.
        faults: What happens to the bytes.

    Returns:
        The port of 127.0.0.1 to connect to instead.
    """
    loop = asyncio.get_running_loop()
    proxy = _Proxy(faults, partial(loop.create_connection, host=host, port=port))
    listener = await loop.create_server(proxy.accept, "127.0.0.1", 0)
    async with proxy.running(listener):
        yield int(listener.sockets[0].getsockname()[1])


class _SocketEnd(SocketTransport):
    """A transport over a socket that can be reset."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw: socket.socket = transport.get_extra_info("socket")
        self._failing = False
        super().connection_made(transport)

    def fail(self) -> None:
        if self._raw.family != socket.AF_UNIX and self._raw.fileno() >= 0:
            self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            self._failing = True

    async def close(self, *, within: float) -> None:
        if self._failing:
            self.abort()
        await super().close(within=within)


_Dial: TypeAlias = Callable[
    [Callable[[], _SocketEnd]], Awaitable[tuple[asyncio.BaseTransport, _SocketEnd]]
]


class _Proxy:
    def __init__(self, faults: Faults, dial: _Dial) -> None:
        self._faults = faults
        self._dial = dial
        self._carrying: set[asyncio.Task[None]] = set()

    def accept(self) -> SocketTransport:
        """Make the protocol of a new connection. Called by the listener."""
        return _SocketEnd(self._accepted, framing=Pieces)

    @asynccontextmanager
    async def running(self, listener: asyncio.Server) -> AsyncGenerator[None, None]:
        """Own what listens; end every connection with the block."""
        try:
            yield
        finally:
            listener.close()
            for task in self._carrying:
                task.cancel()
            if self._carrying:
                await asyncio.wait(self._carrying)

    def _accepted(self, near: SocketTransport, error: Exception | None) -> None:
        if error is None and isinstance(near, _SocketEnd):
            task = asyncio.get_running_loop().create_task(self._carry(near))
            self._carrying.add(task)
            task.add_done_callback(self._carrying.discard)
            # One that is cancelled before its first step runs none of its code.
            task.add_done_callback(lambda _: near.abort())

    async def _carry(self, near: _SocketEnd) -> None:
        try:
            _, far = await self._dial(lambda: _SocketEnd(_do_nothing, framing=Pieces))
        except OSError:
            return
        async with self._faults.between(End(near, near.fail), End(far, far.fail)) as wire:
            await wire.over()


def _do_nothing(_: SocketTransport, __: Exception | None) -> None:
    return
