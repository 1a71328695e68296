"""The wire messages: how they are decoded and encoded, and how deep they may nest.

A slot's value stays encoded JSON (``msgspec.Raw``), since only the slot knows its schema. A message that the fast decoder
rejects is decoded again by a slower one, which accepts signed messages, a byte order mark, and lone surrogates.
"""

import re
from functools import lru_cache
from typing import Annotated, Final, Literal, TypeAlias, cast, final

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from enkaku._json import DEPTH_MAX, EXACT_INTEGER_MAX, dump_json, load_json
from enkaku.errors import InvalidMessage

from .metadata import METADATA_MAX
from .tally import VALUES_MAX, tally

__all__ = [
    "ALIVE",
    "ANSWERED",
    "BOM",
    "CLOSE",
    "DESCRIBE",
    "HELLO",
    "LEAVING",
    "NEWLINE_SIZE",
    "RID_MAX",
    "SERVER_RID",
    "Abort",
    "CallMessage",
    "ClientEnvelope",
    "ClientMessage",
    "Credit",
    "End",
    "Error",
    "Event",
    "Header",
    "Leaving",
    "OpenChannel",
    "OpenRequest",
    "OpenStream",
    "Receive",
    "Result",
    "Send",
    "ServerMessage",
    "add_metadata",
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
    "find_ids",
    "introduce",
    "is_for_caller",
    "peek",
    "read_head",
    "read_head_quickly",
    "read_ids",
    "receive_head",
    "require_depth",
    "send_head",
    "supported",
    "supported_by_first",
]

_ENVELOPE: Final = 2  # levels around a value: the message's object, and the payload
# Possessive quantifiers: with backtracking, a string without an end would be read again from each of its quotes.
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[][{}]', re.DOTALL)


def require_depth(raw: bytes, depth: int) -> None:
    """Raise InvalidMessage if a value in a message has more than ``depth`` levels of arrays and objects.

    Args:
        raw: The encoded message, which need not be JSON.
        depth: The levels that are allowed. The parsers themselves allow 200, so that costs nothing here.
    """
    if depth < DEPTH_MAX and _count_levels(raw, depth + _ENVELOPE) > depth + _ENVELOPE:
        typ, rid = peek(raw)
        reason = f"arrays and objects are nested more than {depth} levels deep"
        raise InvalidMessage(reason, typ=typ, rid=rid)


def _count_levels(raw: bytes, most: int) -> int:
    """Return how deep a message is nested if that is more than ``most``; else 0."""
    if raw.count(b"[") + raw.count(b"{") <= most:
        return 0  # fewer brackets than levels that are allowed
    level = 0
    for token in _TOKEN.finditer(raw):
        first = raw[token.start()]
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
"""The types of messages whose senders get an ``error`` message where one is invalid."""

NEWLINE_SIZE: Final = 1
"""How many bytes each message counts more than it has, in flow control and in the metadata of calls, on every transport.

Both sides have to count the same, and the first transports ended each message with a newline.
"""

ALIVE: Final = "enkaku:alive?"
"""The procedure of a ping. No protocol has it, so that the server answers with an error, which is the pong."""

DESCRIBE: Final = "enkaku:describe"
"""The procedure by which a server describes itself, if it has the option. No protocol has it."""

RID_MAX: Final = 128
"""How many characters the id of a call may have."""

_Count: TypeAlias = Annotated[int, Meta(ge=0, le=EXACT_INTEGER_MAX)]
_ID: TypeAlias = Annotated[str, Meta(max_length=RID_MAX)]
_REASON_MAX: Final = 1024
# Bytes at the beginning of a message; every known peer writes typ and rid in them.
_PEEKED: Final = 4096 + METADATA_MAX


# None of these can be part of a cycle (gc=False): nothing that they hold refers to anything.
class _Open(Struct, tag_field="typ", forbid_unknown_fields=True, frozen=True, gc=False):
    rid: _ID
    prc: str
    prm: Raw | UnsetType = UNSET
    jti: _ID | UnsetType = UNSET


@final
class OpenRequest(_Open, tag="request", frozen=True, gc=False):
    """Opens a request."""


@final
class OpenStream(_Open, tag="stream", frozen=True, gc=False):
    """Opens a stream."""


@final
class OpenChannel(_Open, tag="channel", frozen=True, gc=False):
    """Opens a channel."""


