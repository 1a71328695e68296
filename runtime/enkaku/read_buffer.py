"""The memory into which the sockets of an event loop are read.

Above it: the transport of a socket. Below it: asyncio. asyncio's own way allocates 256 KiB for each read and gives them
back, which costs more system calls than the reading itself.
"""

import asyncio
from typing import Final
from weakref import WeakKeyDictionary

__all__ = ["shared_buffer"]

_SIZE: Final = 256 * 1024  # as much as a read of asyncio's takes

_buffers: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, bytearray]] = WeakKeyDictionary()


def shared_buffer(loop: asyncio.AbstractEventLoop) -> bytearray:
    """Return the buffer of an event loop.

    One is enough for all its sockets: what is read is taken out before anything else can run.
    """
    buffer = _buffers.get(loop)
    if buffer is None:
        buffer = _buffers[loop] = bytearray(_SIZE)
    return buffer
