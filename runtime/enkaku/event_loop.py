"""``run()``: a program on the fastest event loop that is installed."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeVar

__all__ = ["run"]

T = TypeVar("T")


def run(main: Coroutine[object, object, T], *, debug: bool | None = None) -> T:
    """Run a program as ``asyncio.run`` does: on uvloop where it is installed, else on asyncio's own event loop.

    ``pip install 'enkaku[fast]'`` installs uvloop.

    Args:
        main: The program.
        debug: Whether the event loop checks the program as it runs; None leaves that to Python's own settings.

    Returns:
        What ``main`` returns.

    Raises:
        RuntimeError: An event loop runs in this thread already.
    """
    with asyncio.Runner(debug=debug, loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        from uvloop import new_event_loop  # noqa: PLC0415 # an extra, and slow to load
    except ModuleNotFoundError:
        return None
    return new_event_loop
