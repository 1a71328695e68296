"""The first step of a coroutine, run for a task that waits for other things.

Sending a frame usually does not wait. To switch to another task for it takes as long as to send a small message. So the
first step runs at once, and the task goes on only where that step did not finish.
"""

import asyncio
from collections.abc import Awaitable, Coroutine, Generator
from contextvars import Context
from typing import Any, Final, NamedTuple, Protocol

__all__ = ["Rest", "Writer", "run_first_step"]


class Writer(NamedTuple):
    """A task that sends.

    Attributes:
        task: The task.
        context: Its context.
    """

    task: asyncio.Task[Any]
    context: Context


class Rest(Awaitable[None], Protocol):
    """What is left of a coroutine."""

    def close(self) -> None:
        """End it without the rest."""


def run_first_step(coroutine: Coroutine[object, object, None], writer: Writer) -> Rest | None:
    """Run the first step as if the writer did: it is the current task, with its context.

    Returns:
        What the writer has to await; None if the coroutine has finished.
    """
    # asyncio documents both for whoever extends it.
    enter = asyncio.tasks._enter_task  # noqa: SLF001 # see above
    leave = asyncio.tasks._leave_task  # noqa: SLF001 # see above
    loop, task = writer.task.get_loop(), asyncio.current_task()
    if task is not None:
        leave(loop, task)
    enter(loop, writer.task)
    try:
        waits_for = writer.context.run(coroutine.send, None)
    except StopIteration:
        return None
    finally:
        leave(loop, writer.task)
        if task is not None:
            enter(loop, task)
    return _Begun(coroutine, waits_for)


class _Begun:
    """The rest of a coroutine whose first step was run outside its task."""

    def __init__(self, coroutine: Coroutine[object, object, None], waits_for: object) -> None:
        self._coroutine: Final = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[object, object, None]:
        try:
            while True:
                try:
                    value = yield self._waits_for
                except BaseException as error:  # noqa: BLE001 # also a cancellation
                    self._waits_for = self._coroutine.throw(error)
                else:
                    self._waits_for = self._coroutine.send(value)
        except StopIteration:
            return

    def close(self) -> None:
        """End it without the rest."""
        self._coroutine.close()
