"""Fairness: how many items a task sends or takes before it yields to other tasks.

A task whose sends never wait would not let the event loop run any other task, and neither would a reader whose items are always
there already. Each yields after ``STREAK`` items. The handlers of a server share one count: a thousand streams would
otherwise send a thousand times as many items between two iterations of the event loop as one does.
"""

import asyncio
from typing import Final

__all__ = ["STREAK", "Fairness"]

STREAK: Final = 64
"""How many items a task may send or take without yielding."""


class Fairness:
    """Counts the items that are sent without waiting, and yields to other tasks in time.

    Args:
        streak: How many items may be sent without yielding.

    Attributes:
        left: How many of them may still be sent.
    """

    __slots__ = ("_streak", "left")

    def __init__(self, streak: int = STREAK) -> None:
        self._streak: Final = streak
        self.left = streak

    async def yield_if_due(self) -> None:
        """Let other tasks run, if as many items were sent as may be."""
        if self.left <= 0:
            self.left = self._streak
            await asyncio.sleep(0)
