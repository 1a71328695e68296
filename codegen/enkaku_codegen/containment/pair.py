"""Pairs of schemas to compare, without annotations and with the definitions that they need."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from enkaku_codegen.json_values import Json, Schema, exact_number, identity, is_number
from enkaku_codegen.reading.bundle import bare, needed_definitions, without_annotations

__all__ = ["Pair", "Side", "has_key", "make_pair"]

_EXACT_DIGITS: Final = 15
_EXACT_INTEGER: Final = 2**53


@dataclass(frozen=True)
class Side:
    """A schema without annotations, with the definitions that it refers to."""

    schema: Schema
    definitions: Mapping[str, Schema]

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
        return identity(self.writer.document) == identity(self.reader.document)


def make_pair(
    writer: Schema,
    reader: Schema,
    writer_definitions: Mapping[str, Schema],
    reader_definitions: Mapping[str, Schema],
) -> Pair:
    """Return the pair of two schemas of draft 2020-12."""
    return Pair(_side(writer, writer_definitions), _side(reader, reader_definitions))


def _side(schema: Schema, definitions: Mapping[str, Schema]) -> Side:
    needed = needed_definitions(schema, definitions)
    return Side(bare(schema), {name: bare(each) for name, each in sorted(needed.items())})


def has_key(value: Json, key: str) -> bool:
    """Return whether an object within a value has a key."""
    match value:
        case dict():
            return key in value or any(has_key(each, key) for each in value.values())
        case list():
            return any(has_key(each, key) for each in value)
        case _:
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