@final
class Send(Struct, tag_field="typ", tag="send", forbid_unknown_fields=True, frozen=True, gc=False):
    """An item from the client into a channel; early releases of the TypeScript implementation omit ``prc``."""

    rid: _ID
    val: Raw
    prc: str | UnsetType = UNSET
    jti: _ID | UnsetType = UNSET


@final
class Abort(
    Struct, tag_field="typ", tag="abort", forbid_unknown_fields=True, frozen=True, gc=False
):
    """The client aborts a call, or closes it: asks the handler to finish (``rsn`` is ``CLOSE``)."""

    rid: _ID
    rsn: Annotated[str, Meta(max_length=_REASON_MAX)] | UnsetType = UNSET
    jti: _ID | UnsetType = UNSET


@final
class Credit(Struct, tag_field="typ", tag="credit", frozen=True, gc=False):
    """Grants ``n`` further bytes of a call's items; in either direction."""

    rid: _ID
    n: _Count


@final
class End(Struct, tag_field="typ", tag="end", frozen=True, gc=False):
    """The client sends no further items into a channel, and still receives."""

    rid: _ID


@final
class Event(
    Struct, tag_field="typ", tag="event", forbid_unknown_fields=True, frozen=True, gc=False
):
    """A notification, which has no reply."""

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
    """Ends a call with its result."""

    rid: str
    val: Raw | UnsetType = UNSET


@final
class Error(Struct, tag_field="typ", tag="error", frozen=True, gc=False):
    """Ends a call with an error."""

    rid: str
    code: str
    msg: str
    data: Raw = Raw(b"{}")


@final
class Leaving(Struct, tag_field="typ", tag="leaving", frozen=True, gc=False):
    """The server is about to stop: the client should send nothing more."""


CallMessage = OpenRequest | OpenStream | OpenChannel
ClientMessage = OpenRequest | OpenStream | OpenChannel | Send | Abort | Event | Credit | End
ServerMessage = Receive | Result | Error | Credit | Leaving


class Header(Struct, frozen=True, gc=False):
    """What a client says in addition to the payload.

    Attributes:
        win: How many bytes of ``receive`` messages it buffers for the call that this opens.
        ttl: How long it waits for the call that this opens, in milliseconds.
        ext: Which extensions of the protocol it supports, in its first message; see ``supported``.
        meta: The metadata of the call that this opens, or of the event; see ``decode_metadata``.
    """

    typ: Literal["JWT"]
    alg: Literal["none", "EdDSA", "ES256"]
    win: _Count | UnsetType = UNSET
    ttl: Annotated[float, Meta(ge=0, le=EXACT_INTEGER_MAX)] | UnsetType = UNSET
    ext: Raw | UnsetType = UNSET
    meta: Raw | UnsetType = UNSET


class _Unsigned(Header, frozen=True, gc=False):
    alg: Literal["none"]


class _SignedHeader(Header, frozen=True, gc=False):
    alg: Literal["EdDSA", "ES256"]


