"""Socket activation: the sockets that systemd has opened for this process, as in sd_listen_fds(3)."""

import os
import socket
from collections.abc import Mapping
from typing import Final, NamedTuple

from enkaku.errors import NotActivated, UsageError

__all__ = ["PassedSocket", "systemd_sockets"]

_FIRST: Final = 3  # the first descriptor that is passed; the others follow it
_NO_NAME: Final = "unknown"  # what systemd says of a socket without a name


class PassedSocket(NamedTuple):
    """A socket that systemd has opened.

    Attributes:
        name: What ``FileDescriptorName=`` says in the socket's unit; by default, the unit's name.
        socket: For ``serve_socket``; it is not inherited by the programs that this one starts.
    """

    name: str
    socket: socket.socket


def systemd_sockets() -> tuple[PassedSocket, ...]:
    """Return the sockets that systemd has passed to this process, in its order; there is at least one.

    Call it once, early: it removes ``LISTEN_PID``, ``LISTEN_FDS`` and ``LISTEN_FDNAMES`` from the environment, so
    that no program that this one starts takes them for its own.

    Raises:
        NotActivated: None was passed, or they were passed to another process.
        UsageError: Something was passed that is no socket, such as a FIFO; the descriptors are left as they are.
    """
    names = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    said = {name: value for name in names if (value := os.environ.pop(name, None)) is not None}
    return _take(_count(said), said.get("LISTEN_FDNAMES", "").split(":"))


def _count(said: Mapping[str, str]) -> int:
    pid, count = said.get("LISTEN_PID", ""), said.get("LISTEN_FDS", "")
    if not pid or not count:
        raise NotActivated(
            "systemd has passed no socket to this process: LISTEN_PID and LISTEN_FDS are not set. Start it by a "
            ".socket unit, or try it with systemd-socket-activate(1)"
        )
    if pid != str(os.getpid()):
        raise NotActivated(
            f"systemd has passed its sockets to process {pid:.20}, and this is {os.getpid()}: let the unit's "
            "ExecStart= start this program itself, or by 'exec' in a script"
        )
    if not (count.isascii() and count.isdigit() and int(count) > 0):
        raise NotActivated(f"LISTEN_FDS says that {count:.20} sockets were passed to this process")
    return int(count)


def _take(count: int, names: list[str]) -> tuple[PassedSocket, ...]:
    taken: list[PassedSocket] = []
    for index in range(count):
        descriptor = _FIRST + index
        name = (names[index] if index < len(names) else "") or _NO_NAME
        try:
            os.set_inheritable(descriptor, False)  # noqa: FBT003 # os names it no better
            taken.append(PassedSocket(name, socket.socket(fileno=descriptor)))
        except OSError as error:
            for passed in taken:
                passed.socket.detach()
            raise UsageError(
                f"descriptor {descriptor} ({name}), which systemd has passed, is no socket: {error}"
            ) from error
    return tuple(taken)
