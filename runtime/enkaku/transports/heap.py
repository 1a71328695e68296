"""Memory of reads: keeps the allocator from returning it to the operating system.

By default, glibc returns the end of the heap to the system from 128 KiB on, and maps larger blocks each time: then every read
of large messages faults for each page, and so does each read of asyncio's own, whose buffer has 256 KiB. It stops once a larger
block was freed; see M_MMAP_THRESHOLD in mallopt(3).
"""

from functools import cache
from typing import Final

__all__ = ["keep_heap"]

_KEPT: Final = 4 * 1024 * 1024  # bytes


@cache
def keep_heap() -> None:
    """Make glibc keep up to 8 MiB of free memory; has an effect once in a process."""
    bytearray(_KEPT)  # and freed
