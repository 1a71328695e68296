"""The wire messages, and how they are read.

Above it: the client and the server. Below it: msgspec, and nothing else. It does no I/O: bytes become
messages. A slot's value stays the text that it was (``msgspec.Raw``): whoever knows its schema reads it.
"""

import re
from typing import Annotated, Final, Literal, TypeAlias, TypeVar, cast, final

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from .errors import InvalidMessage
from .json_text import dump_json, load_json

__all__ = [
    "ALIVE",
    "ANSWERED",
    "CLOSE",
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
    "glance_at",
]

CLOSE: Final = "Close"
"""The reason of an abort that asks the handler to finish and to send its result."""

ANSWERED: Final = frozenset({"request", "stream", "channel", "send"})
"""The kinds of messages whose senders are told where one is invalid."""

ALIVE: Final = "enkaku:alive?"
"""A procedure that no protocol has: whoever asks for it wants any answer, as a sign of life."""

_COUNT_MAX: Final = 2**53  # what every reader of JSON keeps exact (RFC 8259, 6)
_Count: TypeAlias = Annotated[int, Meta(ge=0, le=_COUNT_MAX)]
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
    ttl: Annotated[float, Meta(ge=0, le=_COUNT_MAX)] | UnsetType = UNSET


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
