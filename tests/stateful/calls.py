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
SERVER_OPEN: Final = ("RUNNING", "HALF_CLOSED", "CLOSING", "STOPPING")
_EARLY: Final = 64 * 1024
"""Credit in bytes before the first grant."""

End = tuple[str, str]
"""How a call ended: ``result``, ``error`` with its code, ``aborted`` or ``lost``."""


def step_of(before: str, step: str) -> str | None:
    """Return the state after a transition; None if it is not allowed."""
    opened, asking = ("OPEN", "RUNNING"), ("HALF_CLOSED", "CLOSING", "STOPPING")
    right, after = {
        "OPEN": (before == "NEW", "OPEN"),
        "HALF_CLOSE": (
            before in (*opened, "STOPPING"),
            "STOPPING" if before == "STOPPING" else "HALF_CLOSED",
        ),
        "CLOSE": (before in (*opened, "HALF_CLOSED", "STOPPING"), "CLOSING"),
        "STOP": (before in ("RUNNING", "HALF_CLOSED"), "STOPPING"),
        "FINISH": (before in (*opened, *asking), "ENDED"),
        "RELEASE": (before == "ENDED", "RELEASED"),
    }[step]
    return after if right else None


@dataclass(frozen=True)
class Bounds:
    """The limits and timeouts of a run that the model knows."""

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
        window: The receiver's window, as known to the sender; None before the first grant.
        returned: Further credit in bytes, as known to the sender.
        granted: Further credit that the receiver has sent, including credit in transit.
        size: The bytes that were sent.
        written: The items that were sent.
        arrived: The received items, each with its size; ``taken`` are those that the reader has read.
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
        """Record a read item, and return whether it is the expected one: the next, or a later one if lossy."""
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
        """Return whether an item fits; one larger than the window is allowed if no credit is in use."""
        if self.window is None:
            return self.size + size <= _EARLY
        return self.size + size <= self.window + self.returned or self.size <= self.returned


@dataclass(eq=False)
class CallModel:
    """The expected state of a call on each side."""

    number: int
    kind: str
    due: float | None = None
    when_full: WhenFull = "wait"
    rid: str = ""
    client: str = "NEW"
    server: str = "ABSENT"  # until its first message has arrived
    client_end: End | None = None
    server_end: End | None = None
    value: object = None  # of the result that arrived
    refusal: str = ""  # the code with which it must be rejected
    server_due: float | None = None
    up: Way = field(default_factory=Way)  # what the client sends
    down: Way = field(default_factory=Way)  # what the server sends
    client_burst: int = -1  # the delivery in which it ended
    server_burst: int = -1
    # What the program has requested; the messages must agree with it.
    wants_close: bool = False
    wants_end: bool = False
    wants_abort: bool = False
    graceful: bool = False  # its handler ends when the call is closed
    iterated: bool = False
    lossy: bool = False  # items may be dropped
    returned: object = None  # the handler's value, once it has returned
    raised: str = ""  # the code of what it raised
    arrived: bool = False  # an event, at the server
    claimed: bool = False  # a request that has a handler, or never waited for one
    freed: bool = False  # a request that ended while it waited for a handler
    must_end: bool = False  # a channel, since the server stops
    begun: bool = False
    cancelled: bool = False  # the handler has seen its cancellation
    finished: bool = False  # the handler has ended
    must_cancel: bool = False
    client_started: int = 0  # by the observers of each side
    client_ended: int = 0
    server_started: int = 0
    server_ended: int = 0


def item_of(line: Line) -> int:
    text: str = line["val"]
    return int(text.partition(":")[0])
