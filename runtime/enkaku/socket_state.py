"""The states of a connection over a socket, and which may follow which.

Above it: ``socket_transport``, whose methods say what is done in which state. Below it: nothing.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

__all__ = ["NEXT", "OVER", "READING", "State"]


class State(Enum):
    """Where a connection stands; it never goes back."""

    CONNECTING = auto()  # there is no socket yet
    SHAKING = auto()  # TLS: both sides find out whether they trust each other
    OPEN = auto()  # bytes go both ways
    ENDING = (
        auto()
    )  # our end goes out behind what was written; the peer's is awaited, and read on until then
    ENDED = auto()  # nothing is read or taken any more; what was written may still leave
    LOST = auto()  # the socket is closed


NEXT: Final[Mapping[State, frozenset[State]]] = {
    State.CONNECTING: frozenset({State.SHAKING, State.OPEN, State.ENDED}),
    State.SHAKING: frozenset({State.OPEN, State.ENDED, State.LOST}),
    State.OPEN: frozenset({State.ENDING, State.ENDED, State.LOST}),
    State.ENDING: frozenset({State.ENDED, State.LOST}),
    State.ENDED: frozenset({State.LOST}),
    State.LOST: frozenset(),
}
READING: Final = (State.OPEN, State.ENDING)
OVER: Final = (State.ENDED, State.LOST)
