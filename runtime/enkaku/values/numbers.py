"""JSON numbers: ``float`` accepts any number, ``int`` any integer, and comparisons are exact to the last digit.

A float stands for the number of its shortest notation: 0.1 is one tenth. pydantic reads each number with a fraction or
an exponent as the nearest float, and loses further digits. Only some floats can be of a number that the schema treats
otherwise: those that equal a bound or a constant, and those that stand for integers. For them, the validators below
raise ``InexactNumber`` if the context is a ``Reading`` without digits. The slot then compares the text with the floats:
it reads the value again, with the digits that the floats do not have.
"""

import math
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, cast

from pydantic_core import CoreSchema, PydanticCustomError, core_schema, from_json, to_json

from enkaku._json import EXACT_INTEGER_MAX, decimal_of, dump_json, load_json

from .any_json import INTEGER, IS_EXACT, NUMBER, InexactNumber, Reading

__all__ = [
    "as_written",
    "integer_of",
    "integer_schema",
    "is_multiple",
    "number_of",
    "number_schema",
    "read_digits",
    "read_exactly",
    "read_json",
]

_Bounds = dict[str, int | float]
_Info = core_schema.ValidationInfo[Any]

_NATIVE: Final = core_schema.simple_ser_schema("any")
_LONG: Final = re.compile(
    rb"[0-9](?:[eE]|[0-9]{15})"
)  # every float from EXACT_INTEGER_MAX on is written with one of these
_LARGE: Final = float(EXACT_INTEGER_MAX)
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
            core_schema.with_info_plain_validator_function(_to_integer),
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
    limits = {"ge": -math.inf, "le": math.inf}
    for name, limit in bounds.items():
        if name in {"ge", "gt"}:
            limits["ge"] = max(limits["ge"], _nearest(limit))
        elif name != "multiple_of":
            limits["le"] = min(limits["le"], _nearest(limit))
    schema = core_schema.no_info_before_validator_function(_reject_int, _strict_float(limits))

    def check(value: float, info: _Info) -> float:
        number = number_of(value, info.context)
        # The program gets the float, so that it has to be within the bounds, too.
        if not (_is_within(number, bounds) and _is_within(decimal_of(value), bounds)):
            raise PydanticCustomError("expected", "another number")
        return value

    return core_schema.with_info_after_validator_function(check, schema)


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
    if not number or abs(number) < abs(step):
        return not number  # as fractions, tiny numbers would be very long
    return Fraction(number) % Fraction(step) == 0


def number_of(value: float, context: object) -> Decimal:
    """Return the number that a float was read from.

    Args:
        value: The float.
        context: The validation context. Without a ``Reading``, the number is that of the float's shortest notation.

    Raises:
        InexactNumber: The text of the value has not been compared with the floats yet.
    """
    if isinstance(context, Reading):
        if context.digits is None:
            raise InexactNumber
        return context.digits.get(value) or decimal_of(value)
    return decimal_of(value)


def integer_of(value: float) -> int:
    """Return a float without a fraction as the integer that its decimal notation is: 1e23 as ``10**23``."""
    return int(value) if abs(value) < EXACT_INTEGER_MAX else int(decimal_of(value))


def _to_integer(value: float, info: _Info) -> int:
    if value.is_integer():
        number = number_of(value, info.context)
        if number == number.to_integral_value():
            return int(number)
    raise PydanticCustomError("expected", "integer")


# --- Values with all of their digits ---


def read_exactly(data: bytes) -> object:
    """Return a JSON value for a problem: with all digits of its numbers, unless these are too many."""
    value = from_json(data)
    if _LONG.search(data) is not None and to_json(value) != data:
        with suppress(ValueError):
            return load_json(data)
    return value


def read_json(data: bytes) -> tuple[object, bool]:
    """Return a JSON value for a validator: with all digits of its numbers, and large floats as integers.

    Returns:
        The value, and whether it contains Decimals.

    Raises:
        ValueError: A number has too many digits.
    """
    value = from_json(data)
    if _LONG.search(data) is None:
        return value, False
    if to_json(value) == data:  # most peers write the shortest notation of each float, and no spaces
        return as_written(value), False
    value = load_json(data)
    return as_written(value), _has_decimals(value)


def _has_decimals(value: object) -> bool:
    match value:
        case list():
            return any(map(_has_decimals, cast(list[object], value)))
        case dict():
            return any(map(_has_decimals, cast(dict[str, object], value).values()))
        case _:
            return isinstance(value, Decimal)


def as_written(value: object) -> object:
    """Return a JSON value with its large floats as the integers that they stand for."""
    match value:
        case float() if abs(value) >= EXACT_INTEGER_MAX and value.is_integer():
            return integer_of(value)
        case list():
            return [as_written(item) for item in cast(list[object], value)]
        case dict():
            properties = cast(dict[str, object], value)
            return {name: as_written(each) for name, each in properties.items()}
        case _:
            return value


def read_digits(data: bytes) -> tuple[bytes, Reading]:
    """Return a value for pydantic with all digits of its numbers, which are in the context where no float has them.

    Raises:
        ValueError: A number has too many digits, or numbers differ in digits that no floats have.
    """
    value = from_json(data)
    if to_json(value) == data:
        return data, Reading({})
    value = load_json(data)
    digits = _Digits()
    digits.collect(value)
    return dump_json(digits.replace(value)), Reading(digits.numbers)


class _Digits:
    """Chooses a float for each number that no float has all digits of: one next to it, which no other number has.

    Attributes:
        numbers: The numbers, by their floats.
    """

    def __init__(self) -> None:
        self.numbers: dict[float, Decimal] = {}
        self._used: set[float] = set()

    def collect(self, value: object) -> None:
        """Note the floats of a value."""
        match value:
            case float():
                self._used.add(value)
            case list():
                for item in cast(list[object], value):
                    self.collect(item)
            case dict():
                for each in cast(dict[str, object], value).values():
                    self.collect(each)
            case _:
                pass

    def replace(self, value: object) -> object:
        """Return a value with floats for its numbers."""
        match value:
            case Decimal():
                return self._choose(value)
            case list():
                return [self.replace(item) for item in cast(list[object], value)]
            case dict():
                properties = cast(dict[str, object], value)
                return {name: self.replace(each) for name, each in properties.items()}
            case _:
                return value

    def _choose(self, number: Decimal) -> float:
        nearest = float(number) or 0.0
        is_above = number > decimal_of(nearest)
        for each in (nearest, math.nextafter(nearest, math.inf if is_above else -math.inf)):
            if each not in self._used and self.numbers.setdefault(each, number) == number:
                return each
        raise ValueError("numbers differ only in digits that no floats have")
