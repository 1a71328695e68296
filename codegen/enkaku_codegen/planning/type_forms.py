"""Type forms: the simple schemas for a schema without references and choices.

Keywords that no type expresses are left out, so a form accepts every value that the schema accepts.
"""

import math
from collections.abc import Iterator
from typing import Final

from enkaku_codegen.json_values import (
    SURROGATE,
    Json,
    LongNumber,
    as_text,
    distinct,
    kind_of,
)
from enkaku_codegen.reading.options import STRING_KEYWORDS, StringTypes
from enkaku_codegen.reading.simple_schema import ANYTHING, SimpleSchema, as_dict, as_list

from .all_of import type_names, with_enum
from .pattern import portable

__all__ = ["converted", "forms", "with_one_enum"]

_SIZES: Final = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
_CHILDREN: Final = {
    "array": ("items", "prefixItems"),
    "string": STRING_KEYWORDS,
    "object": (
        "properties",
        "patternProperties",
        "propertyNames",
        "additionalProperties",
        "required",
        "title",
        "description",
    ),
}
_LOWER: Final = ("minimum", "exclusiveMinimum")
_UPPER: Final = ("maximum", "exclusiveMaximum")
_TYPES: Final = ("null", "boolean", "integer", "number", "string", "array", "object")
_UNTYPED: Final = ("null", "boolean", "number", "string", "array")


def forms(schema: SimpleSchema) -> Iterator[SimpleSchema]:
    """Yield the alternatives of a schema without references and choices."""
    schema = with_enum(schema)
    names = type_names(schema.get("type"))
    if "enum" in schema:
        yield from _listed(as_list(schema["enum"]), names)
    elif names:
        for name in names:
            yield _of_type(name, schema)
    elif as_dict(schema.get("properties")):
        # Without a type, properties constrain only objects: all other values pass.
        yield _of_type("object", schema)
        for name in _UNTYPED:
            yield {"type": name}
    elif any(key in schema for key in STRING_KEYWORDS):
        yield {key: schema[key] for key in STRING_KEYWORDS if key in schema}
    else:
        yield ANYTHING


def _listed(values: list[Json], names: list[str]) -> Iterator[SimpleSchema]:
    def fits(value: Json) -> bool:
        kind = kind_of(value)
        return not names or kind in names or (kind == "integer" and "number" in names)

    fitting = [value for value in values if fits(value) or isinstance(value, float)]
    for kind in dict.fromkeys(kind_of(value) for value in fitting if not _is_literal(value)):
        yield {"type": kind}
    literal = distinct(filter(_is_literal, fitting))
    if literal:
        yield {"enum": literal}


def _is_literal(value: Json) -> bool:
    """Return whether pydantic supports a value in a Literal: integers of 64 bits, strings that UTF-8 can encode."""
    match value:
        case bool():
            return True
        case int():
            return -(2**63) <= value < 2**63
        case str():
            return SURROGATE.search(value) is None
        case _:
            return False


def _of_type(name: str, schema: SimpleSchema) -> SimpleSchema:
    if name not in _TYPES:
        return ANYTHING
    simple: SimpleSchema = {"type": name}
    for key in _SIZES.get(name, ()):
        size = schema.get(key)
        # Larger sizes exceed the memory.
        least = 1 if key.startswith("min") else 0
        if isinstance(size, int | float) and least <= size < 2**31 and size == int(size):
            simple[key] = int(size)
    for key in _CHILDREN.get(name, ()):
        if key in schema:
            simple[key] = schema[key]
    pattern = schema.get("pattern")
    if name == "string" and isinstance(pattern, str) and (text := portable(pattern)) is not None:
        simple["pattern"] = text
    if name in {"integer", "number"}:
        simple.update(_bounds(name, schema))
    return simple


def _bounds(name: str, schema: SimpleSchema) -> Iterator[tuple[str, Json]]:
    for key in (*_LOWER, *_UPPER):
        value = schema.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if isinstance(value, LongNumber) or not -(2**53) <= value <= 2**53:
            continue
        if name == "integer":
            # x >= 0.5 is x >= 1, and x > 0.5 is x > 0
            up = key in {"minimum", "exclusiveMaximum"}
            value = math.ceil(value) if up else math.floor(value)
        yield key, value
    factor = schema.get("multipleOf")
    if name == "integer" and isinstance(factor, int) and 0 < factor <= 2**53:
        yield "multipleOf", factor


def with_one_enum(schemas: list[SimpleSchema]) -> list[SimpleSchema]:
    """Return the forms with all literals joined at the position of the first enum."""
    literals = distinct(value for simple in schemas for value in as_list(simple.get("enum")))
    first = next((index for index, simple in enumerate(schemas) if "enum" in simple), 0)
    return [
        {"enum": literals} if index == first and literals else simple
        for index, simple in enumerate(schemas)
        if index == first or "enum" not in simple
    ]


def converted(simple: SimpleSchema, string_types: StringTypes) -> Iterator[SimpleSchema]:
    """Yield the form with the Python type for its strings if one is selected, without other keywords."""
    keys = [key for key in STRING_KEYWORDS if key in simple]
    if not keys:
        yield simple
        return
    types = [string_types.get((key, as_text(simple[key]))) for key in keys]
    type_ = next((each for each in types if each is not None), None)
    if type_ is None:
        yield {key: value for key, value in simple.items() if key not in STRING_KEYWORDS}
        return
    yield {"type": "string", "format": type_}
    if "type" not in simple:
        # Without a type, these keywords apply only to strings: all other values pass.
        for name in (*_UNTYPED, "object"):
            if name != "string":
                yield {"type": name}
