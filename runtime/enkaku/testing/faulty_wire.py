"""A relay between two transports that injects faults into the bytes that it passes on.

Either end has a real transport, so that no contract is imitated here.
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
    """Whether bytes get through."""

    OPEN = auto()
    STALLED = auto()
    DROPPING = auto()


@dataclass(slots=True)
class Cut:
    """An end that is to come.

    Attributes:
        left: How many bytes are still delivered; less than 1 is past.
        told: Who learns of the end.
        reset: Whether they learn of it as an error.
    """

    left: int
    told: frozenset[Side]
    reset: bool


def as_sent(_: random.Random, sent: int, __: int) -> int:
    """Deliver what was sent at once at once."""
    return sent


def anywhere(rng: random.Random, _: int, due: int) -> int:
    """Deliver any number of bytes at once."""
    return rng.randint(1, due)


@dataclass(slots=True)
class Conditions:
    """What happens to the bytes that go one way.

    Attributes:
        rng: Chooses where it is left to chance.
        passage: Whether they get through.
        seconds: How late they are.
        turns: How late they are, in turns of the event loop.
        piece: How many go at once, of those that were sent at once, and of all that are due.
        cut: When the connection ends.
        passed: How many were delivered.
    """

    rng: random.Random
    passage: Passage = Passage.OPEN
    seconds: float = 0.0
    turns: int = 0
    piece: Callable[[random.Random, int, int], int] = as_sent
    cut: Cut | None = None
    passed: int = 0

    def heal(self) -> None:
        """Let everything through, as it was sent."""
        self.passage, self.piece = Passage.OPEN, as_sent
        self.seconds, self.turns, self.cut = 0.0, 0, None


_HELD: Final = 64 * 1024  # bytes that a direction holds before it reads no further
_PATIENCE: Final = 30.0  # seconds that a peer may leave an end unread


class Pieces:
    """No framing: what a transport carries are pieces of bytes, as they come."""

    terminator: ClassVar[bytes] = b""

    @property
    def endless(self) -> bool:
        """Whether no end is to be expected: there are no messages here."""
        return False

    def __init__(self, _: int, /) -> None: ...

    def split(self, data: bytes, /) -> list[bytes]:
        """Return the bytes."""
        return [data]


@dataclass(frozen=True, slots=True)
class End:
    """One end of a wire.

    Attributes:
        transport: Leads to a client or a server; not started yet.
        fail: Makes an error of the end that comes next, for whoever is there.
    """

    transport: Transport
    fail: Callable[[], None]


class Wire:
    """One connection, by two directions.

    Args:
        conditions: Of the directions, by who gets the bytes.
        ends: By who is there.
    """

    def __init__(self, conditions: Mapping[Side, Conditions], ends: Mapping[Side, End]) -> None:
        client, server = ends["client"], ends["server"]
        self._ends = (client, server)
        self._to_client = _Direction(conditions["client"], server.transport, client, self.cut)
        self._to_server = _Direction(conditions["server"], client.transport, server, self.cut)

    def cut(self, cut: Cut, behind: "_Direction | None" = None) -> None:
        """End the connection: at once, or behind what a direction has delivered."""
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
            if direction is behind:
                direction.finish()
            else:
                direction.sink.transport.abort()

    def settle(self) -> None:
        """Follow the conditions, which have changed."""
        self._to_client.settle()
        self._to_server.settle()

    def let_go(self) -> None:
        """Let everything through from now on, an end above all."""
        self._to_client.free()
        self._to_server.free()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Carry bytes with the block, then end both ends."""
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

    async def over(self) -> None:
        """Wait until both directions have ended."""
        await self._to_client.over.wait()
        await self._to_server.over.wait()


@dataclass(slots=True)
class _Sent:
    """Some bytes on their way, or, as None, the end; with the time and the turn in which they were sent."""

    data: memoryview | None
    time: float
    turn: int


