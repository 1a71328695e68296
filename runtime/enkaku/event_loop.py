"""Event-loop choice: ``run()`` uses uvloop if it is installed, and asyncio otherwise."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeVar

from .errors import UsageError

__all__ = ["loop_factory", "run"]

T = TypeVar("T")


def run(main: Coroutine[object, object, T], *, debug: bool | None = None) -> T:
    """Run a coroutine as ``asyncio.run`` does, on uvloop if it is installed, otherwise on asyncio's event loop.

    ``pip install 'enkaku[fast]'`` installs uvloop.

    Args:
        main: The main coroutine of the program.
        debug: Whether the event loop runs in debug mode; None leaves it to Python's own settings.

    Returns:
        What ``main`` returns.

    Raises:
        UsageError: An event loop runs in this thread already.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        main.close()  # else Python warns that it was never awaited
        raise UsageError(
            "run(): an event loop runs in this thread already; await the coroutine instead, or start a task for it"
        )
    with asyncio.Runner(debug=debug, loop_factory=loop_factory()) as runner:
        return runner.run(main)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the function that makes uvloop's event loops, or None if uvloop is not installed."""
    try:
        from uvloop import new_event_loop  # noqa: PLC0415 # an extra, and slow to load
    except ModuleNotFoundError:
        return None
    return new_event_loop
