"""Digits of numbers that pydantic loses: it reads each number with a fraction or an exponent as the nearest float.

A float stands for the number of its shortest notation: 0.1 is one tenth. Only some floats can be read from a number that
a schema treats otherwise: those that equal a bound or a constant, and those that stand for integers. A validator that
meets one of them calls ``lost_number``, which changes ``doubt.last``. The slot then compares the text with the floats. If
digits are lost, it reads the value again, while ``lost_number`` returns the numbers of the text.
"""

import json
import math
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final, TypeVar, cast

from pydantic_core import from_json, to_json

from enkaku._json import EXACT_INTEGER_MAX, decimal_of, dump_json, load_json, read_float

__all__ = [
    "as_written",
    "doubt",
    "integer_of",
    "lost_number",
    "read_again",
    "read_exactly",
    "read_json",
]

T = TypeVar("T")

_LONG: Final = re.compile(rb"[0-9](?:[eE]|[0-9.]{15})")  # a float has all digits of other numbers


class _Doubt:
    """Whether a value may have lost digits that decide.

    Attributes:
        last: Another object after each float that may have, in any thread.
    """

    def __init__(self) -> None:
        self.last = object()


class _Numbers(threading.local):
    """The numbers of the value that this thread reads again.

    Attributes:
        by_float: Those that no float has all digits of, by the floats that stand for them.
    """

    by_float: Mapping[float, Decimal] = {}  # never changed


doubt: Final = _Doubt()
_numbers: Final = _Numbers()


def lost_number(value: float) -> Decimal | None:
    """Return the number that a float was read from, if it is known that no float has all of its digits; raise doubt."""
    doubt.last = object()
    numbers = _numbers.by_float
    return numbers.get(value) if numbers else None


def integer_of(value: float) -> int:
    """Return a float without a fraction as the integer that its decimal notation is: 1e23 as ``10**23``."""
    return int(value) if abs(value) < EXACT_INTEGER_MAX else int(decimal_of(value))


def read_again(data: bytes, read: Callable[[bytes], T]) -> tuple[T] | None:
    """Read a value again, if digits of its numbers were lost.

    Args:
        data: The JSON.
        read: Reads JSON that has a float for each number.

    Returns:
        The value in a tuple; None if no digits were lost.

    Raises:
        ValueError: A number has too many digits, or numbers differ in digits that no floats have.
    """
    if _LONG.search(data) is None or to_json(from_json(data)) == data:
        return None
    digits = _Digits()
    value = json.loads(data, parse_float=digits.read)
    if not digits.lost:
        return None
    text = dump_json(digits.replace(value))
    before = _numbers.by_float
    _numbers.by_float = digits.numbers
    try:
        return (read(text),)
    finally:
        _numbers.by_float = before


class _Digits:
    """Chooses a float for each number that no float has all digits of: one next to it, which no other number has.

    Attributes:
        lost: Whether there are such numbers, or large integers.
        numbers: The numbers, by their floats.
    """

    def __init__(self) -> None:
        self.lost = False
        self.numbers: dict[float, Decimal] = {}
        self._floats: set[float] = set()

    def read(self, literal: str) -> object:
        """Return the number of a literal."""
        number = read_float(literal)
        if isinstance(number, float):
            self._floats.add(number)
        else:
            self.lost = True
        return number

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
            if each not in self._floats and self.numbers.setdefault(each, number) == number:
                return each
        raise ValueError("numbers differ only in digits that no floats have")


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
    if (
        to_json(value) == data
    ):  # most peers write the shortest notation of each float, and no spaces
        return as_written(value), False
    value = load_json(data)
    return as_written(value), _has_decimals(value)


def _has_decimals(value: object) -> bool:
    match value:
        case list():
            return any(map(_has_decimals, cast(list[object], value)))
        case dict():
            return any(map(_has_decimals, cast(dict[str, Any], value).values()))
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
