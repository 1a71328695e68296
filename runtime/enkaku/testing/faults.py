"""Fault injection: ``Faults`` delays, splits, stalls, drops and cuts the bytes between clients and servers.

A ``Faults`` has one ``Conditions`` for each direction, which all its wires share. Its methods change the conditions and
update the wires, so that a fault takes effect at once, on open and on new connections.
"""

import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Literal, TypeAlias

from enkaku.errors import UsageError
from enkaku.transports.base import Certificate, Oversized, PeerCredentials, Receiver, Transport
from enkaku.transports.lines import Framing, Lines
from enkaku.transports.memory import memory_pair
from enkaku.transports.request import HttpRequest

from .faulty_wire import Conditions, Cut, End, Passage, Side, Wire, anywhere

__all__ = ["Faults", "Flow", "Told", "faulty_memory_pair"]

Told: TypeAlias = Literal["both"] | Side


class Flow:
    """One direction of all connections of a ``Faults``, present and future.

    At first there are no faults. Bytes may be delayed, split differently, or lost; they are never reordered.
    ``Faults.to_client`` and ``Faults.to_server`` are flows.
    """

    def __init__(self, conditions: tuple[Conditions, ...], wires: dict[Wire, None]) -> None:
        self._conditions = conditions
        self._wires = wires

    @property
    def passed(self) -> int:
        """How many bytes have been delivered so far."""
        return sum(each.passed for each in self._conditions)

    def delay(self, seconds: float = 0.0, *, turns: int = 0) -> None:
        """Delay each byte; ``delay()`` removes the delay.

        Args:
            seconds: By the clock.
            turns: By event-loop iterations: lets other tasks run first, without a real delay.

        Raises:
            UsageError: One of them is negative.
        """
        if seconds < 0 or turns < 0:
            raise UsageError(
                f"delay: seconds and turns must be 0 or more; got {seconds!r} and {turns!r}"
            )
        for each in self._conditions:
            each.seconds, each.iterations = seconds, turns
        self._changed()

    def split(self, size: int | None = None) -> None:
        """Deliver in pieces, each in a later event-loop iteration; ``split(1)`` delivers single bytes.

        In memory, each read gets one piece. A socket may join pieces again before they are read.

        Args:
            size: Maximum size of a piece, in bytes; None, the default, splits at random positions.

        Raises:
            UsageError: The size is not positive.
        """
        if size is not None and size < 1:
            raise UsageError(f"split: size must be 1 or more; got {size}")
        for each in self._conditions:
            each.piece = anywhere if size is None else lambda _, __, due: min(size, due)
        self._changed()

    def join(self) -> None:
        """Deliver all queued bytes as one piece: those sent in one event-loop iteration, or during a delay or stall."""
        for each in self._conditions:
            each.piece = lambda _, __, due: due
        self._changed()

    def stall(self) -> None:
        """Deliver nothing until ``resume()``: nothing is lost, and the sender's write buffer fills."""
        self._set_passage(Passage.STALLED)

    def drop(self) -> None:
        """Drop the bytes that have not arrived, and all later ones, including the end; the sender is not notified.

        After ``resume()`` bytes are missing in the middle, which a real network never does: ``cut()`` first.
        """
        self._set_passage(Passage.DROPPING)

    def resume(self) -> None:
        """Deliver again, after ``stall()`` or ``drop()``."""
        self._set_passage(Passage.OPEN)

    def heal(self) -> None:
        """Reset: remove all faults above, and a pending cut. Bytes arrive at once, and as they were sent."""
        for each in self._conditions:
            each.heal()
        self._changed()

    def cut(self, *, after: int = 0, told: Told = "both", reset: bool = False) -> None:
        """End connections; clients can connect again.

        Args:
            after: How many bytes of this flow are still delivered; the connection that carries the last of them ends. By
                default every connection ends now, and undelivered bytes of both directions are lost.
            told: The side that is notified of the end. With ``"server"``, the client has a half-open connection: it
                receives nothing, and its write buffer fills, until another ``cut()``. ``"client"`` is the reverse.
            reset: Whether the end is an error, ``ConnectionResetError``; no effect on Unix sockets, which have no reset.

        Raises:
            UsageError: ``after`` is negative.
        """
        if after < 0:
            raise UsageError(f"cut: after must be 0 or more bytes; got {after}")
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
            wire.update()


class Faults(Flow):
    """Fault injection for connections: in both directions by its own methods, in one by those of its flows.

    Pass it to ``connect_memory``, ``faulty_unix`` or ``faulty_tcp``. All connections that share it get the same faults::

        faults = Faults()
        async with connect_memory(handler, faults=faults) as connection:
            faults.to_client.stall()
            ...
            faults.cut()

    Args:
        seed: Seed of the random positions of ``split()``.

    Attributes:
        to_client: The bytes that servers send.
        to_server: The bytes that clients send.
    """

    def __init__(self, seed: int = 0) -> None:
        rng = random.Random(seed)  # noqa: S311 # not for security: a seed repeats the positions
        self._by_side: dict[Side, Conditions] = {
            "client": Conditions(rng),
            "server": Conditions(rng),
        }
        wires: dict[Wire, None] = {}  # an ordered set, so that runs with one seed are the same
        super().__init__(tuple(self._by_side.values()), wires)
        self.to_client: Final = Flow((self._by_side["client"],), wires)
        self.to_server: Final = Flow((self._by_side["server"],), wires)

    @asynccontextmanager
    async def between(self, client: End, server: End) -> AsyncGenerator[Wire, None]:
        """Relay bytes between two transports inside the block, then end both; for custom transports."""
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
    """Connect two in-memory ends by a wire that injects faults; leaving the block ends the connection.

    Args:
        faults: The faults to inject.
        framing: The framing of both ends.

    Returns:
        The client's end, the server's end, and the wire.
    """
    to_client, from_client = memory_pair(client=framing)
    from_server, to_server = memory_pair(server=framing)
    client, server = _Fallible(to_client), _Fallible(to_server)
    async with faults.between(End(from_client, client.fail), End(from_server, server.fail)) as wire:
        yield client, server, wire


class _Fallible:
    """A transport that can report its end as an error, as a reset socket does; the memory transport has no resets."""

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
    def certificate(self) -> Certificate | None:
        return self._transport.certificate

    @property
    def request(self) -> HttpRequest | None:
        return self._transport.request

    @property
    def buffered(self) -> int:
        return self._transport.buffered

    @property
    def writable(self) -> bool:
        return self._transport.writable

    def start(
        self,
        receiver: Receiver,
        *,
        message_size: int,
        message_time: float | None = None,
        unread_time: float | None = None,
    ) -> None:
        self._receiver = receiver
        self._transport.start(
            self, message_size=message_size, message_time=message_time, unread_time=unread_time
        )

    def deliver_to(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def messages_received(self, batch: Sequence[bytes | Oversized]) -> None:
        self._receiver.messages_received(batch)

    def message_growing(self, size: int) -> None:
        self._receiver.message_growing(size)

    def connection_lost(self, error: Exception | None) -> None:
        self._receiver.connection_lost(error or self._error)

    def fail(self) -> None:
        self._error = ConnectionResetError("the peer reset the connection")
