"""Digits of numbers that pydantic loses: it reads each number with a fraction or an exponent as the nearest float.

A float stands for the number of its shortest notation: 0.1 is one tenth. Only some floats can be read from a number that
a schema treats otherwise: those that equal a bound or a constant, and those that stand for integers. A validator that
meets one of them changes ``doubt.last``, itself or by ``lost_number``. The slot then searches the text for a number that
may have more digits than a float; few messages have one. Only then it compares the text with the floats. If digits are
lost, it reads the value again, while ``lost_number`` returns the numbers of the text.
"""

import json
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from threading import get_ident
from typing import Any, Final, TypeVar, cast

from pydantic_core import from_json, to_json

from enkaku._json import EXACT_INTEGER_MAX, decimal_of, dump_json, load_json, read_float

__all__ = [
    "as_written",
    "doubt",
    "integer_of",
    "lost_number",
    "may_lose_digits",
    "numbers_read_again",
    "read_again",
    "read_exactly",
    "read_json",
]

T = TypeVar("T")

# A float has all digits of a number of up to 15 characters without an exponent. With these characters replaced, bytes
# are searched for other numbers two to seven times as fast as by a regular expression.
_ALIKE: Final = bytes.maketrans(b"123456789.E", b"0000000000e")
_WITH_EXPONENT: Final = b"0e"
_LONG: Final = 16 * b"0"


class _Doubt:
    """Whether a value may have lost digits that decide.

    Attributes:
        last: Another object after each float that may have, in any thread.
    """

    def __init__(self) -> None:
        self.last = object()


doubt: Final = _Doubt()
# The numbers of the values that threads read again, by thread: those that no float has all digits of, by the floats
# that stand for them. It is empty nearly always, which is found faster than a variable of the thread.
numbers_read_again: Final[dict[int, Mapping[float, Decimal]]] = {}
_NONE: Final[Mapping[float, Decimal]] = {}


def lost_number(value: float) -> Decimal | None:
    """Return the number that a float was read from, if it is known that no float has all of its digits; raise doubt."""
    doubt.last = object()
    if not numbers_read_again:
        return None
    return numbers_read_again.get(get_ident(), _NONE).get(value)


def may_lose_digits(data: bytes) -> bool:
    """Return whether JSON may contain a number that no float has all digits of; a string may look like one."""
    alike = data.translate(_ALIKE)
    return alike.find(_WITH_EXPONENT) >= 0 or alike.find(_LONG) >= 0  # faster than "in"


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
    if not may_lose_digits(data) or to_json(from_json(data)) == data:
        return None
    digits = _Digits()
    value = json.loads(data, parse_float=digits.read)
    if not digits.lost:
        return None
    text = dump_json(digits.replace(value))
    thread = get_ident()
    before = numbers_read_again.get(thread)
    numbers_read_again[thread] = digits.numbers
    try:
        return (read(text),)
    finally:
        if before is None:
            del numbers_read_again[thread]
        else:
            numbers_read_again[thread] = before


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
    if may_lose_digits(data) and to_json(value) != data:
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
    if not may_lose_digits(data):
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
