"""A subscriber of a broadcast: what waits for its call, and what becomes of it when that is too much.

Above it: broadcasts. Below it: the call as a handler sees it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Generic, Literal, TypeVar

from .errors import HandlerError
from .full import WhenFull
from .slots import Slot
from .stream_call import StreamCall

__all__ = ["Subscriber", "item_size", "too_slow"]

T = TypeVar("T")

_ENVELOPE: Final = 100  # bytes of a message around its item, about


def item_size(text: bytes) -> int:
    """Tell how much of a queue an item takes up."""
    return _ENVELOPE + len(text)


def too_slow() -> HandlerError:
    """Make the error that ends the call of a subscriber which reads too slowly."""
    return HandlerError("EKP02", "Too many unread items: the client reads too slowly")


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
