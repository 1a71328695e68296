"""Socket options and addresses: TCP keepalive, the credentials of the peer, addresses as strings."""

import math
import os
import socket
import ssl
import struct
from contextlib import suppress
from typing import Final

from enkaku._checks import require_instances, require_seconds, require_text, require_whole
from enkaku.errors import UsageError
from enkaku.transports.base import PeerCredentials

__all__ = [
    "KEEPALIVE",
    "check_keepalive",
    "describe_address",
    "is_connected",
    "join_address",
    "peer_credentials",
    "require_bound",
    "require_stream",
    "set_keepalive",
]

KEEPALIVE: Final = 60.0
"""Default of the TCP keepalive: seconds without a response after which a connection is lost."""

_SHORTEST: Final = 2.0  # seconds: one idle, one for a probe
_LONGEST: Final = 32767.0  # seconds, the maximum of TCP_KEEPIDLE on Linux
_PROBES: Final = 4
_LAST_PORT: Final = 65535
_CREDENTIALS: Final = struct.Struct("iII")  # struct ucred of unix(7)


def require_stream(sock: socket.socket) -> None:
    """Raise UsageError unless a socket is an open Unix or TCP stream socket without TLS."""
    require_instances("sock", [sock], socket.socket)
    families = {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6}
    if sock.fileno() < 0:
        raise UsageError(f"sock must be open; got a closed one: {sock}")
    if isinstance(sock, ssl.SSLSocket):
        raise UsageError(f"sock must be a plain socket: pass TLS by ssl=; got {sock}")
    if sock.family not in families or sock.type != socket.SOCK_STREAM:
        raise UsageError(f"sock must be a Unix or TCP stream socket; got {sock}")


def is_connected(sock: socket.socket) -> bool:
    """Return whether a socket is connected."""
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def require_bound(sock: socket.socket) -> None:
    """Raise UsageError unless a socket is bound to an address."""
    name = sock.getsockname()
    # listen(2) would bind an unbound one to a random port, at all addresses of this machine.
    if not name or (sock.family != socket.AF_UNIX and name[1] == 0):
        raise UsageError(f"sock must be bound to an address; got {sock}")


def check_keepalive(seconds: float | None) -> None:
    """Raise UsageError unless the operating system can use this keepalive."""
    require_seconds("keepalive", seconds, optional=True)
    if seconds is not None and not _SHORTEST <= seconds <= _LONGEST:
        raise UsageError(
            f"keepalive must be from {_SHORTEST:g} to {_LONGEST:g} seconds, or None to leave it to the operating "
            f"system; got {seconds!r}"
        )


def set_keepalive(sock: socket.socket, seconds: float) -> None:
    """Enable TCP keepalive: the kernel ends a connection whose peer does not respond for so long.

    An idle connection is probed after half of the time, and then four times. On Linux, written data that the peer does not
    acknowledge, or has no buffer for, for the whole time ends the connection as well (TCP_USER_TIMEOUT, which overrides
    the number of probes). It has no effect on a Unix socket.
    """
    idle = max(1, round(seconds / 2))
    interval = max(1, math.ceil((seconds - idle) / _PROBES))
    wanted = {
        "TCP_KEEPIDLE": idle,
        "TCP_KEEPALIVE": idle,  # macOS' name of TCP_KEEPIDLE
        "TCP_KEEPINTVL": interval,
        "TCP_KEEPCNT": max(1, math.ceil((seconds - idle) / interval)),
        "TCP_USER_TIMEOUT": round(seconds * 1000),
    }
    if sock.family == socket.AF_UNIX:
        return
    with suppress(OSError):  # already dead: asyncio reports the loss in the next iteration
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in wanted.items():
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def peer_credentials(sock: socket.socket) -> PeerCredentials | None:
    """Return the process at the other end of a Unix socket; None if the operating system does not report it."""
    option: int | None = getattr(socket, "SO_PEERCRED", None)
    if option is None or sock.family != socket.AF_UNIX:
        return None
    try:
        return PeerCredentials(
            *_CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))
        )
    except OSError:
        return None


def describe_address(name: str | bytes | tuple[str, int] | None) -> str:
    """Format the result of ``getsockname`` or ``getpeername``: ``"unix:/run/app.sock"``, ``"tcp:127.0.0.1:8000"``."""
    match name:
        case None:
            return "a disconnected peer"
        case bytes():  # Linux' abstract names begin with NUL; formatted as ss(8) does
            return f"unix:@{os.fsdecode(name[1:])}"
        case str():
            return f"unix:{name}" if name else "unix:(no name)"
        case _:
            return f"tcp:{join_address(*name[:2])}"


def join_address(host: str, port: int) -> str:
    """Format host and port, with brackets around an IPv6 address (RFC 3986, 3.2.2).

    Raises:
        UsageError: The host is not a string, or the port not an integer from 0 to 65,535.
    """
    require_text("host", host)
    require_whole("port", port)
    if not 0 <= port <= _LAST_PORT:  # some event loops use the port modulo 65,536
        raise UsageError(f"tcp:{host}: port must be from 0 to {_LAST_PORT}; got {port}")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