class ClientEnvelope(Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """A message of a client, with its header."""

    header: Header
    payload: ClientMessage


class _FromClient(ClientEnvelope, forbid_unknown_fields=True, frozen=True, gc=False):
    header: _Unsigned


class _FromServer(Struct, gc=False):
    # Unknown properties are ignored, since a newer server may add some.
    payload: ServerMessage


class _Signed(Struct, forbid_unknown_fields=True):
    header: _SignedHeader
    payload: dict[str, Raw]
    signature: str
    data: str | UnsetType = UNSET


class _LoadedSigned(Struct, forbid_unknown_fields=True):
    header: _SignedHeader
    payload: dict[str, object]
    signature: str
    data: str | UnsetType = UNSET


class _PeekPayload(Struct):
    typ: str
    rid: str


class _Peek(Struct):
    payload: _PeekPayload


class _HeadPayload(Struct):
    typ: str
    rid: str | UnsetType = UNSET


class _Head(Struct):
    payload: _HeadPayload


class _FollowedPayload(Struct):
    val: Raw


class _Followed(Struct):
    payload: _FollowedPayload


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
_peek: Final = msgspec.json.Decoder(_Peek)
_head: Final = msgspec.json.Decoder(_Head)
_followed: Final = msgspec.json.Decoder(_Followed)
_bytes: Final = msgspec.json.Encoder().encode

BOM: Final = b"\xef\xbb\xbf"
"""A byte order mark, which is ignored before the first message of a connection."""
_SLOW_MAX: Final = 1024 * 1024  # bytes of a message that the standard library decodes
_SLOW_VALUES_MAX: Final = 12_000  # of a client's, which are decoded and encoded twice: 30 ms
_LARGE: Final = 4096  # bytes of a message whose value is not read twice
_RECEIVE: Final = b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"receive","rid":"'
_RECEIVE_VALUE: Final = b'","val":'
_RID_MAX: Final = 256
_LARGE_HEAD: Final = len(_RECEIVE) + _RID_MAX + len(_RECEIVE_VALUE) + 2
_SLOTS: Final = frozenset({"prm", "val", "data"})
_HEADER_SLOTS: Final = frozenset({"ext", "meta"})
_STRING: Final = rb'"(?:[^"\\]|\\.)*"'
_STRING_PROPERTY: Final = re.compile(rb'"(typ|rid)"\s*:\s*(%b)' % _STRING)
# A header with at most one object in it, which is its metadata.
_HEADER: Final = rb'\{[^{}]*+(?:\{(?:[^"{}]|"(?:[^"\\]|\\.)*+")*+\}[^{}]*+)?+\}'
# The properties of the payload before its first value that is not a string.
_HEAD: Final = re.compile(
    rb'\s*\{\s*"header"\s*:\s*%b\s*,\s*"payload"\s*:\s*\{'
    rb"(?P<properties>(?:\s*%b\s*:\s*%b\s*,?)*)" % (_HEADER, _STRING, _STRING)
)


def decode_client_message(raw: bytes) -> ClientEnvelope:
    """Decode a message of a client.

    Args:
        raw: The encoded message.

    Raises:
        InvalidMessage: It is not a message. ``rid`` is set if the sender expects a reply.
    """
    try:
        return _from_client.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        return _decode_slowly(raw, str(error)[:_REASON_MAX])


def decode_server_message(raw: bytes) -> ServerMessage:
    """Decode a message of a server.

    Args:
        raw: The encoded message.

    Raises:
        InvalidMessage: It is not a message. ``rid`` is set where the message names one.
    """
    if len(raw) > _LARGE and raw.startswith(_RECEIVE):
        item = _split_large_item(raw)
        if item is not None:
            return item
    try:
        return _from_server.decode(raw).payload
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        try:
            return msgspec.convert(_load(raw), _FromServer).payload
        except (msgspec.MsgspecError, RecursionError, ValueError):
            typ, rid = read_ids(raw)
            raise InvalidMessage(str(error), typ=typ, rid=rid) from None


def _split_large_item(raw: bytes) -> Receive | None:
    """Split an item without reading its value: to find the end of the value takes as long as to decode it.

    The value is what stands between the usual beginning of a message and its last two braces. If that is JSON, then the
    message is what it seems to be. If not, further properties may follow the value; see ``without_properties``.

    Returns:
        None where the message begins in another way.
    """
    end = raw.find(b'"', len(_RECEIVE), len(_RECEIVE) + _RID_MAX)
    start = end + len(_RECEIVE_VALUE)
    rid = raw[len(_RECEIVE) : end]
    usual = end >= 0 and raw[end:start] == _RECEIVE_VALUE and raw.endswith(b"}}")
    if not usual or b"\\" in rid or not rid.isascii():
        return None
    return Receive(rid.decode(), Raw(memoryview(raw)[start:-2]))


def without_properties(val: bytes) -> bytes | None:
    """Return the value of a large item without the properties that follow it in its message.

    Returns:
        None where none follow.
    """
    if len(val) <= _LARGE - _LARGE_HEAD:
        return None
    raw = b'{"payload":{"val":%b}}' % val
    try:
        found = bytes(_followed.decode(raw).payload.val)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        try:  # as in decode_server_message: it may have lone surrogates
            return bytes(msgspec.convert(_load(raw), _Followed).payload.val)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            return None
    return None if len(found) == len(val) else found


def _decode_slowly(raw: bytes, reason: str) -> ClientEnvelope:
    """Decode what the fast decoder rejects: signed messages, and lone surrogates."""
    try:
        if b'"signature"' in raw:
            signed = _decode_signed(raw)
            if signed is not None:
                return signed
        message = _load_briefly(raw)
        if isinstance(message, dict) and "signature" in message:
            return _convert_signed(cast(dict[str, object], message))
        return msgspec.convert(message, _FromClient)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        typ, rid = read_ids(raw)
        raise InvalidMessage(reason, typ=typ, rid=rid if typ in ANSWERED else None) from None


def _decode_signed(raw: bytes) -> ClientEnvelope | None:
    """Decode a signed message; a server without access control does not check the signature.

    Returns:
        None where it is no signed message, or one with lone surrogates.
    """
    try:
        signed = _signed.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    payload = signed.payload
    for name, claim in _CLAIMS.items():
        if name in payload:
            msgspec.json.decode(payload.pop(name), type=claim)
    return ClientEnvelope(signed.header, _payload.decode(_bytes(payload)))


def _convert_signed(message: dict[str, object]) -> ClientEnvelope:
    signed = msgspec.convert(message, _LoadedSigned)
    payload = signed.payload
    for name, claim in _CLAIMS.items():
        if name in payload:
            msgspec.convert(payload.pop(name), claim)
    return ClientEnvelope(signed.header, msgspec.convert(payload, ClientMessage))


def _load_briefly(raw: bytes) -> object:
    """Decode JSON with lone surrogates, as ``_load``, if it has few values.

    Raises:
        ValueError: It is no JSON, or it would take long.
    """
    if len(raw) > _SLOW_VALUES_MAX // VALUES_MAX and not (
        len(raw) <= _SLOW_MAX and tally(raw, _SLOW_VALUES_MAX)
    ):
        raise ValueError("a message with lone surrogates has too many values")
    return _load(raw)


