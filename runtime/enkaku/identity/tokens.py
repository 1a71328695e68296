"""Signed tokens: a JSON header and payload whose bytes are signed, and the name of the signer in the payload.

A signed message and a capability are tokens. What is signed is ``data``: base64url of the header, a dot, and base64url of the
payload, as they were written. Nobody writes JSON again to check a signature, so no value changes on the way.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, cast

from enkaku._json import load_unique
from enkaku.errors import Rejected
from enkaku.wire.error_codes import ErrorCode

from .encodings import from_base64url, to_base64url
from .keys import KeyPair, public_key

__all__ = [
    "EXPIRED",
    "INVALID_SIGNATURE",
    "NAME_MAX",
    "NOT_YET_VALID",
    "SIGNATURE_SIZE",
    "Parts",
    "denied",
    "read_parts",
    "require_signature",
    "require_times",
    "sign",
    "signing_input",
    "strict_object",
]

NAME_MAX: Final = 256
"""How many characters the name of a signer, a subject or an audience may have."""

EXPIRED: Final = "Token expired"
NOT_YET_VALID: Final = "Token not yet valid"
INVALID_SIGNATURE: Final = "Invalid signature"
SIGNATURE_SIZE: Final = 64
"""How many bytes a signature has, of each algorithm."""

_SIGNATURE_MAX: Final = 88  # characters: with padding


class Parts(NamedTuple):
    """The JSON texts that were signed."""

    header: bytes
    payload: bytes


def denied(message: str) -> Rejected:
    """Return the error of a token that proves nothing."""
    return Rejected(ErrorCode.ACCESS_DENIED.value, message)


def signing_input(header: bytes, payload: bytes) -> str:
    """Return the text that is signed: ``data``."""
    return f"{to_base64url(header)}.{to_base64url(payload)}"


def sign(key: KeyPair, data: str) -> str:
    """Return the signature of ``data``, as base64url."""
    return to_base64url(key.sign(data.encode()))


def read_parts(data: str) -> Parts:
    """Return the JSON texts in ``data``.

    Raises:
        ValueError: It is not two parts of base64url.
    """
    header, dot, payload = data.partition(".")
    if not dot:
        raise ValueError("not two parts")
    return Parts(from_base64url(header), from_base64url(payload))


def strict_object(text: bytes) -> Mapping[str, object]:
    """Read a JSON object in which no name is repeated: others might read the other value.

    Raises:
        ValueError: It is no such object, or it is nested too deep.
    """
    try:
        value = load_unique(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 # what a peer sent
    return cast(dict[str, object], value)


def require_signature(iss: str, alg: str, data: str, signature: str) -> bytes:
    """Return the 64 bytes of a signature that ``iss`` made of ``data``.

    Raises:
        Rejected: It is not the signature, ``iss`` is no name of a key, or the key is of another algorithm.
    """
    if len(signature) > _SIGNATURE_MAX:
        raise denied(INVALID_SIGNATURE)
    try:
        raw = from_base64url(signature)
    except ValueError:
        raise denied(INVALID_SIGNATURE) from None
    key = public_key(iss)
    if len(raw) != SIGNATURE_SIZE or key.alg != alg or not key.verifies(raw, data.encode()):
        raise denied(INVALID_SIGNATURE)
    return raw


def require_times(exp: float | None, nbf: float | None, now: float) -> None:
    """Raise Rejected for a token that has expired, or is not valid yet: in whole seconds, without leeway."""
    second = int(now)
    if exp is not None and exp < second:
        raise denied(EXPIRED)
    if nbf is not None and nbf > second:
        raise denied(NOT_YET_VALID)
