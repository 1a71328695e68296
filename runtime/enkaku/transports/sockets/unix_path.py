"""The file of a Unix socket: created safely, and removed at the end.

It uses blocking calls, none of which waits for a peer.
"""

import errno
import fcntl
import os
import socket
import stat
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from enkaku._checks import require_whole
from enkaku.errors import AddressInUse, UsageError

__all__ = ["Claim", "claim_path"]

_PATH_MAX: Final = 107 if sys.platform == "linux" else 103  # bytes; of sockaddr_un, less its NUL
_LOCK_ATTEMPTS: Final = 100
_LOCK_PAUSE: Final = 0.01  # seconds


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
        UsageError: No file can have this path, or these permissions.
        OSError: The operating system refuses.
    """
    if not path or "\0" in path:
        raise UsageError(f"{path!r} cannot be the path of a socket")
    require_whole("mode", mode)
    if not 0 <= mode <= 0o777:
        raise UsageError(f"mode is a number from 0 to 0o777, such as 0o600, and not {mode}")
    size = len(os.fsencode(path))
    if size > _PATH_MAX:
        raise UsageError(
            f"unix:{path}: the path of a socket has {_PATH_MAX} bytes at the most, and this one {size}; serve in "
            "a directory with a shorter path, or give a path relative to the current one"
        )
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.settimeout(0)
        # Whoever starts a server here does so alone: two that both find a dead server's file would each
        # believe that they have taken it over.
        with _lock(path):
            _require_free(path)
            # Bound beside the path and moved onto it, so that nobody sees the file before it has its mode.
            beside = Path(_beside(path))
            _require_free(str(beside))
            beside.unlink(missing_ok=True)
            server.bind(str(beside))
            try:
                beside.chmod(mode)
                server.listen(backlog)
                beside.rename(path)
            except BaseException:
                beside.unlink(missing_ok=True)
                raise
            # Absolute, since the program may be in another directory when it gives the path back.
            return Claim(server, str(Path(path).absolute()), _identity(path))
    except BaseException:
        server.close()
        raise


def _beside(path: str) -> str:
    """Name a file in the same directory, by no more bytes than are allowed for a socket."""
    return path[:-1] + ("=" if path.endswith("~") else "~")


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
        _lock_exclusively(directory)
        yield
    finally:
        os.close(directory)


def _lock_exclusively(directory: int) -> None:
    # Anybody who may read the directory can lock it: somebody who keeps it locked must not hang a program.
    for _ in range(_LOCK_ATTEMPTS):
        with suppress(BlockingIOError):
            return fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(_LOCK_PAUSE)
    raise OSError(errno.EAGAIN, "another program keeps the directory locked")


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino
