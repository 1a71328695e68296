"""JSON as the standard library reads and writes it, where the fast codecs refuse: slower, and complete.

Above it: messages and slots, for what is rare. Below it: the standard library.
"""

import json
from collections.abc import Callable

__all__ = ["dump_json", "load_json"]


def load_json(text: bytes, *, parse_float: Callable[[str], float] | None = None) -> object:
    """Read JSON text; lone surrogates are welcome, which it allows as escapes (RFC 8259, 8.2).

    Raises:
        ValueError: It is not JSON.
        RecursionError: It is nested too deep.
    """
    value: object = json.loads(text, parse_constant=_refuse_constant, parse_float=parse_float)
    return value


def dump_json(value: object) -> bytes:
    """Write compact JSON text in UTF-8; only lone surrogates, which it cannot express, are escaped.

    Raises:
        ValueError: The value holds NaN or an infinity, or holds itself.
        TypeError: The value is none of JSON's.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # Lone surrogates are all that this handler sees, and it writes them as JSON's escapes do.
    return text.encode("utf-8", "backslashreplace")


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