def _load(raw: bytes) -> object:
    """Decode JSON with lone surrogates, which it allows as escapes (RFC 8259, section 8.2); slots become ``Raw``.

    Raises:
        ValueError: It is no JSON, or so large that this would take long.
    """
    if len(raw) > _SLOW_MAX:
        raise ValueError(f"a message with lone surrogates has more than {_SLOW_MAX} bytes")
    message: object = load_json(raw)
    if isinstance(message, dict):
        envelope = cast(dict[str, object], message)
        payload, header = envelope.get("payload"), envelope.get("header")
        if isinstance(payload, dict):
            _encode_again(cast(dict[str, object], payload), _SLOTS)
        if isinstance(header, dict):
            _encode_again(cast(dict[str, object], header), _HEADER_SLOTS)
        return envelope
    return message


def _encode_again(fields: dict[str, object], names: frozenset[str]) -> None:
    for name in names & fields.keys():
        fields[name] = Raw(dump_json(fields[name]))


def read_ids(raw: bytes) -> tuple[str | None, str | None]:
    """Return ``typ`` and ``rid`` of a message that cannot be decoded, each None where it has none.

    Every message that names a string ``rid`` gets a reply, whatever is wrong with the rest of it. A byte order mark
    is skipped, and invalid UTF-8 elsewhere in the message ignored.
    """
    raw = raw.removeprefix(BOM)
    try:
        payload = _peek.decode(raw).payload
    except RecursionError:
        return peek(raw)  # nested too deep for the decoder
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _read_ids_slowly(raw)
    return payload.typ, payload.rid


def _read_ids_slowly(raw: bytes) -> tuple[str | None, str | None]:
    if len(raw) > _SLOW_MAX or not tally(raw, _SLOW_VALUES_MAX):
        return peek(raw)
    try:
        loaded: object = load_json(raw.decode("utf-8", "replace").encode())
        payload = msgspec.convert(loaded, _Peek).payload
    except RecursionError:
        return peek(raw)
    except (msgspec.MsgspecError, ValueError):
        return None, None
    unknown = "\ufffd" in payload.rid  # where invalid UTF-8 was: the client would not know it
    return payload.typ, None if unknown else payload.rid


def read_head(raw: bytes) -> tuple[str, str | None] | None:
    """Return ``typ`` and ``rid`` of a message that is looked at before it is decoded; ``rid`` is None where it has none.

    Returns:
        None where the message has no ``typ``, or another value than a string.

    Raises:
        ValueError: It is not JSON.
    """
    head = read_head_quickly(raw)
    if head is not None:
        return head
    typ, rid = read_ids(raw)
    return _read_head_slowly(raw) if typ is None else (typ, rid)


