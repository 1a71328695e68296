"""JSON lines on the standard input and output of a command that runs an event loop.

Both block no event loop and need no thread, which could keep the process from its end: they wait until a descriptor is ready, and
read or write so little that it does not block. The descriptors stay in blocking mode, since other processes share them.
"""

import asyncio
import errno
import os
import select
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from .json_texts import shown

__all__ = ["Input", "LineTooLong", "Output"]

_CHUNK: Final = 64 * 1024
_WRITABLE: Final = 4096  # bytes for which a pipe that is ready has room (PIPE_BUF)


class LineTooLong(Exception):
    """A line with more bytes than allowed; the argument is its number."""


async def _ready(add: Callable[..., None], remove: Callable[[int], bool], descriptor: int) -> None:
    """Wait until a descriptor can be read, or written to."""
    ready = asyncio.get_running_loop().create_future()

    def on_ready() -> None:
        if not ready.done():
            ready.set_result(None)

    add(descriptor, on_ready)
    try:
        await ready
    finally:
        remove(descriptor)


class Output:
    """The standard output, as JSON lines that are written one by one."""

    def __init__(self) -> None:
        self._descriptor: Final = sys.stdout.fileno()
        self._is_terminal: Final = os.isatty(self._descriptor)
        self._poll: Final = select.poll()
        self._poll.register(self._descriptor, select.POLLOUT)

    async def write(self, value: bytes) -> None:
        """Write a line, as soon as its reader has room for it.

        Raises:
            BrokenPipeError: The reader has closed the pipe.
        """
        rest = memoryview((shown(value) if self._is_terminal else value) + b"\n")
        loop = asyncio.get_running_loop()
        while rest:
            if not self._poll.poll(0):
                await _ready(loop.add_writer, loop.remove_writer, self._descriptor)
            try:
                rest = rest[os.write(self._descriptor, rest[:_WRITABLE]) :]
            except BlockingIOError:  # another process has made the descriptor non-blocking
                await _ready(loop.add_writer, loop.remove_writer, self._descriptor)

    @asynccontextmanager
    async def watched(self) -> AsyncGenerator[None, None]:
        """End the block as soon as the reader of the output closes it, though nothing is written meanwhile.

        Raises:
            BrokenPipeError: The reader has closed it.
        """
        watcher = _watch(self._descriptor)
        if watcher is None:
            yield
            return
        task, loop, closed = asyncio.current_task(), asyncio.get_running_loop(), False

        def on_closed() -> None:
            nonlocal closed
            closed = True
            loop.remove_reader(watcher)
            if task is not None:
                task.cancel()

        loop.add_reader(watcher, on_closed)
        try:
            yield
        except asyncio.CancelledError:
            if closed and task is not None and not task.uncancel():
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None
            raise
        finally:
            loop.remove_reader(watcher)
            os.close(watcher)


def _watch(descriptor: int) -> int | None:
    """Return a descriptor that can be read once the reader of a pipe has closed it; None if there is none.

    A selector reports that together with whether there is room, which is nearly always. An epoll object inside of it reports it
    alone.
    """
    if sys.platform != "linux":
        return None
    watcher = select.epoll()
    try:
        watcher.register(descriptor, 0)
    except OSError:  # a file, which has no reader
        watcher.close()
        return None
    copy = os.dup(watcher.fileno())
    watcher.close()
    return copy


class Input:
    """The lines of the standard input, without blank ones. It is read when the next line is asked for, and not before.

    Args:
        longest: How many bytes a line may have.

    Attributes:
        number: The number of the last line, from 1.
    """

    def __init__(self, longest: int) -> None:
        self._longest: Final = longest
        self._descriptor: Final = sys.stdin.fileno() if sys.stdin else -1  # none if it was closed
        self.number = 0

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the lines.

        Raises:
            LineTooLong: A line is too long.
        """
        buffer = bytearray()
        while chunk := await self._read():
            *ended, rest = chunk.split(b"\n")
            for each in ended:
                buffer += each
                line = self._line(buffer)
                buffer.clear()
                if line:
                    yield line
            buffer += rest
            if len(buffer) > self._longest:
                self.number += 1
                raise LineTooLong(self.number)
        if line := self._line(buffer):
            yield line

    def _line(self, buffer: bytearray) -> bytes:
        self.number += 1
        if len(buffer) > self._longest:
            raise LineTooLong(self.number)
        return bytes(buffer).strip()

    async def _read(self) -> bytes:
        if self._descriptor < 0:
            return b""
        loop = asyncio.get_running_loop()
        # A file is always ready, and no selector takes it.
        with suppress(PermissionError):
            await _ready(loop.add_reader, loop.remove_reader, self._descriptor)
        return os.read(self._descriptor, _CHUNK)
