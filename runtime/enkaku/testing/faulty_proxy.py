"""Fault-injecting proxy between clients and a server at a socket, in the process of a test.

For each accepted connection it opens one to the server, and a ``Wire`` of the test's ``Faults`` carries the bytes.
"""

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

_RESET_ON_CLOSE: Final = struct.pack(
    "ii", 1, 0
)  # struct linger with time 0: close(2) sends a reset


@asynccontextmanager
async def faulty_unix(path: str | os.PathLike[str], faults: Faults) -> AsyncGenerator[Path, None]:
    """Run a fault-injecting proxy between clients and a server at a Unix socket.

    Connect to the proxy instead of the server::

        async with faulty_unix(path, faults) as faulty, connect_unix(faulty) as connection:
            faults.to_client.stall()

    If a connection is still stalled or half-open at the end of its ``async with`` block, closing it takes 2 s: call
    ``resume()`` or ``cut()`` before.

    Args:
        path: The server's socket.
        faults: The faults to inject.

    Returns:
        The path of the proxy's socket. If no server answers, the proxy ends a connection as soon as it is open.
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
    """Run a fault-injecting proxy between clients and a server at a TCP port; as ``faulty_unix``, also below TLS.

    Args:
        host: The server's host.
        port: The server's port.
        faults: The faults to inject.

    Returns:
        The port of the proxy at 127.0.0.1.
    """
    loop = asyncio.get_running_loop()
    proxy = _Proxy(faults, partial(loop.create_connection, host=host, port=port))
    listener = await loop.create_server(proxy.accept, "127.0.0.1", 0)
    async with proxy.running(listener):
        yield int(listener.sockets[0].getsockname()[1])


class _SocketEnd(SocketTransport):
    """A socket transport that can end with a TCP reset."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw: socket.socket = transport.get_extra_info("socket")
        self._failing = False
        super().connection_made(transport)

    def fail(self) -> None:
        if self._raw.family != socket.AF_UNIX and self._raw.fileno() >= 0:
            self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
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
        self._relays: set[asyncio.Task[None]] = set()

    def accept(self) -> SocketTransport:
        """Return the protocol of a new connection; called by the listener."""
        return _SocketEnd(self._on_open, framing=Pieces)

    @asynccontextmanager
    async def running(self, listener: asyncio.Server) -> AsyncGenerator[None, None]:
        """Close the listener and every connection when the block ends."""
        try:
            yield
        finally:
            listener.close()
            for task in self._relays:
                task.cancel()
            if self._relays:
                await asyncio.wait(self._relays)

    def _on_open(self, client: SocketTransport, error: Exception | None) -> None:
        if error is None and isinstance(client, _SocketEnd):
            task = asyncio.get_running_loop().create_task(self._relay(client))
            self._relays.add(task)
            task.add_done_callback(self._relays.discard)
            # A task that is cancelled before its first step runs no code of its own, so that the
            # connection would stay open.
            task.add_done_callback(lambda _: client.abort())

    async def _relay(self, client: _SocketEnd) -> None:
        try:
            _, server = await self._dial(lambda: _SocketEnd(_do_nothing, framing=Pieces))
        except OSError:
            return
        ends = (End(client, client.fail), End(server, server.fail))
        async with self._faults.between(*ends) as wire:
            await wire.wait_ended()


def _do_nothing(_: SocketTransport, __: Exception | None) -> None:
    return
