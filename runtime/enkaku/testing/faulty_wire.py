"""Fault-injecting relay between two transports.

A ``Wire`` has two directions. Each receives pieces of bytes from one transport, queues them with the time and the event-loop
iteration of their arrival, and a task writes them to the other transport when its ``Conditions`` allow. Above 64 KiB of
queued bytes, it stops reading, so that the sender's write buffer fills, as with a slow network. Both ends are real
transports, so that their behaviour need not be imitated.
"""

import asyncio
import random
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import ClassVar, Final, Literal, TypeAlias

from enkaku.errors import ConnectionLost
from enkaku.transports.base import Oversized, Transport

__all__ = ["Conditions", "Cut", "End", "Passage", "Pieces", "Side", "Wire", "anywhere", "as_sent"]

Side: TypeAlias = Literal["client", "server"]


class Passage(Enum):
    """Whether bytes are delivered, queued or lost."""

    OPEN = auto()
    STALLED = auto()
    DROPPING = auto()


@dataclass(slots=True)
class Cut:
    """A pending end of connections.

    Attributes:
        left: How many bytes are still delivered before it; 0 if it has happened.
        told: The sides that are notified.
        reset: Whether they are notified with an error.
    """

    left: int
    told: frozenset[Side]
    reset: bool


def as_sent(_: random.Random, sent: int, __: int) -> int:
    """Deliver each write as one piece."""
    return sent


def anywhere(rng: random.Random, _: int, due: int) -> int:
    """Deliver a random number of the bytes that are due as one piece."""
    return rng.randint(1, due)


@dataclass(slots=True)
class Conditions:
    """The faults of one direction.

    Attributes:
        rng: Random number generator of ``piece``.
        passage: Whether bytes are delivered, queued or lost.
        seconds: Their delay, in seconds.
        iterations: Their delay, in event-loop iterations.
        piece: Returns the size of the next piece, given the size of the first write and of all bytes that are due.
        cut: The pending end of the connections, if any.
        passed: How many bytes were delivered.
    """

    rng: random.Random
    passage: Passage = Passage.OPEN
    seconds: float = 0.0
    iterations: int = 0
    piece: Callable[[random.Random, int, int], int] = as_sent
    cut: Cut | None = None
    passed: int = 0

    def heal(self) -> None:
        """Remove all faults."""
        self.passage, self.piece = Passage.OPEN, as_sent
        self.seconds, self.iterations, self.cut = 0.0, 0, None


_HIGH_WATER: Final = 64 * 1024  # queued bytes of a direction, above which it stops reading
_CLOSE_TIMEOUT: Final = 30.0  # seconds that a peer has to read the end


class Pieces:
    """No framing: a transport carries bytes as they are read, not messages."""

    terminator: ClassVar[bytes] = b""

    unfinished = 0  # nothing is ever incomplete
    changed = False
    violation = ""

    def __init__(self, _: int, /) -> None: ...

    def split(self, data: bytes, /) -> list[bytes]:
        """Return the bytes."""
        return [data]

    def split_buffer(self, buffer: bytearray, size: int, /) -> list[bytes]:
        """Return the bytes."""
        return [bytes(buffer[:size])]


@dataclass(frozen=True, slots=True)
class End:
    """One end of a wire.

    Attributes:
        transport: Leads to a client or a server; not started yet.
        fail: Turns the next end that this transport sends into an error.
    """

    transport: Transport
    fail: Callable[[], None]


