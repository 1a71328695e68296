"""JSON's numbers: ``float`` accepts any number, ``int`` any integer, and bounds hold to the last digit."""

import math
import re
import sys
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, cast

from pydantic_core import CoreSchema, PydanticCustomError, core_schema, from_json

from .any_json import DONE, NUMBER, WHOLE

__all__ = ["integer_schema", "number_schema", "read_tree", "whole_of"]

_Bounds = dict[str, int | float]

_NATIVE: Final = core_schema.simple_ser_schema("any")
_EXACT: Final = 2**53  # below it, every whole number is a float
_LONG: Final = re.compile(rb"[0-9](?:[eE]|[0-9]{15})")  # what a float from there on is written with
_WORDS: Final = {
    "ge": "{} or more",
    "gt": "more than {}",
    "le": "{} or less",
    "lt": "less than {}",
    "multiple_of": "a multiple of {}",
}


def number_schema(given: Mapping[str, Any]) -> CoreSchema:
    """Make the schema of a JSON number from pydantic's for ``float``; whole ones stay ``int``."""
    bounds = _bounds(given)
    whole, real = _whole_schema(bounds), _float_schema(bounds)
    words: Any = {
        "custom_error_type": "expected",
        "custom_error_message": _describe("a number", bounds),
    }
    return core_schema.json_or_python_schema(
        # Most are no whole ones; those that are fit both, and exactly only the second.
        core_schema.union_schema([real, whole], mode="smart", **words),
        core_schema.union_schema([whole, real], mode="left_to_right", **words),
        metadata={DONE: True, NUMBER: bounds},
        serialization=_NATIVE,
    )


def integer_schema(given: Mapping[str, Any]) -> CoreSchema:
    """Make the schema of a whole number from pydantic's for ``int``; 1.0 and 1e2 are such, and become it."""
    bounds = _bounds(given)
    whole = _whole_schema(bounds)
    from_float = core_schema.chain_schema(
        [
            core_schema.no_info_before_validator_function(_refuse_whole, _float_schema({})),
            core_schema.no_info_plain_validator_function(_whole),
            whole,
        ]
    )
    read = core_schema.union_schema(
        [whole, from_float],
        mode="left_to_right",
        custom_error_type="expected",
        custom_error_message=_describe("a whole number", bounds),
    )
    return core_schema.json_or_python_schema(
        read, whole, metadata={DONE: True, WHOLE: bounds}, serialization=_NATIVE
    )


def _bounds(given: Mapping[str, Any]) -> _Bounds:
    return {name: given[name] for name in _WORDS if given.get(name) is not None}


def _describe(kind: str, bounds: _Bounds) -> str:
    return ", ".join([kind, *(_WORDS[name].format(limit) for name, limit in bounds.items())])


def _whole_schema(bounds: _Bounds) -> CoreSchema:
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
    if "multiple_of" in bounds or any(abs(limit) >= _EXACT for limit in bounds.values()):
        # pydantic takes a whole number for a float, too: rounded, it might fit.
        schema = core_schema.no_info_before_validator_function(_refuse_whole, schema)
    return _multiple_schema(schema, bounds)


def _refuse_whole(value: object) -> object:
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
    """Ask for a multiple, in decimals as they are written: 0.3 is one of 0.1, whatever the floats are."""
    if "multiple_of" not in bounds:
        return schema
    step = Fraction(repr(bounds["multiple_of"]))

    def is_multiple(value: float) -> float:
        if Fraction(repr(value)) % step:
            raise PydanticCustomError("expected", "another number")
        return value

    return core_schema.no_info_after_validator_function(is_multiple, schema)


def whole_of(value: float) -> int:
    """Return a float without fraction as the whole number that it was written as: 1e23 is no other."""
    return int(value) if abs(value) < _EXACT else int(Decimal(repr(value)))


def read_tree(data: bytes) -> object:
    """Read JSON text for a validator: with the numbers that will be written, so that it says the same then."""
    tree = from_json(data)
    return tree if _LONG.search(data) is None else _as_written(tree)


def _as_written(tree: object) -> object:
    match tree:
        case float() if abs(tree) >= _EXACT and tree.is_integer():
            return whole_of(tree)
        case list():
            return [_as_written(item) for item in cast(list[object], tree)]
        case dict():
            members = cast(dict[str, object], tree)
            return {name: _as_written(member) for name, member in members.items()}
        case _:
            return tree


def _whole(value: float) -> int:
    if not value.is_integer():
        raise PydanticCustomError("expected", "a whole number")
    return whole_of(value)
