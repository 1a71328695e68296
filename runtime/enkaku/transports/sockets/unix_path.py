"""Unix socket file: binds a socket to a path, and removes the file at the end.

``bind(2)`` fails if the path exists, even when the server that made it is dead. So a new server first probes the path with
a connect: if a server answers, it raises ``AddressInUse``; if not, it replaces the file.

- A lock (``flock``) on the directory makes probe and replacement atomic. Without it, two servers could both find the
  dead file, and the second one would replace the first one's. At the end, the same lock protects the removal.
- The socket is bound to a temporary path, gets its permissions and listens, and only then is renamed to its path. So
  no client sees the file before it has its permissions.
- Device and inode identify the file at the end: one that another server has put there is not removed.

The calls are blocking, but none waits for a peer, and the lock is retried for at most one second.
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

__all__ = ["BoundPath", "bind_path"]

_PATH_MAX: Final = 107 if sys.platform == "linux" else 103  # bytes; of sockaddr_un, less its NUL
_LOCK_ATTEMPTS: Final = 100
_LOCK_PAUSE: Final = 0.01  # seconds


@dataclass(frozen=True, slots=True)
class BoundPath:
    """A socket that listens at a path.

    Attributes:
        socket: The socket: bound, listening, non-blocking.
        path: The absolute path of its file.
        identity: Device and inode of the file.
    """

    socket: socket.socket
    path: str
    identity: tuple[int, int]

    def release(self) -> None:
        """Close the socket, and remove its file unless it was replaced."""
        self.socket.close()
        with suppress(OSError), _lock(self.path):
            if _identity(self.path) == self.identity:
                Path(self.path).unlink()


def bind_path(path: str, *, mode: int, backlog: int) -> BoundPath:
    """Listen at a path; replace the file of a dead server.

    Args:
        path: The path of the socket's file.
        mode: Its permissions, in force before a client can connect.
        backlog: Length of the kernel's accept queue.

    Raises:
        AddressInUse: A live server answers at the path, or another kind of file is there.
        UsageError: The path or the permissions are not valid.
        OSError: The operating system rejects it.
    """
    if not path or "\0" in path:
        raise UsageError(f"the path of a socket must not be empty or contain NUL; got {path!r}")
    require_whole("mode", mode)
    if not 0 <= mode <= 0o777:
        raise UsageError(f"unix:{path}: mode must be from 0 to 0o777, such as 0o600; got {mode}")
    size = len(os.fsencode(path))
    if size > _PATH_MAX:
        raise UsageError(
            f"unix:{path}: the path of a socket must have at most {_PATH_MAX} bytes; got {size}: use a directory "
            "with a shorter path, or a path relative to the current directory"
        )
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.settimeout(0)
        with _lock(path):
            _require_free(path)
            temporary = Path(_temporary_path(path))
            _require_free(str(temporary))
            temporary.unlink(missing_ok=True)
            server.bind(str(temporary))
            try:
                temporary.chmod(mode)
                server.listen(backlog)
                temporary.rename(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            # Absolute, since the program may have changed its directory before release().
            return BoundPath(server, str(Path(path).absolute()), _identity(path))
    except BaseException:
        server.close()
        raise


def _temporary_path(path: str) -> str:
    """Return a path in the same directory, no longer than the given one, which may have the maximum length."""
    return path[:-1] + ("=" if path.endswith("~") else "~")


def _require_free(path: str) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise AddressInUse(
            f"unix:{path}: the file exists and is not a socket; remove it, or choose another path"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        result = probe.connect_ex(path)
    if result not in {errno.ECONNREFUSED, errno.ENOENT}:
        raise AddressInUse(f"unix:{path}: a live server answers; stop it, or choose another path")


@contextmanager
def _lock(path: str) -> Generator[None, None, None]:
    directory = os.open(Path(path).absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock_exclusively(directory)
        yield
    finally:
        os.close(directory)


def _lock_exclusively(directory: int) -> None:
    # Every process that can read the directory can lock it: a bounded number of attempts, so that
    # such a process cannot block this one without end.
    for _ in range(_LOCK_ATTEMPTS):
        with suppress(BlockingIOError):
            return fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(_LOCK_PAUSE)
    raise OSError(errno.EAGAIN, "another program holds the lock of the directory")


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino
