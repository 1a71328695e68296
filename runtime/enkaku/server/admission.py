"""Admission: what is checked before a call is opened, step by step. The first step that rejects decides."""

from collections.abc import Mapping
from typing import Final

from enkaku.wire.error_codes import INVALID, STOPPING, ErrorCode, ErrorReply
from enkaku.wire.messages import (
    ALIVE,
    CallMessage,
    Header,
    OpenChannel,
    OpenRequest,
    OpenStream,
)

from .handler import Route
from .replies import Rejection
from .runner import Runner

__all__ = ["check"]

_KINDS: Final[Mapping[type[CallMessage], str]] = {
    OpenRequest: "request",
    OpenStream: "stream",
    OpenChannel: "channel",
}
_A: Final = {
    "event": "an event",
    "request": "a request",
    "stream": "a stream",
    "channel": "a channel",
}
_TOO_MANY_CALLS: Final = Rejection(
    ErrorReply(ErrorCode.TOO_MANY_CALLS.value, "Too many open calls"), overloaded=True
)
_TOO_MANY_WAITING: Final = ErrorReply(
    ErrorCode.TOO_MANY_HANDLERS.value, "Too many requests wait for a handler"
)
_EXPIRED: Final = ErrorReply(
    ErrorCode.DEADLINE_PASSED.value, "The deadline had passed before the call began"
)


def check(
    runner: Runner, message: CallMessage, header: Header, route: Route | None
) -> Rejection | None:
    """Return why a call is rejected; else count it, and return None.

    Args:
        runner: The runner of the session.
        message: The message that opens the call.
        header: Its header.
        route: The route of its procedure; None if the handler does not serve it.
    """
    if message.rid in runner.by_rid:
        return Rejection(INVALID, f"the rid {message.rid!r} is in use")
    kind = _KINDS[type(message)]
    if route is None or route.kind != kind:
        return _unknown(message, kind, route)
    if runner.draining:
        return Rejection(STOPPING)
    if header.ttl == 0.0:
        return Rejection(_EXPIRED)
    requests = runner.requests
    if kind == "request" and requests.size > requests.capacity:
        return Rejection(_TOO_MANY_WAITING, overloaded=True)
    # The last step: a call that is counted has to be released when it ends, or is not opened all the same.
    return None if runner.capacity.claim() else _TOO_MANY_CALLS


def _unknown(message: CallMessage, kind: str, route: Route | None) -> Rejection:
    """Reject a procedure that the handler does not serve, or that is of another kind."""
    if message.prc == ALIVE:
        return Rejection(INVALID)  # a ping, to which this is the reply
    is_of = "" if route is None else f"; it is {_A[route.kind]}"
    return Rejection(INVALID, f"there is no {kind} {message.prc!r}{is_of}")
