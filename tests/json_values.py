"""Strategies and comparisons of JSON values, for the tests of slots."""

import json
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

everything = st.characters(exclude_categories=[])
"""Every code point: lone surrogates, too."""

numbers = (
    st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, 1, -1, 0.0, -0.0, 1.0, 1.5, 2**53 + 1, 2.0**53, 10**40, 1e40, 1e300])
)
scalars = st.none() | st.booleans() | numbers | st.text(everything, max_size=5)
names = st.sampled_from(["a", "b", "x_axis", "xAxis"]) | st.text(everything, max_size=3)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=10,
)


def text_of(value: object) -> bytes:
    return json.dumps(value).encode()


def as_written(value: Any) -> Any:
    """A value with the numbers that its text says: 1e23 is 10**23, which the float is not.

    A JSON Schema is about these numbers. Asked of a large float, versions of a validator say different things.
    """
    match value:
        case float() if abs(value) >= 2**53:
            return int(Decimal(repr(value)))
        case list():
            return [as_written(each) for each in value]
        case dict():
            return {key: as_written(each) for key, each in value.items()}
        case _:
            return value


def read_text(text: str) -> Any:
    """The value of a JSON text with all digits: integers if they are whole, floats if these have them all, or Decimals."""
    return json.loads(text, parse_float=_read_number)


def _read_number(text: str) -> float | Decimal:
    exact, nearest = Decimal(text), float(text)
    if exact == exact.to_integral_value():
        return int(exact)
    return nearest if Decimal(repr(nearest)) == exact else exact


def nearest_floats(value: Any) -> Any:
    """A value as a program gets it: with the nearest float for each Decimal."""
    match value:
        case Decimal():
            return float(value)
        case list():
            return [nearest_floats(each) for each in value]
        case dict():
            return {key: nearest_floats(each) for key, each in value.items()}
        case _:
            return value


def decimals(value: Any) -> Any:
    """A value with a Decimal for each float: the number of its shortest notation."""
    match value:
        case float():
            exact = Decimal(repr(value))
            return int(exact) if value.is_integer() else exact
        case list():
            return [decimals(each) for each in value]
        case dict():
            return {key: decimals(each) for key, each in value.items()}
        case _:
            return value


def same(left: Any, right: Any) -> bool:
    """Whether two values are the same for JSON, where true is not 1, and 1 is 1.0.

    A number with a fraction or an exponent is the nearest float.
    """
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, float) or isinstance(right, float):
        return bool(_nearest(left) == _nearest(right))
    return bool(left == right)


def _nearest(value: Any) -> Any:
    return float(value) if isinstance(value, int | float) else value
