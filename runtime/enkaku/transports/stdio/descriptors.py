"""The descriptors 0 and 1 of this process, while a server uses them.

The server reads and writes duplicates. In the meantime, 0 is ``/dev/null`` and 1 is stderr: neither a ``print``, nor C code, nor
a child process can write between two messages, or read one.
"""

import errno
import fcntl
import os
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from enkaku.errors import UsageError

__all__ = ["Stdio"]

_STDIN: Final = 0
_STDOUT: Final = 1
_STDERR: Final = 2
_FIRST_FREE: Final = 3  # not 2, even if it is closed: something may write to it

_in_use: Final = threading.Lock()  # a process has one stdin


class Stdio:
    """Takes stdin and stdout from the rest of the program, until ``release``.

    Attributes:
        reading: A duplicate of stdin.
        writing: A duplicate of stdout.

    Raises:
        OSError: One of them is closed.
        UsageError: They are taken already.
    """

    def __init__(self) -> None:
        if not _in_use.acquire(blocking=False):
            raise UsageError("serve_stdio: this process serves its stdin and stdout already")
        with ExitStack() as undo:
            undo.callback(_in_use.release)
            self.reading: Final = _duplicate(_STDIN, undo)
            self.writing: Final = _duplicate(_STDOUT, undo)
            with Path(os.devnull).open("r+b", buffering=0) as nothing:
                os.dup2(nothing.fileno(), _STDIN)
                os.dup2(_STDERR if _is_open(_STDERR) else nothing.fileno(), _STDOUT)
            self._undo: Final = undo.pop_all()

    def release(self) -> None:
        """Restore stdin and stdout. What the program has printed until now goes to stderr."""
        with suppress(AttributeError, OSError, ValueError):  # there is none, or it is closed
            sys.stdout.flush()
        self._undo.close()


def _is_open(descriptor: int) -> bool:
    """Return whether a descriptor was open when this process started.

    Otherwise it may belong to the event loop by now; but what Python opens is not inheritable.
    """
    try:
        return os.get_inheritable(descriptor)
    except OSError:
        return False


def _duplicate(descriptor: int, undo: ExitStack) -> int:
    if not _is_open(descriptor):
        raise OSError(errno.EBADF, f"descriptor {descriptor} was closed when this process started")
    duplicate = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    undo.callback(os.close, duplicate)
    undo.callback(os.dup2, duplicate, descriptor)
    undo.callback(os.set_blocking, duplicate, os.get_blocking(duplicate))
    return duplicate
