"""The event loop of synchronous code: one for the process, in a background thread.

A call hands a coroutine to the loop, and its thread waits for a lock, which is released when the task has ended. In the main thread
a signal interrupts that wait (Ctrl-C), which cancels the task. The task runs in a copy of the caller's context, so that
``deadline()`` applies to it.

The thread is a daemon: Python waits for all others before it runs the functions of ``atexit``, one of which ends the loop. It
closes what is still open. The calls of other daemons then raise SystemExit, which ends a thread without a traceback.

A forked child does not have the thread. It starts another loop at its next use, and does not touch the inherited one. While a
process is forked, the thread of its loop pauses: else it could hold a lock, which no thread would release in the child.
"""

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Generic, TypeAlias, TypeVar

from enkaku.errors import ConnectionLost, UsageError
from enkaku.event_loop import loop_factory

__all__ = ["BackgroundLoop", "OpenBlock", "background"]

_T = TypeVar("_T")
_Close: TypeAlias = Callable[[], Coroutine[object, object, None]]

_CLOSE_TIME: Final = 6.0  # seconds in which connections may close when the interpreter exits
_EXIT_TIME: Final = 8.0  # seconds until it exits in any case
_PAUSE_TIME: Final = 1.0  # seconds that a fork waits for the thread, which an observer may block


class BackgroundLoop:
    """An event loop in a thread, until the interpreter exits.

    Attributes:
        inherited: Whether this process was forked from the one that has the thread.
    """

    def __init__(self) -> None:
        self._closers: Final[dict[asyncio.Task[None], _Close]] = {}
        self.inherited = False
        self._exiting = False
        self._exit: Final = asyncio.Event()
        self._forks: Final[dict[int, threading.Event]] = {}  # by thread; set when the fork is done
        self._started: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name="enkaku.sync", daemon=True)
        self._thread.start()
        self._started.wait()
        atexit.register(self._end)

    @property
    def is_usable(self) -> bool:
        """Whether it runs: the interpreter does not exit, and this is no child that was forked since it was started."""
        return not (self.inherited or self._exiting)

    @property
    def is_current(self) -> bool:
        """Whether this is its own thread, which cannot wait for itself."""
        return threading.current_thread() is self._thread

    def run(self, coroutine: Coroutine[object, object, _T]) -> _T:
        """Run a coroutine, and wait for its result. An exception in the waiting thread, such as Ctrl-C, cancels it.

        Raises:
            ConnectionLost: The interpreter is exiting.
            SystemExit: The interpreter is exiting, and this is a daemon thread.
            UsageError: This is the thread of the loop, or a forked child.
        """
        try:
            self.require_usable()
        except BaseException:
            coroutine.close()
            raise
        job = _Job(coroutine)
        try:
            self._loop.call_soon_threadsafe(job.start)
            job.ended.acquire()
        except BaseException:
            self._loop.call_soon_threadsafe(job.cancel)
            raise
        try:
            return job.task.result()
        except (ConnectionLost, asyncio.CancelledError):
            if self._exiting:
                raise self._make_error() from None
            raise
        finally:
            del job  # else its error and the traceback would form a cycle

    def require_usable(self) -> None:
        """Raise what ``run`` raises where it cannot be used."""
        if self.is_current or not self.is_usable:
            raise self._make_error()

    def start(self, coroutine: Coroutine[object, object, object]) -> None:
        """Run a coroutine, and do not wait for it; if the loop does not run, do nothing."""
        if self.is_usable:
            self._loop.call_soon_threadsafe(_Job(coroutine).start)
        else:
            coroutine.close()

    def finish(self, coroutine: Coroutine[object, object, object]) -> None:
        """Run a coroutine that ends something, and wait for it where that is possible.

        In its own thread it cannot wait: there, an observer may close what it likes, and so may Python, which can close a
        generator in any thread. In a forked child there is nothing to end.
        """
        if self.is_current or not self.is_usable:
            self.start(coroutine)
        else:
            self.run(coroutine)

    def close_at_exit(self, close: _Close, task: asyncio.Task[None]) -> None:
        """Close something when the interpreter exits, unless its task has ended before. Called in the loop."""
        self._closers[task] = close
        task.add_done_callback(self._closers.pop)

    def before_fork(self) -> None:
        """Pause its thread between two callbacks."""
        if self.is_usable and not self.is_current:
            paused, done = threading.Event(), threading.Event()
            self._forks[threading.get_ident()] = done
            self._loop.call_soon_threadsafe(_pause, paused, done)
            paused.wait(_PAUSE_TIME)

    def after_fork_in_parent(self) -> None:
        """Let its thread go on."""
        done = self._forks.pop(threading.get_ident(), None)
        if done is not None:
            done.set()

    def after_fork_in_child(self) -> None:
        """Record that it cannot be used in this process."""
        self.inherited = True

    def _make_error(self) -> BaseException:
        if self.inherited:
            return UsageError(
                "the connection belongs to the parent process, and this one was forked from it: "
                "call enkaku.sync.connect() again in the child"
            )
        if self._exiting:
            in_main = threading.current_thread() is threading.main_thread()
            return ConnectionLost("the interpreter is exiting") if in_main else SystemExit()
        return UsageError(
            "enkaku.sync is called by code that runs in its own event loop, such as an observer: the call would wait for "
            "itself; use asyncio.to_thread(), or await the asynchronous API"
        )

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._started.set()
        await self._exit.wait()
        closing = [self._loop.create_task(close()) for close in self._closers.values()]
        if closing:
            await asyncio.wait(closing, timeout=_CLOSE_TIME)

    def _end(self) -> None:
        if self.is_usable:
            self._exiting = True
            self._loop.call_soon_threadsafe(self._exit.set)
            self._thread.join(_EXIT_TIME)


