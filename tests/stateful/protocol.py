"""Procedures of the runs: the param is the number of the call, which identifies it on both sides."""

import enkaku

__all__ = ["ASK", "TALK", "TELL", "WATCH", "Declared", "item_text"]


class Declared(enkaku.DeclaredError, code="DECLARED"):
    """An error that the protocol declares."""


ASK = enkaku.Request[int, int]("ask", param=int, result=int, errors=(Declared,))
WATCH = enkaku.Stream[int, str, int](
    "watch", param=int, receive=str, result=int, errors=(Declared,)
)
TALK = enkaku.Channel[int, str, str, int](
    "talk", param=int, send=str, receive=str, result=int, errors=(Declared,)
)
TELL = enkaku.Event[int]("tell", data=int)


def item_text(item: int, size: int) -> str:
    """Return an item with its number, followed by ``size`` characters."""
    return f"{item}:" + "x" * size
