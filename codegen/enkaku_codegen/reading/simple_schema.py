"""Simple schemas: the part of JSON Schema that a Python type can express.

A simple schema has one of these forms:

- ``{}``: any value;
- ``{"$ref": "#/$defs/NAME"}``;
- ``{"enum": [...]}``: strings, integers and booleans, at least one;
- ``{"type": NAME, ...}``: one type, with the keywords that belong to it; ``format`` is the name of the strings' Python type;
- ``{"anyOf": [...]}``: a choice between simple schemas.
"""

from collections.abc import Mapping
from typing import Final

from enkaku_codegen.json_values import Json, distinct, tokens

__all__ = [
    "ANYTHING",
    "NULL",
    "SimpleSchema",
    "any_of",
    "as_dict",
    "as_list",
    "is_class",
    "is_closed",
    "is_long_enum",
    "reads_well",
    "reference_name",
    "sized",
]

SimpleSchema = dict[str, Json]

_MOST_LITERALS: Final = 3
_LONGEST: Final = 60

ANYTHING: Final[SimpleSchema] = {}
NULL: Final[SimpleSchema] = {"type": "null"}


def as_list(value: Json) -> list[Json]:
    """Return the value if it is an array, else an empty one."""
    return value if isinstance(value, list) else []


def as_dict(value: Json) -> dict[str, Json]:
    """Return the value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def reference_name(schema: Mapping[str, Json]) -> str | None:
    """Return the name of the definition that a schema refers to, or None."""
    target = schema.get("$ref")
    return tokens(target.removeprefix("#"))[-1] if isinstance(target, str) else None


def any_of(schemas: list[SimpleSchema]) -> SimpleSchema:
    """Return a choice between schemas, without duplicates."""
    unique = distinct(schemas)
    return unique[0] if len(unique) == 1 else {"anyOf": [*unique]}


def sized(simple: SimpleSchema, schema: Mapping[str, Json], *keys: str) -> SimpleSchema:
    """Return a simple schema with the size limits of a schema added."""
    return simple | {key: schema[key] for key in keys if key in schema}


def is_class(schema: SimpleSchema) -> bool:
    """Return whether a simple schema is an object that becomes a class: with properties, or without any."""
    return schema.get("type") == "object" and (bool(schema.get("properties")) or is_closed(schema))


def is_closed(schema: SimpleSchema) -> bool:
    """Return whether an object has no additional properties."""
    return schema.get("additionalProperties") is False and not schema.get("patternProperties")


def is_long_enum(schema: SimpleSchema) -> bool:
    """Return whether an enum is so long that it reads better with a name."""
    literals = as_list(schema.get("enum"))
    return len(literals) > _MOST_LITERALS or len(str(literals)) > _LONGEST


def reads_well(schema: Json) -> bool:
    """Return whether a type may be written in a signature, such as ``list[dict[str, Owner]] | None``."""
    match schema:
        case {"anyOf": [*schemas]}:
            return all(reads_well(each) for each in schemas)
        case {"type": "array", "items": item, **rest}:
            return not rest and reads_well(item)
        case {"type": "object", "additionalProperties": value, **rest}:
            return not rest and reads_well(value)
        case {"type": "array" | "object"} | {"enum": _}:
            return False
        case {"type": "string", "format": _}:
            return True
        case {"type": _, **rest}:
            return not rest
        case _:
            return True
