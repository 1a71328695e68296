"""JSON values: their types and limits, JSON pointers, identity, and source maps."""

import json
import math
import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Self, TypeAlias, TypeGuard, TypeVar

__all__ = [
    "MAX_DEPTH",
    "MAX_DIGITS",
    "MAX_VALUES",
    "NUMBER",
    "SURROGATE",
    "Json",
    "LongNumber",
    "Schema",
    "SourceMap",
    "Tokens",
    "as_json",
    "as_text",
    "distinct",
    "exact_number",
    "exact_numbers",
    "find",
    "identity",
    "is_number",
    "kind_of",
    "pointer",
    "read_number",
    "same",
    "tokens",
]

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None
Schema: TypeAlias = bool | dict[str, Json]
Tokens: TypeAlias = tuple[str, ...]
"""A JSON pointer as a path: the keys and indices from the root to a value."""

T = TypeVar("T", bound=Json)

MAX_DEPTH: Final = 100
"""Maximum nesting depth of arrays and objects in a file."""

MAX_VALUES: Final = 500_000
"""Maximum number of values in a file; an alias counts as often as it is used."""

MAX_DIGITS: Final = 4000
"""Maximum number of digits of an integer; Python itself rejects little more (``sys.get_int_max_str_digits``)."""

NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
"""The syntax of a number in JSON."""

SURROGATE: Final = re.compile("[\ud800-\udfff]")
"""A lone surrogate: half of a UTF-16 pair, which is not a character by itself."""


@dataclass(frozen=True, slots=True)
class SourceMap:
    """The line of a value in its file, and of each value in it.

    Attributes:
        line: The line of the value, or of its key if it has one; from 1.
        below: The source maps of its properties or items, by key or index.
    """

    line: int
    below: Mapping[str, "SourceMap"]


class LongNumber(float):
    """A number with a fraction that no float has all digits of; as a float, it is the nearest.

    Attributes:
        exact: The number.
    """

    def __new__(cls, exact: Decimal) -> Self:
        """Make the number of a Decimal."""
        made = super().__new__(cls, exact)
        made.exact = exact
        return made

    exact: Decimal

    def __repr__(self) -> str:
        # Generated code contains schemas as Python writes them.
        return f"Decimal({str(self.exact)!r})"

    def is_integer(self) -> bool:
        """Return False: it has a fraction, even if the nearest float has none."""
        return False


def read_number(text: str) -> int | float:
    """Return the number that a JSON literal stands for.

    Returns:
        With a fraction or an exponent, a float, which stands for the number of its shortest notation; if that is
        another number, an integer or a ``LongNumber``. Else an integer.

    Raises:
        ValueError: The number is too large to be read alike by all JSON implementations.
    """
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits; at most {MAX_DIGITS} are supported")
    if "." not in text and "e" not in text.lower():
        return int(text)
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is too large for a 64-bit floating-point number")
    try:
        exact = Decimal(text)
    except InvalidOperation:
        exact = Decimal("NaN")
    if not exact.is_finite() or (exact and exact.adjusted() < -MAX_DIGITS):
        raise ValueError(f"{text[:40]} has an exponent that is out of range")
    if exact == exact_number(number):
        return number
    return int(exact) if exact == exact.to_integral_value() else LongNumber(exact)


def exact_number(number: int | float) -> Decimal:  # noqa: PYI041 # they differ here
    """Return the number that an integer or float of a protocol file stands for: 1e23 is ``10**23``."""
    if isinstance(number, LongNumber):
        return number.exact
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)


def is_number(value: Json) -> TypeGuard[int | float]:
    """Return whether a value is a number, and no boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def exact_numbers(value: Json) -> Any:  # noqa: ANN401 # a JSON value that may contain Decimals
    """Return a value with its numbers as jsonschema-rs compares them exactly: as integers, floats and Decimals."""
    match value:
        case dict():
            return {key: exact_numbers(each) for key, each in value.items()}
        case list():
            return [exact_numbers(each) for each in value]
        case LongNumber():
            return value.exact
        case float() if value.is_integer():
            return int(exact_number(value))
        case _:
            return value


def as_json(value: Json) -> str:
    """Return a value as JSON, with all digits of its numbers."""
    match value:
        case dict():
            properties = (f"{as_json(key)}: {as_json(each)}" for key, each in value.items())
            return f"{{{', '.join(properties)}}}"
        case list():
            return f"[{', '.join(map(as_json, value))}]"
        case LongNumber():
            return str(value.exact)
        case _:
            return _write_scalar(value)


_write_scalar: Final = json.JSONEncoder(
    ensure_ascii=False
).encode  # made once: dumps would make it each time


def pointer(path: Tokens) -> str:
    """Return the JSON pointer (RFC 6901) of a path."""
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in path)


def tokens(text: str) -> Tokens:
    """Return the path of a JSON pointer, which is empty or begins with a slash."""
    return tuple(each.replace("~1", "/").replace("~0", "~") for each in text.split("/")[1:])


def as_text(value: Json) -> str:
    """Return the value if it is a string, else an empty string."""
    return value if isinstance(value, str) else ""


def find(value: Json, path: Tokens) -> Json:
    """Return the value at a path.

    Raises:
        KeyError: There is no such value; the argument is the first token without a value.
    """
    for token in path:
        match value:
            case dict() if token in value:
                value = value[token]
            case list() if token.isascii() and token.isdigit() and _is_index(token, len(value)):
                value = value[int(token)]
            case _:
                raise KeyError(token)
    return value


def _is_index(token: str, length: int) -> bool:
    # An index has no leading zeros; one with more digits than the length is out of range in any case.
    return len(token) <= len(str(length)) and str(int(token)) == token and int(token) < length


def kind_of(value: Json) -> str:
    """Return the JSON type of a value; a float is a number, whatever its fraction is."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"


def same(one: Json, other: Json) -> bool:
    """Return whether two values are equal in JSON: 1 equals 1.0, but neither equals true."""
    return identity(one) == identity(other)


def identity(value: Json) -> Hashable:
    """Return a key that is equal for two values if and only if they are equal in JSON."""
    match value:
        case dict():
            return dict, frozenset((key, identity(each)) for key, each in value.items())
        case list():
            return list, tuple(map(identity, value))
        case bool():
            return bool, value
        case float():
            # Decimals are equal to integers, and have their hash.
            return exact_number(value)
        case _:
            return value


def distinct(values: Iterable[T]) -> list[T]:
    """Return the values without duplicates, each at its first position."""
    found: dict[Hashable, T] = {}
    for value in values:
        found.setdefault(identity(value), value)
    return list(found.values())
