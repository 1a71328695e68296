"""JSON by the standard library, for what the fast codecs reject: slower, but complete."""

import json
from typing import Final

__all__ = ["DEPTH_MAX", "dump_json", "dump_text", "load_json"]

DEPTH_MAX: Final = 200
"""How many levels of arrays and objects may be in one another: what pydantic reads."""


def load_json(text: bytes) -> object:
    """Read JSON text; lone surrogates are welcome, which it allows as escapes (RFC 8259, 8.2).

    Minus zero is read as zero.

    Raises:
        ValueError: It is not JSON.
        RecursionError: It is nested too deep.
    """
    value: object = json.loads(
        text.decode(), parse_constant=_refuse_constant, parse_float=_read_float
    )
    return value


def dump_text(value: object) -> str:
    """Write compact JSON text; lone surrogates stay what they are.

    Raises:
        ValueError: The value holds NaN or an infinity, or holds itself.
        TypeError: The value is none of JSON's.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def dump_json(value: object) -> bytes:
    """Write compact JSON text in UTF-8; only lone surrogates, which it cannot express, are escaped.

    Raises:
        ValueError: The value holds NaN or an infinity, or holds itself.
        TypeError: The value is none of JSON's.
    """
    # Lone surrogates are all that this handler sees, and it writes them as JSON's escapes do.
    return dump_text(value).encode("utf-8", "backslashreplace")


def _read_float(text: str) -> float:
    return float(text) or 0.0


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
