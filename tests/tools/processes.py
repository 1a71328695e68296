"""The command ``enkaku`` as a process of its own: where exit codes, signals and pipes matter."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["ENKAKU", "Running", "process", "running"]

ENKAKU = [sys.executable, "-m", "enkaku_codegen"]
_PATIENCE = 40


def process(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*ENKAKU, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )


class Running:
    """A command that runs on, and the lines that it prints on both streams."""

    def __init__(self, popen: subprocess.Popen[str], output: IO[str]) -> None:
        self._popen = popen
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(output,), daemon=True)
        self._reader.start()

    def _read(self, output: IO[str]) -> None:
        for line in output:
            self._lines.put(line)

    def expect(self, text: str) -> str:
        """Wait for a line with a text, and return all lines up to it."""
        seen = ""
        while text not in seen:
            try:
                seen += self._lines.get(timeout=_PATIENCE)
            except queue.Empty:
                raise AssertionError(f"expected {text!r}, got {seen!r}") from None
        return seen

    def interrupt(self) -> tuple[int, str]:
        """Send SIGINT, and return the exit code and the lines that were not expected yet."""
        self._popen.send_signal(signal.SIGINT)
        code = self._popen.wait(_PATIENCE)
        self._reader.join(_PATIENCE)
        return code, "".join(self._lines.queue)


@contextmanager
def running(*arguments: object, cwd: Path) -> Generator[Running]:
    """Run the command during a block."""
    # A shell lets what it starts in the background ignore SIGINT, and so would this process.
    code = "import signal, runpy; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "runpy.run_module('enkaku_codegen', run_name='__main__')"
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as popen:
        assert popen.stdout is not None
        try:
            yield Running(popen, popen.stdout)
        finally:
            popen.kill()
