"""The process of the deciders, as its users see it.

Schemas may come from anywhere, and some take a decider centuries or all memory, within a call that Python cannot
interrupt. So the deciders run in a process of their own (``worker``), which the operating system ends at its limits.
The next question starts another one.
"""

import atexit
import json
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO, Final, Literal, TypeAlias, cast

from enkaku_codegen.json_values import Json, as_json, read_number

from .pair import Pair

__all__ = ["OUT_OF_MEMORY", "Decider", "WorkerEnded", "ask", "start", "stop", "written"]

Decider: TypeAlias = Literal["canonical", "prover", "search"]

OUT_OF_MEMORY: Final = 71
"""The exit code of the process if Python itself finds no memory."""

# -P: a file of the current directory must not take the place of a module.
_COMMAND: Final = (sys.executable, "-P", "-m", "enkaku_codegen.containment.worker")
_lock: Final = threading.Lock()
_running: Final[list["_Process"]] = []


class WorkerEnded(Exception):
    """The process ended before it answered, or did not start; the message says why."""


def start() -> None:
    """Start the process, unless it runs. It imports its modules, which takes longer than most answers."""
    with _lock:
        if not _running:
            _running.append(_Process())


def stop() -> None:
    """End the process."""
    with _lock:
        for each in _running:
            each.end()
        _running.clear()


def written(pair: Pair) -> str:
    """Return a pair as the process reads it."""
    return as_json([*pair.writer.json, *pair.reader.json])


def ask(decider: Decider, pair: str, seconds: float) -> Json:
    """Return the answer of a decider.

    Args:
        decider: Whom to ask.
        pair: The pair, as ``written`` returns it.
        seconds: How much time of the processor the answer may take.

    Raises:
        WorkerEnded: There is none: it took too much time or memory.
    """
    start()
    with _lock:
        return _running[0].ask(f'["{decider}", {seconds!r}, {pair}]')


class _Process:
    """One process, which answers one question after the other."""

    def __init__(self) -> None:
        # In a session of its own: Ctrl-C interrupts the command, which ends this process.
        try:
            self._popen = subprocess.Popen(  # noqa: S603 # this interpreter, and nothing of others
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise WorkerEnded(f"its process did not start: {error.strerror}") from error
        self._read()

    def ask(self, question: str) -> Json:
        line = question.encode("utf-8", "surrogatepass") + b"\n"
        stdin = cast(IO[bytes], self._popen.stdin)
        with suppress(BrokenPipeError):
            stdin.write(line)
            stdin.flush()
        return self._read()

    def _read(self) -> Json:
        line = b""
        try:
            line = cast(IO[bytes], self._popen.stdout).readline()
        finally:
            if not line.endswith(b"\n"):
                _running.clear()
                self.end()
        if not line.endswith(b"\n"):
            raise WorkerEnded(_cause(self._popen.returncode))
        answer: Json = json.loads(line.decode("utf-8", "surrogatepass"), parse_float=read_number)
        return answer

    def end(self) -> None:
        # To leave the block closes the pipes, one of which may hold the rest of a question, and waits.
        with suppress(BrokenPipeError), self._popen:
            self._popen.kill()


def _cause(code: int) -> str:
    if code == -signal.SIGPROF:
        return "it took too long"
    if code in (OUT_OF_MEMORY, -signal.SIGABRT, -signal.SIGSEGV, -signal.SIGKILL):
        return "it took too much memory"
    return f"its process ended with {code}"


atexit.register(stop)
