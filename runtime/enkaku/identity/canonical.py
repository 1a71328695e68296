"""The canonical form of JSON (RFC 8785), for checking a signed message that comes without the bytes that were signed.

The form writes numbers as ECMAScript prints them, so integers beyond 2^53 and numbers with more digits than a float would change.
They are rejected: two values with one canonical form would have one signature.
"""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, cast

from enkaku._json import EXACT_INTEGER_MAX, decimal_of

__all__ = ["canonical"]

_FIXED_MAX: Final = 21  # digits before the point; a larger number is written with an exponent
_FIXED_MIN: Final = -6  # zeros after the point, the same


def canonical(value: object) -> bytes:
    """Return the canonical form of a JSON value.

    Raises:
        ValueError: The value has an integer beyond 2^53, a Decimal that is not a float, an infinity, NaN, or a lone surrogate.
        TypeError: The value has a type that JSON does not have.
        RecursionError: The value is nested too deep.
    """
    return _write(value).encode()


def _write(value: object) -> str:
    if isinstance(value, Mapping):
        properties = cast(Mapping[str, object], value)
        # Names are sorted by UTF-16 code units, as ECMAScript compares strings.
        names = sorted(properties, key=lambda name: name.encode("utf-16-be"))
        return f"{{{','.join(f'{_string(name)}:{_write(properties[name])}' for name in names)}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_write, cast(Sequence[object], value)))}]"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int):
        if abs(value) > EXACT_INTEGER_MAX:
            raise ValueError("an integer beyond 2^53 has no canonical form")
        return str(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, Decimal):
        number = float(value)
        if decimal_of(number) != value:
            raise ValueError("a number has more digits than a float")
        return _float(number)
    raise TypeError(f"{type(value).__name__} is not a type of JSON")


def _string(text: str) -> str:
    text.encode()  # raises UnicodeEncodeError, a ValueError, for a lone surrogate
    return json.dumps(text, ensure_ascii=False)


def _float(number: float) -> str:
    """Return what ECMAScript's ``Number::toString`` prints."""
    if number in {float("inf"), float("-inf")} or number != number:  # noqa: PLR0124 # NaN
        raise ValueError("infinities and NaN are not JSON")
    if number == 0:
        return "0"
    if number < 0:
        return f"-{_float(-number)}"
    # Both languages print the shortest digits that read back as the number; Decimal takes them apart.
    shortest = Decimal(repr(number)).normalize().as_tuple()
    digits = "".join(map(str, shortest.digits))
    point = len(digits) + cast(int, shortest.exponent)  # the digits before the decimal point
    if len(digits) <= point <= _FIXED_MAX:
        return digits.ljust(point, "0")
    if 0 < point <= _FIXED_MAX:
        return f"{digits[:point]}.{digits[point:]}"
    if _FIXED_MIN < point <= 0:
        return f"0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{point - 1:+d}"