def read_head_quickly(raw: bytes) -> tuple[str, str | None] | None:
    """Return ``typ`` and ``rid`` as ``read_head`` does; None where only a slower decoder could tell."""
    try:
        payload = _head.decode(raw).payload
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return payload.typ, None if payload.rid is UNSET else payload.rid


def _read_head_slowly(raw: bytes) -> tuple[str, str | None] | None:
    """Read the ``typ`` of a message without a ``rid``."""
    loaded: object
    try:
        loaded = _load_briefly(raw)
    except RecursionError:
        raise ValueError("a message is nested too deep") from None
    payload: object = (
        cast(dict[str, object], loaded).get("payload") if isinstance(loaded, dict) else None
    )
    typ: object = cast(dict[str, object], payload).get("typ") if isinstance(payload, dict) else None
    return (typ, None) if isinstance(typ, str) else None


def peek(head: bytes) -> tuple[str | None, str | None]:
    """Return ``typ`` and ``rid``, read from the first bytes of a message that is too large to be decoded.

    Returns:
        ``(typ, rid)``; both None where they are not among the bytes, or where the message has no ``rid``.
    """
    found = _HEAD.match(head.removeprefix(BOM)[:_PEEKED])
    if found is None:
        return None, None
    properties = dict(_STRING_PROPERTY.findall(found["properties"]))
    try:
        typ, rid = (msgspec.json.decode(properties[name], type=str) for name in (b"typ", b"rid"))
    except (KeyError, msgspec.MsgspecError, UnicodeDecodeError):
        return None, None
    return typ, rid


def find_ids(raw: bytes) -> tuple[str | None, str | None]:
    """Return ``typ`` and ``rid`` of a message that need not be valid, each None where it has none.

    A small message is decoded, which takes a tenth of the time. Of a large one, the first bytes are read, if that suffices.
    """
    head = read_head_quickly(raw) if len(raw) <= _PEEKED else None
    if head is not None:
        return head
    typ, rid = peek(raw)
    return read_ids(raw) if rid is None else (typ, rid)


_EXTENSIONS: Final = b',"ext":["credit","leaving"]'
_EXTENSIONS_WITH_CALL: Final = b',"ext":["credit","leaving","call"]'
_KNOWN: Final = frozenset({"credit", "leaving", "call"})
_ALG: Final = b'"alg":"none"'
_names: Final = msgspec.json.Decoder(list[str])


class _FirstHeader(Struct):
    ext: Raw | UnsetType = UNSET


class _First(Struct):
    header: _FirstHeader


_first: Final = msgspec.json.Decoder(_First)


def introduce(message: bytes, *, call: bool = False) -> bytes:
    """Return the first message of a side with ``header.ext``, which says what this side supports.

    Args:
        message: The message.
        call: Whether it is a client with a handler, which the server can call.
    """
    return message.replace(_ALG, _ALG + (_EXTENSIONS_WITH_CALL if call else _EXTENSIONS), 1)


def supported(ext: Raw | UnsetType) -> frozenset[str]:
    """Return those extensions of a header's ``ext`` that this side knows; none where it is no array of strings."""
    if ext is UNSET:
        return frozenset()
    try:
        return _KNOWN & frozenset(_names.decode(ext))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return frozenset()


def supported_by_first(raw: bytes) -> frozenset[str]:
    """Return the extensions that the first message of a server shows."""
    try:
        return supported(_first.decode(raw).header.ext)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return frozenset()


SERVER_RID: Final = "s:"
"""With what the ids of calls from the server begin; those of a client that can be called never do."""

_REPLIES: Final = frozenset({"receive", "result", "error", "leaving"})
_ROUTE: Final = re.compile(  # of a message as all known peers write it
    rb'\{"header":%b,"payload":\{"typ":"'
    rb'(?:(receive|result|error|leaving)"|credit","rid":"([^"\\]*+)"|(?!credit")[a-z]++")' % _HEADER
)


