"""JSON numbers: ``float`` accepts any number, ``int`` any integer, and bounds are exact to the last digit.

A number is read by two validators, one for Python's ``int`` and one for ``float``, each with its own exact bounds.
"""

import math
import re
import sys
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, cast

from pydantic_core import CoreSchema, PydanticCustomError, core_schema, from_json

from enkaku._json import EXACT_INTEGER_MAX

from .any_json import INTEGER, IS_EXACT, NUMBER

__all__ = ["integer_of", "integer_schema", "number_schema", "read_json"]

_Bounds = dict[str, int | float]

_NATIVE: Final = core_schema.simple_ser_schema("any")
_LONG: Final = re.compile(
    rb"[0-9](?:[eE]|[0-9]{15})"
)  # every float from EXACT_INTEGER_MAX on is written with one of these
_BOUND_TEXTS: Final = {
    "ge": "{} or more",
    "gt": "more than {}",
    "le": "{} or less",
    "lt": "less than {}",
    "multiple_of": "a multiple of {}",
}


def number_schema(given: Mapping[str, Any]) -> CoreSchema:
    """Return the schema of a JSON number, with the bounds of pydantic's schema for ``float``; integers stay ``int``."""
    bounds = _bounds(given)
    integer, real = _int_schema(bounds), _float_schema(bounds)
    error: Any = {
        "custom_error_type": "expected",
        "custom_error_message": _describe("number", bounds),
    }
    return core_schema.json_or_python_schema(
        # Most numbers are floats. An integer fits both, but exactly only the second: "smart" chooses that.
        core_schema.union_schema([real, integer], mode="smart", **error),
        core_schema.union_schema([integer, real], mode="left_to_right", **error),
        metadata={IS_EXACT: True, NUMBER: bounds},
        serialization=_NATIVE,
    )


def integer_schema(given: Mapping[str, Any]) -> CoreSchema:
    """Return the schema of an integer, with the bounds of pydantic's schema for ``int``; 1.0 and 1e2 become ``int``."""
    bounds = _bounds(given)
    integer = _int_schema(bounds)
    from_float = core_schema.chain_schema(
        [
            core_schema.no_info_before_validator_function(_reject_int, _float_schema({})),
            core_schema.no_info_plain_validator_function(_to_integer),
            integer,
        ]
    )
    read = core_schema.union_schema(
        [integer, from_float],
        mode="left_to_right",
        custom_error_type="expected",
        custom_error_message=_describe("integer", bounds),
    )
    return core_schema.json_or_python_schema(
        read, integer, metadata={IS_EXACT: True, INTEGER: bounds}, serialization=_NATIVE
    )


def _bounds(given: Mapping[str, Any]) -> _Bounds:
    return {name: given[name] for name in _BOUND_TEXTS if given.get(name) is not None}


def _describe(json_type: str, bounds: _Bounds) -> str:
    return ", ".join(
        [json_type, *(_BOUND_TEXTS[name].format(limit) for name, limit in bounds.items())]
    )


def _int_schema(bounds: _Bounds) -> CoreSchema:
    limits: dict[str, int] = {}
    for name, limit in bounds.items():
        match name:
            case "ge" | "lt":
                limits[name] = math.ceil(limit)
            case "gt" | "le":
                limits[name] = math.floor(limit)
            case _:
                pass
    schema = core_schema.int_schema(strict=True, **cast(Any, limits))
    return _multiple_schema(schema, bounds)


def _float_schema(bounds: _Bounds) -> CoreSchema:
    limits: dict[str, float] = {}
    for name, limit in bounds.items():
        match name:
            case "ge":
                limits["ge"] = max(_not_below(limit), limits.get("ge", -math.inf))
            case "gt" if _not_below(limit) == limit:
                limits["gt"] = float(limit)
            case "gt":
                limits["ge"] = max(_not_below(limit), limits.get("ge", -math.inf))
            case "le":
                limits["le"] = min(_not_above(limit), limits.get("le", math.inf))
            case "lt" if _not_above(limit) == limit:
                limits["lt"] = float(limit)
            case "lt":
                limits["le"] = min(_not_above(limit), limits.get("le", math.inf))
            case _:
                pass
    schema: CoreSchema = core_schema.float_schema(
        strict=True, allow_inf_nan=False, **cast(Any, limits)
    )
    if "multiple_of" in bounds or any(abs(limit) >= EXACT_INTEGER_MAX for limit in bounds.values()):
        # pydantic reads an integer as a float, too: rounded, it might be within the bounds.
        schema = core_schema.no_info_before_validator_function(_reject_int, schema)
    return _multiple_schema(schema, bounds)


def _reject_int(value: object) -> object:
    if isinstance(value, int):
        raise PydanticCustomError("expected", "another number")
    return value


def _not_below(limit: float) -> float:
    """Return the smallest float that is not below ``limit``."""
    try:
        nearest = float(limit)
    except OverflowError:
        return math.inf if limit > 0 else -sys.float_info.max
    return nearest if nearest >= limit else math.nextafter(nearest, math.inf)


def _not_above(limit: float) -> float:
    return -_not_below(-limit)


def _multiple_schema(schema: CoreSchema, bounds: _Bounds) -> CoreSchema:
    """Require a multiple, computed in decimals as they are written: 0.3 is a multiple of 0.1, although its float is not."""
    if "multiple_of" not in bounds:
        return schema
    step = Fraction(repr(bounds["multiple_of"]))

    def is_multiple(value: float) -> float:
        if Fraction(repr(value)) % step:
            raise PydanticCustomError("expected", "another number")
        return value

    return core_schema.no_info_after_validator_function(is_multiple, schema)


def integer_of(value: float) -> int:
    """Return a float without a fraction as the integer that its decimal notation is: 1e23 as ``10**23``."""
    return int(value) if abs(value) < EXACT_INTEGER_MAX else int(Decimal(repr(value)))


def read_json(data: bytes) -> object:
    """Return a JSON value for a validator: with the numbers that will be written, so that both give the same result."""
    value = from_json(data)
    return value if _LONG.search(data) is None else _as_written(value)


def _as_written(value: object) -> object:
    match value:
        case float() if abs(value) >= EXACT_INTEGER_MAX and value.is_integer():
            return integer_of(value)
        case list():
            return [_as_written(item) for item in cast(list[object], value)]
        case dict():
            properties = cast(dict[str, object], value)
            return {name: _as_written(each) for name, each in properties.items()}
        case _:
            return value


def _to_integer(value: float) -> int:
    if not value.is_integer():
        raise PydanticCustomError("expected", "integer")
    return integer_of(value)
