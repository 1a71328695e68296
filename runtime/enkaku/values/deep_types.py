"""Validators for deeply nested types.

pydantic builds the validator of a class within that of the class that uses it, and takes 15 to 40 Python frames for each
class. So the default recursion limit of 1,000 frames ends a chain of about 60 classes. A protocol with one large cycle of
definitions, such as a syntax tree, can have such a chain.

Building the inner classes first does not help there: pydantic builds the classes of a cycle together, from whichever class it
begins. Nor can a class of a cycle be left out and added later: pydantic then applies the discriminators of its unions only
after the schemas were made exact, and values with the wrong discriminator would be accepted. So a build that fails with
RecursionError is repeated in a thread with a higher limit. 20,000 frames suffice for a cycle of 1,300 optional classes, or of
600 in maps of arrays of unions. 700 such classes take less than 1 MiB of stack; the thread has 64 MiB, of which the operating
system allocates what is used. A deeper type is rejected with UsageError. (Measured with Python 3.11 and pydantic 2.14.
Python 3.12 has a limit of its own for calls from C, which cannot be raised: there, a cycle may have about 400 classes.)

Python has one recursion limit for all threads. It is raised only while such a type is built, under a lock.
"""

import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

from pydantic_core import SchemaError

from enkaku.errors import UsageError

__all__ = ["build"]

_T = TypeVar("_T")

_FRAMES: Final = 20_000  # Python's recursion limit during the second attempt
_STACK_SIZE: Final = 64 * 1024 * 1024  # bytes
_lock: Final = threading.Lock()


class _Thread(threading.local):
    has_large_stack = False


_thread: Final = _Thread()


def build(label: str, make: Callable[[], _T]) -> _T:
    """Return what ``make`` returns; call it again with a larger stack if it raises RecursionError.

    Args:
        label: Names what is built, for the error.
        make: Builds it.

    Raises:
        UsageError: The type is nested too deep, or has a pattern that is too large.
    """
    try:
        return make()
    except SchemaError as error:
        raise UsageError(f"{label}: pydantic cannot build the type: {error}") from None
    except RecursionError:
        if _thread.has_large_stack:
            raise
    try:
        return _with_large_stack(make)
    except RecursionError:
        raise UsageError(
            f"{label}: the type is nested too deep: building it takes more than {_FRAMES} frames"
        ) from None


def _with_large_stack(make: Callable[[], _T]) -> _T:
    future: Future[_T] = Future()

    def run() -> None:
        _thread.has_large_stack = True
        try:
            future.set_result(make())
        except BaseException as error:  # noqa: BLE001 # raised by future.result()
            future.set_exception(error)

    with _lock:  # both settings are those of the whole process
        frames = sys.getrecursionlimit()
        sys.setrecursionlimit(max(frames, _FRAMES))
        try:
            _start(run).join()
        finally:
            sys.setrecursionlimit(frames)
    return future.result()


def _start(run: Callable[[], None]) -> threading.Thread:
    """Start a thread with a large stack."""
    stack_size = threading.stack_size(_STACK_SIZE)
    try:
        thread = threading.Thread(target=run, name="enkaku-build", daemon=True)
        thread.start()
    finally:
        threading.stack_size(stack_size)
    return thread