def is_for_caller(raw: bytes, *, at_server: bool) -> bool:
    """Return whether a message belongs to a call that its receiver has made; else it belongs to one that it serves.

    Its type decides. Only a ``credit`` goes both ways: there, the ``rid`` says who has made the call.

    Args:
        raw: The message, or the head of one that is too large; it need not be a message.
        at_server: Whether the receiver is the server.
    """
    found = _ROUTE.match(raw, 0, _PEEKED)  # in a header of 10 MiB, it would look for 40 ms
    if found is None:
        typ, rid = read_head_quickly(raw.removeprefix(BOM)) or peek(raw)
        if typ != "credit":
            return not at_server if typ is None else typ in _REPLIES
        by_server = (rid or "").startswith(SERVER_RID)
    elif found[2] is None:
        return found[1] is not None
    else:
        by_server = found[2].startswith(_SERVER_RID)
    return by_server is at_server


_SERVER_RID: Final = SERVER_RID.encode()

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
        win: How many bytes of items this side buffers; None omits it.
        ttl: How long this side waits, in milliseconds; None is without limit.
    """
    if win is None and ttl is not None and prm is not None:
        return _REQUEST % (ttl, _KINDS[kind], rid.encode(), _name(prc), prm)  # as most are
    more = b"" if ttl is None else b',"ttl":%d' % ttl
    if win is not None:
        more = b',"win":%d%b' % (win, more)
    slot = b"" if prm is None else b',"prm":%b' % prm
    return _OPENING % (more, _KINDS[kind], rid.encode(), _name(prc), slot)


def add_metadata(message: bytes, meta: bytes) -> bytes:
    """Return a message that opens a call, or an event, with encoded metadata."""
    return message.replace(_ALG, b'%b,"meta":%b' % (_ALG, meta), 1)


def send_head(prc: str, rid: str) -> bytes:
    """Return the beginning of a channel's ``send`` messages, up to the value; see ``encode_item``."""
    return b'%b"send","prc":%b,"rid":%b,"val":' % (_PREFIX, _name(prc), _text(rid))


def encode_abort(rid: str, rsn: str | None) -> bytes:
    """Return the message that aborts a call; a long reason is cut."""
    message = b'%b"abort","rid":%b' % (_PREFIX, _text(rid))
    return message + (b"}}" if rsn is None else b',"rsn":%b}}' % _text(rsn[:_REASON_MAX]))


def encode_credit(rid: str, n: int) -> bytes:
    """Return the message that grants ``n`` further bytes of a call's items."""
    return b'%b"credit","rid":%b,"n":%d}}' % (_PREFIX, _text(rid), n)


def encode_end(rid: str) -> bytes:
    """Return the message that half-closes a channel."""
    return b'%b"end","rid":%b}}' % (_PREFIX, _text(rid))


def encode_event(prc: str, data: bytes | None) -> bytes:
    """Return the message of an event."""
    message = b'%b"event","prc":%b' % (_PREFIX, _text(prc))
    return message + (b"}}" if data is None else b',"data":%b}}' % data)


def receive_head(rid: str) -> bytes:
    """Return the beginning of a call's ``receive`` messages, up to the value; see ``encode_item``."""
    return b'%b"receive","rid":%b,"val":' % (_PREFIX, _text(rid))


def encode_item(head: bytes, val: bytes) -> bytes:
    """Return the message of an item; its beginning is the same for all items of a call."""
    return b"%b%b}}" % (head, val)


def encode_result(rid: str, val: bytes | None) -> bytes:
    """Return the message that ends a call with its result; ``val`` is None where the procedure has none."""
    try:
        text = _bytes(rid)
    except UnicodeEncodeError:
        text = dump_json(rid)
    if val is None:
        return b'%b"result","rid":%b}}' % (_PREFIX, text)
    return b'%b"result","rid":%b,"val":%b}}' % (_PREFIX, text, val)


def encode_error(rid: str, code: str, message: str, data: bytes = b"{}") -> bytes:
    """Return the message that ends a call with an error; a long error message is cut."""
    return b'%b"error","rid":%b,"code":%b,"data":%b,"msg":%b}}' % (
        _PREFIX,
        _text(rid),
        _text(code),
        data,
        _text(message[:_MESSAGE_MAX]),
    )


HELLO: Final = introduce(encode_credit("", 0))
"""The first message of a server to a client that has sent ``header.ext``: it says the same of the server."""

LEAVING: Final = b'%b"leaving"}}' % _PREFIX
"""The message of a server that begins to stop, to a client that supports it."""
