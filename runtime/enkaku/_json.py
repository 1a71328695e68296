"""JSON codec of the standard library, for values that the fast codecs reject: slower, but complete."""

import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, cast

__all__ = [
    "DEPTH_MAX",
    "EXACT_INTEGER_MAX",
    "decimal_of",
    "dump_json",
    "dump_text",
    "load_json",
    "load_text",
    "load_unique",
    "read_float",
]

DEPTH_MAX: Final = 200
"""The maximum nesting depth of arrays and objects: the most that pydantic reads."""

EXACT_INTEGER_MAX: Final = 2**53
"""The integers up to this magnitude are exact as floats, so every reader of JSON keeps them (RFC 8259, 6)."""


_LITERAL_MAX: Final = 4300
"""The characters of a number that is not a float: as many digits as pydantic reads in an integer."""


# json.dumps() with these options makes an encoder each time.
_compact: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":")
).encode


def load_json(text: bytes) -> object:
    """Read JSON; accept escaped lone surrogates, which JSON allows (RFC 8259, 8.2), and read minus zero as zero.

    Numbers keep all of their digits, as ``read_float`` returns them.

    Raises:
        ValueError: The text is not JSON, or has a number of too many digits.
        RecursionError: The value is nested too deep.
    """
    return load_text(text.decode())


def load_text(text: str) -> object:
    """Read JSON from a string, as ``load_json`` does from bytes."""
    value: object = json.loads(text, parse_constant=_reject_constant, parse_float=read_float)
    return value


def load_unique(text: bytes) -> object:
    """Read JSON in which no object has a name twice. A number with a fraction or an exponent becomes a Decimal.

    Raises:
        ValueError: The text is not JSON, has a number of too many digits, or repeats a name.
        RecursionError: The value is nested too deep.
    """
    try:
        value: object = json.loads(
            text.decode(),
            object_pairs_hook=_unique,
            parse_constant=_reject_constant,
            parse_float=Decimal,
        )
    except InvalidOperation:
        raise ValueError("the exponent of a number is out of range") from None
    return value


def _unique(properties: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(properties)
    if len(value) < len(properties):
        raise ValueError("a name is repeated in an object")
    return value


def dump_text(value: object) -> str:
    """Write compact JSON as a string; keep lone surrogates unescaped, and all digits of a Decimal.

    Raises:
        ValueError: The value contains NaN, an infinity or itself.
        TypeError: The value has a type that JSON does not have.
    """
    try:
        return _compact(value)
    except TypeError:
        return _dump_decimals(value)


def _dump_decimals(value: object) -> str:
    """Write JSON that may contain Decimals, which the standard library does not write as numbers."""
    if isinstance(value, Mapping):
        properties = cast(Mapping[str, object], value).items()
        written = [f"{_dump_decimals(key)}:{_dump_decimals(each)}" for key, each in properties]
        return f"{{{','.join(written)}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_dump_decimals, cast(Sequence[object], value)))}]"
    if isinstance(value, Decimal) and value.is_finite():
        return str(value)
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def dump_json(value: object) -> bytes:
    """Write compact JSON in UTF-8; escape only lone surrogates, which UTF-8 cannot express.

    Raises:
        ValueError: The value contains NaN, an infinity or itself.
        TypeError: The value has a type that JSON does not have.
    """
    # UTF-8 cannot encode lone surrogates only; "backslashreplace" writes each as JSON's escape of it.
    return dump_text(value).encode("utf-8", "backslashreplace")


def read_float(text: str) -> Any:  # noqa: ANN401 # a number of one of three types
    """Return the number of a literal with a fraction or an exponent, with all of its digits.

    Returns:
        A float, if its shortest notation is the same number, or it would be infinite. Else an integer if the number has
        no fraction, and a Decimal if it has one.

    Raises:
        ValueError: The literal has too many digits.
    """
    nearest = float(text)
    if repr(nearest) == text or math.isinf(nearest):
        return nearest or 0.0
    if len(text) > _LITERAL_MAX:
        raise ValueError(f"a number has more than {_LITERAL_MAX} digits")
    try:
        exact = Decimal(text)
    except InvalidOperation:
        raise ValueError("the exponent of a number is out of range") from None
    if exact == decimal_of(nearest):
        return nearest or 0.0
    return int(exact) if exact == exact.to_integral_value() else exact


def decimal_of(number: float | Decimal) -> Decimal:
    """Return the number that is written for a float: 0.1 is one tenth, and 1e23 is ``10**23``."""
    given: object = number  # for type checkers, each int is a float
    return Decimal(float.__repr__(given) if isinstance(given, float) else cast(int, given))


def _reject_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
