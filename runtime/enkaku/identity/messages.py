"""Signed messages: each message of a client is a token, which proves by itself who sent it.

The sender signs the bytes that it writes, and sends them as ``data`` next to the message. The receiver checks the signature of
``data``, decodes it, and uses nothing else: header and payload of the message itself only have to be equal to it. For a message
without ``data``, the receiver computes what was signed (``canonical``).
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Annotated, Final, NamedTuple, TypeAlias, TypeVar, cast

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from enkaku._json import dump_json
from enkaku.errors import InvalidMessage, Rejected
from enkaku.wire.error_codes import ErrorCode
from enkaku.wire.messages import (
    ANSWERED,
    Abort,
    ClientEnvelope,
    ClientMessage,
    Send,
    decode_client_message,
    read_ids,
)
from enkaku.wire.tally import VALUES_MAX, tally

from .canonical import canonical
from .capabilities import require_small
from .encodings import base64url_size
from .keys import KeyPair
from .numbering import numbered_ids
from .tokens import (
    INVALID_SIGNATURE,
    NAME_MAX,
    SIGNATURE_SIZE,
    Parts,
    denied,
    read_parts,
    require_signature,
    require_times,
    sign,
    signing_input,
    strict_object,
)

__all__ = ["Claims", "SignedClaims", "SignedMessage", "Signer", "Verification", "verify_message"]

T = TypeVar("T")

Steps: TypeAlias = Generator[None, None, T]
"""A function that stops after each step that takes long for a large message."""

_JTI_MAX: Final = 128
_CANONICAL_MAX: Final = 5000  # values of a message without "data", which Python writes again
_LARGEST: Final = (
    8  # times the message: base64url of a string whose characters are all escaped by their numbers
)
_UNEQUAL: Final = "Invalid token: data does not match header and payload"
_BEFORE: Final = b'{"header":'
_BETWEEN: Final = b'},"payload":{'
_TO_PAYLOAD: Final = len(_BETWEEN) - len("}{")  # bytes from the end of the header
_ALG: Final = b'"alg":"none"'
_WRITTEN: Final = b'{"header":%b,"payload":%b,"signature":"%b","data":"%b"}'
_ADDED: Final = len(_WRITTEN % (b"", b"", b"", b".")) + base64url_size(SIGNATURE_SIZE)

_Name = Annotated[str, Meta(max_length=NAME_MAX)]


class Claims(Struct, frozen=True, gc=False):
    """What a signed message says in addition to the message itself. All of it was signed; ``sub`` is not proven by that.

    Attributes:
        iss: The name of the key that signed.
        aud: The name of the server that it is for.
        sub: In whose name the sender calls.
        cap: The capabilities that prove it, as text: the one granted to the sender first.
        exp: The second after which it is not valid.
        nbf: The second before which it is not valid.
        iat: The second in which it was signed.
        jti: An id that no other message of the sender has.
    """

    iss: _Name
    aud: _Name | UnsetType = UNSET
    sub: _Name | UnsetType = UNSET
    cap: str | list[str] | UnsetType = UNSET
    exp: float | UnsetType = UNSET
    nbf: float | UnsetType = UNSET
    iat: float | UnsetType = UNSET
    jti: Annotated[str, Meta(max_length=_JTI_MAX)] | UnsetType = UNSET

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The capabilities; none where ``cap`` is absent."""
        if self.cap is UNSET:
            return ()
        return (self.cap,) if isinstance(self.cap, str) else tuple(self.cap)


class SignedClaims(Struct, frozen=True):
    """What is known of who sent a message whose signature was checked: without the message, which may be large.

    Attributes:
        claims: The claims in the bytes that were signed.
        digest: SHA-256 of the signature's bytes: an id of the message where it has no ``jti``.
    """

    claims: Claims
    digest: bytes


class SignedMessage(SignedClaims, frozen=True):
    """A message whose signature was checked.

    Attributes:
        envelope: The message, decoded from the bytes that were signed.
    """

    envelope: ClientEnvelope

    def without_message(self) -> SignedClaims:
        """Return what may be kept for as long as a call lasts."""
        return SignedClaims(self.claims, self.digest)


class _Envelope(Struct, forbid_unknown_fields=True, gc=False):
    header: Raw
    payload: Raw
    signature: str | UnsetType = UNSET
    data: str | UnsetType = UNSET


class _Header(Struct, gc=False):
    alg: str
    kid: str | UnsetType = UNSET


_envelope: Final = msgspec.json.Decoder(_Envelope)


