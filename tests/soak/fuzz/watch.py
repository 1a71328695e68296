"""Invariants of the fuzzers: no unhandled exception, no leaked task, no growing memory."""

import asyncio
import gc
import logging
import re
import sys
import traceback
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

__all__ = ["Expected", "Flatness", "Watch", "resident"]

_LEFT_OUT: Final = re.compile(r"^fail: the handler failed: \d+ more left out$")  # Expected, too
_ENDED_WITHIN: Final = 10.0  # seconds, the time limit for the end of cancelled tasks
_STATM: Final = Path("/proc/self/statm")
_PAGE: Final = 4096


class Expected(Exception):
    """Raised on purpose by a handler of the fuzzer."""


class Watch(logging.Handler):
    """Collects findings: unhandled exceptions, and logged errors except ``Expected``."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[str] = []
        self._batch = ""

    @contextmanager
    def batch(self, name: str) -> Generator[None, None, None]:
        """Add the name of a batch to the findings of the block."""
        self._batch = name
        yield
        self._batch = ""

    @asynccontextmanager
    async def watching(self) -> AsyncGenerator[None, None]:
        """Observe the event loop, the log, and unraisable exceptions."""
        loop = asyncio.get_running_loop()
        before = loop.get_exception_handler(), sys.unraisablehook
        loggers = [logging.getLogger(name) for name in ("enkaku", "asyncio")]
        levels = [(logger, logger.level, logger.propagate) for logger in loggers]
        loop.set_exception_handler(lambda _, context: self._record("event loop", context))
        sys.unraisablehook = lambda raised: self._record("unraisable", raised)
        for logger in loggers:
            logger.addHandler(self)
            logger.setLevel(logging.DEBUG)  # so that every message is formatted
            logger.propagate = False
        try:
            yield
        finally:
            gc.collect()  # reports exceptions that were never retrieved
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
        except Exception as unfit:  # noqa: BLE001 # any other exception is a finding
            self.add(f"a log message cannot be formatted: {record.msg!r}: {unfit!r}")
            return
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, Expected) or _LEFT_OUT.search(text):
            return
        if record.levelno >= logging.ERROR or error is not None:
            trace = "".join(traceback.format_exception(error)) if error else ""
            self.add(f"logged: {text[:500]}\n{trace}")

    def add(self, text: str) -> None:
        """Record a finding."""
        self.found.append(f"{self._batch}: {text}" if self._batch else text)

    def _record(self, what: str, context: Any) -> None:
        error = context.get("exception") if isinstance(context, dict) else context.exc_value
        trace = "".join(traceback.format_exception(error)) if error else ""
        self.add(f"{what}: {context!r:.500}\n{trace}")

    async def check_tasks(self, before: set["asyncio.Task[Any]"]) -> None:
        """Wait until all tasks that were started since have ended; a remaining one is a finding."""

        def left() -> set["asyncio.Task[Any]"]:
            return asyncio.all_tasks() - before - {asyncio.current_task()}

        await self.wait_until(lambda: not left(), lambda: f"tasks are left: {left()}")

    async def wait_until(self, good: Callable[[], bool], text: Callable[[], str]) -> None:
        """Wait until a condition is true; record the text as a finding after a timeout."""
        deadline = asyncio.get_running_loop().time() + _ENDED_WITHIN
        while not good():  # polling: no event exists for the end of tasks
            if asyncio.get_running_loop().time() > deadline:
                self.add(text())
                return
            await asyncio.sleep(0)


def resident() -> int:
    """Return the resident memory of this process, in bytes; 0 if the operating system does not report it."""
    return int(_STATM.read_text().split()[1]) * _PAGE if _STATM.exists() else 0


class Flatness:
    """Detects memory growth between samples.

    Args:
        blocks: Allowed growth in blocks of the allocator, for small objects. Objects that are created once
            take up to 1,000; a leak takes some for each of thousands of lines.
        size: Allowed growth of the process in bytes, for large objects.
    """

    def __init__(self, *, blocks: int = 1500, size: int = 24 * 2**20) -> None:
        self._most = blocks, size
        self._first: tuple[int, int] | None = None
        self.last: tuple[int, int] = (0, 0)

    def sample(self) -> None:
        """Take a sample; later ones are compared with the first."""
        gc.collect()
        self.last = sys.getallocatedblocks(), resident()
        if self._first is None:
            self._first = self.last

    @property
    def grown(self) -> tuple[int, int]:
        """The growth since the first sample, in blocks and bytes."""
        first = self._first or self.last
        return self.last[0] - first[0], self.last[1] - first[1]

    @property
    def fault(self) -> str | None:
        """A description of the growth; None if it is within the limits."""
        blocks, size = self.grown
        if blocks <= self._most[0] and size <= self._most[1]:
            return None
        return f"memory grew by {blocks} blocks and {size / 2**20:.1f} MiB"
