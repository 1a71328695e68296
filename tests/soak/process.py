"""What a process of the soak knows of itself: its descriptors, its memory, its faults.

Above it: the server and the clients. Below it: the system and the log.
"""

import asyncio
import logging
import sys
import traceback
from typing import Any, Final

import psutil

__all__ = ["Faults", "descriptors", "memory"]

_KEPT: Final = 20

_process: Final = psutil.Process()


def descriptors() -> int:
    """Tell how many files and sockets are open."""
    return int(_process.num_fds())


def memory() -> int:
    """Tell how many bytes are resident."""
    return int(_process.memory_info().rss)


class Faults(logging.Handler):
    """Collects what must not happen: errors in the log, exceptions that reach the event loop."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def watch(self) -> None:
        """Watch the running event loop, the log, and what cannot be raised."""
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self._note(context))
        sys.unraisablehook = lambda raised: self.add(
            "".join(traceback.format_exception(raised.exc_value))
        )
        logging.getLogger().addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Part of logging's interface."""
        self.add(self.format(record))

    def add(self, text: str) -> None:
        """Note a fault; the first ones are enough."""
        if len(self.texts) < _KEPT:
            self.texts.append(text[-2000:])

    def _note(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.add(f"{context['message']}\n{''.join(traceback.format_exception(error))}")
