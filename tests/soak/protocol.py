"""What the soak's server serves, and the figures that it gives of itself.

Above it: the server and the clients. Below it: enkaku.
"""

from typing import Final

import enkaku

__all__ = [
    "COLLECT",
    "COUNT",
    "ECHO",
    "ENDLESS",
    "FIGURES",
    "RELAY",
    "TELL",
    "WAIT",
    "Figures",
    "Job",
    "Span",
]


class Job(enkaku.Model):
    """A request's work.

    Attributes:
        text: To be given back.
        seconds: To take.
    """

    text: str
    seconds: float


class Span(enkaku.Model):
    """A stream's items.

    Attributes:
        items: How many.
        size: Characters of each.
    """

    items: int
    size: int


class Figures(enkaku.Model):
    """What a server process says of itself.

    Attributes:
        started: Calls and events whose handlers have begun, by kind.
        ended: Those whose handlers have ended.
        connections: How many are open.
        calls: How many calls are open on them, this one not counted.
        tasks: How many tasks there are in its event loop.
        descriptors: How many files and sockets it has open.
        memory: Resident, in bytes.
        faults: What went wrong, as text: errors that were logged, exceptions that reached the event loop.
    """

    started: dict[str, int]
    ended: dict[str, int]
    connections: int
    calls: int
    tasks: int
    descriptors: int
    memory: int
    faults: list[str]

    @property
    def open(self) -> int:
        """How many handlers have begun and not ended."""
        return sum(self.started.values()) - sum(self.ended.values())


FIGURES: Final = enkaku.Request[None, Figures]("figures", result=Figures)
ECHO: Final = enkaku.Request[Job, str]("echo", param=Job, result=str)
WAIT: Final = enkaku.Request[None, None]("wait")
TELL: Final = enkaku.Event[str]("tell", data=str)
COUNT: Final = enkaku.Stream[Span, str, int]("count", param=Span, receive=str, result=int)
ENDLESS: Final = enkaku.Stream[Span, str, int]("endless", param=Span, receive=str, result=int)
RELAY: Final = enkaku.Channel[None, str, str, int]("relay", send=str, receive=str, result=int)
COLLECT: Final = enkaku.Channel[float, str, int, int](
    "collect", param=float, send=str, receive=int, result=int
)
