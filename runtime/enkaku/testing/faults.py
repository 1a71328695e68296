"""``Faults``: what a test does to the connections between clients and servers, and when."""

import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Literal, TypeAlias

from enkaku.errors import UsageError
from enkaku.transports.base import Oversized, PeerCredentials, Receiver, Transport
from enkaku.transports.lines import Framing, Lines
from enkaku.transports.memory import memory_pair

from .faulty_wire import Conditions, Cut, End, Passage, Side, Wire, anywhere

__all__ = ["Faults", "Flow", "Told", "faulty_memory_pair"]

Told: TypeAlias = Literal["both"] | Side


class Flow:
    """The bytes that go one way on every connection of a ``Faults``, those to come included.

    Nothing happens to them until a test says so. Bytes may be late, in other pieces, or missing; they never change
    places. ``Faults.to_client`` and ``Faults.to_server`` are flows.
    """

    def __init__(self, conditions: tuple[Conditions, ...], wires: dict[Wire, None]) -> None:
        self._conditions = conditions
        self._wires = wires

    @property
    def passed(self) -> int:
        """How many bytes have been delivered so far."""
        return sum(each.passed for each in self._conditions)

    def delay(self, seconds: float = 0.0, *, turns: int = 0) -> None:
        """Deliver each byte so much later; ``delay()`` is none.

        Args:
            seconds: By the clock.
            turns: In turns of the event loop: enough to let other tasks go first, and no time.

        Raises:
            UsageError: One of them is negative.
        """
        if seconds < 0 or turns < 0:
            raise UsageError("bytes cannot arrive before they were sent: a delay is not negative")
        for each in self._conditions:
            each.seconds, each.turns = seconds, turns
        self._changed()

    def split(self, size: int | None = None) -> None:
        """Deliver in pieces, one after the other in turns of the event loop; ``split(1)`` is every byte alone.

        In memory each piece is read alone; a socket joins them again for a reader that is late.

        Args:
            size: Bytes of a piece, at the most; None, the default, splits at random places.

        Raises:
            UsageError: The size is not positive.
        """
        if size is not None and size < 1:
            raise UsageError(f"a piece has at least 1 byte, not {size}")
        for each in self._conditions:
            each.piece = anywhere if size is None else lambda _, __, due: min(size, due)
        self._changed()

    def join(self) -> None:
        """Deliver all that waits as one piece: what was sent in one turn, or during a delay or a stall."""
        for each in self._conditions:
            each.piece = lambda _, __, due: due
        self._changed()

    def stall(self) -> None:
        """Deliver nothing until ``resume()``: nothing is lost, and the sender's writes back up."""
        self._set_passage(Passage.STALLED)

    def drop(self) -> None:
        """Lose what has not arrived, and all that comes, an end included; the sender is not told.

        After ``resume()`` bytes are missing in between, which no real network does: ``cut()`` before.
        """
        self._set_passage(Passage.DROPPING)

    def resume(self) -> None:
        """Deliver again, after ``stall()`` or ``drop()``."""
        self._set_passage(Passage.OPEN)

    def heal(self) -> None:
        """Undo all of the above, and a cut that has not come: bytes arrive at once, and as they were sent."""
        for each in self._conditions:
            each.heal()
        self._changed()

    def cut(self, *, after: int = 0, told: Told = "both", reset: bool = False) -> None:
        """End connections; new ones can be made.

        Args:
            after: How many bytes of this flow still arrive; the connection that has the last of them ends. By
                default every connection ends now, and what has not arrived is lost, both ways.
            told: Who learns of the end. ``"server"`` leaves the client with a half-open connection: nothing
                comes, and its writes back up, until another ``cut()``. ``"client"`` leaves such a one to the server.
            reset: Whether the end is an error, ``ConnectionResetError``; Unix sockets know none.

        Raises:
            UsageError: ``after`` is negative.
        """
        if after < 0:
            raise UsageError(f"after is a number of bytes, not {after}")
        sides: tuple[Side, ...] = ("client", "server") if told == "both" else (told,)
        cut = Cut(after, frozenset(sides), reset)
        for each in self._conditions:
            each.cut = cut
        if after == 0:
            for wire in tuple(self._wires):
                wire.cut(cut)

    def _set_passage(self, passage: Passage) -> None:
        for each in self._conditions:
            each.passage = passage
        self._changed()

    def _changed(self) -> None:
        for wire in self._wires:
            wire.settle()


