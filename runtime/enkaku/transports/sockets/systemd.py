"""systemd socket activation: adopts the sockets that systemd has passed to this process.

The protocol is sd_listen_fds(3): descriptors from 3 on are passed, ``LISTEN_FDS`` counts them, ``LISTEN_PID`` is the process
that they are meant for, and ``LISTEN_FDNAMES`` has their names.
"""

import os
import socket
from collections.abc import Mapping
from typing import Final, NamedTuple

from enkaku.errors import NotActivated, UsageError

__all__ = ["PassedSocket", "systemd_sockets"]

_FIRST: Final = 3  # the first passed descriptor
_NO_NAME: Final = "unknown"  # systemd's own name for a socket without one


class PassedSocket(NamedTuple):
    """A socket that systemd has passed to this process.

    Attributes:
        name: ``FileDescriptorName=`` of the socket's unit; by default, the name of the unit.
        socket: For ``serve_socket``; child processes do not inherit it.
    """

    name: str
    socket: socket.socket


def systemd_sockets() -> tuple[PassedSocket, ...]:
    """Return the sockets that systemd has passed to this process, in its order; at least one.

    Call it once, early: it removes ``LISTEN_PID``, ``LISTEN_FDS`` and ``LISTEN_FDNAMES`` from the environment, so
    that child processes do not use the sockets, too.

    Raises:
        NotActivated: No socket was passed, or they were passed to another process.
        UsageError: A passed descriptor is not a socket, such as a FIFO; all descriptors stay open.
    """
    names = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    variables = {name: value for name in names if (value := os.environ.pop(name, None)) is not None}
    return _adopt(_count(variables), variables.get("LISTEN_FDNAMES", "").split(":"))


def _count(variables: Mapping[str, str]) -> int:
    pid, count = variables.get("LISTEN_PID", ""), variables.get("LISTEN_FDS", "")
    if not pid or not count:
        raise NotActivated(
            "systemd has passed no socket to this process: LISTEN_PID and LISTEN_FDS are not set. Start it from a "
            ".socket unit, or try it with systemd-socket-activate(1)"
        )
    if pid != str(os.getpid()):
        raise NotActivated(
            f"systemd has passed the sockets to process {pid:.20}, but this process is {os.getpid()}: let the "
            "unit's ExecStart= start this program directly, or by 'exec' in a script"
        )
    if not (count.isascii() and count.isdigit() and int(count) > 0):
        raise NotActivated(f"LISTEN_FDS must be an integer of 1 or more; got {count!r:.22}")
    return int(count)


def _adopt(count: int, names: list[str]) -> tuple[PassedSocket, ...]:
    adopted: list[PassedSocket] = []
    for index in range(count):
        descriptor = _FIRST + index
        name = (names[index] if index < len(names) else "") or _NO_NAME
        try:
            os.set_inheritable(descriptor, False)  # noqa: FBT003 # a positional parameter of os
            adopted.append(PassedSocket(name, socket.socket(fileno=descriptor)))
        except OSError as error:
            for passed in adopted:
                passed.socket.detach()
            raise UsageError(
                f"systemd has passed descriptor {descriptor} ({name}), which is not a socket: {error}"
            ) from error
    return tuple(adopted)