class _Direction:
    """Receives from the one end, and writes to the other when the conditions allow it."""

    def __init__(
        self,
        conditions: Conditions,
        source: Transport,
        sink: End,
        cut: "Callable[[Cut, _Direction], None]",
    ) -> None:
        self.sink: Final = sink
        self.over: Final = asyncio.Event()
        self._conditions = conditions
        self._source = source
        self._cut = cut
        self._waiting: deque[_Sent] = deque()
        self._held = 0
        self._ended = False
        self._silent = False
        self._deaf = False
        self._turn = 0
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Begin to receive."""
        self._source.start(self, message_size=sys.maxsize)
        self.settle()

    def messages_received(self, batch: Sequence[bytes | Oversized]) -> None:
        """Take what was sent, which are pieces of bytes here."""
        for data in batch:
            if isinstance(data, bytes):
                self._held += len(data)
                self._put(memoryview(data))

    def connection_lost(self, error: Exception | None) -> None:
        """Take the sender's end."""
        if error is not None:
            self.sink.fail()
        self._ended = True
        self._put(None)

    def silence(self) -> None:
        """Deliver nothing any more, not even the end."""
        self._silent = True
        self.settle()

    def ignore(self) -> None:
        """Receive nothing any more, not even the end."""
        self._deaf = True
        self.settle()

    def finish(self) -> None:
        """Deliver the end, and nothing before it."""
        self._waiting.clear()
        self._held = 0
        self._ended = True
        self.free()

    def free(self) -> None:
        """Deliver everything at once from now on, and an end even if it was lost before."""
        self._conditions = Conditions(self._conditions.rng)
        self._deaf = False
        if self._silent:
            self.sink.transport.abort()
        elif self._ended:
            self._put(None)
        self.settle()

    def settle(self) -> None:
        """Follow the conditions, which have changed."""
        if self._conditions.passage is Passage.DROPPING:
            self._waiting.clear()
            self._held = 0
        if self._blocked or self._deaf or self._held > _HELD:
            self._source.pause_reading()
        else:
            self._source.resume_reading()
        self._changed.set()

    async def run(self) -> None:
        """Deliver until the end, or until nobody is there to deliver to."""
        try:
            while (piece := await self._next()) is not None:
                self._deliver(piece)
                if self._conditions.piece is not as_sent:
                    await self._rest()
                await self.sink.transport.drain()
            await self._rest()
            await self.sink.transport.close(within=_PATIENCE)
        except ConnectionLost:
            return
        finally:
            self.over.set()

    @property
    def _blocked(self) -> bool:
        return self._silent or self._conditions.passage is Passage.STALLED

    def _put(self, data: memoryview | None) -> None:
        self._waiting.append(_Sent(data, self._loop.time(), self._turn))
        self.settle()

    def _deliver(self, piece: bytes) -> None:
        self.sink.transport.write(piece)
        self._conditions.passed += len(piece)
        cut = self._conditions.cut
        if cut is not None and cut.left > 0:
            cut.left -= len(piece)
            if cut.left == 0:
                self._cut(cut, self)

    async def _rest(self) -> None:
        """Let what was delivered be read before what comes next: a reader at a socket sees it in the second turn."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def _next(self) -> bytes | None:
        """Wait for the next piece; None is the end."""
        while not self._is_due():
            await self._wait_until_due()
        sent = self._waiting.popleft()
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
            self._waiting.appendleft(_Sent(rest, sent.time, sent.turn))
        self._held -= len(piece)
        self.settle()
        return bytes(piece)

    def _join_due(self, sent: _Sent) -> None:
        parts = [sent.data or b""]
        while self._waiting and self._waiting[0].data is not None and self._is_due():
            parts.append(self._waiting.popleft().data or b"")
        if len(parts) > 1:
            sent.data = memoryview(b"".join(parts))

    def _is_due(self) -> bool:
        if not self._waiting or self._blocked:
            return False
        first, conditions = self._waiting[0], self._conditions
        late = self._turn - first.turn >= conditions.turns
        return late and first.time + conditions.seconds <= self._loop.time()

    async def _wait_until_due(self) -> None:
        """Wait for the next turn, the time, or a change of conditions, whatever may make the first bytes due."""
        self._changed.clear()
        if not self._waiting or self._blocked:
            await self._changed.wait()
            return
        first, conditions = self._waiting[0], self._conditions
        if self._turn - first.turn < conditions.turns:
            self._turn += 1
            await asyncio.sleep(0)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout_at(first.time + conditions.seconds):
                await self._changed.wait()
