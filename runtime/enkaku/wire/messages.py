"""The wire messages: how they are decoded and encoded, and how deep they may nest.

A slot's value stays encoded JSON (``msgspec.Raw``): only the slot knows its schema. What the fast decoder rejects is read
again by a slower one, which knows signed messages, a byte order mark, and lone surrogates.
"""

import re
from functools import lru_cache
from typing import Annotated, Final, Literal, TypeAlias, TypeVar, cast, final

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from enkaku._json import DEPTH_MAX, EXACT_INTEGER_MAX, dump_json, load_json
from enkaku.errors import InvalidMessage

__all__ = [
    "ALIVE",
    "ANSWERED",
    "CLOSE",
    "NEWLINE_SIZE",
    "Abort",
    "CallMessage",
    "ClientLine",
    "ClientMessage",
    "Credit",
    "End",
    "Error",
    "Event",
    "Header",
    "OpenChannel",
    "OpenRequest",
    "OpenStream",
    "Receive",
    "Result",
    "Send",
    "ServerMessage",
    "decode_client_message",
    "decode_server_message",
    "encode_abort",
    "encode_credit",
    "encode_end",
    "encode_error",
    "encode_event",
    "encode_item",
    "encode_open",
    "encode_result",
    "glance_at",
    "receive_head",
    "require_depth",
    "send_head",
]

_ENVELOPE: Final = 2  # levels around a value: the line's object, and the payload
# Nothing is tried twice, nor remembered in order to be: a string without an end would be, from each of its quotes on.
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[][{}]', re.DOTALL)


def require_depth(line: bytes, depth: int) -> None:
    """Refuse a line in which a value has more than ``depth`` levels of arrays and objects.

    Args:
        line: One line, which need not be JSON.
        depth: The levels that are allowed. 200 is what the parsers allow by themselves: it costs nothing here.

    Raises:
        InvalidMessage: There are more.
    """
    if depth < DEPTH_MAX and _levels(line, depth + _ENVELOPE) > depth + _ENVELOPE:
        typ, rid = glance_at(line)
        reason = f"more than {depth} levels of arrays and objects are in one another"
        raise InvalidMessage(reason, typ=typ, rid=rid)


def _levels(line: bytes, most: int) -> int:
    """Count levels, as far as they can be told to be more than ``most``."""
    if line.count(b"[") + line.count(b"{") <= most:
        return 0  # so few brackets are not too many, however they stand
    level = 0
    for token in _TOKEN.finditer(line):
        first = line[token.start()]
        if first in b"[{":
            level += 1
            if level > most:
                break
        elif first in b"]}":
            level -= 1
    return level if level > most else 0


CLOSE: Final = "Close"
"""The reason of an abort that asks the handler to finish and to send its result."""

ANSWERED: Final = frozenset({"request", "stream", "channel", "send"})
"""The kinds of messages whose senders are told where one is invalid."""

NEWLINE_SIZE: Final = 1
"""What each message counts beyond its own bytes, in flow control and in the figures of calls, whatever carries it.

Both sides have to count alike, and began with lines.
"""

ALIVE: Final = "enkaku:alive?"
"""A procedure that no protocol has: whoever asks for it wants any answer, as a sign of life."""

_Count: TypeAlias = Annotated[int, Meta(ge=0, le=EXACT_INTEGER_MAX)]
_ID: TypeAlias = Annotated[str, Meta(max_length=128)]
_REASON_MAX: Final = 1024
_GLANCED: Final = 4096  # bytes in which typ and rid are, if they are where everybody writes them


# None of these can be part of a cycle (gc=False): nothing that they hold refers to anything.
class _Open(Struct, tag_field="typ", forbid_unknown_fields=True, frozen=True, gc=False):
    rid: _ID
    prc: str
    prm: Raw | UnsetType = UNSET
    jti: _ID | UnsetType = UNSET


class OpenRequest(_Open, tag="request", frozen=True, gc=False):
    """Opens a request."""


class OpenStream(_Open, tag="stream", frozen=True, gc=False):
    """Opens a stream."""


