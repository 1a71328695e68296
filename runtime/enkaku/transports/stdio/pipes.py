"""asyncio transport over two descriptors: one to read, one to write.

It has the methods of asyncio's socket transport, so that ``SocketTransport`` can use it. Reading goes into the shared buffer of
the event loop. Writing is tried at once; the rest is buffered, with the same high-water mark as asyncio's.

Pipes and sockets are made non-blocking. Files and terminals are not: a file is always ready (epoll rejects it), and the
descriptor of a terminal is shared with stderr and the shell.
"""

import asyncio
import errno
import os
import stat
from collections.abc import Iterable
from typing import Final, Protocol

__all__ = ["PipeProtocol", "Pipes"]

_HIGH_WATER: Final = 64 * 1024  # bytes
_LOW_WATER: Final = _HIGH_WATER // 4
_CLOSED: Final = -1  # a descriptor


class PipeProtocol(Protocol):
    """The protocol of two pipes: asyncio's ``BufferedProtocol``, and ``broken``."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is ready; it does not read yet."""

    def get_buffer(self, sizehint: int) -> bytearray:
        """Return the buffer to read into."""
        ...

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes were read."""

    def eof_received(self) -> None:
        """Nothing more can be read. Unlike asyncio's transports, this one is not closed then."""

    def broken(self, error: OSError) -> None:
        """The other end reads no more: what was not sent is lost, and so are later writes."""

    def pause_writing(self) -> None:
        """The buffer is above its high-water mark."""

    def resume_writing(self) -> None:
        """The buffer is below its low-water mark."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Both descriptors were given up."""


class Pipes(asyncio.Transport):
    """A duplex over two descriptors. It reads after the first ``resume_reading``.

    Args:
        protocol: Gets the bytes.
        reading: The descriptor to read from.
        writing: The descriptor to write to.
        owned: Whether the descriptors are closed at their end; else they belong to the caller.
    """

    def __init__(
        self, protocol: PipeProtocol, reading: int, writing: int, *, owned: bool = True
    ) -> None:
        super().__init__()
        self._loop: Final = asyncio.get_running_loop()
        self._protocol: Final = protocol
        self._owned: Final = owned
        self._reading = reading
        self._writing = writing
        self._buffer = bytearray()
        self._paused = True
        self._next_read: asyncio.Handle | None = None  # of a file
        self._full = False
        self._ending = False  # write_eof() was called
        self._closing = False
        self._lost = False
        for each in (reading, writing):
            if _is_stream(each):
                os.set_blocking(each, False)
        self._write_blocks: Final = not _is_stream(writing)
        # The writing end of a pipe is never readable, but reported so once nobody can read from the pipe.
        self._watches_reader: Final = stat.S_ISFIFO(os.fstat(writing).st_mode)
        if self._watches_reader:
            self._loop.add_reader(writing, self._on_reader_gone)
        protocol.connection_made(self)

    def descriptors(self) -> Iterable[int]:
        """Return the descriptors that are in use."""
        return [each for each in (self._reading, self._writing) if each != _CLOSED]

    def is_closing(self) -> bool:
        """Part of asyncio's transport."""
        return self._closing

    def pause_reading(self) -> None:
        """Part of asyncio's transport; may be repeated."""
        if not self._paused:
            self._paused = True
            self._stop_reading()

    def resume_reading(self) -> None:
        """Part of asyncio's transport; may be repeated."""
        if self._paused and self._reading != _CLOSED and not self._closing:
            self._paused = False
            try:
                self._loop.add_reader(self._reading, self._on_readable)
            except PermissionError:  # epoll takes no file, and no /dev/null
                self._next_read = self._loop.call_soon(self._read_file)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Part of asyncio's transport."""
        if self._writing == _CLOSED or self._closing:
            return
        if not self._buffer:
            sent = self._send(data)
            if sent == len(data):
                return
            data = data[sent:]
            if self._writing != _CLOSED:
                self._loop.add_writer(self._writing, self._on_writable)
        self._buffer += data
        if len(self._buffer) > _HIGH_WATER and not self._full:
            self._full = True
            self._protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        """Part of asyncio's transport."""
        return len(self._buffer)

    def write_eof(self) -> None:
        """Part of asyncio's transport."""
        self._ending = True
        if not self._buffer:
            self._stop_writing()

    def close(self) -> None:
        """Part of asyncio's transport: read nothing more, and end when everything is written."""
        self._closing = True
        self._close_reading()
        if not self._buffer:
            self._lose(None)

    def abort(self) -> None:
        """Part of asyncio's transport."""
        self._lose(None)

    def _read_file(self) -> None:
        self._on_readable()
        if not self._paused and self._reading != _CLOSED:
            self._next_read = self._loop.call_soon(self._read_file)

    def _on_readable(self) -> None:
        if self._reading == _CLOSED:
            return
        try:
            size = os.readv(self._reading, [self._protocol.get_buffer(-1)])
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        if size:
            self._protocol.buffer_updated(size)
        else:
            self._close_reading()
            self._protocol.eof_received()

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        """Write what the descriptor takes, and return how many bytes that were; all, if they are lost."""
        sent = 0
        try:
            with memoryview(data) as view:
                while sent < len(view):
                    sent += os.write(self._writing, view[sent:])
                    if not self._write_blocks:
                        break  # it took what fits
        except BlockingIOError:
            pass
        except OSError as error:
            self._break(error)
            return len(data)
        return sent

    def _on_writable(self) -> None:
        if self._writing == _CLOSED or not self._buffer:
            return
        sent = self._send(self._buffer)
        del self._buffer[:sent]
        if self._full and len(self._buffer) <= _LOW_WATER and self._writing != _CLOSED:
            self._full = False
            self._protocol.resume_writing()
        if self._buffer or self._writing == _CLOSED:
            return
        self._loop.remove_writer(self._writing)
        if self._closing:
            self._lose(None)
        elif self._ending:
            self._stop_writing()

    def _on_reader_gone(self) -> None:
        self._break(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))

    def _break(self, error: OSError) -> None:
        self._stop_writing()
        if self._closing:
            self._lose(error)
        else:
            self._protocol.broken(error)

    def _stop_reading(self) -> None:
        if self._next_read is not None:
            self._next_read.cancel()
            self._next_read = None
        elif self._reading != _CLOSED:
            self._loop.remove_reader(self._reading)

    def _close_reading(self) -> None:
        self.pause_reading()
        reading, self._reading = self._reading, _CLOSED
        if reading != _CLOSED and self._owned:
            os.close(reading)

    def _stop_writing(self) -> None:
        writing, self._writing = self._writing, _CLOSED
        if writing == _CLOSED:
            return
        self._buffer.clear()
        self._loop.remove_writer(writing)
        if self._watches_reader:
            self._loop.remove_reader(writing)
        if self._owned:
            os.close(writing)

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self._close_reading()
        self._stop_writing()
        self._loop.call_soon(self._protocol.connection_lost, error)


def _is_stream(descriptor: int) -> bool:
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
