"""A block that the close of its call ends.

Above it: the call of a server. Below it: asyncio.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType

from .errors import CallClosed, UsageError

__all__ = ["UntilClosed"]


class UntilClosed:
    """A block that the close of its call ends quietly; made by ``until_closed()``."""

    def __init__(self, is_closed: Callable[[], bool], watchers: "set[UntilClosed]") -> None:
        self._is_closed = is_closed
        self._watchers = watchers
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._left = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        if task is None or self._task is not None:
            raise UsageError("until_closed() makes a block for one task, to be entered once")
        self._task = task
        self._cancelling = task.cancelling()
        self._watchers.add(self)
        if self._is_closed():
            self.leave()

    def leave(self) -> None:
        """Interrupt the block where it waits next."""
        if self._task is not None and not self._left:
            self._left = True
            self._task.cancel()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self._watchers.discard(self)
        if not self._left or self._task is None:
            return False
        if not isinstance(error, asyncio.CancelledError):
            # The block was over before the cancellation reached it: take it here.
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError as late:
                if self._task.cancelling() > self._cancelling + 1:
                    raise
                error = error if error is not None and not isinstance(error, CallClosed) else late
        outer = self._task.uncancel() > self._cancelling
        return isinstance(error, asyncio.CancelledError | CallClosed) and not outer
