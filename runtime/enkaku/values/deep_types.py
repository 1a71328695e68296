"""Validators for deeply nested types.

pydantic builds the validator of a class within that of the class that uses it: some seventy classes in a row exceed the
interpreter's recursion limit, and a cycle of definitions easily has as many.
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

_CALLS: Final = 100_000  # nested calls: a chain of some seven thousand classes
_STACK: Final = (
    512 * 1024 * 1024 - 4096
)  # bytes of address space; what is not touched is never allocated
_lock: Final = threading.Lock()


class _Here(threading.local):
    deep = False


_here: Final = _Here()


def build(label: str, make: Callable[[], _T]) -> _T:
    """Return what ``make`` returns; where the stack is too short for it, from a thread with a longer one.

    Args:
        label: Names what is built, for the error.
        make: Builds it; called again after it failed for want of stack.

    Raises:
        UsageError: The type is nested too deep for any stack, or has a pattern that is too large.
    """
    try:
        return make()
    except SchemaError as error:
        raise UsageError(f"{label}: its type cannot be built: {error}") from None
    except RecursionError:
        if _here.deep:
            raise
    try:
        return _on_a_long_stack(make)
    except RecursionError:
        raise UsageError(f"{label}: its types are nested too deep to be built") from None


def _on_a_long_stack(make: Callable[[], _T]) -> _T:
    future: Future[_T] = Future()

    def run() -> None:
        _here.deep = True
        try:
            future.set_result(make())
        except BaseException as error:  # noqa: BLE001 # raised where it is waited for
            future.set_exception(error)

    with _lock:  # the limits are those of the whole process
        calls, stack = sys.getrecursionlimit(), threading.stack_size(_STACK)
        try:
            sys.setrecursionlimit(max(calls, _CALLS))
            thread = threading.Thread(target=run, name="enkaku-build", daemon=True)
            thread.start()
        finally:
            threading.stack_size(stack)
        thread.join()
        sys.setrecursionlimit(calls)
    return future.result()
