"""Protocol of the soak's server, with a request for its figures."""

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
    """The work of a request.

    Attributes:
        text: The result.
        seconds: The duration of the handler.
    """

    text: str
    seconds: float


class Span(enkaku.Model):
    """The items of a stream.

    Attributes:
        items: Their number.
        size: The characters of each.
        when_full: The handler's overflow policy.
    """

    items: int
    size: int
    when_full: enkaku.WhenFull = "wait"


class Figures(enkaku.Model):
    """The figures of a server process.

    Attributes:
        started: How many calls and events, by kind, and connections have started, by its observer; requests
            for the figures are not counted, but their connections are.
        ended: How many of them have ended.
        handlers: How many handlers have started; a call may end before its handler starts.
        running: How many of them have not ended.
        connections: How many are open.
        calls: How many calls are open on them, without this one.
        tasks: How many tasks there are in its event loop.
        descriptors: How many files and sockets it has open.
        memory: Resident, in bytes.
        objects: How many small objects Python has allocated.
        heap: All other allocated memory, in bytes.
        faults: Logged errors, and exceptions that reached the event loop.
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
    objects: int
    heap: int
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
