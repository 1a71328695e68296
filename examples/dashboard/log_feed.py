"""The server's log, for those who watch it from elsewhere.

A slow watcher must not grow the server's memory: its oldest records make room for new ones, and it is
told how many it has missed. Everything here runs in the event loop's own thread.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager

from dashboard_protocol import LogLevel, LogsWatchReceive

KEPT = 200  # records that may wait for a slow watcher

_NUMBERS: dict[LogLevel, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


class Watcher:
    """One watcher: its level, and the records that wait for it."""

    def __init__(self, level: LogLevel) -> None:
        self._level: LogLevel = level
        self._waiting: deque[LogsWatchReceive] = deque()
        self._missed = 0
        self._arrived = asyncio.Event()

    def change_level(self, level: LogLevel) -> None:
        """Show records of this level and above from now on, and say so in their midst."""
        self._level = level
        self._put(_entry("info", f"log: shown from {level} on"))

    def offer(self, record: logging.LogRecord) -> None:
        """Take a record, if the watcher's level wants it."""
        if record.levelno >= _NUMBERS[self._level]:
            self._put(_entry(_name(record.levelno), record.getMessage(), record.created))

    async def next(self) -> LogsWatchReceive:
        """Wait for the next record."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        if self._missed:
            missed, self._missed = self._missed, 0
            return _entry("warn", f"log: {missed} records dropped, this watcher is too slow")
        return self._waiting.popleft()

    def _put(self, entry: LogsWatchReceive) -> None:
        if len(self._waiting) == KEPT:
            self._waiting.popleft()
            self._missed += 1
        self._waiting.append(entry)
        self._arrived.set()


class LogFeed(logging.Handler):
    """A handler of Python's ``logging`` that passes each record on to those who watch."""

    def __init__(self) -> None:
        super().__init__()
        self._watchers: set[Watcher] = set()

    @contextmanager
    def watch(self, level: LogLevel) -> Generator[Watcher, None, None]:
        """Watch the log while the block runs."""
        watcher = Watcher(level)
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.remove(watcher)

    def emit(self, record: logging.LogRecord) -> None:
        """Part of ``logging.Handler``."""
        for watcher in self._watchers:
            watcher.offer(record)


def _name(number: int) -> LogLevel:
    """Name the highest level that the number reaches."""
    name: LogLevel = "debug"
    for level, least in _NUMBERS.items():
        if number >= least:
            name = level
    return name


def _entry(level: LogLevel, message: str, created: float | None = None) -> LogsWatchReceive:
    seconds = time.time() if created is None else created
    return LogsWatchReceive(level=level, message=message, timestamp=round(seconds * 1000))
