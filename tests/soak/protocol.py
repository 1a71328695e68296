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
        when_full: What the handler does with an item that there is no room for.
    """

    items: int
    size: int
    when_full: enkaku.WhenFull = "wait"


class Figures(enkaku.Model):
    """What a server process says of itself.

    Attributes:
        started: Of how many calls and events, by kind, and connections its observer was told the start; what asks
            for the figures is not counted, but its connection is.
        ended: ... and the end.
        handlers: How many handlers have begun to run; a call may be over before its handler does.
        running: How many of them have not ended.
        connections: How many are open.
        calls: How many calls are open on them, this one not counted.
        tasks: How many tasks there are in its event loop.
        descriptors: How many files and sockets it has open.
        memory: Resident, in bytes.
        faults: What went wrong, as text: errors that were logged, exceptions that reached the event loop.
    """

    started: dict[str, int]
    ended: dict[str, int]
    handlers: int
    running: int
    connections: int
    calls: int
    tasks: int
    descriptors: int
    memory: int
    faults: list[str]


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
