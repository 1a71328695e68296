"""Rate limiter of log records: what a peer can cause must not fill the disk.

Records are limited by *kind*, such as the failures of one procedure: ten at once, and one more each second after that (a token
bucket). Others are counted. The next record of the kind says how many were left out; if none follows within five seconds,
a record of its own does.
"""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

__all__ = ["LogLimit"]

_BURST: Final = 10  # records at once
_PER_SECOND: Final = 1.0  # further records
_QUIET: Final = 5.0  # seconds until the left-out records are counted in one of their own


@dataclass(slots=True)
class _Kind:
    """What was logged of one kind of records.

    Attributes:
        allowed: How many records may be logged now.
        last: The time when that number was right.
        left_out: How many were left out since the last one that was logged.
        timer: Logs their number.
    """

    allowed: float
    last: float
    left_out: int = 0
    timer: asyncio.TimerHandle | None = None


class LogLimit:
    """Logs records of a server or of a client's connection, at most so many of each kind."""

    def __init__(self) -> None:
        self._kinds: Final[dict[tuple[logging.Logger, int, str], _Kind]] = {}

    def log(
        self,
        logger: logging.Logger,
        level: int,
        kind: str,
        text: str,
        *arguments: object,
        error: BaseException | None = None,
    ) -> None:
        """Log a record, or count that it was left out.

        Args:
            logger: Logs the record.
            level: Its level.
            kind: What is limited, in words; a peer must not be able to make up kinds.
            text: The record's text, with ``%s`` for each argument.
            arguments: The arguments.
            error: Its traceback is logged, too.
        """
        if not logger.isEnabledFor(level):
            return
        now = time.monotonic()
        key = (logger, level, kind)
        known = self._kinds.setdefault(key, _Kind(_BURST, now))
        known.allowed = min(_BURST, known.allowed + (now - known.last) * _PER_SECOND)
        known.last = now
        if known.allowed < 1:
            known.left_out += 1
            if known.timer is None:
                with suppress(RuntimeError):  # a handler may end with its event loop
                    loop = asyncio.get_running_loop()
                    known.timer = loop.call_later(_QUIET, self._report, key, known)
            return
        known.allowed -= 1
        if known.left_out:
            text, arguments = f"{text} (%d more left out)", (*arguments, known.left_out)
            self._reset(known)
        logger.log(level, text, *arguments, exc_info=error, stacklevel=2)

    def flush(self) -> None:
        """Log how many records were left out."""
        for key, known in self._kinds.items():
            if known.left_out:
                self._report(key, known)

    def _report(self, key: tuple[logging.Logger, int, str], known: _Kind) -> None:
        logger, level, kind = key
        logger.log(level, "%s: %d more left out", kind, known.left_out)
        self._reset(known)

    def _reset(self, known: _Kind) -> None:
        known.left_out = 0
        if known.timer is not None:
            known.timer.cancel()
            known.timer = None
