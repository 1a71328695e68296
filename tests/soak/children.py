"""Child processes of a soak: starts and kills them, and reads their reports."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import IO, Final, Self

import psutil

__all__ = ["Child"]

_TESTS: Final = Path(__file__).parent.parent
_READY_WITHIN: Final = 60.0  # seconds
_ENDED_WITHIN: Final = 150.0  # seconds: longer than a client's own limit for hung calls


class Child:
    """A process that runs a module of the soak, and prints a line when it is ready and a report when it has ended."""

    def __init__(self, process: asyncio.subprocess.Process, ready: str, errors: IO[bytes]) -> None:
        self.ready = ready
        self._process = process
        self._errors = errors
        self._system = psutil.Process(process.pid)

    @classmethod
    async def start(cls, module: str, *arguments: str, errors: Path) -> Self:
        """Start a process, and wait until it is ready; its standard error is appended to a file."""
        file = errors.open("ab")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-X", "faulthandler", "-m", f"soak.{module}", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=file,
            cwd=_TESTS,
        )
        assert process.stdout is not None
        async with asyncio.timeout(_READY_WITHIN):
            ready = await process.stdout.readline()
        if not ready:
            raise RuntimeError(f"{module} did not start: {errors.read_text()[-2000:]}")
        return cls(process, ready.decode().strip(), file)

    @property
    def memory(self) -> int:
        """Its resident memory, in bytes."""
        return int(self._system.memory_info().rss)

    def stop(self) -> None:
        """Stop the process (SIGSTOP)."""
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Continue the process (SIGCONT)."""
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """Kill the process."""
        self._process.kill()
        await self._reap()

    async def finish(self) -> str | None:
        """Terminate the process, and return its report; None if it hangs or fails."""
        self._process.terminate()
        try:
            async with asyncio.timeout(_ENDED_WITHIN):
                assert self._process.stdout is not None
                last = await self._process.stdout.read()
                await self._reap()
        except TimeoutError:
            await self.kill()
            return None
        return last.decode() if self._process.returncode == 0 else None

    async def _reap(self) -> None:
        await self._process.wait()
        self._errors.close()
