"""Metadata of calls: the object of strings in ``header.meta`` of a message that opens a call, or of an event.

Values may be secrets, such as tokens, so that no error shows one. Names of the runtime and of W3C trace context are reserved: they
are rejected where a program sends them, and ignored where a peer does, so that a newer one may use them.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, cast

import msgspec

from enkaku._checks import require_strings
from enkaku.errors import InvalidMessage, UsageError

__all__ = ["METADATA_MAX", "NO_METADATA", "copy_metadata", "decode_metadata", "encode_metadata"]

METADATA_MAX: Final = 4096
"""How many bytes the metadata of a call may have as JSON."""

NO_METADATA: Final[Mapping[str, str]] = MappingProxyType({})

_OURS: Final = "enkaku"
_W3C: Final = frozenset({"traceparent", "tracestate", "baggage"})
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_encode: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(dict[str, str])


def _is_reserved(name: str) -> bool:
    name = name.lower()
    return name.startswith(_OURS) or name in _W3C


def copy_metadata(metadata: object, where: str) -> Mapping[str, str]:
    """Return a read-only copy of the metadata that a program sends.

    Args:
        metadata: The metadata.
        where: What the program has set, for errors.

    Raises:
        UsageError: It is no mapping of strings to strings, or has a reserved name.
    """
    require_strings(where, metadata)
    copied: dict[str, str] = {}
    for name, value in cast(Mapping[str, str], metadata).items():
        if _is_reserved(name):
            whose = "Enkaku" if name.lower() not in _W3C else "trace context (W3C)"
            raise UsageError(
                f"{where}: the name {name[:100]!r} is reserved for {whose}; choose another one, such as 'x-{name[:100]}'"
            )
        copied[str.__str__(name)] = str.__str__(value)  # subclasses may encode otherwise
    return MappingProxyType(copied) if copied else NO_METADATA


def encode_metadata(metadata: Mapping[str, str], where: str = "metadata") -> bytes:
    """Return metadata as JSON.

    Raises:
        UsageError: It is too large, or has lone surrogates.
    """
    try:
        encoded = _encode(dict(metadata))
    except UnicodeEncodeError:
        # Not from the error, which has the value.
        raise UsageError(f"{where}: names and values must have no lone surrogates") from None
    if len(encoded) > METADATA_MAX:
        raise UsageError(
            f"{where}: at most {METADATA_MAX} bytes as JSON; got {len(encoded)}: send what is larger in the param"
        )
    return encoded


def decode_metadata(encoded: bytes | msgspec.Raw, rid: str | None) -> Mapping[str, str]:
    """Return the metadata of a message, without reserved names.

    Args:
        encoded: The value of ``header.meta``.
        rid: The id of the call; None for an event.

    Raises:
        InvalidMessage: It is too large, is no object of strings, or has a name twice.
    """
    encoded = bytes(encoded)
    if len(encoded) > METADATA_MAX:
        raise InvalidMessage(f"header.meta has more than {METADATA_MAX} bytes", rid=rid)
    try:
        found = _decoder.decode(encoded)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise InvalidMessage("header.meta is no object of strings", rid=rid) from None
    if len(_STRING.findall(encoded)) != 2 * len(found):
        raise InvalidMessage("header.meta has a name twice", rid=rid)
    return MappingProxyType(
        {name: value for name, value in found.items() if not _is_reserved(name)}
    )
