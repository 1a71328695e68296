"""JSON numbers: ``float`` accepts any number, ``int`` any integer, and bounds are exact to the last digit.

A number is read by validators for Python's ``int`` and ``float``, each with its own exact bounds. A float that equals a
bound, or is large, has a validator of its own, because digits that it lost may decide: see ``digits``.
"""

import math
import sys
from collections.abc import Mapping
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Final, cast

from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from enkaku._json import EXACT_INTEGER_MAX, decimal_of

from .any_json import INTEGER, IS_EXACT, NUMBER
from .digits import doubt, integer_of, lost_number, numbers_read_again

__all__ = ["integer_schema", "is_multiple", "number_schema"]

_Bounds = dict[str, int | float]

_NATIVE: Final = core_schema.simple_ser_schema("any")
_LARGE: Final = float(EXACT_INTEGER_MAX)
_WIDE: Final = Context(prec=10_000, Emax=MAX_EMAX, Emin=MIN_EMIN)
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
    choices: list[CoreSchema | tuple[CoreSchema, str]] = [integer, _edge_schema(bounds)]
    if "multiple_of" not in bounds:
        choices.insert(0, _inner_schema(bounds))
    return core_schema.json_or_python_schema(
        # Most numbers are floats. An integer fits both, but exactly only the second: "smart" chooses that.
        core_schema.union_schema(choices, mode="smart", **error),
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
            core_schema.no_info_before_validator_function(_reject_int, _strict_float({})),
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
    return {name: _limit(given[name]) for name in _BOUND_TEXTS if given.get(name) is not None}


def _limit(given: Any) -> Any:  # noqa: ANN401 # a number, of any type that pydantic takes
    return given if isinstance(given, int | float | Decimal) else float(given)


def _describe(json_type: str, bounds: _Bounds) -> str:
    return ", ".join(
        [json_type, *(_BOUND_TEXTS[name].format(limit) for name, limit in bounds.items())]
    )


def _int_schema(bounds: _Bounds) -> CoreSchema:
    limits: dict[str, int] = {}
    for name, limit in bounds.items():
        match name:
            case "ge" | "lt":
                limits[name] = math.ceil(decimal_of(limit))
            case "gt" | "le":
                limits[name] = math.floor(decimal_of(limit))
            case _:
                pass
    schema = core_schema.int_schema(strict=True, **cast(Any, limits))
    return _multiple_schema(schema, bounds)


def _strict_float(limits: Mapping[str, float]) -> CoreSchema:
    return core_schema.float_schema(strict=True, allow_inf_nan=False, **cast(Any, limits))


def _float_schema(bounds: _Bounds) -> CoreSchema:
    """Return the schema of the floats whose shortest notation is within the bounds."""
    schema = _strict_float(_float_limits(bounds))
    if "multiple_of" in bounds or any(abs(limit) >= EXACT_INTEGER_MAX for limit in bounds.values()):
        # pydantic reads an integer as a float, too: rounded, it might be within the bounds.
        schema = core_schema.no_info_before_validator_function(_reject_int, schema)
    return _multiple_schema(schema, bounds)


def _float_limits(bounds: _Bounds) -> dict[str, float]:
    limits: dict[str, float] = {}
    for name, limit in bounds.items():
        match name:
            case "ge":
                limits["ge"] = max(_not_below(limit), limits.get("ge", -math.inf))
            case "gt" if decimal_of(_not_below(limit)) == decimal_of(limit):
                limits["gt"] = float(limit)
            case "gt":
                limits["ge"] = max(_not_below(limit), limits.get("ge", -math.inf))
            case "le":
                limits["le"] = min(_not_above(limit), limits.get("le", math.inf))
            case "lt" if decimal_of(_not_above(limit)) == decimal_of(limit):
                limits["lt"] = float(limit)
            case "lt":
                limits["le"] = min(_not_above(limit), limits.get("le", math.inf))
            case _:
                pass
    return limits


def _inner_schema(bounds: _Bounds) -> CoreSchema:
    """Return the schema of the floats that certainly stand for numbers within the bounds, whatever their digits are."""
    low, high = -_LARGE, _LARGE
    for name, limit in bounds.items():
        if name in {"ge", "gt"}:
            low = max(low, _nearest(limit))
        else:
            high = min(high, _nearest(limit))
    return _strict_float({"gt": low, "lt": high})


def _edge_schema(bounds: _Bounds) -> CoreSchema:
    """Return the schema of the other floats within the bounds: those that equal a bound, or are large."""
    low, high = -sys.float_info.max, sys.float_info.max
    edges: dict[float, bool] = {}
    for name, limit in bounds.items():
        if name == "multiple_of":
            continue
        nearest = _nearest(limit)
        if name in {"ge", "gt"}:
            low = max(low, nearest)
        else:
            high = min(high, nearest)
        edges[nearest] = _is_within(decimal_of(nearest), bounds)

    def check(value: object) -> float:
        # An array of zeros calls this for each item, so that a float that fits calls nothing else.
        if type(value) is float:
            doubt.last = object()
            fits = edges.get(value)
            if fits is None:
                fits = low <= value <= high and _is_within(decimal_of(value), bounds)
            # The program gets the float, so that it has to be within the bounds, too.
            if fits and not (numbers_read_again and _is_lost_outside(value, bounds)):
                return value
        raise PydanticCustomError("expected", "another number")

    return core_schema.no_info_plain_validator_function(check)


def _is_lost_outside(value: float, bounds: _Bounds) -> bool:
    """Return whether a float was read from a number outside of the bounds."""
    number = lost_number(value)
    return number is not None and not _is_within(number, bounds)


def _is_within(number: Decimal, bounds: _Bounds) -> bool:
    for name, limit in bounds.items():
        match name:
            case "ge":
                fits = number >= decimal_of(limit)
            case "gt":
                fits = number > decimal_of(limit)
            case "le":
                fits = number <= decimal_of(limit)
            case "lt":
                fits = number < decimal_of(limit)
            case _:
                fits = is_multiple(number, decimal_of(limit))
        if not fits:
            return False
    return True


def _reject_int(value: object) -> object:
    if isinstance(value, int):
        raise PydanticCustomError("expected", "another number")
    return value


def _nearest(limit: float) -> float:
    try:
        return float(limit)
    except OverflowError:
        return math.inf if limit > 0 else -math.inf


def _not_below(limit: float) -> float:
    """Return the smallest float that is not below ``limit``."""
    nearest = _nearest(limit)
    if math.isinf(nearest):
        return math.inf if limit > 0 else -sys.float_info.max
    is_below = decimal_of(nearest) < decimal_of(limit)
    return math.nextafter(nearest, math.inf) if is_below else nearest


def _not_above(limit: float) -> float:
    return -_not_below(-limit)


def _multiple_schema(schema: CoreSchema, bounds: _Bounds) -> CoreSchema:
    """Require a multiple, computed in decimals as they are written: 0.3 is a multiple of 0.1, although its float is not."""
    if "multiple_of" not in bounds:
        return schema
    step = decimal_of(bounds["multiple_of"])

    def check(value: float) -> float:
        if not is_multiple(decimal_of(value), step):
            raise PydanticCustomError("expected", "another number")
        return value

    return core_schema.no_info_after_validator_function(check, schema)


def is_multiple(number: Decimal, step: Decimal) -> bool:
    """Return whether a number is a multiple of another, to the last digit."""
    if not number or number.copy_abs() < step.copy_abs():
        return not number  # as fractions, tiny numbers would be very long
    try:
        return not _WIDE.remainder(number, step)
    except InvalidOperation:  # the quotient has more digits
        return Fraction(number) % Fraction(step) == 0


def _to_integer(value: float) -> int:
    # No integer lost digits: the slot replaces large ones by integers, before it reads the value again.
    if not value.is_integer() or lost_number(value) is not None:
        raise PydanticCustomError("expected", "integer")
    return integer_of(value)
