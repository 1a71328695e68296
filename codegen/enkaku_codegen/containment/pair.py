"""Pairs of schemas to compare, without annotations and with the definitions that they need."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from enkaku_codegen.json_values import Json, Schema, exact_number, identity, is_number
from enkaku_codegen.reading.bundle import bare, needed_definitions, without_annotations
from enkaku_codegen.reading.dialects import DRAFT_2020_12
from enkaku_codegen.reading.options import STRING_KEYWORDS, StringTypes
from enkaku_codegen.reading.schemas import applied

__all__ = ["Pair", "Side", "has_key", "make_side"]

_EXACT_DIGITS: Final = 15
_EXACT_INTEGER: Final = 2**53


@dataclass(frozen=True)
class Side:
    """A schema without annotations, with the definitions that it refers to.

    It has only those formats and encodings that the types of strings enforce.
    """

    schema: Schema
    definitions: Mapping[str, Schema]

    @property
    def json(self) -> list[Json]:
        """The schema and its definitions as one value."""
        return [self.schema, {**self.definitions}]

    @cached_property
    def document(self) -> dict[str, Json]:
        """The schema with its definitions in ``$defs``, and with patterns for the validator."""
        schema = without_annotations(self.schema)
        made: dict[str, Json] = {**schema} if isinstance(schema, dict) else {"allOf": [schema]}
        if self.definitions:
            made["$defs"] = {
                name: without_annotations(each) for name, each in self.definitions.items()
            }
        return made

    @cached_property
    def has_long_numbers(self) -> bool:
        """Whether it has a number that a float may round."""
        return any(map(_is_long, _numbers([self.schema, *self.definitions.values()])))

    @cached_property
    def has_string_types(self) -> bool:
        """Whether types of strings enforce a format or an encoding."""
        return any(key in each for each in self.parts() for key in STRING_KEYWORDS)

    def parts(self) -> Iterator[dict[str, Json]]:
        """Yield the schema, its definitions, and every schema within them."""
        waiting: list[Schema] = [self.schema, *self.definitions.values()]
        while waiting:
            schema = waiting.pop()
            if isinstance(schema, dict):
                yield schema
                waiting += [each for _, each in applied(schema, DRAFT_2020_12)]

    @cached_property
    def has_fractions(self) -> bool:
        """Whether it has a number with a fraction."""
        numbers = _numbers([self.schema, *self.definitions.values()])
        return any(isinstance(each, float) and not each.is_integer() for each in numbers)


@dataclass(frozen=True, slots=True)
class Pair:
    """The schema of those who write values, and that of those who read them."""

    writer: Side
    reader: Side

    @property
    def is_equal(self) -> bool:
        """Whether both schemas say the same in the same words."""
        return identity(self.writer.json) == identity(self.reader.json)


def make_side(schema: Schema, definitions: Mapping[str, Schema], string_types: StringTypes) -> Side:
    """Return the side of a schema of draft 2020-12.

    Args:
        schema: The schema.
        definitions: The targets of its references, and others.
        string_types: The types of strings of its protocol.
    """
    needed = needed_definitions(schema, definitions)
    return Side(
        bare(schema, string_types),
        {name: bare(each, string_types) for name, each in sorted(needed.items())},
    )


def has_key(value: Json, key: str) -> bool:
    """Return whether an object within a value has a key."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            if key in each:
                return True
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return False


def _numbers(values: list[Json]) -> Iterator[int | float]:
    waiting = [*values]
    while waiting:
        match waiting.pop():
            case dict() as value:
                waiting += value.values()
            case list() as value:
                waiting += value
            case value if is_number(value):
                yield value
            case _:
                pass


def _is_long(number: float) -> bool:
    digits = exact_number(number).normalize().as_tuple().digits
    return len(digits) > _EXACT_DIGITS or abs(number) >= _EXACT_INTEGER
