"""Raw peers: exchange bytes with Enkaku's server or client."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from enkaku import Connection, Handler, Limits, Server, connect_unix, serve_unix
from enkaku.transports.base import Oversized
from enkaku.transports.lines import Lines
from enkaku.transports.memory import MemoryTransport, memory_pair
from wire.transcript import Line

_LINE_MAX: Final = 16 * 1024 * 1024
_PIECE: Final = 7  # bytes, so that messages and characters are split
_LONG: Final = 64 * 1024


class RawEnd(ABC):
    """A raw end of a connection, which sends and receives lines."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def read_line(self) -> str | None:
        """Return the next line, without its newline; None at the end."""
        data = await self._reader.readline()
        assert data.endswith(b"\n") or not data, f"a line without its newline: {data!r}"
        return data.decode().removesuffix("\n") if data else None

    async def read_rest(self) -> list[str]:
        """Return all lines until the end."""
        lines: list[str] = []
        while (line := await self.read_line()) is not None:
            lines.append(line)
        return lines

    def write(self, *lines: Line) -> None:
        """Send lines in one packet."""
        self.write_bytes(b"".join(line.data for line in lines))

    @abstractmethod
    def write_bytes(self, data: bytes) -> None: ...

    @abstractmethod
    async def end(self) -> None:
        """Send the end; this end can still read."""

    @abstractmethod
    def abort(self) -> None:
        """Abort the connection."""


class SocketEnd(RawEnd):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader)
        self._writer = writer

    def write_bytes(self, data: bytes) -> None:
        self._writer.write(data)

    async def end(self) -> None:
        if not self._writer.is_closing():
            self._writer.write_eof()

    def abort(self) -> None:
        self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return  # the other side dropped the connection


class MemoryEnd(RawEnd):
    """A raw end in memory, whose bytes arrive in pieces."""

    def __init__(self, transport: MemoryTransport) -> None:
        super().__init__(asyncio.StreamReader(limit=_LINE_MAX))
        self._transport = transport
        transport.start(self, message_size=_LINE_MAX)

    def messages_received(self, batch: Sequence[bytes | Oversized]) -> None:
        for data in batch:  # pieces of bytes, since this end has no framing
            assert isinstance(data, bytes)
            self._reader.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._reader.feed_eof()

    def write_bytes(self, data: bytes) -> None:
        size = _PIECE if len(data) < _LONG else _LONG
        for start in range(0, len(data), size):
            self._transport.write(data[start : start + size])

    async def end(self) -> None:
        await self._transport.close(within=5)

    def abort(self) -> None:
        self._transport.abort()


@asynccontextmanager
async def open_to_server(server: Server, link: str, path: Path) -> AsyncIterator[RawEnd]:
    """Open a raw connection to Enkaku's server."""
    if link == "memory":
        ours, theirs = memory_pair(server=Lines)
        server.connected(theirs)
        yield MemoryEnd(ours)
        return
    reader, writer = await asyncio.open_unix_connection(path, limit=_LINE_MAX)
    end = SocketEnd(reader, writer)
    try:
        yield end
    finally:
        await end.close()


@asynccontextmanager
async def serve(
    handler: Handler, link: str, path: Path, limits: Limits | None
) -> AsyncIterator[Server]:
    """Run Enkaku's server."""
    if link == "unix":
        async with serve_unix(handler, path, limits=limits) as server:
            yield server
    else:
        server = Server(handler, limits=limits)
        async with server.running(None, ("memory",)):
            yield server


@asynccontextmanager
async def connect_client(link: str, path: Path) -> AsyncIterator[tuple[Connection, RawEnd]]:
    """Connect Enkaku's client to a raw end."""
    if link == "memory":
        ours, theirs = memory_pair(client=Lines)
        connection = Connection(ours)
        try:
            yield connection, MemoryEnd(theirs)
        finally:
            await connection.close()
        return
    accepted: asyncio.Future[SocketEnd] = asyncio.get_running_loop().create_future()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result(SocketEnd(reader, writer))

    listener = await asyncio.start_unix_server(accept, path, limit=_LINE_MAX)
    async with listener, connect_unix(path) as connection:
        end = await accepted
        try:
            yield connection, end
        finally:
            await end.close()
