"""JSON codec of the standard library, for values that the fast codecs reject: slower, but complete."""

import json
from typing import Final

__all__ = ["DEPTH_MAX", "EXACT_INTEGER_MAX", "dump_json", "dump_text", "load_json"]

DEPTH_MAX: Final = 200
"""The maximum nesting depth of arrays and objects: the most that pydantic reads."""

EXACT_INTEGER_MAX: Final = 2**53
"""The integers up to this magnitude are exact as floats, so every reader of JSON keeps them (RFC 8259, 6)."""


def load_json(text: bytes) -> object:
    """Read JSON; accept escaped lone surrogates, which JSON allows (RFC 8259, 8.2), and read minus zero as zero.

    Raises:
        ValueError: The text is not JSON.
        RecursionError: The value is nested too deep.
    """
    value: object = json.loads(
        text.decode(), parse_constant=_reject_constant, parse_float=_read_float
    )
    return value


def dump_text(value: object) -> str:
    """Write compact JSON as a string; keep lone surrogates unescaped.

    Raises:
        ValueError: The value contains NaN, an infinity or itself.
        TypeError: The value has a type that JSON does not have.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def dump_json(value: object) -> bytes:
    """Write compact JSON in UTF-8; escape only lone surrogates, which UTF-8 cannot express.

    Raises:
        ValueError: The value contains NaN, an infinity or itself.
        TypeError: The value has a type that JSON does not have.
    """
    # UTF-8 cannot encode lone surrogates only; "backslashreplace" writes each as JSON's escape of it.
    return dump_text(value).encode("utf-8", "backslashreplace")


def _read_float(text: str) -> float:
    return float(text) or 0.0


def _reject_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
