"""Mutations of the runtime that the search must find.

Some change a state table. The others change messages on the wire, as they are sent or as they are received: they need no
names of the runtime, and have the same effect on the other side as a bug in the code.
"""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from enkaku.calls.states import CLIENT, SERVER, ClientState, ServerState, Step

from .wire import Alter, Message, Mistake

__all__ = ["MISTAKES", "TABLES", "Mutation"]

Mutation = Callable[[], AbstractContextManager[None]]
Which = Callable[[dict[str, Any]], bool]
"""Returns whether a mutation applies to a payload."""


def _table(table: Any, state: Any, step: Step, after: Any = None) -> Mutation:
    """Return a mutation that removes a transition from a table, or changes its target."""

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


TABLES: Final[dict[str, Mutation]] = {
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
}


def _typ(name: str) -> Which:
    return lambda payload: payload["typ"] == name


def _is_abort(payload: dict[str, Any]) -> bool:
    return payload["typ"] == "abort" and payload.get("rsn") != "Close"


def _is_close(payload: dict[str, Any]) -> bool:
    return payload["typ"] == "abort" and payload.get("rsn") == "Close"


def _is_third(which: Which) -> Callable[[], Which]:
    """Return a selector of each third payload among the selected ones."""

    def begin() -> Which:
        seen = 0

        def is_third(payload: dict[str, Any]) -> bool:
            nonlocal seen
            seen += which(payload)
            return which(payload) and seen % 3 == 0

        return is_third

    return begin


def _begin(begin: Callable[[], Which], instead: Callable[[Message], list[Message]]) -> Any:
    def make() -> Alter:
        which = begin()
        return lambda message: instead(message) if which(message["payload"]) else [message]

    return make


def _nothing(which: Which) -> Any:
    return _begin(lambda: which, lambda _: [])


def _twice(which: Which) -> Any:
    return _begin(lambda: which, lambda message: [message, message])


def _with_payload(which: Which, **other: Callable[[Any], Any]) -> Any:
    """Change properties of a payload."""

    def change(message: Message) -> list[Message]:
        payload = message["payload"]
        changed = {name: change(payload.get(name)) for name, change in other.items()}
        return [{**message, "payload": {**payload, **changed}}]

    return _begin(lambda: which, change)


def _without_ttl(message: Message) -> list[Message]:
    header = {name: value for name, value in message["header"].items() if name != "ttl"}
    return [{**message, "header": header}]


def _end_as_close(message: Message) -> list[Message]:
    payload = {"typ": "abort", "rid": message["payload"]["rid"], "rsn": "Close"}
    return [{**message, "payload": payload}]


def _overtaking() -> Alter:
    """Swap an item with the next one of its call."""
    kept: dict[str, Message] = {}

    def alter(message: Message) -> list[Message]:
        payload = message["payload"]
        rid = payload.get("rid", "")
        if payload["typ"] == "receive" and rid not in kept:
            kept[rid] = message
            return []
        before = [kept.pop(rid)] if rid in kept else []
        return [message, *before] if payload["typ"] == "receive" else [*before, message]

    return alter


def _sends(side: str, begin: Callable[[], Alter]) -> Mistake:
    return Mistake(side, received=False, begin=begin)


def _receives(side: str, begin: Callable[[], Alter]) -> Mistake:
    return Mistake(side, received=True, begin=begin)


_THIRD_ITEM: Final = _is_third(_typ("receive"))

MISTAKES: Final[dict[str, Mistake]] = {
    # Ends.
    "an abort is not sent": _sends("client", _nothing(_is_abort)),
    "an abort is ignored by the server": _receives("server", _nothing(_is_abort)),
    "a close is not sent": _sends("client", _nothing(_is_close)),
    "a close is ignored by the server": _receives("server", _nothing(_is_close)),
    "a half-close is not sent": _sends("client", _nothing(_typ("end"))),
    "a half-close is ignored by the server": _receives("server", _nothing(_typ("end"))),
    "a half-close is handled as a close": _receives(
        "server", _begin(lambda: _typ("end"), _end_as_close)
    ),
    "a result is sent twice": _sends("server", _twice(_typ("result"))),
    "a result is changed": _sends("server", _with_payload(_typ("result"), val=lambda val: val + 1)),
    "a result is ignored by the client": _receives("client", _nothing(_typ("result"))),
    "an error has another code": _sends(
        "server", _with_payload(_typ("error"), code=lambda _: "OTHER")
    ),
    "an error is ignored by the client": _receives("client", _nothing(_typ("error"))),
    # Credit.
    "credit is never returned by the client": _sends("client", _nothing(_typ("credit"))),
    "credit is returned twice by the client": _sends("client", _twice(_typ("credit"))),
    "credit is returned twice by the server": _sends("server", _twice(_typ("credit"))),
    "one byte of credit is withheld by the client": _sends(
        "client", _with_payload(_typ("credit"), n=lambda n: max(0, n - 1))
    ),
    "one byte of credit is withheld by the server": _sends(
        "server", _with_payload(_typ("credit"), n=lambda n: max(0, n - 1))
    ),
    "credit is ignored by the server": _receives("server", _nothing(_typ("credit"))),
    "the client sends more than it was granted": _receives(
        "client", _with_payload(_typ("credit"), n=lambda n: 3 * n)
    ),
    "the server sends more than it was granted": _receives(
        "server", _with_payload(_typ("credit"), n=lambda n: 3 * n)
    ),
    # Items.
    "items are reordered": _sends("server", _overtaking),
    "an item is not sent": _sends("server", _begin(_THIRD_ITEM, lambda _: [])),
    "an item is sent twice": _sends(
        "server", _begin(_THIRD_ITEM, lambda message: [message, message])
    ),
    "an item is lost by the client": _receives("client", _begin(_THIRD_ITEM, lambda _: [])),
    "an item is lost by the server": _receives(
        "server", _begin(_is_third(_typ("send")), lambda _: [])
    ),
    # Limits and time.
    "a deadline is not sent": _sends("client", _begin(lambda: lambda _: True, _without_ttl)),
    "a deadline is ignored by the server": _receives(
        "server", _begin(lambda: lambda _: True, _without_ttl)
    ),
}
