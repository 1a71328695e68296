"""Mistakes that somebody could make in the runtime: each is made for a while, for the search to find."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final
from unittest import mock

from enkaku.calls import Calls
from enkaku.capacity import Capacity
from enkaku.inbox import Inbox
from enkaku.link import Link
from enkaku.requests import _PendingRequest
from enkaku.session import Session
from enkaku.states import CLIENT, SERVER, ClientState, ServerState, Step
from enkaku.stream_call import StreamCall
from enkaku.streams import ClientStream
from enkaku.window import Window

__all__ = ["MUTATIONS", "Mutation"]

Mutation = Callable[[], AbstractContextManager[object]]


def _instead(owner: type, name: str, mistake: Callable[..., Any]) -> Mutation:
    return lambda: mock.patch.object(owner, name, mistake)


def _nothing(owner: type, name: str) -> Mutation:
    return _instead(owner, name, lambda *_, **__: None)


def _twice(owner: type, name: str) -> Mutation:
    once = getattr(owner, name)

    def mistake(*args: Any, **more: Any) -> Any:
        once(*args, **more)
        return once(*args, **more)

    return _instead(owner, name, mistake)


def _unless(owner: type, name: str, condition: Callable[..., bool]) -> Mutation:
    """Do nothing where a condition holds."""
    once = getattr(owner, name)

    def mistake(*args: Any, **more: Any) -> Any:
        return None if condition(*args, **more) else once(*args, **more)

    return _instead(owner, name, mistake)


def _table(table: Any, state: Any, step: Step, after: Any = None) -> Mutation:
    """Take a transition out of a table, or let it lead elsewhere."""

    @contextmanager
    def mistaken() -> Generator[None]:
        right = table.pop((state, step))
        if after is not None:
            table[state, step] = after
        try:
            yield
        finally:
            table[state, step] = right

    return mistaken


async def _impatient_get(self: Any) -> Any:
    """Lose an item where the wait for it is cancelled."""
    while not self._items:
        if self._end is not None:
            raise self._end
        await self._wait()
    item, size = self._take_first()
    await asyncio.sleep(0)
    if not self._eager:
        self._return_credit(size)
    return item


async def _drain_first(self: Any, size: int) -> None:
    """Wait for credit without another look at the call."""
    while self._takes_items():
        await self.context.transport.drain()
        if self.window.fits(size):
            break
        await self.window.wait()
    self._require_taking_items()


def _silent_end(self: Any, reply: Any) -> None:
    """Tell observers nothing where the request was cancelled."""
    if not self.reply.done():
        _take_end(self, reply)


def _keep_one(self: Any, reason: str, cause: Any) -> None:
    """Forget one of the calls of a connection that is lost."""
    if self.is_open and self._calls:
        self._calls.popitem()
    _lose(self, reason, cause)


def _last_first(self: Any) -> Any:
    item, size = self._items.pop()
    self._count(-size)
    return item, size


def _keep_timer(self: Any, call: Any) -> None:
    """Forget the call, and not its deadline."""
    self.by_rid.pop(call.rid, None)


def _forget_timer(self: Any, reply: Any) -> None:
    with mock.patch.object(self._link.expiries, "forget"):
        _take_stream_end(self, reply)


_take_stream_end = ClientStream.take_end
_take_end = _PendingRequest.take_end
_lose = Link._lose
_return_credit = Inbox._return_credit

MUTATIONS: Final[dict[str, Mutation]] = {
    # The tables.
    "the end of a closing call is lost at the client": _table(
        CLIENT, ClientState.CLOSING, Step.FINISH
    ),
    "the end of a half-closed call is lost at the server": _table(
        SERVER, ServerState.HALF_CLOSED, Step.FINISH
    ),
    "a half-close is a close": _table(
        SERVER, ServerState.RUNNING, Step.HALF_CLOSE, ServerState.CLOSING
    ),
    "a half-closed call cannot be closed": _table(CLIENT, ClientState.HALF_CLOSED, Step.CLOSE),
    "a call is never released": _table(SERVER, ServerState.ENDED, Step.RELEASE),
    # Ends.
    "an abort is ignored by the server": _unless(
        Session, "_abort", lambda _, message: message.rsn != "Close"
    ),
    "an abort is not sent": _nothing(Link, "abort_call"),
    "a close is swallowed": _nothing(Calls, "close"),
    "a half-close is swallowed": _nothing(Session, "_end"),
    "items are sent after the end": _instead(StreamCall, "_takes_items", lambda _: True),
    "a call that has ended is kept": _nothing(Link, "forget_call"),
    "a loss forgets a call": _instead(Link, "_lose", _keep_one),
    "a loss goes on with the handlers": _nothing(Calls, "give_up_all"),
    "a cancelled request has no end": _instead(_PendingRequest, "take_end", _silent_end),
    # Credit.
    "credit is never returned": _nothing(Inbox, "_settle_credit"),
    "credit is returned twice": _twice(Inbox, "_return_credit"),
    "a little credit is kept back": _instead(
        Inbox, "_return_credit", lambda self, size: _return_credit(self, size - 1)
    ),
    "the window is not kept to": _instead(Window, "fits", lambda *_: True),
    "an item does not count": _unless(Window, "take", lambda _, size: size > 300),
    "who waits for credit is not told of the end": _nothing(Window, "end"),
    "a handler waits for credit of a call that has ended": _instead(
        StreamCall, "_wait_for_room", _drain_first
    ),
    # Items.
    "items overtake one another": _instead(Inbox, "_take_first", _last_first),
    "an item is lost with a cancelled wait": _instead(Inbox, "get", _impatient_get),
    "items are dropped where nobody said so": _instead(
        Inbox, "keep_only_what_fits", lambda self: self.clear()
    ),
    # Limits and time.
    "a slot is released twice": _twice(Capacity, "release"),
    "a slot is not released": _unless(Capacity, "release", lambda _, kind: kind == "channel"),
    "no call is refused": _instead(Capacity, "refuse", lambda *_: None),
    "a deadline passes unnoticed at the client": _nothing(ClientStream, "expire"),
    "a deadline passes unnoticed at the server": _nothing(Calls, "exceed"),
    "a timer is left at the server": _instead(Calls, "_forget", _keep_timer),
    "a timer is left at the client": _instead(ClientStream, "take_end", _forget_timer),
}
