"""JSON values: their types and limits, JSON pointers, identity, and source maps."""

import math
import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

__all__ = [
    "MAX_DEPTH",
    "MAX_DIGITS",
    "MAX_VALUES",
    "NUMBER",
    "SURROGATE",
    "Json",
    "Schema",
    "SourceMap",
    "Tokens",
    "as_text",
    "distinct",
    "find",
    "identity",
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


def read_number(text: str) -> int | float:
    """Return the number that a JSON literal stands for.

    Raises:
        ValueError: The number is too large to be read alike by all JSON implementations.
    """
    if "." in text or "e" in text.lower():
        number = float(text)
        if math.isinf(number):
            raise ValueError(f"{text[:40]} is too large for a 64-bit floating-point number")
        return number
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits; at most {MAX_DIGITS} are supported")
    return int(text)


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
        case _:
            return value


def distinct(values: Iterable[T]) -> list[T]:
    """Return the values without duplicates, each at its first position."""
    found: dict[Hashable, T] = {}
    for value in values:
        found.setdefault(identity(value), value)
    return list(found.values())
