"""Admission: what is checked before a call is opened, step by step.

Each step is a function that returns why a call is rejected, or None. They run in the order of ``STEPS``, and the first that
rejects decides.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from enkaku.wire.error_codes import INVALID, STOPPING, ErrorCode, ErrorReply
from enkaku.wire.messages import ALIVE, CallMessage, Header

from .handler import Route
from .replies import Rejection
from .runner import Runner

__all__ = ["STEPS"]

_A: Final = {
    "event": "an event",
    "request": "a request",
    "stream": "a stream",
    "channel": "a channel",
}
_TOO_MANY_CALLS: Final = ErrorReply(ErrorCode.TOO_MANY_CALLS.value, "Too many open calls")
_TOO_MANY_WAITING: Final = ErrorReply(
    ErrorCode.TOO_MANY_HANDLERS.value, "Too many requests wait for a handler"
)
_EXPIRED: Final = ErrorReply(
    ErrorCode.DEADLINE_PASSED.value, "The deadline had passed before the call began"
)


Step: TypeAlias = Callable[[Runner, CallMessage, Header, str, Route | None], Rejection | None]
"""Takes the runner of the session, the message, its header, its kind, and its route; returns why the call is rejected, or None."""


def unused_rid(
    runner: Runner, message: CallMessage, _: Header, __: str, ___: Route | None
) -> Rejection | None:
    """Reject a ``rid`` that an open call has."""
    if message.rid in runner.by_rid:
        return Rejection(INVALID, f"the rid {message.rid!r} is in use")
    return None


def known_procedure(
    _: Runner, message: CallMessage, __: Header, kind: str, route: Route | None
) -> Rejection | None:
    """Reject a procedure that the handler does not serve, or that is of another kind."""
    if route is not None and route.procedure.kind == kind:
        return None
    if message.prc == ALIVE:
        return Rejection(INVALID)  # a ping, to which this is the reply
    is_of = "" if route is None else f"; it is {_A[route.procedure.kind]}"
    return Rejection(INVALID, f"there is no {kind} {message.prc!r}{is_of}")


def not_stopping(
    runner: Runner, _: CallMessage, __: Header, ___: str, ____: Route | None
) -> Rejection | None:
    """Reject all calls while the server stops."""
    return Rejection(STOPPING) if runner.stopping else None


def within_capacity(
    runner: Runner, _: CallMessage, __: Header, kind: str, ___: Route | None
) -> Rejection | None:
    """Reject a call that would exceed a limit of the connection or of the server; else count it.

    It is the last step: a call that is counted has to be released when it ends, or is not opened all the same.
    """
    requests = runner.requests
    if kind == "request" and requests.size > requests.capacity:
        return Rejection(_TOO_MANY_WAITING, overloaded=True)
    return None if runner.capacity.claim() else Rejection(_TOO_MANY_CALLS, overloaded=True)


def in_time(
    _: Runner, __: CallMessage, header: Header, ___: str, ____: Route | None
) -> Rejection | None:
    """Reject a call whose deadline has passed on its way."""
    return Rejection(_EXPIRED) if header.ttl == 0 else None


STEPS: Final[tuple[Step, ...]] = (
    unused_rid,
    known_procedure,
    not_stopping,
    in_time,
    within_capacity,
)
