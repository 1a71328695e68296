"""The wire messages, and how they are written: one JSON form for each.

Above it: the client and the server. Below it: msgspec, and nothing else. It does no I/O: values become bytes. A slot's
value is JSON text already.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec

from .json_text import dump_json

__all__ = [
    "encode_abort",
    "encode_credit",
    "encode_end",
    "encode_error",
    "encode_event",
    "encode_item",
    "encode_items",
    "encode_open",
    "encode_result",
    "receive_head",
    "send_head",
]

_MESSAGE_MAX: Final = 4096
_REASON_MAX: Final = 1024  # what a reader takes
_bytes: Final = msgspec.json.Encoder().encode

_KINDS: Final = {"request": b"request", "stream": b"stream", "channel": b"channel"}
_OPENING: Final = (
    b'{"header":{"typ":"JWT","alg":"none"%b},"payload":{"typ":"%b","rid":%b,"prc":%b%b}}\n'
)
_PREFIX: Final = b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":'


def _text(value: str) -> bytes:
    try:
        return _bytes(value)
    except UnicodeEncodeError:
        return dump_json(value)


@lru_cache(maxsize=1024)  # of the names that this side calls, which are those of its protocols
def _name(procedure: str) -> bytes:
    return _text(procedure)


def encode_open(
    kind: str,
    rid: str,
    prc: str,
    prm: bytes | None,
    *,
    win: int | None = None,
    ttl: int | None = None,
) -> bytes:
    """Write the line that opens a call.

    Args:
        kind: ``"request"``, ``"stream"`` or ``"channel"``.
        rid: The call's id.
        prc: The procedure's name.
        prm: JSON text, None where the procedure has no param.
        win: The bytes of items that this side is ready to buffer, None to say nothing of it.
        ttl: How long this side will wait, in milliseconds; None is for ever.
    """
    more = b"" if ttl is None else b',"ttl":%d' % ttl
    if win is not None:
        more = b',"win":%d%b' % (win, more)
    slot = b"" if prm is None else b',"prm":%b' % prm
    return _OPENING % (more, _KINDS[kind], _text(rid), _name(prc), slot)


def send_head(prc: str, rid: str) -> bytes:
    """Write what stands before the value in each line of a channel's client; see ``encode_item``."""
    return b'%b"send","prc":%b,"rid":%b,"val":' % (_PREFIX, _name(prc), _text(rid))


def encode_abort(rid: str, rsn: str | None) -> bytes:
    """Write the line that ends a call from the client's side; a long reason is cut."""
    line = b'%b"abort","rid":%b' % (_PREFIX, _text(rid))
    return line + (b"}}\n" if rsn is None else b',"rsn":%b}}\n' % _text(rsn[:_REASON_MAX]))


def encode_credit(rid: str, n: int) -> bytes:
    """Write the line that grants ``n`` further bytes of a call's items."""
    return b'%b"credit","rid":%b,"n":%d}}\n' % (_PREFIX, _text(rid), n)


def encode_end(rid: str) -> bytes:
    """Write the line that ends the client's side of a channel."""
    return b'%b"end","rid":%b}}\n' % (_PREFIX, _text(rid))


def encode_event(prc: str, data: bytes | None) -> bytes:
    """Write the line of an event."""
    line = b'%b"event","prc":%b' % (_PREFIX, _text(prc))
    return line + (b"}}\n" if data is None else b',"data":%b}}\n' % data)


def receive_head(rid: str) -> bytes:
    """Write what stands before the value in each line of an item from the server; see ``encode_item``."""
    return b'%b"receive","rid":%b,"val":' % (_PREFIX, _text(rid))


def encode_item(head: bytes, val: bytes) -> bytes:
    """Write the line of an item, whose beginning is the same for all items of a call."""
    return b"%b%b}}\n" % (head, val)


def encode_items(head: bytes, vals: Sequence[bytes]) -> bytes:
    """Write the lines of some items of a call, one at least."""
    return b"%b%b}}\n" % (head, (b"}}\n" + head).join(vals))


def encode_result(rid: str, val: bytes | None) -> bytes:
    """Write the line that ends a call well; ``val`` is None where the procedure has no result."""
    if val is None:
        return b'%b"result","rid":%b}}\n' % (_PREFIX, _text(rid))
    return b'%b"result","rid":%b,"val":%b}}\n' % (_PREFIX, _text(rid), val)


def encode_error(rid: str, code: str, message: str, data: bytes = b"{}") -> bytes:
    """Write the line that ends a call badly; a long message is cut."""
    return b'%b"error","rid":%b,"code":%b,"data":%b,"msg":%b}}\n' % (
        _PREFIX,
        _text(rid),
        _text(code),
        data,
        _text(message[:_MESSAGE_MAX]),
    )
