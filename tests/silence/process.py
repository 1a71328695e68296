"""Child processes that tests suspend, resume and kill."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from support import WITHIN

_TESTS = Path(__file__).parent.parent
_PATH = [path for path in [os.environ.get("PYTHONPATH")] if path]


class Child:
    """A module that runs in its own process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def says(self) -> str:
        """Return the next line that it prints."""
        assert self._process.stdout is not None
        async with asyncio.timeout(3 * WITHIN):
            return (await self._process.stdout.readline()).decode().strip()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()

    def terminate(self) -> None:
        self._process.terminate()

    def unblock(self) -> None:
        """Send a line, which ends a ``block``."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")

    async def ended(self) -> int:
        """Wait for the process, and return its exit code."""
        async with asyncio.timeout(WITHIN):
            return await self._process.wait()


@asynccontextmanager
async def running(module: str, *words: str) -> AsyncGenerator[Child, None]:
    """Run a module during the block, and kill its process at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *words),
        stdin=PIPE,
        stdout=PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (_TESTS, *_PATH)))},
    )
    try:
        yield Child(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