class OpenChannel(_Open, tag="channel", frozen=True, gc=False):
    """Opens a channel."""


class Send(Struct, tag_field="typ", tag="send", forbid_unknown_fields=True, frozen=True, gc=False):
    """An item from the client into a channel; early releases of the original leave ``prc`` out."""

    rid: _ID
    val: Raw
    prc: str | UnsetType = UNSET
    jti: _ID | UnsetType = UNSET


class Abort(
    Struct, tag_field="typ", tag="abort", forbid_unknown_fields=True, frozen=True, gc=False
):
    """The client gives a call up, or asks it to finish (``rsn`` is ``CLOSE``)."""

    rid: _ID
    rsn: Annotated[str, Meta(max_length=_REASON_MAX)] | UnsetType = UNSET
    jti: _ID | UnsetType = UNSET


@final
class Credit(Struct, tag_field="typ", tag="credit", frozen=True, gc=False):
    """Grants ``n`` further bytes of a call's items; in either direction."""

    rid: _ID
    n: _Count


class End(Struct, tag_field="typ", tag="end", frozen=True, gc=False):
    """The client sends no further items into a channel, and still receives."""

    rid: _ID


class Event(
    Struct, tag_field="typ", tag="event", forbid_unknown_fields=True, frozen=True, gc=False
):
    """A message that nobody answers."""

    prc: str
    data: Raw | UnsetType = UNSET
    jti: _ID | UnsetType = UNSET


@final
class Receive(Struct, tag_field="typ", tag="receive", frozen=True, gc=False):
    """An item from the server."""

    rid: str
    val: Raw


@final
class Result(Struct, tag_field="typ", tag="result", frozen=True, gc=False):
    """Ends a call well."""

    rid: str
    val: Raw | UnsetType = UNSET


@final
class Error(Struct, tag_field="typ", tag="error", frozen=True, gc=False):
    """Ends a call badly."""

    rid: str
    code: str
    msg: str
    data: Raw = Raw(b"{}")


CallMessage = OpenRequest | OpenStream | OpenChannel
ClientMessage = OpenRequest | OpenStream | OpenChannel | Send | Abort | Event | Credit | End
ServerMessage = Receive | Result | Error | Credit


class Header(Struct, frozen=True, gc=False):
    """What a client says beside the message itself.

    Attributes:
        win: The bytes of ``receive`` lines that it is ready to buffer for the call that this opens.
        ttl: How long it will wait for the call that this opens, in milliseconds.
    """

    typ: Literal["JWT"]
    alg: Literal["none", "EdDSA", "ES256"]
    win: _Count | UnsetType = UNSET
    ttl: Annotated[float, Meta(ge=0, le=EXACT_INTEGER_MAX)] | UnsetType = UNSET


class _Unsigned(Header, frozen=True, gc=False):
    alg: Literal["none"]


class _SignedHeader(Header, frozen=True, gc=False):
    alg: Literal["EdDSA", "ES256"]


