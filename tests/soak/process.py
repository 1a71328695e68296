"""Self-inspection of a soak process: open descriptors, memory, and faults."""

import asyncio
import ctypes
import gc
import logging
import sys
import traceback
from typing import Any, Final

import psutil

__all__ = ["Faults", "allocated", "descriptors", "memory"]

_KEPT: Final = 20

_process: Final = psutil.Process()


def descriptors() -> int:
    """Return the number of open files and sockets."""
    return int(_process.num_fds())


def memory() -> int:
    """Return the resident memory, in bytes."""
    return int(_process.memory_info().rss)


class _MallInfo(ctypes.Structure):
    """The ``struct mallinfo2`` of glibc."""

    _fields_ = [(f"_{number}", ctypes.c_size_t) for number in range(4)]
    _fields_ += [("hblkhd", ctypes.c_size_t), ("usmblks", ctypes.c_size_t)]
    _fields_ += [("fsmblks", ctypes.c_size_t), ("uordblks", ctypes.c_size_t)]
    _fields_ += [("fordblks", ctypes.c_size_t), ("keepcost", ctypes.c_size_t)]


def allocated() -> tuple[int, int]:
    """Return the number of Python's allocated small objects, and the bytes of all larger or foreign ones.

    Unlike resident memory, they do not depend on what was freed. The bytes are 0 without glibc's ``mallinfo2``.
    """
    gc.collect()  # which clears the free lists, too
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return sys.getallocatedblocks(), 0
    mallinfo.restype = _MallInfo
    found = mallinfo()
    return sys.getallocatedblocks(), int(found.uordblks + found.hblkhd)


class Faults(logging.Handler):
    """Collects faults: logged errors, and exceptions that reach the event loop."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def watch(self) -> None:
        """Observe the running event loop, the log, and unraisable exceptions."""
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self._record(context))
        sys.unraisablehook = lambda raised: self.add(
            "".join(traceback.format_exception(raised.exc_value))
        )
        logging.getLogger().addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Part of logging's interface."""
        self.add(self.format(record))

    def add(self, text: str) -> None:
        """Record a fault; only the first ones are kept."""
        if len(self.texts) < _KEPT:
            self.texts.append(text[-2000:])

    def _record(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.add(f"{context['message']}\n{''.join(traceback.format_exception(error))}")
