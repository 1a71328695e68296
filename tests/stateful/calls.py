"""Model of a call: its expected state on each side, and the state transitions.

It is written from the description of the wire, independently of the runtime's own tables.
"""

from dataclasses import dataclass, field
from typing import Final

from enkaku import WhenFull

from .wire import Line

__all__ = [
    "CLIENT_OPEN",
    "SERVER_OPEN",
    "Bounds",
    "CallModel",
    "End",
    "Way",
    "item_of",
    "step_of",
]

CLIENT_OPEN: Final = ("OPEN", "HALF_CLOSED", "CLOSING")
SERVER_OPEN: Final = ("RUNNING", "HALF_CLOSED", "CLOSING")
_EARLY: Final = 64 * 1024
"""What may be sent before the first grant."""

End = tuple[str, str]
"""How a call ended: ``result``, ``error`` with its code, ``aborted`` or ``lost``."""


def step_of(before: str, step: str) -> str | None:
    """Say where a step leads: a call never goes back, and does nothing twice."""
    opened, asking = ("OPEN", "RUNNING"), ("HALF_CLOSED", "CLOSING")
    right, after = {
        "OPEN": (before == "NEW", "OPEN"),
        "HALF_CLOSE": (before in opened, "HALF_CLOSED"),
        "CLOSE": (before in (*opened, "HALF_CLOSED"), "CLOSING"),
        "FINISH": (before in (*opened, *asking), "ENDED"),
        "RELEASE": (before == "ENDED", "RELEASED"),
    }[step]
    return after if right else None


@dataclass(frozen=True)
class Bounds:
    """The limits of a run that the model knows, in calls and in seconds."""

    calls: int = 4
    handlers: int = 2
    window: int = 300
    close_timeout: float = 6.0
    request_time: float = 20.0
    cleanup: float = 2.0
    silence: float = 25.0


@dataclass
class Way:
    """The items of a call in one direction.

    Attributes:
        window: What the receiver is ready to buffer, as far as the sender knows; None where it does not yet.
        returned: The bytes that the sender was granted beyond that, as far as it knows.
        granted: The bytes that the receiver has granted beyond the first, on their way or not.
        size: The bytes that were sent.
        written: The items that were sent.
        arrived: Those that the receiver has taken in, each with its size; ``taken`` are those that its reader has.
    """

    window: int | None = None
    granted_first: bool = False
    returned: int = 0
    granted: int = 0
    size: int = 0
    written: list[int] = field(default_factory=list[int])
    arrived: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    taken: list[int] = field(default_factory=list[int])
    arrived_size: int = 0
    taken_size: int = 0

    def arrive(self, line: Line, size: int) -> None:
        self.arrived.append((item_of(line), size))
        self.arrived_size += size

    def take(self, item: int, *, lossy: bool) -> bool:
        """An item was taken; return whether it is the one that had to come: the next, or a later one."""
        if not lossy:
            at = len(self.taken)
        else:
            first = self.taken[-1] if self.taken else -1
            items = [each for each, _ in self.arrived]
            at = items.index(item) if item > first and item in items else len(items)
        if at >= len(self.arrived) or self.arrived[at][0] != item:
            return False
        self.taken.append(item)
        self.taken_size += self.arrived[at][1]
        return True

    def may_send(self, size: int) -> bool:
        """Whether an item fits; one that no window would hold goes when nothing is outstanding."""
        if self.window is None:
            return self.size + size <= _EARLY
        return self.size + size <= self.window + self.returned or self.size <= self.returned


@dataclass(eq=False)
class CallModel:
    """One call, as it must be seen on each side."""

    number: int
    kind: str
    due: float | None = None
    when_full: WhenFull = "wait"
    rid: str = ""
    client: str = "NEW"
    server: str = "ABSENT"  # until its opening has arrived
    client_end: End | None = None
    server_end: End | None = None
    value: object = None  # of the result that arrived
    refusal: str = ""  # the code that its opening must be answered with
    server_due: float | None = None
    up: Way = field(default_factory=Way)  # what the client sends
    down: Way = field(default_factory=Way)  # what the server sends
    client_burst: int = -1  # the delivery in which it ended
    server_burst: int = -1
    # What somebody has asked for, which the lines must agree with.
    wants_close: bool = False
    wants_end: bool = False
    wants_abort: bool = False
    graceful: bool = False  # its handler ends by itself when it is closed
    iterated: bool = False
    lossy: bool = False  # nobody promises to take the items
    returned: object = None  # the handler's value, once it has returned
    raised: str = ""  # the code of what it raised
    begun: bool = False
    cancelled: bool = False  # the handler has seen its cancellation
    finished: bool = False  # the handler is over
    must_cancel: bool = False
    client_started: int = 0  # as the observers of each side were told
    client_ended: int = 0
    server_started: int = 0
    server_ended: int = 0


def item_of(line: Line) -> int:
    text: str = line["val"]
    return int(text.partition(":")[0])
