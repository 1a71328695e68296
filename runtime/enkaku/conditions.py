"""The conditions of a network: what happens to the bytes that go one way.

Above it: ``faults``, which sets them, and ``faulty_wire``, which follows them. Below it: nothing.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal, TypeAlias

__all__ = ["Conditions", "Cut", "Passage", "Side", "anywhere", "as_sent"]

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
