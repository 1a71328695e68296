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
"""Seconds of silence after which a TCP peer counts as gone."""

_SHORTEST: Final = 2.0  # seconds: one of rest, one for a probe
_LONGEST: Final = 32767.0  # seconds, of what Linux takes
_PROBES: Final = 4
_LAST_PORT: Final = 65535
_CREDENTIALS: Final = struct.Struct("iII")  # struct ucred of unix(7)


def require_stream(sock: socket.socket) -> None:
    """Raise UsageError unless a connection can be made with a socket of this kind."""
    require_instances("sock", [sock], socket.socket)
    families = {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6}
    if sock.fileno() < 0:
        raise UsageError(f"{sock} is closed")
    if isinstance(sock, ssl.SSLSocket):
        raise UsageError("a socket with TLS around it is not taken: give the bare one, and ssl")
    if sock.family not in families or sock.type != socket.SOCK_STREAM:
        raise UsageError(f"{sock} is neither a Unix nor a TCP socket")


def is_connected(sock: socket.socket) -> bool:
    """Whether a socket has another end already."""
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def require_bound(sock: socket.socket) -> None:
    """Raise UsageError unless a socket has an address to listen at."""
    name = sock.getsockname()
    # Listening would give it whatever port is free, at all addresses of this machine.
    if not name or (sock.family != socket.AF_UNIX and name[1] == 0):
        raise UsageError(f"{sock} is not bound to an address")


def check_keepalive(seconds: float | None) -> None:
    """Raise UsageError unless a connection can be kept alive so."""
    require_seconds("keepalive", seconds, optional=True)
    if seconds is not None and not _SHORTEST <= seconds <= _LONGEST:
        raise UsageError(
            f"keepalive={seconds!r}: from {_SHORTEST:g} to {_LONGEST:g} seconds, or None to leave it to the system"
        )


def set_keepalive(sock: socket.socket, seconds: float) -> None:
    """Have the system end a connection, if it is TCP, whose peer has answered nothing for so long, idle or not.

    An idle connection is probed after half of the time, and then four times. What was written and is not
    acknowledged, or not taken, for the whole time ends the connection as well, where the system can do it (Linux,
    where TCP_USER_TIMEOUT decides about the probes, too).
    """
    idle = max(1, round(seconds / 2))
    interval = max(1, math.ceil((seconds - idle) / _PROBES))
    wanted = {
        "TCP_KEEPIDLE": idle,
        "TCP_KEEPALIVE": idle,  # the same on macOS
        "TCP_KEEPINTVL": interval,
        "TCP_KEEPCNT": max(1, math.ceil((seconds - idle) / interval)),
        "TCP_USER_TIMEOUT": round(seconds * 1000),
    }
    if sock.family == socket.AF_UNIX:
        return
    with suppress(OSError):  # a connection that is dead already: it is told of in a moment
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in wanted.items():
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def peer_credentials(sock: socket.socket) -> PeerCredentials | None:
    """Ask who made the other end of a Unix socket; None where the system does not say."""
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
    """Write what ``getsockname`` or ``getpeername`` says, as ``"unix:/run/app.sock"`` or ``"tcp:127.0.0.1:8000"``."""
    match name:
        case None:
            return "somebody who is gone"
        case bytes():  # one of Linux' abstract names, which begin with NUL: written as ss(8) does
            return f"unix:@{os.fsdecode(name[1:])}"
        case str():
            return f"unix:{name}" if name else "unix:(no name)"
        case _:
            return f"tcp:{join_address(*name[:2])}"


def join_address(host: str, port: int) -> str:
    """Write host and port as one, with brackets around an IPv6 address (RFC 3986, 3.2.2).

    Raises:
        UsageError: The host is no text, or the port none.
    """
    require_text("host", host)
    require_whole("port", port)
    if not 0 <= port <= _LAST_PORT:  # some event loops take the remainder
        raise UsageError(f"tcp:{host}:{port} is no address: a port is from 0 to {_LAST_PORT}")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
