"""A request at the client: sent, and waited for.

Above it: the connection. Below it: the link.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from .deadline import passed
from .errors import CallClosed, CallError, ConnectionLost, DeadlineExceeded, EnkakuError
from .facts import Call
from .link import Link, Reply
from .procedures import TOO_LONG, Procedure

__all__ = ["exceeded", "finish", "require_time", "send_request"]

logger: Final = logging.getLogger("enkaku.client")

_CANCELLED: Final = "Cancelled"


class _PendingRequest:
    __slots__ = ("_link", "facts", "reply")

    outgoing = None

    def __init__(self, link: Link, call: Call) -> None:
        self.facts = call
        self._link = link
        # An error is a value here: a future whose exception nobody fetches would complain.
        self.reply: asyncio.Future[Reply] = link.loop.create_future()

    def take_items(self, items: Sequence[tuple[bytes, int]], size: int, /) -> None:
        name = self.facts.procedure.name
        logger.debug("%s: %d items, %d bytes, for a request are ignored", name, len(items), size)

    def take_end(self, reply: Reply) -> None:
        if self.facts.outcome is None:
            finish(self._link, self.facts, reply)
        if not self.reply.done():  # it is, if the task that waits for it was cancelled
            self.reply.set_result(reply)

    def give_up(self, reason: str, error: EnkakuError) -> None:
        self._link.abort_call(self.facts, reason)
        self._link.forget_call(self.facts)
        self.take_end(error)

    def expire(self) -> None:
        """Its time is over."""
        self.give_up("Timeout", exceeded(self.facts.procedure))


async def send_request(link: Link, call: Call, prm: bytes | None) -> Reply:
    """Send a request, and wait for its end; the caller's cancellation aborts it."""
    pending = _PendingRequest(link, call)
    link.open_call(pending, prm)
    if call.due is not None:
        link.expiries.add(call.due, pending)
    link.gate.count_waiting(1)
    try:
        # Without waiting for room: the answer may come before the last of a large param has left.
        return await pending.reply
    except asyncio.CancelledError:
        pending.give_up(_CANCELLED, CallClosed(f"{call.procedure.name}: cancelled"))
        raise
    finally:
        link.gate.count_waiting(-1)
        link.expiries.forget(pending)


def exceeded(procedure: Procedure) -> DeadlineExceeded:
    """Make the error of a call whose deadline has passed on this side."""
    return DeadlineExceeded(TOO_LONG, "The deadline has passed", procedure=procedure.name)


def require_time(procedure: Procedure, due: float | None) -> None:
    """Raise DeadlineExceeded if no time is left: then nothing is sent."""
    if due is not None and passed(due):
        raise exceeded(procedure)


def finish(link: Link, call: Call, reply: Reply) -> None:
    """Note how a call has ended, and tell who watches."""
    match reply:
        case bytes() | None:
            call.note_end("result")
        case ConnectionLost():
            call.note_end("lost")
        case CallClosed():
            call.note_end("aborted")
        case CallError(code=code):
            call.note_end("error", code)
        case EnkakuError():
            call.note_end("error")
    link.observers.call_ended(call)
