"""Instruction set of programs: each byte is a step."""

from dataclasses import dataclass
from typing import Final

__all__ = ["STEPS", "Step"]


@dataclass(frozen=True)
class Step:
    """A step: its kind, and a number that selects the call and the variant."""

    name: str
    pick: int

    def __str__(self) -> str:
        return f"{self.name}({self.pick})"


_WEIGHTS: Final = {
    # no-op, the wire, the clock, the ends
    "nothing": 1,
    "batch": 13,
    "to_server": 42,
    "to_client": 42,
    "time": 6,
    "lose": 1,
    "stop": 1,
    # client
    "request": 5,
    "event": 3,
    "stream": 8,
    "channel": 12,
    "take": 24,
    "send": 24,
    "end": 3,
    "close": 4,
    "result": 3,
    "abort": 1,
    "leave": 1,
    "cancel": 2,
    "cancel_use": 4,
    # server
    "h_send": 28,
    "h_take": 16,
    "h_policy": 3,
    "h_return": 4,
    "h_raise": 3,
    "h_stubborn": 1,
    "h_yield": 1,
}
"""The number of bytes, of 256, for each kind of step."""


def _table() -> tuple[Step, ...]:
    steps = [Step(name, pick) for name, weight in _WEIGHTS.items() for pick in range(weight)]
    assert len(steps) == 256, len(steps)
    return tuple(steps)


STEPS: Final = _table()