def _pause(paused: threading.Event, done: threading.Event) -> None:
    paused.set()
    done.wait(_EXIT_TIME)


class _Job(Generic[_T]):
    """A coroutine that a thread has handed to the loop.

    Attributes:
        ended: Released when the coroutine has ended.
        task: Runs it, from ``start`` on.
    """

    task: asyncio.Task[_T]

    def __init__(self, coroutine: Coroutine[object, object, _T]) -> None:
        self.ended: Final = threading.Lock()
        self.ended.acquire()
        self._coroutine: Final = coroutine

    def start(self) -> None:
        """Start the task. Called in the loop."""
        self.task = asyncio.get_running_loop().create_task(self._coroutine)
        self.task.add_done_callback(self._on_end)

    def cancel(self) -> None:
        """Cancel the task. Called in the loop, after ``start`` if that is called."""
        if hasattr(self, "task"):
            self.task.cancel()

    def _on_end(self, task: asyncio.Task[_T]) -> None:
        if not task.cancelled():
            task.exception()  # it counts as handled, also if the thread was interrupted
        self.ended.release()


class OpenBlock(Generic[_T]):
    """An async context manager that one task enters and exits, since not every one can be exited by another.

    Args:
        loop: Closes it when the interpreter exits.
        manager: The context manager.
    """

    def __init__(self, loop: BackgroundLoop, manager: AbstractAsyncContextManager[_T]) -> None:
        self._loop: Final = loop
        self._manager: Final = manager
        self._closing: Final = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> _T:
        """Enter the context manager, and return its value. If this is cancelled, so is the entering."""
        loop = asyncio.get_running_loop()
        entered: asyncio.Future[_T] = loop.create_future()
        self._task = loop.create_task(self._hold(entered))
        self._loop.close_at_exit(self.close, self._task)
        either: list[asyncio.Future[Any]] = [entered, self._task]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        if not entered.done():
            self._task.result()  # raises the error of entering
        return entered.result()

    async def close(self) -> None:
        """Exit the context manager; wait until it has exited."""
        self._closing.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _hold(self, entered: asyncio.Future[_T]) -> None:
        async with self._manager as value:
            entered.set_result(value)
            await self._closing.wait()


_lock = threading.Lock()
_current: BackgroundLoop | None = None


def background() -> BackgroundLoop:
    """Return the event loop of this process for synchronous code; start it at the first use."""
    global _current  # noqa: PLW0603 # there is one for the process
    with _lock:
        if _current is None:
            _current = BackgroundLoop()
        return _current


def _before_fork() -> None:
    if _current is not None:
        _current.before_fork()


def _after_fork_in_parent() -> None:
    if _current is not None:
        _current.after_fork_in_parent()


def _after_fork_in_child() -> None:
    global _current, _lock  # noqa: PLW0603 # there is one for the process
    _lock = threading.Lock()  # another thread of the parent may have held it
    if _current is not None:
        _current.after_fork_in_child()
        _current = None


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
