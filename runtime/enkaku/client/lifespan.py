"""The lifespan of a client's connection: a block of the program, around each session, and inside of its login.

``Sessions`` enters it when a session begins, before any other call may use that session, and leaves it when the session is lost or
the connection is closed. The block gets a connection of its own, whose calls go to that session alone: they are not held back while the
block is entered, do not wait for a reconnect, and end with the session.

The block lives in one task from its first line to its last, since an ``asyncio.timeout()`` or a ``TaskGroup`` in it must end in the
task that has begun it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final

from enkaku.calls.deadlines import scope
from enkaku.calls.observers import Observers
from enkaku.errors import ConnectionLost

from .session import ClientSession

__all__ = ["Living"]

logger: Final = logging.getLogger("enkaku.client")


class Living:
    """A lifespan around one session.

    Args:
        login: Logs in, and keeps the session logged in inside of the block that it returns; None to do without.
        enter: Enters the block of the program, which the stack exits; None if there is none.
        session: The session.
        observers: Their ``log`` limits what is logged.
        cleanup: How long the block may take to be left, in seconds; then it is cancelled.

    Attributes:
        step: What is entered now, or was last: the login, or the lifespan.
    """

    def __init__(
        self,
        login: Callable[[ClientSession], AbstractAsyncContextManager[None]] | None,
        enter: Callable[[AsyncExitStack], Awaitable[None]] | None,
        session: ClientSession,
        observers: Observers,
        cleanup: float,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.step = "the lifespan"
        self._login: Final = login
        self._enter: Final = enter
        self._session: Final = session
        self._log: Final = observers.log
        self._cleanup: Final = cleanup
        self._entered: Final[asyncio.Future[None]] = loop.create_future()
        self._left: Final = asyncio.Event()
        self._task: Final = loop.create_task(self._run())
        self._task.add_done_callback(self._on_end)

    async def entered(self) -> None:
        """Wait until the block is entered.

        Raises:
            ConnectionLost: The session was lost meanwhile.
            Exception: What the block has raised.
        """
        try:
            await asyncio.shield(self._entered)
        except asyncio.CancelledError:
            self._task.cancel()
            raise

    def is_run_by(self, task: asyncio.Task[object] | None) -> bool:
        """Return whether the block runs in a task."""
        return task is self._task

    def leave(self) -> None:
        """Leave the block, without waiting: the session was lost, or is about to be closed."""
        self._left.set()
        if not self._entered.done():
            self._task.cancel()

    async def left(self, *, within: float | None = None) -> None:
        """Leave the block, and wait for its end; after ``Limits.cleanup`` or ``within`` seconds, cancel it."""
        self.leave()
        try:
            await asyncio.wait({self._task}, timeout=self._cleanup if within is None else within)
        finally:
            if not self._task.done():
                self._task.cancel()
                await asyncio.wait({self._task}, timeout=self._cleanup)

    async def _run(self) -> None:
        scope.set(None)  # a deadline() around the connection's start does not bound the block
        async with AsyncExitStack() as stack:
            if self._login is not None:
                self.step = "the login"
                await stack.enter_async_context(self._login(self._session))
                self.step = "the lifespan"
            if self._enter is not None:
                await self._enter(stack)
            if not self._entered.done():
                self._entered.set_result(None)
            await self._left.wait()

    def _on_end(self, task: asyncio.Task[None]) -> None:
        failure = None if task.cancelled() else task.exception()
        error = failure if isinstance(failure, Exception) else None
        if not self._entered.done():
            self._entered.set_exception(error or self._cancelled())
            self._entered.exception()  # else asyncio logs it where nobody waits any more
            return
        if error is not None or not self._left.is_set():
            text = "%s: the lifespan of the connection failed"
            peer = self._session.info.peer
            self._log.log(logger, logging.ERROR, "failed lifespans", text, peer, error=error)
        if not self._left.is_set():
            self._session.drop("the lifespan of the connection failed", error)

    def _cancelled(self) -> ConnectionLost:
        """Return the error of a block that was cancelled before it was entered: by itself, or since the session was lost."""
        session = self._session
        if session.is_open:
            return ConnectionLost(f"{self.step} was cancelled ({session.info.peer})")
        return session.lost_error(self.step)
