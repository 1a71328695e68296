"""Sockets whose incoming packets the kernel drops, as if the peer's machine had crashed. Linux only."""

import ctypes
import os
import socket
import struct
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Final

from support import socket_descriptors

_SO_ATTACH_FILTER: Final = 26


def deafen(sock: socket.socket) -> None:
    """Make the kernel drop a socket's incoming packets without a response, as if this machine had crashed."""
    nothing = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF: keep 0 bytes
    program = struct.pack("HP", 1, ctypes.addressof(nothing))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


@contextmanager
def tcp_connections() -> Generator[list[socket.socket], None, None]:
    """Return copies of the sockets of this process's TCP connections."""
    with ExitStack() as stack:
        found: list[socket.socket] = []
        for number in socket_descriptors():
            sock = stack.enter_context(socket.socket(fileno=os.dup(number)))
            if sock.family == socket.AF_INET and _is_connected(sock):
                found.append(sock)
        yield found


def _is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True