class Faults(Flow):
    """A network that a test disturbs: all of it by these methods, or one way by those of its flows.

    For ``connect_memory``, ``faulty_unix`` and ``faulty_tcp``; what goes through it is disturbed together::

        faults = Faults()
        async with connect_memory(handler, faults=faults) as connection:
            faults.to_client.stall()
            ...
            faults.cut()

    Args:
        seed: Chooses the places of ``split()``.

    Attributes:
        to_client: What servers send.
        to_server: What clients send.
    """

    def __init__(self, seed: int = 0) -> None:
        rng = random.Random(seed)  # noqa: S311 # the same places again are the point of it
        self._by_side: dict[Side, Conditions] = {
            "client": Conditions(rng),
            "server": Conditions(rng),
        }
        wires: dict[Wire, None] = {}  # in the order of their beginnings
        super().__init__(tuple(self._by_side.values()), wires)
        self.to_client: Final = Flow((self._by_side["client"],), wires)
        self.to_server: Final = Flow((self._by_side["server"],), wires)

    @asynccontextmanager
    async def between(self, client: End, server: End) -> AsyncGenerator[Wire, None]:
        """Carry bytes between two ends with the block, then end both. For those who bring transports."""
        wire = Wire(self._by_side, {"client": client, "server": server})
        self._wires[wire] = None
        try:
            async with wire.running():
                yield wire
        finally:
            del self._wires[wire]


@asynccontextmanager
async def faulty_memory_pair(
    faults: Faults, framing: type[Framing] = Lines
) -> AsyncGenerator[tuple[Transport, Transport, Wire], None]:
    """Make the two ends of a connection without a socket, and the wire between them; it ends with the block.

    Args:
        faults: What happens to the bytes.
        framing: How the ends make bytes of messages.

    Returns:
        The client's end, the server's, and the wire.
    """
    to_client, from_client = memory_pair(client=framing)
    from_server, to_server = memory_pair(server=framing)
    client, server = _Fallible(to_client), _Fallible(to_server)
    async with faults.between(End(from_client, client.fail), End(from_server, server.fail)) as wire:
        yield client, server, wire


class _Fallible:
    """A transport whose end can be made an error; in memory nothing else fails."""

    def __init__(self, transport: Transport) -> None:
        self.write: Final = transport.write
        self.write_all: Final = transport.write_all
        self.drain: Final = transport.drain
        self.pause_reading: Final = transport.pause_reading
        self.resume_reading: Final = transport.resume_reading
        self.close: Final = transport.close
        self.abort: Final = transport.abort
        self._transport = transport
        self._error: Exception | None = None

    @property
    def peer(self) -> str:
        return self._transport.peer

    @property
    def credentials(self) -> PeerCredentials | None:
        return self._transport.credentials

    @property
    def buffered(self) -> int:
        return self._transport.buffered

    @property
    def has_room(self) -> bool:
        return self._transport.has_room

    def start(
        self, receiver: Receiver, *, message_size: int, unread_time: float | None = None
    ) -> None:
        self._receiver = receiver
        self._transport.start(self, message_size=message_size, unread_time=unread_time)

    def messages_received(self, batch: Sequence[bytes | Oversized]) -> None:
        self._receiver.messages_received(batch)

    def connection_lost(self, error: Exception | None) -> None:
        self._receiver.connection_lost(error or self._error)

    def fail(self) -> None:
        self._error = ConnectionResetError("the connection was reset")
