"""The file of a Unix socket: taken safely, and given back.

Above it: ``sockets``. Below it: the operating system. It uses blocking calls, none of which waits for a peer.
"""

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from .errors import AddressInUse

__all__ = ["Claim", "claim_path"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A path that is ours, and the socket that listens there.

    Attributes:
        socket: Bound and listening, not blocking.
        path: Where its file is.
        identity: Device and inode of that file, by which it is known to be still ours.
    """

    socket: socket.socket
    path: str
    identity: tuple[int, int]

    def release(self) -> None:
        """Close the socket, and remove its file unless somebody else has put another there."""
        self.socket.close()
        with suppress(OSError), _lock(self.path):
            if _identity(self.path) == self.identity:
                Path(self.path).unlink()


def claim_path(path: str, *, mode: int, backlog: int) -> Claim:
    """Listen at a path; take it over from a server that is dead.

    Args:
        path: Where the socket's file shall be.
        mode: Its permissions, in force before anybody can connect.
        backlog: How many connections may wait to be accepted.

    Raises:
        AddressInUse: A live server answers there, or something that is not a socket lies there.
        OSError: The operating system refuses.
    """
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.settimeout(0)
        # Whoever starts a server here does so alone: two that both find a dead server's file would each
        # believe that they have taken it over.
        with _lock(path):
            _require_free(path)
            # Bound beside the path and moved onto it, so that nobody sees the file before it has its mode.
            beside = Path(f"{path}~")
            if beside.is_socket():
                beside.unlink()
            server.bind(str(beside))
            beside.chmod(mode)
            server.listen(backlog)
            beside.rename(path)
            return Claim(server, path, _identity(path))
    except BaseException:
        server.close()
        raise


def _require_free(path: str) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise AddressInUse(f"unix:{path}: there is a file which is not a socket; it is left alone")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        refusal = probe.connect_ex(path)
    if refusal not in {errno.ECONNREFUSED, errno.ENOENT}:
        raise AddressInUse(
            f"unix:{path}: a live server answers there; stop it first, or choose another path"
        )


@contextmanager
def _lock(path: str) -> Generator[None, None, None]:
    directory = os.open(Path(path).absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino
