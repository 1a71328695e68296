"""The server's log, for those who watch it from elsewhere.

A slow watcher neither holds up the server nor grows its memory: its oldest records make room for new ones, and it
is told how many it has missed. Everything here runs in the event loop's own thread.
"""

import logging
import time

import enkaku
from dashboard_protocol import LOGS_WATCH, LogLevel, LogsWatchReceive, LogsWatchSend

_NUMBERS: dict[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


class Threshold:
    """The level from which on a watcher wants to see records; it may change."""

    def __init__(self, level: LogLevel) -> None:
        self.level: LogLevel = level

    def passes(self, record: LogsWatchReceive) -> bool:
        """Tell whether a record is wanted."""
        return _NUMBERS[record.level] >= _NUMBERS[self.level]


class LogFeed(logging.Handler):
    """A handler of Python's ``logging`` that passes each record on to those who watch."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._records = enkaku.Broadcast(LOGS_WATCH)

    async def serve(
        self, channel: enkaku.ServerChannel[LogsWatchSend, LogsWatchReceive], threshold: Threshold
    ) -> None:
        """Send records to a watcher, until it closes the channel."""
        await self._records.serve(
            channel, when_full="drop_oldest", where=threshold.passes, gap=_tell_missed
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Part of ``logging.Handler``."""
        level = _name(record.levelno)
        self._records.send_nowait(make_entry(level, record.getMessage(), record.created))


def make_entry(level: str, message: str, created: float | None = None) -> LogsWatchReceive:
    """Make what a watcher is sent; ``created`` is in seconds since 1970, None for now."""
    seconds = time.time() if created is None else created
    return LogsWatchReceive(level=level, message=message, timestamp=round(seconds * 1000))


def _name(number: int) -> str:
    """Name the highest level that the number reaches."""
    return max((least, name) for name, least in _NUMBERS.items() if number >= least)[1]


def _tell_missed(count: int) -> LogsWatchReceive:
    return make_entry("warn", f"log: {count} records dropped, this watcher is too slow")
