"""The pool of handlers: how many requests and events are handled at a time, and which of those that wait is next.

Each connection may run so many handlers of requests, and as many of events; a server so many for all connections. A call
that finds no free handler waits in the queue of its connection. When a handler ends, the connections that wait are served in
turn, one call each: a client that sends a thousand requests delays another client's request by one handler, not by a thousand.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from enkaku.flow.fairness import STREAK

from .call import ServerCall
from .capacity import kept

__all__ = ["HandlerPool", "HandlerQueue"]

_CALL_SIZE: Final = 1024  # bytes of memory of a call that waits, besides its message; about


class HandlerPool:
    """The handlers of one kind of call, of all connections of a server.

    Args:
        most: How many may run.

    Attributes:
        most: How many may run.
        shared: How many of them connections may run that have others running.
        running: How many run.
        starved: The queues whose connections run no handler, in the order in which they are served: before all others.
        waiting: The queues whose connections may run one more handler, in the order in which they are served.
    """

    __slots__ = ("_starting", "most", "running", "shared", "starved", "waiting")

    def __init__(self, most: int) -> None:
        self.most: Final = most
        self.shared: Final = most - kept(most)
        self.running = 0
        self.starved: dict[HandlerQueue, None] = {}
        self.waiting: dict[HandlerQueue, None] = {}
        self._starting = False

    def start_waiting(self) -> None:
        """Start calls that wait, as long as handlers are free."""
        if self._starting:  # a handler that runs as an eager task has ended meanwhile
            return
        self._starting = True
        try:
            for _ in range(STREAK):
                if self.starved and self.running < self.most:
                    queues = self.starved
                elif self.waiting and self.running < self.shared:
                    queues = self.waiting
                else:
                    return
                queue = next(iter(queues))
                del queues[queue]
                queue.start_first()
        finally:
            self._starting = False
        # Handlers that run as eager tasks may have ended already: without this, all that wait would run at once.
        asyncio.get_running_loop().call_soon(self.start_waiting)


class HandlerQueue:
    """The calls of one connection and kind that wait for a free handler, in order.

    Args:
        pool: The handlers of all connections.
        most: How many handlers this connection may run.
        capacity: How many bytes may wait.

    Attributes:
        size: How many bytes wait: the messages, and about what their calls take.
    """

    __slots__ = ("_calls", "_most", "_pool", "_running", "capacity", "size")

    def __init__(self, pool: HandlerPool, most: int, *, capacity: int) -> None:
        self.capacity: Final = capacity
        self.size = 0
        self._pool: Final = pool
        self._most: Final = most
        self._running = 0
        self._calls: dict[ServerCall, Callable[[], None]] | None = None  # until one waits

    def claim(self) -> bool:
        """Claim a free handler; return whether there is one, and no call waits for it."""
        pool, running = self._pool, self._running
        if pool.starved or self._calls:
            return False
        if running:
            if running >= self._most or pool.running >= pool.shared or pool.waiting:
                return False
        elif pool.running >= pool.most:
            return False
        self._running = running + 1
        pool.running += 1
        return True

    def release(self) -> None:
        """Free a handler, and start a call that waits for it."""
        pool = self._pool
        self._running -= 1
        pool.running -= 1
        if self._calls and self._running < self._most:
            self._line_up()
        if pool.waiting or pool.starved:
            pool.start_waiting()

    def take(self) -> None:
        """Take a handler's place back, even if none is free: it goes on, and may hold what the others wait for."""
        self._running += 1
        self._pool.running += 1

    def wait(self, call: ServerCall, start: Callable[[], None]) -> None:
        """Let a call wait, after a ``claim`` that found no free handler.

        Args:
            call: The call. Its size is that of the message that opened it.
            start: Starts its handler.
        """
        if self._calls is None:
            self._calls = {}
        self._calls[call] = start
        self.size += _CALL_SIZE + call.bytes_received
        if self._running < self._most:
            self._line_up()

    def discard(self, call: ServerCall) -> bool:
        """Remove a call that waits; return whether it did."""
        if self._calls is None or self._calls.pop(call, None) is None:
            return False
        self.size -= _CALL_SIZE + call.bytes_received
        if not self._calls:
            self._pool.waiting.pop(self, None)
            self._pool.starved.pop(self, None)
        return True

    def start_first(self) -> None:
        """Start the call that has waited longest. Called by the pool, which has a free handler."""
        if not self._calls or self._running >= self._most:
            return  # handlers have taken their places back meanwhile; the next that ends lines up again
        call = next(iter(self._calls))
        start = self._calls.pop(call)
        self.size -= _CALL_SIZE + call.bytes_received
        self._running += 1
        self._pool.running += 1
        if self._calls and self._running < self._most:
            self._line_up()
        start()

    def _line_up(self) -> None:
        """Wait for a free handler, among the connections that run none, or among the others."""
        pool = self._pool
        if self._running:
            pool.waiting[self] = None
        elif self not in pool.starved:
            pool.waiting.pop(self, None)
            pool.starved[self] = None
