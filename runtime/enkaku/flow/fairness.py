"""Fairness: how many items may be sent before other tasks run.

A task whose sends never wait would not let the event loop run any other task.
"""

import asyncio
from typing import Final

__all__ = ["Turns"]

_ITEMS: Final = 64


class Turns:
    """Counts the items that handlers send without having to wait; shared by all calls of a server.

    A handler whose sends never wait would keep every other call from running, be it on one stream or on a thousand.

    Attributes:
        left: How many items may be sent until somebody has to give way.
    """

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = _ITEMS

    async def give_way(self) -> None:
        """Let the others run, if it is time to."""
        self.left -= 1
        if self.left <= 0:
            self.left = _ITEMS
            await asyncio.sleep(0)
