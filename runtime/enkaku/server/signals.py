"""SIGINT and SIGTERM stop all servers of an event loop: the first gracefully, the second at once."""

import asyncio
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final
from weakref import WeakKeyDictionary

__all__ = ["on_stop_signal"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class _Watch:
    """The listeners of one event loop, while there are any."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.listeners: list[Callable[[], None]] = []
        self._loop = loop
        self._previous = {number: signal.getsignal(number) for number in _SIGNALS}
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._notify)

    def restore(self) -> None:
        for number, handler in self._previous.items():
            self._loop.remove_signal_handler(number)
            signal.signal(number, handler)

    def _notify(self) -> None:
        for listener in tuple(self.listeners):
            listener()


# A process has one handler per signal, which notifies all servers of an event loop.
_watches: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch]] = WeakKeyDictionary()


@contextmanager
def on_stop_signal(listener: Callable[[], None]) -> Generator[None, None, None]:
    """Call ``listener`` at each SIGINT and SIGTERM while the block runs.

    Outside the main thread, where Python delivers no signals, it is never called.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    watch = _watches.get(loop)
    if watch is None:
        watch = _watches[loop] = _Watch(loop)
    watch.listeners.append(listener)
    try:
        yield
    finally:
        watch.listeners.remove(listener)
        if not watch.listeners:
            del _watches[loop]
            watch.restore()
