"""Child processes: start one whose stdin and stdout are a connection, and end it.

A child is the leader of a session of its own, and so of a process group, which gets the signals: the children that it started
end with it. When it has exited, the rest of the group is killed before the child is reaped, since its number cannot
be reused before that.

Linux reports the exit by a descriptor (``pidfd_open``). Elsewhere, a thread waits, and ends with the process.
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Final, TypeAlias, cast

from enkaku._checks import require_list
from enkaku.errors import ConnectFailed, UsageError

__all__ = ["Command", "Process", "Stderr"]

logger: Final = logging.getLogger("enkaku.client")

Stderr: TypeAlias = int | IO[bytes] | IO[str] | None
"""Where a process writes its stderr, as for ``subprocess.Popen``; None for the stderr of this process."""

_KILL_TIME: Final = (
    2.0  # seconds until a killed process has exited; one that waits for a disk may take longer
)


class Process:
    """A running process; it is reaped as soon as it exits.

    Args:
        popen: The process.
        where: Its name, for log lines.

    Attributes:
        exited: Done when it has exited, and was reaped.
    """

    def __init__(self, popen: subprocess.Popen[bytes], where: str) -> None:
        self._popen: Final = popen
        self._where: Final = where
        self._loop: Final = asyncio.get_running_loop()
        self._pidfd = _open_pidfd(popen.pid)
        self.exited: Final[asyncio.Future[None]] = self._loop.create_future()
        if self._pidfd is None:
            name = f"enkaku-wait-{popen.pid}"
            threading.Thread(target=self._wait_in_thread, name=name, daemon=True).start()
        else:
            self._loop.add_reader(self._pidfd, self._on_exit)

    @property
    def end(self) -> str:
        """How it ended, such as ``"exited with status 3"`` or ``"was killed by SIGSEGV"``."""
        status = self._popen.returncode
        if status is None:
            return "runs"
        if status >= 0:
            return f"exited with status {status}"
        try:
            return f"was killed by {signal.Signals(-status).name}"
        except ValueError:  # a real-time signal
            return f"was killed by signal {-status}"

    def descriptors(self) -> Sequence[int]:
        """Return the descriptor that reports the exit, if there is one."""
        return () if self._pidfd is None else (self._pidfd,)

    def kill(self) -> None:
        """Kill the process group at once; the process is reaped later."""
        self._signal(signal.SIGKILL)

    async def terminate(self, *, within: float) -> None:
        """Ask the process group to exit (SIGTERM), and kill it (SIGKILL) if the process has not exited in time."""
        self._signal(signal.SIGTERM)
        if not await self.wait(within=within):
            self.kill()
            if not await self.wait(within=_KILL_TIME):
                text = "%s: process %d has not exited %g s after SIGKILL"
                logger.error(text, self._where, self._popen.pid, _KILL_TIME)

    async def wait(self, *, within: float) -> bool:
        """Wait until the process has exited; return whether it has."""
        if not self.exited.done():
            await asyncio.wait([self.exited], timeout=within)
        return self.exited.done()

    def _signal(self, number: signal.Signals) -> None:
        if not self.exited.done():
            # It may have exited, or may run as another user.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, number)

    def _wait_in_thread(self) -> None:
        if hasattr(os, "waitid"):
            with suppress(ChildProcessError):
                os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOWAIT)
        else:
            self._popen.wait()
        with suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(self._on_exit)

    def _on_exit(self) -> None:
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        self.kill()  # what it has started
        self._popen.wait()  # returns at once
        self.exited.set_result(None)


@dataclass(frozen=True, slots=True)
class Command:
    """A program with its arguments, and how to start it.

    Attributes:
        argv: The program, and its arguments.
        cwd: Its working directory; None for this one.
        env: Its environment; None for this one.
        stderr: Where it writes its stderr.
    """

    argv: Sequence[str | os.PathLike[str]]
    cwd: str | os.PathLike[str] | None = None
    env: Mapping[str, str] | None = None
    stderr: Stderr = None

    def __post_init__(self) -> None:
        require_list("argv", self.argv)
        if not self.argv:
            raise UsageError("argv must have at least the name of the program; got an empty list")
        for each in cast(Sequence[object], self.argv):
            if not isinstance(each, str | os.PathLike):
                raise UsageError(f"argv must be a list of strings and paths; got {each!r} in it")
        if self.stderr in (subprocess.PIPE, subprocess.STDOUT):
            raise UsageError(
                "stderr must be None, DEVNULL, a file or a descriptor: nothing would read a pipe, and stdout is for "
                f"messages; got {self.stderr!r}"
            )

    @property
    def where(self) -> str:
        """The program, for log lines and error messages. Its arguments may be secret."""
        return f"process:{os.fspath(self.argv[0])}"

    def start(self, stdin: int, stdout: int) -> Process:
        """Start the program with these descriptors.

        Raises:
            ConnectFailed: It cannot be started.
            UsageError: An argument is not valid.
        """
        try:
            popen = subprocess.Popen(  # noqa: S603 # without a shell
                self.argv,
                stdin=stdin,
                stdout=stdout,
                stderr=self.stderr,
                cwd=self.cwd,
                env=self.env,
                start_new_session=True,
            )
        except OSError as error:
            raise ConnectFailed(f"{self.where}: the program cannot be started: {error}") from error
        except (ValueError, TypeError) as error:
            raise UsageError(f"{self.where}: not a valid command: {error}") from error
        try:
            return Process(popen, self.where)
        except BaseException:
            popen.kill()
            popen.wait()
            raise


def _open_pidfd(pid: int) -> int | None:
    if sys.platform != "linux":
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:  # of an old kernel, or forbidden
        return None
