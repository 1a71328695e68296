"""What must not happen while anything at all is sent: escaped exceptions, left tasks, growing memory.

Above it: the two fuzzers. Below it: the event loop, the log and the allocator.
"""

import asyncio
import gc
import logging
import sys
import traceback
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

__all__ = ["Expected", "Flatness", "Watch", "resident"]

_LEFT_WITHIN: Final = 10.0  # seconds in which tasks that are cancelled have to be gone
_STATM: Final = Path("/proc/self/statm")
_PAGE: Final = 4096


class Expected(Exception):
    """What a handler of the fuzzer raises on purpose."""


class Watch(logging.Handler):
    """Collects what went wrong; everything logged as an error counts, but for what handlers raise on purpose."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[str] = []
        self._batch = ""

    @contextmanager
    def batch(self, name: str) -> Generator[None, None, None]:
        """Say beside what is found meanwhile which batch it was."""
        self._batch = name
        yield
        self._batch = ""

    @asynccontextmanager
    async def watching(self) -> AsyncGenerator[None, None]:
        """Watch this event loop, the log, and what cannot be raised."""
        loop = asyncio.get_running_loop()
        before = loop.get_exception_handler(), sys.unraisablehook
        loggers = [logging.getLogger(name) for name in ("enkaku", "asyncio")]
        levels = [(logger, logger.level, logger.propagate) for logger in loggers]
        loop.set_exception_handler(lambda _, context: self._note("event loop", context))
        sys.unraisablehook = lambda raised: self._note("unraisable", raised)
        for logger in loggers:
            logger.addHandler(self)
            logger.setLevel(logging.DEBUG)  # so that each message is put together as well
            logger.propagate = False
        try:
            yield
        finally:
            gc.collect()  # tells of exceptions that nobody fetched
            await asyncio.sleep(0)
            for logger, level, propagate in levels:
                logger.removeHandler(self)
                logger.setLevel(level)
                logger.propagate = propagate
            loop.set_exception_handler(before[0])
            sys.unraisablehook = before[1]

    def emit(self, record: logging.LogRecord) -> None:
        """Part of logging's interface."""
        try:
            text = record.getMessage()
        except Exception as unfit:  # noqa: BLE001 # whatever it is, it is a finding
            self.add(f"a log message cannot be written: {record.msg!r}: {unfit!r}")
            return
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, Expected):
            return
        if record.levelno >= logging.ERROR or error is not None:
            trace = "".join(traceback.format_exception(error)) if error else ""
            self.add(f"logged: {text[:500]}\n{trace}")

    def add(self, text: str) -> None:
        """Note something that went wrong."""
        self.found.append(f"{self._batch}: {text}" if self._batch else text)

    def _note(self, what: str, context: Any) -> None:
        error = context.get("exception") if isinstance(context, dict) else context.exc_value
        trace = "".join(traceback.format_exception(error)) if error else ""
        self.add(f"{what}: {context!r:.500}\n{trace}")

    async def check_tasks(self, before: set["asyncio.Task[Any]"]) -> None:
        """Wait until no other tasks are there than before; those that stay are findings."""

        def left() -> set["asyncio.Task[Any]"]:
            return asyncio.all_tasks() - before - {asyncio.current_task()}

        await self.settle(lambda: not left(), lambda: f"tasks are left: {left()}")

    async def settle(self, good: Callable[[], bool], text: Callable[[], str]) -> None:
        """Wait, turn by turn, for what has to become true; note the text if it does not."""
        deadline = asyncio.get_running_loop().time() + _LEFT_WITHIN
        while not good():  # the event loop's affair: nobody could set an event
            if asyncio.get_running_loop().time() > deadline:
                self.add(text())
                return
            await asyncio.sleep(0)


def resident() -> int:
    """Tell how many bytes of memory this process has; 0 where the system does not say."""
    return int(_STATM.read_text().split()[1]) * _PAGE if _STATM.exists() else 0


class Flatness:
    """Tells whether memory grows from one sample to a later one.

    Args:
        blocks: By how many of the allocator's blocks it may grow: what is small. What is made once, by lines that come
            late for the first time, takes up to 1,000; a leak takes some for each of thousands of lines.
        size: By how many bytes the process may grow: what is large.
    """

    def __init__(self, *, blocks: int = 1500, size: int = 24 * 2**20) -> None:
        self._most = blocks, size
        self._first: tuple[int, int] | None = None
        self.last: tuple[int, int] = (0, 0)

    def sample(self) -> None:
        """Look; the first time is what later ones are compared with."""
        gc.collect()
        self.last = sys.getallocatedblocks(), resident()
        if self._first is None:
            self._first = self.last

    @property
    def grown(self) -> tuple[int, int]:
        """By how many blocks and bytes memory has grown."""
        first = self._first or self.last
        return self.last[0] - first[0], self.last[1] - first[1]

    @property
    def fault(self) -> str | None:
        """Say that memory grew, if it did."""
        blocks, size = self.grown
        if blocks <= self._most[0] and size <= self._most[1]:
            return None
        return f"memory grew by {blocks} blocks and {size / 2**20:.1f} MiB"
