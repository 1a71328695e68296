"""Broadcasts: one value, encoded once and sent to many subscribers; a slow subscriber delays no other.

A subscriber that keeps up gets each value in the event-loop iteration in which it was sent: values of one iteration are
joined and written once per subscriber. A subscriber that falls behind has a bounded queue and an overflow policy of its own.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Generic, Literal, TypeVar

from enkaku._checks import require_one_of, require_seconds
from enkaku.errors import HandlerError, UsageError
from enkaku.flow.overflow import POLICIES, WhenFull
from enkaku.procedures import Channel, Procedure, Stream
from enkaku.values.slot import Slot
from enkaku.wire.error_codes import ErrorCode

from .call import StreamCall
from .handler import ServerStream

__all__ = ["Broadcast", "Subscriber", "item_size", "too_slow"]

T = TypeVar("T")

_ENVELOPE: Final = 100  # bytes of a message around its item, about


def item_size(text: bytes) -> int:
    """Tell how much of a queue an item takes up."""
    return _ENVELOPE + len(text)


def too_slow() -> HandlerError:
    """Make the error that ends the call of a subscriber which reads too slowly."""
    return HandlerError(
        ErrorCode.TOO_SLOW.value, "Too many unread items: the client reads too slowly"
    )


class Subscriber(Generic[T]):
    """One call that a broadcast serves.

    Args:
        call: The call.
        slot: Writes what ``gap`` makes.
        when_full: What happens to an item that there is no room for.
        where: Says which values it gets; None is all.
        gap: Makes the item that takes the place of so many that were dropped; None is none.
        queue: How many bytes may wait for it.
        on_drop: Told how many items were dropped.
    """

    def __init__(  # what one says of a subscriber, and what its broadcast says of all
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
        self._limit: Final = queue
        self._on_drop: Final = on_drop
        self._texts: deque[bytes] = deque()
        self._size = 0
        self._late: dict[asyncio.Future[None], bytes] = {}
        self._missed = 0
        self._news = asyncio.Event()
        self._idle = False
        self._finishing = False
        self._error: Exception | None = None
        self._scope = asyncio.timeout(None)

    def wants(self, value: T) -> bool:
        """Ask whether it gets a value; a filter that fails ends its own call, and harms nobody else."""
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
    def abreast(self) -> bool:
        """Whether it has been sent all that there was, and gets all that there will be."""
        return self._idle and not self._texts and self._where is None and self._error is None

    def send_together(self, texts: Sequence[bytes]) -> bool:
        """Send some items if nobody has to wait for any of them, and say so."""
        done = self._call.send_together(texts)
        if done:
            self.sent += len(texts)
        return done

    def offer(self, text: bytes) -> asyncio.Future[None] | None:
        """Give it an item: send it, let it wait, or drop something.

        Returns:
            Where its sender has to wait: what is done as soon as there is room for the item, or nobody wants it.
        """
        # What can be sent at once need not wake the task that serves the call.
        if self._idle and not self._texts and self._call.send_together((text,)):
            self.sent += 1
        elif not self._late and self._has_room(text):
            self._put(text)
        elif self._when_full == "wait":
            room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._late[room] = text
            return room
        elif self._when_full == "disconnect":
            self.fail(too_slow())
        else:
            self._make_room(text)
            self._put(text)
        return None

    def withdraw(self, room: asyncio.Future[None]) -> None:
        """Its sender waits no longer: it goes without the item."""
        if self._late.pop(room, None) is not None:
            self._drop(1)

    def finish(self) -> None:
        """End when everything is sent that waits."""
        self._finishing = True
        self._news.set()

    def fail(self, error: Exception) -> None:
        """End at once, with an error."""
        if self._error is None:
            self._error = error
            self._scope.reschedule(0.0)

    def leave(self) -> None:
        """Take no more items; nobody need wait for it."""
        self._texts.clear()
        self._size = 0
        for room in self._late:
            if not room.done():
                room.set_result(None)
        self._late.clear()

    @asynccontextmanager
    async def ending(self) -> AsyncGenerator[None, None]:
        """Make a block that ``fail`` interrupts, and that raises its error."""
        try:
            async with self._scope:
                yield
        except TimeoutError:
            if self._error is None:
                raise
        if self._error is not None:
            raise self._error

    async def run(self) -> None:
        """Send what waits, and wait for more, until it has finished."""
        while self._texts or not self._finishing:
            if not self._texts:
                self._idle = True
                self._news.clear()
                await self._news.wait()
                self._idle = False
            elif not self._send_waiting():
                for text in self._take():
                    await self._call.send_item(text, "wait")
                    self.sent += 1

    def _send_waiting(self) -> bool:
        """Send all that waits, if nobody has to wait for it, nor be told of anything between."""
        sent = not (self._missed or self._late) and self.send_together(self._texts)
        if sent:
            self._texts.clear()
            self._size = 0
        return sent

    def _has_room(self, text: bytes) -> bool:
        return not self._texts or self._size + item_size(text) <= self._limit

    def _put(self, text: bytes) -> None:
        self._texts.append(text)
        self._size += item_size(text)
        self._news.set()

    def _make_room(self, text: bytes) -> None:
        before = len(self._texts)
        while self._texts and (self._when_full == "latest" or not self._has_room(text)):
            self._pop()
        self._drop(before - len(self._texts))

    def _pop(self) -> bytes:
        text = self._texts.popleft()
        self._size -= item_size(text)
        return text

    def _take(self) -> tuple[bytes, ...]:
        """Take the next item, behind one that says how many are missing before it, if somebody is to be told."""
        text, missed, self._missed = self._pop(), self._missed, 0
        while self._late:
            room = next(iter(self._late))
            if not self._has_room(self._late[room]):
                break
            self._put(self._late.pop(room))
            if not room.done():
                room.set_result(None)
        if not missed or self._gap is None:
            return (text,)
        return self._slot.encode(self._gap(missed)), text

    def _drop(self, count: int) -> None:
        if self._gap is not None:
            self._missed += count
        self._on_drop(count)
        self._call.note_dropped(count)


Param = TypeVar("Param")
Send = TypeVar("Send")
Result = TypeVar("Result")

_STREAK: Final = 32  # how many items may be sent before the other tasks get a turn
_TOGETHER: Final = 64 * 1024  # bytes of items that are written together


class Broadcast(Generic[T]):
    """Sends each value to all those calls of one stream or channel that it serves.

    A handler's method has its call served (``serve``); any task of the same event loop sends (``send``). A value is
    written as JSON once, however many get it. All get the values in the order in which they were sent.

    Args:
        procedure: The stream or channel whose items the values are.
        replay: Whether a new subscriber begins with the last value.
        queue: How many bytes of items may wait for one subscriber; 64 KiB by default. Each item counts with about
            100 bytes of its message; one that is larger than all that may wait alone.
        patience: How long ``send`` waits for a subscriber that is to be waited for, in seconds; 10 by default. Then
            that subscriber's call ends in an error. None waits for ever.

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
            raise UsageError("Broadcast: queue and patience must be more than 0")
        self._procedure: Final[Procedure] = procedure
        self._slot: Final[Slot[T]] = procedure.receive
        self._replay: Final = replay
        self._queue: Final = queue
        self._patience: Final = patience
        # Those who have been sent everything get all that comes in one turn of the event loop by one write each; the
        # others, and who wants only some of the values, get each value by itself.
        self._abreast: dict[Subscriber[T], None] = {}
        self._apart: dict[Subscriber[T], None] = {}
        self._texts: list[bytes] = []
        self._size = 0
        self._passing: asyncio.Handle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last: tuple[T, bytes] | None = None
        self._closed = False
        self._streak = 0
        self._dropped = 0

    def __repr__(self) -> str:
        state = ", closed" if self._closed else ""
        return f"<broadcast of {self._procedure.name}: {self.subscribers} subscribers{state}>"

    @property
    def subscribers(self) -> int:
        """How many calls are served."""
        return len(self._abreast) + len(self._apart)

    @property
    def dropped(self) -> int:
        """How many items were dropped for all subscribers; ``stream.dropped`` counts those of one."""
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

        Other tasks may send to the stream meanwhile.

        Args:
            stream: What the handler's method was given.
            when_full: What happens to a value when so much waits for this subscriber that there is no room for it.
                ``"wait"``: whoever sends waits, no longer than ``patience``, and so do all that are to get the
                next value. ``"latest"`` and ``"drop_oldest"``: older ones are dropped, all of them or as many as
                need be. ``"disconnect"``: the call ends in the error ``EKP02``.
            where: Says which values this subscriber gets; asked once for each, by ``send``. It may change its mind.
            gap: Makes an item that says how many were dropped; it is sent before the next one that was not.

        Returns:
            How many items were sent, those of ``gap`` among them.

        Raises:
            HandlerError: The client reads too slowly (``EKP02``); let it escape, and the client is told.
            ConnectionLost: The client is gone.
            EncodeError: What ``gap`` made does not fit its schema.
            UsageError: ``when_full`` is none of these, the stream is one of another procedure, or runs in another event loop than the others.
        """
        require_one_of("when_full", when_full, (*POLICIES, "disconnect"))
        if stream.call.procedure is not self._procedure:
            raise UsageError(
                f"a broadcast of {self._procedure.name} cannot serve a call of {stream.call.procedure.name}"
            )
        self._require_same_loop()
        subscriber = Subscriber(
            stream.call, self._slot, when_full, where, gap, self._queue, self._note_dropped
        )
        try:
            async with subscriber.ending(), stream.until_closed():
                self._add(subscriber)
                stream.call.before += (self._pass_on,)
                await subscriber.run()
        finally:
            self._pass_on()  # or what is kept would outlive its event loop
            before = stream.call.before
            stream.call.before = tuple(each for each in before if each != self._pass_on)
            self._abreast.pop(subscriber, None)
            self._apart.pop(subscriber, None)
            subscriber.leave()
        return subscriber.sent

    async def send(self, value: T) -> None:
        """Send a value to every subscriber.

        All who have room for it, or who are not to be waited for, have been given it before this waits for anybody.
        If it is cancelled then, those whom it waits for go without the value, which counts as dropped.

        Raises:
            EncodeError: The value does not fit its schema; nobody got it.
            UsageError: The broadcast is closed, or its subscribers are those of another event loop.
        """
        late = self._offer(value)
        if late:
            await self._wait(late)
        elif self._streak >= _STREAK:
            # Writes seldom wait: whoever sends again and again would keep everybody else from running.
            self._streak = 0
            await asyncio.sleep(0)

    def send_nowait(self, value: T) -> None:
        """Send a value from where nothing can be awaited, such as a handler of ``logging``.

        A subscriber that ``send`` would wait for has its call ended in the error ``EKP02``.

        Raises:
            EncodeError: The value does not fit its schema; nobody got it.
            UsageError: The broadcast is closed, or its subscribers are those of another event loop.
        """
        for subscriber in self._offer(value).values():
            subscriber.fail(too_slow())

    def close(self) -> None:
        """End every subscription well, behind what still waits for it: ``serve`` returns; may be repeated.

        Calls that come later are served the last value, with ``replay``, and then end in the same way.
        """
        self._closed = True
        for subscriber in (*self._abreast, *self._apart):
            subscriber.finish()

    def _require_same_loop(self) -> None:
        # Where nobody is served, any loop will do: it may be the next one of the program.
        if self.subscribers and self._loop is not _running_loop():
            raise UsageError(
                f"the broadcast of {self._procedure.name} serves calls of another event loop"
            )

    def _add(self, subscriber: Subscriber[T]) -> None:
        self._loop = asyncio.get_running_loop()
        self._apart[subscriber] = None
        if self._last is not None and subscriber.wants(self._last[0]):
            subscriber.offer(self._last[1])
        if self._closed:
            subscriber.finish()

    def _offer(self, value: T) -> dict[asyncio.Future[None], Subscriber[T]]:
        """Give a value to everybody; return who has to be waited for, by what there is to wait for."""
        if self._closed:
            raise UsageError(f"the broadcast of {self._procedure.name} is closed")
        self._require_same_loop()
        text = self._slot.encode(value)
        if self._replay:
            self._last = value, text
        if self._texts and self._size + item_size(text) > min(self._queue, _TOGETHER):
            self._pass_on()
            self._streak = _STREAK
        late: dict[asyncio.Future[None], Subscriber[T]] = {}
        for subscriber in tuple(self._apart):
            if subscriber.abreast and not self._texts:  # of which it may have some already
                del self._apart[subscriber]
                self._abreast[subscriber] = None
            elif subscriber.wants(value):
                room = subscriber.offer(text)
                if room is not None:
                    late[room] = subscriber
        self._streak += 1 + len(self._apart)
        if self._abreast:
            self._texts.append(text)
            self._size += item_size(text)
            if self._passing is None:
                self._passing = asyncio.get_running_loop().call_soon(self._pass_on)
        return late

    def _pass_on(self) -> None:
        """Send what was kept. Who has no room for it goes on apart; his queue has, since no more than that is kept."""
        if self._passing is not None:
            self._passing.cancel()
            self._passing = None
        texts, self._texts, self._size = self._texts, [], 0
        behind = [each for each in self._abreast if not each.send_together(texts)] if texts else []
        for subscriber in behind:
            del self._abreast[subscriber]
            self._apart[subscriber] = None
            for text in texts:
                subscriber.offer(text)

    async def _wait(self, late: dict[asyncio.Future[None], Subscriber[T]]) -> None:
        try:
            _, pending = await asyncio.wait(late, timeout=self._patience)
        except asyncio.CancelledError:
            for room, subscriber in late.items():
                subscriber.withdraw(room)
            raise
        for room in pending:
            late[room].fail(too_slow())

    def _note_dropped(self, count: int) -> None:
        self._dropped += count


def _require_items(procedure: object) -> None:
    if not isinstance(procedure, Stream | Channel):
        raise UsageError(f"Broadcast: a stream or channel has items to send, {procedure!r} has not")


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
