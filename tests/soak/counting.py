"""Counting observer: checks that each start of a call or connection has exactly one end."""

from collections import Counter

import enkaku

__all__ = ["CONNECTION", "Counting"]

CONNECTION = "connection"


class Counting(enkaku.Observer):
    """Counts starts and ends of connections, and of calls by kind.

    Args:
        ignored: A procedure whose calls are not counted.
    """

    def __init__(self, ignored: enkaku.Procedure | None = None) -> None:
        self.started: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self._ignored = ignored

    def imbalance(self) -> str | None:
        """Return the starts without an end, and ends without a start, and reset the counts; None if there are none."""
        started, ended = self.started.copy(), self.ended.copy()
        self.started.clear()
        self.ended.clear()
        return None if started == ended else f"started {dict(started)}, ended {dict(ended)}"

    def connection_opened(self, connection: enkaku.ConnectionInfo) -> None:
        self.started[CONNECTION] += 1

    def connection_lost(self, connection: enkaku.ConnectionInfo, reason: str) -> None:
        self.ended[CONNECTION] += 1

    def call_started(self, call: enkaku.Call) -> None:
        if call.procedure is not self._ignored:
            self.started[call.kind] += 1

    def call_ended(self, call: enkaku.Call) -> None:
        if call.procedure is not self._ignored:
            self.ended[call.kind] += 1