class Signer:
    """Signs the messages of a client.

    Args:
        key: The client's key.
        audience: The name of the server, without which servers that follow the TypeScript implementation deny access.
        subject: In whose name the client calls; by default, its own.
        capabilities: The capabilities that prove it, as text: the one granted to the client first.
        clock: Returns the time in seconds.
        new_id: Returns an id that no other message has; all ids have one size. By default, the ids of a new series.
    """

    def __init__(
        self,
        key: KeyPair,
        audience: str | None = None,
        *,
        subject: str | None = None,
        capabilities: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        self._key: Final = key
        self._clock: Final = clock
        self._new_id: Final = new_id or partial(next, numbered_ids())
        self._alg: Final = b'"alg":%b' % dump_json(key.alg)
        claims: dict[str, object] = {"iss": key.did}
        if audience is not None:
            claims["aud"] = audience
        if subject is not None:
            claims["sub"] = subject
        if capabilities:
            claims["cap"] = capabilities[0] if len(capabilities) == 1 else [*capabilities]
        self._claims: Final = dump_json(claims)[1:]
        self._more_header: Final = len(self._alg) - len(_ALG)
        self._more_payload: Final = len(self._moment()) + len(self._claims)

    def sign(self, message: bytes) -> bytes:
        """Return an encoded message with a signature, an id and the time.

        It is signed when it is sent: a message that waits in a queue grows old.

        Args:
            message: The message as ``wire.messages`` encodes it, unsigned.
        """
        end = _end_of_header(message)
        header = message[len(_BEFORE) : end].replace(_ALG, self._alg, 1)
        rest = message[end + _TO_PAYLOAD : -len("}}")]
        payload = b"%b%b%b" % (rest, self._moment(), self._claims)
        data = signing_input(header, payload)
        return _WRITTEN % (header, payload, sign(self._key, data).encode(), data.encode())

    def size(self, message: bytes) -> int:
        """Return how many bytes ``sign`` returns for a message: always the same, since ids and times have one size."""
        end = _end_of_header(message)
        header = end - len(_BEFORE) + self._more_header
        payload = len(message) - end - _TO_PAYLOAD - len("}}") + self._more_payload
        return _ADDED + header + payload + base64url_size(header) + base64url_size(payload)

    def _moment(self) -> bytes:
        return b',"jti":%b,"iat":%d,' % (dump_json(self._new_id()), int(self._clock()))


def _end_of_header(message: bytes) -> int:
    # The quotes in strings are escaped, so this is no part of one.
    return message.index(_BETWEEN) + 1


def verify_message(raw: bytes, now: float, *, values: int) -> SignedMessage:
    """Check who signed a message of a client, and decode what was signed.

    Whether the sender may call is another question: see ``proofs``.

    Args:
        raw: The encoded message.
        now: The time, in seconds.
        values: How many JSON values it may have (``Limits.values``); in ``data``, they are not counted yet.

    Raises:
        InvalidMessage: It is not a message. ``rid`` is set if the sender expects a reply.
        Rejected: It is not signed, its signature is not valid, or it has expired.
    """
    return Verification(raw, now, values=values).finish()


class Verification:
    """What ``verify_message`` does, in steps, since a message of several MiB takes long.

    Args:
        raw: The encoded message.
        now: The time, in seconds.
        values: How many JSON values it may have.
    """

    __slots__ = ("_error", "_found", "_steps")

    def __init__(self, raw: bytes, now: float, *, values: int) -> None:
        self._steps: Final = _verify(raw, now, values)
        self._found: SignedMessage | None = None
        self._error: Rejected | InvalidMessage | None = None

    def advance(self) -> bool:
        """Do a step, and return whether it was the last one."""
        try:
            next(self._steps)
        except StopIteration as end:
            self._found = end.value
        except (Rejected, InvalidMessage) as error:
            self._error = error
        else:
            return False
        return True

    def finish(self) -> SignedMessage:
        """Do the steps that are left, and return the message; to be called once.

        Raises:
            InvalidMessage: As ``verify_message``.
            Rejected: As ``verify_message``.
        """
        while self._found is None and self._error is None:
            self.advance()
        if self._found is None:
            raise self._take_error()
        return self._found

    def _take_error(self) -> Exception:
        # Its traceback has this object, which must not have the error, too: only a garbage collection would free the message.
        error, self._error = self._error, None
        return error or RuntimeError("finish() was called before")


def _verify(raw: bytes, now: float, values: int) -> Steps[SignedMessage]:
    received = decode_client_message(raw)
    if received.header.alg == "none":
        raise denied(_not_signed(received.payload))
    try:
        return (yield from _verify_signed(raw, received, now, values))
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        typ, rid = read_ids(raw)
        raise InvalidMessage(str(error), typ=typ, rid=rid if typ in ANSWERED else None) from None


def _verify_signed(
    raw: bytes, received: ClientEnvelope, now: float, values: int
) -> Steps[SignedMessage]:
    envelope = _read_envelope(raw)
    yield
    if envelope.data is UNSET:
        signed = _compute_data(raw, values)
    else:
        signed = yield from _read_data(raw, envelope, envelope.data, values)
    if "iss" not in signed.payload:
        raise denied(_not_signed(received.payload))
    claims = msgspec.convert(signed.payload, Claims)
    header = msgspec.convert(signed.header, _Header)
    require_small(claims.capabilities)
    raw_signature = require_signature(claims.iss, header.alg, signed.data, _signature(envelope))
    require_times(_time(claims.exp), _time(claims.nbf), now)
    yield
    if signed.parts != (bytes(envelope.header), bytes(envelope.payload)):
        received = decode_client_message(_WRITTEN % (*signed.parts, b"", b""))
        yield
    return SignedMessage(claims, sha256(raw_signature).digest(), received)


def _not_signed(message: ClientMessage) -> str:
    match message:
        case Send():
            return "Channel send message must be signed"
        case Abort():
            return "Abort message must be signed"
        case _:
            return "Message is not signed"


def _read_envelope(raw: bytes) -> _Envelope:
    """Take a message apart, which is known to be one."""
    try:
        return _envelope.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # Only the slow decoder reads lone surrogates.
        message = strict_object(raw)
        parts = {name: Raw(dump_json(message[name])) for name in ("header", "payload")}
        return msgspec.convert({**message, **parts}, _Envelope)


class _Signed(NamedTuple):
    """What was signed: as text, as JSON texts, and decoded."""

    data: str
    parts: Parts
    header: Mapping[str, object]
    payload: Mapping[str, object]


def _read_data(raw: bytes, envelope: _Envelope, data: str, values: int) -> Steps[_Signed]:
    """Return what was signed, which must be equal to header and payload of the message."""
    if len(data) > _LARGEST * (len(envelope.header) + len(envelope.payload)):
        raise denied(_UNEQUAL)
    try:
        parts = read_parts(data)
        yield
        _require_few_values(parts.header + parts.payload, values)
        yield
        header, payload = strict_object(parts.header), strict_object(parts.payload)
    except ValueError:
        raise denied(_UNEQUAL) from None
    yield
    if raw != _WRITTEN % (*parts, _signature(envelope).encode(), data.encode()):
        # Written in another way than by this implementation, which writes the same bytes twice.
        yield
        received = [strict_object(bytes(part)) for part in (envelope.header, envelope.payload)]
        yield
        signed = [header, payload]
        # The first comparison is fast, but to it, true and 1 are equal.
        if received != signed or not _same_booleans(received, signed):
            raise denied(_UNEQUAL)
        yield
        # Its other members are read only once, so that a repeated one would not be noticed.
        names = _count_names(raw)
        yield
        if names != len(envelope.__struct_fields__) + sum(map(_count_names, parts)):
            raise ValueError("a name is repeated in an object")
        yield
    return _Signed(data, parts, header, payload)


def _compute_data(raw: bytes, values: int) -> _Signed:
    """Return what must have been signed, for a message that comes without it."""
    _require_few_values(raw, min(values, _CANONICAL_MAX))
    message = cast(Mapping[str, Mapping[str, object]], strict_object(raw))
    header, payload = message["header"], message["payload"]
    try:
        parts = Parts(canonical(header), canonical(payload))
    except (ValueError, RecursionError):
        raise denied(INVALID_SIGNATURE) from None
    return _Signed(signing_input(*parts), parts, header, payload)


def _count_names(text: bytes) -> int:
    """Return how many names the objects of a JSON text have: a colon is behind each, and strings may have further ones."""
    if b"\\" in text:
        text = text.replace(rb"\\", b"").replace(rb"\"", b"")
    return b"".join(text.split(b'"')[::2]).count(b":")


def _signature(envelope: _Envelope) -> str:
    return cast(str, envelope.signature)  # which each signed message has


def _require_few_values(text: bytes, values: int) -> None:
    """Raise Rejected for JSON that would take long to read, before anybody's signature is checked."""
    if len(text) * VALUES_MAX > values and tally(text, values) is None:
        raise Rejected(ErrorCode.MESSAGE_TOO_LARGE.value, "Message has too many values")


def _time(claim: float | UnsetType) -> float | None:
    return None if claim is UNSET else claim


def _same_booleans(one: object, other: object) -> bool:
    """Return whether two equal JSON values have the same booleans."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list):
        return all(map(_same_booleans, cast(list[object], one), cast(list[object], other)))
    if isinstance(one, dict):
        properties = cast(dict[str, object], other)
        return all(
            _same_booleans(value, properties[name])
            for name, value in cast(dict[str, object], one).items()
        )
    return True