class Wire:
    """Relays the two directions of one connection.

    Args:
        conditions: The faults of each direction, by the side that receives the bytes.
        ends: The transports, by side.
    """

    def __init__(self, conditions: Mapping[Side, Conditions], ends: Mapping[Side, End]) -> None:
        client, server = ends["client"], ends["server"]
        self._ends = (client, server)
        self._to_client = _Direction(conditions["client"], server.transport, client, self.cut)
        self._to_server = _Direction(conditions["server"], client.transport, server, self.cut)

    def cut(self, cut: Cut, after: "_Direction | None" = None) -> None:
        """End the connection: at once, or after the bytes that a direction has delivered."""
        to_client, to_server = self._to_client, self._to_server
        for side, direction, back in (
            ("client", to_client, to_server),
            ("server", to_server, to_client),
        ):
            if side not in cut.told:
                direction.silence()
                back.ignore()
                continue
            if cut.reset:
                direction.sink.fail()
            if direction is after:
                direction.finish()
            else:
                direction.sink.transport.abort()

    def update(self) -> None:
        """Apply changed conditions."""
        self._to_client.update()
        self._to_server.update()

    def release(self) -> None:
        """Stop injecting faults, and deliver the end even if it was lost."""
        self._to_client.release()
        self._to_server.release()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Relay bytes inside the block, then end both transports."""
        loop = asyncio.get_running_loop()
        directions = (self._to_client, self._to_server)
        tasks = [loop.create_task(direction.run()) for direction in directions]
        try:
            for direction in directions:
                direction.start()
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for end in self._ends:
                await end.transport.close(within=0)

    async def wait_ended(self) -> None:
        """Wait until both directions have ended."""
        await self._to_client.ended.wait()
        await self._to_server.ended.wait()


@dataclass(slots=True)
class _Sent:
    """Queued bytes, or None for the end, with the time and the event-loop iteration of their arrival."""

    data: memoryview | None
    time: float
    iteration: int


class _Direction:
    """Receives from one transport, and writes to the other when the conditions allow it."""

    def __init__(
        self,
        conditions: Conditions,
        source: Transport,
        sink: End,
        cut: "Callable[[Cut, _Direction], None]",
    ) -> None:
        self.sink: Final = sink
        self.ended: Final = asyncio.Event()
        self._conditions = conditions
        self._source = source
        self._cut = cut
        self._queue: deque[_Sent] = deque()
        self._queued_size = 0
        self._source_ended = False
        self._silent = False
        self._ignoring = False
        self._iteration = 0
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Start to receive."""
        self._source.start(self, message_size=sys.maxsize)
        self.update()

    def message_growing(self, size: int) -> None:
        """Nothing is ever incomplete."""

    def messages_received(self, batch: Sequence[bytes | Oversized]) -> None:
        """Queue received bytes."""
        for data in batch:
            if isinstance(data, bytes):
                self._queued_size += len(data)
                self._put(memoryview(data))

    def connection_lost(self, error: Exception | None) -> None:
        """Queue the sender's end."""
        if error is not None:
            self.sink.fail()
        self._source_ended = True
        self._put(None)

    def silence(self) -> None:
        """Stop delivering, even the end."""
        self._silent = True
        self.update()

    def ignore(self) -> None:
        """Stop receiving, even the end."""
        self._ignoring = True
        self.update()

    def finish(self) -> None:
        """Drop the queued bytes, and deliver the end."""
        self._queue.clear()
        self._queued_size = 0
        self._source_ended = True
        self.release()

    def release(self) -> None:
        """Stop injecting faults, and deliver the end even if it was lost."""
        self._conditions = Conditions(self._conditions.rng)
        self._ignoring = False
        if self._silent:
            self.sink.transport.abort()
        elif self._source_ended:
            self._put(None)
        self.update()

    def update(self) -> None:
        """Apply changed conditions."""
        if self._conditions.passage is Passage.DROPPING:
            self._queue.clear()
            self._queued_size = 0
        if self._blocked or self._ignoring or self._queued_size > _HIGH_WATER:
            self._source.pause_reading()
        else:
            self._source.resume_reading()
        self._changed.set()

    async def run(self) -> None:
        """Deliver until the sender's end, or until the receiver has disconnected."""
        try:
            while (piece := await self._next()) is not None:
                self._deliver(piece)
                if self._conditions.piece is not as_sent:
                    await self._yield()
                await self.sink.transport.drain()
            await self._yield()
            await self.sink.transport.close(within=_CLOSE_TIMEOUT)
        except ConnectionLost:
            return
        finally:
            self.ended.set()

    @property
    def _blocked(self) -> bool:
        return self._silent or self._conditions.passage is Passage.STALLED

    def _put(self, data: memoryview | None) -> None:
        self._queue.append(_Sent(data, self._loop.time(), self._iteration))
        self.update()

    def _deliver(self, piece: bytes) -> None:
        self.sink.transport.write(piece)
        self._conditions.passed += len(piece)
        cut = self._conditions.cut
        if cut is not None and cut.left > 0:
            cut.left -= len(piece)
            if cut.left == 0:
                self._cut(cut, self)

    async def _yield(self) -> None:
        """Yield until the last piece was read: a socket's reader runs in the second event-loop iteration."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def _next(self) -> bytes | None:
        """Wait for the next piece, and return it; None is the end."""
        while not self._is_due():
            await self._wait_until_due()
        sent = self._queue.popleft()
        if sent.data is None:
            return None
        conditions = self._conditions
        first = len(sent.data)
        if conditions.piece is not as_sent:
            self._join_due(sent)
        size = conditions.piece(conditions.rng, first, len(sent.data))
        if conditions.cut is not None and conditions.cut.left > 0:
            size = min(size, conditions.cut.left)
        piece, rest = sent.data[:size], sent.data[size:]
        if rest:
            self._queue.appendleft(_Sent(rest, sent.time, sent.iteration))
        self._queued_size -= len(piece)
        self.update()
        return bytes(piece)

    def _join_due(self, sent: _Sent) -> None:
        parts = [sent.data or b""]
        while self._queue and self._queue[0].data is not None and self._is_due():
            parts.append(self._queue.popleft().data or b"")
        if len(parts) > 1:
            sent.data = memoryview(b"".join(parts))

    def _is_due(self) -> bool:
        if not self._queue or self._blocked:
            return False
        first, conditions = self._queue[0], self._conditions
        late = self._iteration - first.iteration >= conditions.iterations
        return late and first.time + conditions.seconds <= self._loop.time()

    async def _wait_until_due(self) -> None:
        """Wait until the first bytes may be due: an event-loop iteration, until their time, or for changed conditions."""
        self._changed.clear()
        if not self._queue or self._blocked:
            await self._changed.wait()
            return
        first, conditions = self._queue[0], self._conditions
        if self._iteration - first.iteration < conditions.iterations:
            self._iteration += 1
            await asyncio.sleep(0)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout_at(first.time + conditions.seconds):
                await self._changed.wait()