class ClientLine(Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """A line that a client sent."""

    header: Header
    payload: ClientMessage


class _FromClient(ClientLine, forbid_unknown_fields=True, frozen=True, gc=False):
    header: _Unsigned


class _FromServer(Struct, gc=False):
    # Replies are read leniently: what a newer server adds to them is no reason to lose a call.
    payload: ServerMessage


class _Signed(Struct, forbid_unknown_fields=True):
    header: _SignedHeader
    payload: dict[str, Raw]
    signature: str
    data: str | UnsetType = UNSET


class _GlancePayload(Struct):
    typ: str
    rid: str


class _Glance(Struct):
    payload: _GlancePayload


_CLAIMS: Final = {
    "iss": str,
    "sub": str,
    "aud": str,
    "cap": str | list[str],
    "iat": float,
    "exp": float,
    "nbf": float,
}
_from_client: Final = msgspec.json.Decoder(_FromClient)
_from_server: Final = msgspec.json.Decoder(_FromServer)
_signed: Final = msgspec.json.Decoder(_Signed)
_payload: Final[msgspec.json.Decoder[ClientMessage]] = msgspec.json.Decoder(ClientMessage)
_glance: Final = msgspec.json.Decoder(_Glance)
_bytes: Final = msgspec.json.Encoder().encode

_BOM: Final = b"\xef\xbb\xbf"
_SLOTS: Final = frozenset({"prm", "val", "data"})
_STRING: Final = rb'"(?:[^"\\]|\\.)*"'
_TEXT_MEMBER: Final = re.compile(rb'"(typ|rid)"\s*:\s*(%b)' % _STRING)
# The members of the payload before its first value that is not a string.
_HEAD: Final = re.compile(
    rb'\s*\{\s*"header"\s*:\s*\{[^{}]*\}\s*,\s*"payload"\s*:\s*\{'
    rb"(?P<members>(?:\s*%b\s*:\s*%b\s*,?)*)" % (_STRING, _STRING)
)
_M = TypeVar("_M")


def decode_client_message(line: bytes) -> ClientLine:
    """Read a line that a client sent.

    Args:
        line: One line, without its newline.

    Raises:
        InvalidMessage: It is not a message. ``rid`` is set if the sender expects an answer.
    """
    try:
        return _from_client.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        return _decode_unusual(line, str(error))


def decode_server_message(line: bytes) -> ServerMessage:
    """Read a line that a server sent.

    Args:
        line: One line, without its newline.

    Raises:
        InvalidMessage: It is not a message. ``rid`` is set where the line names one.
    """
    try:
        return _from_server.decode(line).payload
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        try:
            return _convert(line, _FromServer).payload
        except (msgspec.MsgspecError, RecursionError, ValueError):
            typ, rid = _read_glance(line)
            raise InvalidMessage(str(error), typ=typ, rid=rid) from None


def _decode_unusual(line: bytes, reason: str) -> ClientLine:
    """Read what the fast way refuses: signed messages, a byte order mark, lone surrogates."""
    line = line.removeprefix(_BOM)
    try:
        if b'"signature"' in line:
            return _decode_signed(line)
        return _convert(line, _FromClient)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        typ, rid = _read_glance(line)
        raise InvalidMessage(reason, typ=typ, rid=rid if typ in ANSWERED else None) from None


def _decode_signed(line: bytes) -> ClientLine:
    """Read a signed message; an open server does not check the signature."""
    signed = _signed.decode(line)
    payload = signed.payload
    for name, claim in _CLAIMS.items():
        if name in payload:
            msgspec.json.decode(payload.pop(name), type=claim)
    return ClientLine(signed.header, _payload.decode(_bytes(payload)))


def _convert(line: bytes, message_type: type[_M]) -> _M:
    """Read lone surrogates, which JSON allows as escapes (RFC 8259, 8.2) and the fast decoder refuses."""
    message: object = load_json(line.removeprefix(_BOM))
    if isinstance(message, dict):
        payload = cast(dict[str, object], message).get("payload")
        if isinstance(payload, dict):
            fields = cast(dict[str, object], payload)
            for slot in _SLOTS & fields.keys():
                fields[slot] = Raw(dump_json(fields[slot]))
    return msgspec.convert(message, message_type)


def _read_glance(line: bytes) -> tuple[str | None, str | None]:
    try:
        payload = _glance.decode(line).payload
    except RecursionError:
        return glance_at(line)  # nested too deep to be read to its end
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None, None
    return payload.typ, payload.rid


def glance_at(head: bytes) -> tuple[str | None, str | None]:
    """Find ``typ`` and ``rid`` in the first bytes of a message too long to be read.

    Returns:
        ``(typ, rid)``, each None where it is not among the bytes; ``typ`` also where nobody expects an answer.
    """
    found = _HEAD.match(head[:_GLANCED])
    if found is None:
        return None, None
    members = dict(_TEXT_MEMBER.findall(found["members"]))
    try:
        typ, rid = (msgspec.json.decode(members[name], type=str) for name in (b"typ", b"rid"))
    except (KeyError, msgspec.MsgspecError, UnicodeDecodeError):
        return None, None
    return typ, rid


_MESSAGE_MAX: Final = 4096

_KINDS: Final = {"request": b"request", "stream": b"stream", "channel": b"channel"}
_OPENING: Final = (
    b'{"header":{"typ":"JWT","alg":"none"%b},"payload":{"typ":"%b","rid":"%b","prc":%b%b}}'
)
_REQUEST: Final = (
    b'{"header":{"typ":"JWT","alg":"none","ttl":%d},'
    b'"payload":{"typ":"%b","rid":"%b","prc":%b,"prm":%b}}'
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
    """Return the message that opens a call.

    Args:
        kind: ``"request"``, ``"stream"`` or ``"channel"``.
        rid: The id that this side has given to the call: ASCII, with nothing to escape.
        prc: The procedure's name.
        prm: The encoded param, None where the procedure has none.
        win: The bytes of items that this side is ready to buffer, None to say nothing of it.
        ttl: How long this side will wait, in milliseconds; None is without limit.
    """
    if win is None and ttl is not None and prm is not None:
        return _REQUEST % (ttl, _KINDS[kind], rid.encode(), _name(prc), prm)  # most are like this
    more = b"" if ttl is None else b',"ttl":%d' % ttl
    if win is not None:
        more = b',"win":%d%b' % (win, more)
    slot = b"" if prm is None else b',"prm":%b' % prm
    return _OPENING % (more, _KINDS[kind], rid.encode(), _name(prc), slot)


def send_head(prc: str, rid: str) -> bytes:
    """Write what stands before the value in each line of a channel's client; see ``encode_item``."""
    return b'%b"send","prc":%b,"rid":%b,"val":' % (_PREFIX, _name(prc), _text(rid))


def encode_abort(rid: str, rsn: str | None) -> bytes:
    """Write the line that ends a call from the client's side; a long reason is cut."""
    line = b'%b"abort","rid":%b' % (_PREFIX, _text(rid))
    return line + (b"}}" if rsn is None else b',"rsn":%b}}' % _text(rsn[:_REASON_MAX]))


def encode_credit(rid: str, n: int) -> bytes:
    """Write the line that grants ``n`` further bytes of a call's items."""
    return b'%b"credit","rid":%b,"n":%d}}' % (_PREFIX, _text(rid), n)


def encode_end(rid: str) -> bytes:
    """Write the line that ends the client's side of a channel."""
    return b'%b"end","rid":%b}}' % (_PREFIX, _text(rid))


def encode_event(prc: str, data: bytes | None) -> bytes:
    """Write the line of an event."""
    line = b'%b"event","prc":%b' % (_PREFIX, _text(prc))
    return line + (b"}}" if data is None else b',"data":%b}}' % data)


def receive_head(rid: str) -> bytes:
    """Write what stands before the value in each line of an item from the server; see ``encode_item``."""
    return b'%b"receive","rid":%b,"val":' % (_PREFIX, _text(rid))


def encode_item(head: bytes, val: bytes) -> bytes:
    """Write the line of an item, whose beginning is the same for all items of a call."""
    return b"%b%b}}" % (head, val)


def encode_result(rid: str, val: bytes | None) -> bytes:
    """Write the line that ends a call well; ``val`` is None where the procedure has no result."""
    try:
        text = _bytes(rid)
    except UnicodeEncodeError:
        text = dump_json(rid)
    if val is None:
        return b'%b"result","rid":%b}}' % (_PREFIX, text)
    return b'%b"result","rid":%b,"val":%b}}' % (_PREFIX, text, val)


def encode_error(rid: str, code: str, message: str, data: bytes = b"{}") -> bytes:
    """Write the line that ends a call badly; a long message is cut."""
    return b'%b"error","rid":%b,"code":%b,"data":%b,"msg":%b}}' % (
        _PREFIX,
        _text(rid),
        _text(code),
        data,
        _text(message[:_MESSAGE_MAX]),
    )
