"""The states of a call, as data: a transition table for each side.

Transitions that are not in a table are ignored, such as a message for a call that has ended. The enums are integers
since those hash fast.
"""

from collections.abc import Mapping
from enum import IntEnum, auto
from typing import Final, TypeVar

__all__ = ["CLIENT", "SERVER", "ClientState", "ServerState", "Step", "after"]

S = TypeVar("S", bound=IntEnum)


class Step(IntEnum):
    """What can happen to a call."""

    HALF_CLOSE = auto()  # the client has sent its last item, and still receives
    CLOSE = auto()  # the client asks for the result
    STOP = auto()  # the server stops
    FINISH = auto()  # the last message: a result, an error, an abort; or the loss of the connection
    RELEASE = auto()  # the handler has ended
    SUCCEED = auto()  # the handler of a request has returned: FINISH and RELEASE in one


class ClientState(IntEnum):
    """The state of a call at the client."""

    OPEN = auto()
    HALF_CLOSED = auto()  # sends no more, and still receives
    CLOSING = auto()  # asked to finish; the result is still to come
    ENDED = auto()


class ServerState(IntEnum):
    """The state of a call at the server."""

    RUNNING = auto()
    HALF_CLOSED = auto()  # the client sends no more items; the handler goes on
    CLOSING = auto()  # the handler is asked to finish; its result will be sent
    STOPPING = auto()  # the server asks the handler to finish; items of the client may still come
    ENDED = auto()  # replied to, or aborted: nothing more is sent; the handler may still clean up
    RELEASED = auto()  # the handler has ended: the call no longer counts against the limits


CLIENT: Final[Mapping[tuple[ClientState, Step], ClientState]] = {
    (ClientState.OPEN, Step.HALF_CLOSE): ClientState.HALF_CLOSED,
    (ClientState.OPEN, Step.CLOSE): ClientState.CLOSING,
    (ClientState.OPEN, Step.FINISH): ClientState.ENDED,
    (ClientState.HALF_CLOSED, Step.CLOSE): ClientState.CLOSING,
    (ClientState.HALF_CLOSED, Step.FINISH): ClientState.ENDED,
    (ClientState.CLOSING, Step.FINISH): ClientState.ENDED,
}

SERVER: Final[Mapping[tuple[ServerState, Step], ServerState]] = {
    (ServerState.RUNNING, Step.HALF_CLOSE): ServerState.HALF_CLOSED,
    (ServerState.RUNNING, Step.CLOSE): ServerState.CLOSING,
    (ServerState.RUNNING, Step.FINISH): ServerState.ENDED,
    (ServerState.RUNNING, Step.SUCCEED): ServerState.RELEASED,
    (ServerState.RUNNING, Step.STOP): ServerState.STOPPING,
    (ServerState.HALF_CLOSED, Step.CLOSE): ServerState.CLOSING,
    (ServerState.HALF_CLOSED, Step.STOP): ServerState.STOPPING,
    (ServerState.STOPPING, Step.HALF_CLOSE): ServerState.STOPPING,
    (ServerState.STOPPING, Step.CLOSE): ServerState.CLOSING,
    (ServerState.STOPPING, Step.FINISH): ServerState.ENDED,
    (ServerState.HALF_CLOSED, Step.FINISH): ServerState.ENDED,
    (ServerState.CLOSING, Step.FINISH): ServerState.ENDED,
    (ServerState.ENDED, Step.RELEASE): ServerState.RELEASED,
}


def after(table: Mapping[tuple[S, Step], S], state: S, step: Step) -> S | None:
    """Return the state after a step, or None where the step is ignored."""
    return table.get((state, step))
