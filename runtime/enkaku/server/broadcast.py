"""Broadcasts: one value, encoded once and sent to many subscribers; a slow subscriber delays no other.

A subscriber that keeps up gets each value in the event-loop iteration in which it was sent: values of one iteration are
joined and written once per subscriber. A subscriber that falls behind has a bounded queue and an overflow policy of its own.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Generic, Literal, TypeVar

from enkaku._checks import require_one_of, require_seconds
from enkaku.errors import HandlerError, UsageError
from enkaku.flow.fairness import Fairness
from enkaku.flow.overflow import POLICIES, BoundedQueue, WhenFull
from enkaku.procedures import Channel, Procedure, Stream
from enkaku.values.slot import Slot
from enkaku.wire.error_codes import ErrorCode

from .call import StreamCall
from .handler import ServerStream

__all__ = ["Broadcast", "Subscriber", "item_size", "too_slow"]

T = TypeVar("T")

_ENVELOPE: Final = 100  # bytes of a message around its item, about


def item_size(encoded: bytes) -> int:
    """Return how many bytes of a queue an item takes."""
    return _ENVELOPE + len(encoded)


def too_slow() -> HandlerError:
    """Return the error that ends the call of a subscriber which reads too slowly."""
    return HandlerError(
        ErrorCode.TOO_SLOW.value, "Too many unread items: the client reads too slowly"
    )


class Subscriber(Generic[T]):
    """One call that a broadcast serves: what it wants, what was not sent yet, and which senders wait for it.

    Args:
        call: The call.
        slot: Encodes the items that ``gap`` returns.
        when_full: What happens to an item while the queue is full.
        where: Returns whether the subscriber gets a value; None is all values.
        gap: Returns an item that says how many were dropped; None sends no such item.
        queue: How many bytes may wait for it.
        on_drop: Called with the number of items that were dropped.

    Attributes:
        sent: How many items were sent.
    """

    def __init__(  # arguments of one subscriber, and of its broadcast
        self,
        call: StreamCall,
        slot: Slot[T],
        when_full: WhenFull | Literal["disconnect"],
        where: Callable[[T], bool] | None,
        gap: Callable[[int], T] | None,
        queue: int,
        on_drop: Callable[[int], None],
    ) -> None:
        self.sent = 0
        self._call: Final = call
        self._slot: Final = slot
        self._when_full: Final = when_full
        self._where: Final = where
        self._gap: Final = gap
        self._on_drop: Final = on_drop
        self._queue: Final = BoundedQueue[bytes](queue)
        self._blocked: dict[asyncio.Future[None], bytes] = {}  # senders that wait, and their items
        self._missed = 0  # items that were dropped, and that ``gap`` has not reported yet
        self._changed = asyncio.Event()
        self._idle = False
        self._finishing = False
        self._error: Exception | None = None
        self._scope = asyncio.timeout(None)

    def wants(self, value: T) -> bool:
        """Return whether the subscriber gets a value. A filter that raises ends its own call, and no other."""
        if self._error is not None:
            return False
        if self._where is None:
            return True
        try:
            return self._where(value)
        except Exception as error:  # noqa: BLE001 # raised where the subscriber is served
            self.fail(error)
            return False

    @property
    def caught_up(self) -> bool:
        """Whether every value so far was sent, and every value to come will be."""
        return self._idle and not self._queue.items and self._where is None and self._error is None

    def send_now(self, encoded: Sequence[bytes]) -> bool:
        """Send items if none has to wait; return whether they were sent."""
        sent = self._call.send_items_now(encoded)
        if sent:
            self.sent += len(encoded)
        return sent

    def offer(self, encoded: bytes) -> asyncio.Future[None] | None:
        """Send an item, queue it, or drop some, as the policy says.

        Returns:
            A future that the sender has to wait for, where the queue is full and the policy is ``"wait"``: it is done
            when the item is queued, or no longer wanted.
        """
        size = item_size(encoded)
        # What can be sent at once need not wake the task that serves the call.
        if self._idle and not self._queue.items and self.send_now((encoded,)):
            return None
        if self._blocked or not self._queue.fits(size):
            if self._when_full == "wait":
                blocked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._blocked[blocked] = encoded
                return blocked
            if self._when_full == "disconnect":
                self.fail(too_slow())
                return None
            self._drop(self._queue.drop_for(size, self._when_full))
        self._append(encoded)
        return None

    def withdraw(self, blocked: asyncio.Future[None]) -> None:
        """Drop the item of a sender that no longer waits."""
        if self._blocked.pop(blocked, None) is not None:
            self._drop(1)

    def finish(self) -> None:
        """End when every queued item was sent."""
        self._finishing = True
        self._changed.set()

    def fail(self, error: Exception) -> None:
        """End at once, with an error."""
        if self._error is None:
            self._error = error
            self._scope.reschedule(0.0)

    def leave(self) -> None:
        """Drop every item, and release the senders that wait."""
        self._queue.clear()
        for blocked in self._blocked:
            if not blocked.done():
                blocked.set_result(None)
        self._blocked.clear()

    @asynccontextmanager
    async def ending(self) -> AsyncGenerator[None, None]:
        """Return a block that ``fail`` interrupts, and that raises its error."""
        try:
            async with self._scope:
                yield
        except TimeoutError:
            if self._error is None:
                raise
        if self._error is not None:
            raise self._error

    async def run(self) -> None:
        """Send queued items, and wait for more, until the subscriber has finished."""
        while self._queue.items or not self._finishing:
            if not self._queue.items:
                self._idle = True
                self._changed.clear()
                await self._changed.wait()
                self._idle = False
            elif not self._send_queue():
                for encoded in self._next():
                    await self._call.send_item(encoded, "wait")
                    self.sent += 1

    def _send_queue(self) -> bool:
        """Send all queued items, if none has to wait, no sender is blocked, and no gap is to be reported."""
        if self._missed or self._blocked:
            return False
        sent = self.send_now([encoded for encoded, _ in self._queue.items])
        if sent:
            self._queue.clear()
        return sent

    def _append(self, encoded: bytes) -> None:
        self._queue.append(encoded, item_size(encoded))
        self._changed.set()

    def _next(self) -> tuple[bytes, ...]:
        """Remove the next item from the queue; return it, after an item that reports a gap, if one is due."""
        encoded, _ = self._queue.pop()
        missed, self._missed = self._missed, 0
        while self._blocked:
            blocked = next(iter(self._blocked))
            if not self._queue.fits(item_size(self._blocked[blocked])):
                break
            self._append(self._blocked.pop(blocked))
            if not blocked.done():
                blocked.set_result(None)
        if not missed or self._gap is None:
            return (encoded,)
        return self._slot.encode(self._gap(missed)), encoded

    def _drop(self, count: int) -> None:
        if self._gap is not None:
            self._missed += count
        self._on_drop(count)
        self._call.record_dropped(count)


Param = TypeVar("Param")
Send = TypeVar("Send")
Result = TypeVar("Result")

_STREAK: Final = 32  # how many items ``send`` may send without yielding
_TOGETHER: Final = 64 * 1024  # bytes of items that are written together


class Broadcast(Generic[T]):
    """Sends values to many calls of one stream or channel, its subscribers.

    A handler's method subscribes its call and waits (``serve``); any task of the same event loop sends values (``send``). Each
    value is encoded once, for all subscribers. All receive the values in the order in which they were sent.

    Args:
        procedure: The stream or channel whose items the values are.
        replay: Whether a new subscriber begins with the last value.
        queue: How many bytes of items may be queued for one subscriber; 64 KiB by default. Each item counts about
            100 bytes more than its value. An item that is larger than the queue may be alone in it.
        patience: The slow-consumer timeout: how many seconds ``send`` waits for a subscriber whose policy is
            ``"wait"``; 10 by default. Then the subscriber's call ends with an error. None waits without a timeout.

    Raises:
        UsageError: ``queue`` or ``patience`` is not positive, or the procedure has no items for its clients.
    """

    def __init__(
        self,
        procedure: Stream[Param, T, Result] | Channel[Param, Send, T, Result],
        *,
        replay: bool = False,
        queue: int = 64 * 1024,
        patience: float | None = 10.0,
    ) -> None:
        _require_items(procedure)
        require_seconds("Broadcast: patience", patience, optional=True)
        if not (queue > 0 and (patience is None or patience > 0)):
            raise UsageError(
                f"Broadcast: queue and patience must be more than 0; got {queue!r} and {patience!r}"
            )
        self._procedure: Final[Procedure] = procedure
        self._slot: Final[Slot[T]] = procedure.receive
        self._replay: Final = replay
        self._queue: Final = queue
        self._patience: Final = patience
        # Subscribers that have been sent everything get all values of one event-loop iteration by one write each.
        # Those that lag, or have a filter, get each value by itself.
        self._caught_up: dict[Subscriber[T], None] = {}
        self._lagging: dict[Subscriber[T], None] = {}
        self._pending: list[bytes] = []  # values of this iteration, for those that have caught up
        self._size = 0
        self._flushing: asyncio.Handle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last: tuple[T, bytes] | None = None
        self._closed = False
        self._fairness = Fairness(_STREAK)
        self._dropped = 0

    def __repr__(self) -> str:
        state = ", closed" if self._closed else ""
        return f"<broadcast of {self._procedure.name}: {self.subscribers} subscribers{state}>"

    @property
    def subscribers(self) -> int:
        """How many calls are served."""
        return len(self._caught_up) + len(self._lagging)

    @property
    def dropped(self) -> int:
        """How many items were dropped, for all subscribers together; ``stream.dropped`` counts those of one."""
        return self._dropped

    @property
    def closed(self) -> bool:
        """Whether nothing more can be sent."""
        return self._closed

    async def serve(
        self,
        stream: ServerStream[T],
        *,
        when_full: WhenFull | Literal["disconnect"],
        where: Callable[[T], bool] | None = None,
        gap: Callable[[int], T] | None = None,
    ) -> int:
        """Send the values to a stream or channel, until its call or the broadcast is closed.

        Other tasks may send to the stream at the same time.

        Args:
            stream: The stream that the handler's method was given.
            when_full: What happens to a value while this subscriber's queue is full. ``"wait"``: the sender waits,
                up to ``patience`` seconds, and every subscriber gets the next value later. ``"latest"`` and
                ``"drop_oldest"``: older values are dropped, all of them or as many as necessary.
                ``"disconnect"``: the call ends with the error ``EKP02``.
            where: A filter: returns whether this subscriber gets a value. ``send`` calls it once per value.
            gap: Returns an item for the number of items that were dropped; it is sent before the next item.

        Returns:
            How many items were sent, those of ``gap`` included.

        Raises:
            HandlerError: The client reads too slowly (``EKP02``). Let it escape: then the client gets it.
            ConnectionLost: The client's connection was lost.
            EncodeError: The item of ``gap`` does not fit its schema.
            UsageError: ``when_full`` is none of these, the stream is one of another procedure, or it belongs to
                another event loop than the other subscribers.
        """
        require_one_of("when_full", when_full, (*POLICIES, "disconnect"))
        if stream.call.procedure.original is not self._procedure.original:
            raise UsageError(
                f"a broadcast of {self._procedure.name} cannot serve a call of {stream.call.procedure.name}"
            )
        self._require_same_loop()
        subscriber = Subscriber(
            stream.call, self._slot, when_full, where, gap, self._queue, self._count_dropped
        )
        try:
            async with subscriber.ending(), stream.until_closed():
                self._add(subscriber)
                stream.call.flush_first += (self._flush,)
                await subscriber.run()
        finally:
            self._flush()  # or pending values would outlive their event loop
            others = (each for each in stream.call.flush_first if each != self._flush)
            stream.call.flush_first = tuple(others)
            self._caught_up.pop(subscriber, None)
            self._lagging.pop(subscriber, None)
            subscriber.leave()
        return subscriber.sent

    async def send(self, value: T) -> None:
        """Send a value to every subscriber.

        It is first delivered to all subscribers that can take it, drop items or be disconnected. Then this waits for the
        ``"wait"`` subscribers whose queue is full. If it is cancelled while it waits, those do not get the value,
        which counts as dropped.

        Raises:
            EncodeError: The value does not fit its schema; it was sent to no subscriber.
            UsageError: The broadcast is closed, or its subscribers belong to another event loop.
        """
        blocked = self._offer(value)
        if blocked:
            await self._wait(blocked)
        else:
            await self._fairness.yield_if_due()

    def send_nowait(self, value: T) -> None:
        """Send a value from code that cannot await, such as a handler of ``logging``.

        A subscriber that ``send`` would wait for is disconnected: its call ends with the error ``EKP02``.

        Raises:
            EncodeError: The value does not fit its schema; it was sent to no subscriber.
            UsageError: The broadcast is closed, or its subscribers belong to another event loop.
        """
        for subscriber in self._offer(value).values():
            subscriber.fail(too_slow())

    def close(self) -> None:
        """End every subscription after its queued items: ``serve`` returns. May be called again.

        Later subscribers receive the last value, with ``replay``, and then end in the same way.
        """
        self._closed = True
        for subscriber in (*self._caught_up, *self._lagging):
            subscriber.finish()

    def _require_same_loop(self) -> None:
        # Without subscribers, any event loop will do: it may be the program's next one.
        if self.subscribers and self._loop is not _running_loop():
            raise UsageError(
                f"the broadcast of {self._procedure.name} serves calls of another event loop"
            )

    def _add(self, subscriber: Subscriber[T]) -> None:
        self._loop = asyncio.get_running_loop()
        self._lagging[subscriber] = None
        if self._last is not None and subscriber.wants(self._last[0]):
            subscriber.offer(self._last[1])
        if self._closed:
            subscriber.finish()

    def _offer(self, value: T) -> dict[asyncio.Future[None], Subscriber[T]]:
        """Offer a value to every subscriber; return the futures of those that have to be waited for."""
        if self._closed:
            raise UsageError(f"the broadcast of {self._procedure.name} is closed")
        self._require_same_loop()
        encoded = self._slot.encode(value)
        if self._replay:
            self._last = value, encoded
        if self._pending and self._size + item_size(encoded) > min(self._queue, _TOGETHER):
            self._flush()
            self._fairness.left = 0
        blocked: dict[asyncio.Future[None], Subscriber[T]] = {}
        for subscriber in tuple(self._lagging):
            if subscriber.caught_up and not self._pending:  # else it may have some of these already
                del self._lagging[subscriber]
                self._caught_up[subscriber] = None
            elif subscriber.wants(value):
                future = subscriber.offer(encoded)
                if future is not None:
                    blocked[future] = subscriber
        self._fairness.left -= 1 + len(self._lagging)
        if self._caught_up:
            self._pending.append(encoded)
            self._size += item_size(encoded)
            if self._flushing is None:
                self._flushing = asyncio.get_running_loop().call_soon(self._flush)
        return blocked

    def _flush(self) -> None:
        """Send the pending values. A subscriber that cannot be written to lags now: its queue takes them."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        pending, self._pending, self._size = self._pending, [], 0
        if not pending:
            return
        behind = [each for each in self._caught_up if not each.send_now(pending)]
        for subscriber in behind:
            del self._caught_up[subscriber]
            self._lagging[subscriber] = None
            for encoded in pending:  # they fit, since no more than a queue takes is pending
                subscriber.offer(encoded)

    async def _wait(self, blocked: dict[asyncio.Future[None], Subscriber[T]]) -> None:
        try:
            _, pending = await asyncio.wait(blocked, timeout=self._patience)
        except asyncio.CancelledError:
            for future, subscriber in blocked.items():
                subscriber.withdraw(future)
            raise
        for future in pending:
            blocked[future].fail(too_slow())

    def _count_dropped(self, count: int) -> None:
        self._dropped += count


def _require_items(procedure: object) -> None:
    if not isinstance(procedure, Stream | Channel):
        raise UsageError(f"Broadcast: the procedure must be a stream or channel; got {procedure!r}")


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
