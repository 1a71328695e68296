"""Linter for schemas: reports likely mistakes such as unknown keywords, which JSON Schema ignores."""

from collections.abc import Iterator
from typing import Final

from enkaku_codegen.json_values import Json, Tokens

from .dialects import DRAFT_07, DRAFT_2020_12, HOLDERS, Dialect
from .regexes import pattern_fault
from .validation_text import describe, nearest, severed

__all__ = ["HIDDEN", "NAME_IN_PYTHON", "holds_schemas", "lint"]

NAME_IN_PYTHON: Final = "x-python-name"
"""The keyword that sets a name in Python: of the attribute for a property, of a definition or of a procedure."""

HIDDEN: Final = "x-secret"
"""The keyword that keeps values out of errors, representations and logs."""


_ALIKE: Final = 0.75
_ANYWHERE: Final = HOLDERS | {"$comment", "$id", "$schema"}
_FREE: Final = ": a keyword of your own begins with x-"
_CHOOSE: Final = (
    "draft-07 does not know it; draft 2020-12 does: "
    '"$schema": "https://json-schema.org/draft/2020-12/schema"'
)

# The equivalent in the dialect of keywords of other drafts.
_EQUIVALENT: Final = {
    DRAFT_2020_12: {
        "$recursiveAnchor": "in draft 2020-12 it is $dynamicAnchor",
        "$recursiveRef": "in draft 2020-12 it is $dynamicRef",
        "additionalItems": "in draft 2020-12 it is items, after prefixItems for the first ones",
        "dependencies": (
            "in draft 2020-12 it is dependentRequired with names, dependentSchemas with schemas"
        ),
    },
    DRAFT_07: {
        "$anchor": f'in draft-07 it is "$id": "#name"; {_CHOOSE}',
        "dependentRequired": f"in draft-07 it is dependencies; {_CHOOSE}",
        "dependentSchemas": f"in draft-07 it is dependencies; {_CHOOSE}",
        "prefixItems": f"in draft-07 it is items with an array; {_CHOOSE}",
        **dict.fromkeys(
            ("$recursiveAnchor", "$recursiveRef"), "neither draft-07 nor 2020-12 knows it"
        ),
    },
}
_OPENAPI: Final = {
    "discriminator": "leave it out: a const in each schema of oneOf tells them apart",
    "example": "JSON Schema has examples, with an array",
    "externalDocs": "leave it out, or put its address into description",
    "nullable": 'JSON Schema has the type "null", as in {type: [string, "null"]}',
    "xml": "leave it out: values cross the wire as JSON",
}


def holds_schemas(schema: dict[str, Json], dialect: Dialect, *, is_file: bool) -> bool:
    """Return whether an object is not a schema, but only holds schemas by name.

    A file may have other values, too.
    """
    own = {key: each for key, each in schema.items() if key[:2] != "x-" and key not in _ANYWHERE}
    only = is_file or all(isinstance(each, dict) for each in own.values())
    return bool(own) and only and not dialect.keywords & own.keys()


def lint(schema: dict[str, Json], dialect: Dialect) -> Iterator[tuple[Tokens, str]]:
    """Yield the likely mistakes in a schema, without those in its subschemas."""
    for key, value in schema.items():
        if key in dialect.keywords:
            if key == "items" and isinstance(value, list) and dialect is DRAFT_2020_12:
                yield (
                    key,
                ), "expected one schema: in draft 2020-12, prefixItems has the first ones"
        elif key == HIDDEN and not isinstance(value, bool):
            yield (key,), f"expected true or false, got {describe(value)}"
        elif not key.startswith("x-"):
            yield (key,), f'unknown keyword "{key}"{_hint(schema, key, dialect)}'
    if not (dialect.ref_alone and "$ref" in schema):
        yield from _wrong_patterns(schema)
        yield from _misspelt(schema)


def _misspelt(schema: dict[str, Json]) -> Iterator[tuple[Tokens, str]]:
    """Yield the required names that are no property, but nearly the name of one."""
    required, properties = schema.get("required"), schema.get("properties")
    if schema.get("additionalProperties") is not False or schema.get("patternProperties"):
        return
    if isinstance(required, list) and isinstance(properties, dict):
        others = [name for name in properties if name not in required]
        for index, name in enumerate(required):
            if isinstance(name, str) and name not in properties:
                hint = nearest(name, others, cutoff=_ALIKE)
                if hint:
                    message = f"required, but no property, and additionalProperties: false{hint}"
                    yield ("required", str(index)), message


def _wrong_patterns(schema: dict[str, Json]) -> Iterator[tuple[Tokens, str]]:
    pattern, named = schema.get("pattern"), schema.get("patternProperties")
    if isinstance(pattern, str) and (fault := pattern_fault(pattern)):
        yield ("pattern",), fault
    for name in named if isinstance(named, dict) else ():
        if fault := pattern_fault(name):
            yield ("patternProperties", name), fault


def _hint(schema: dict[str, Json], key: str, dialect: Dialect) -> str:
    if equivalent := _EQUIVALENT[dialect].get(key):
        return f": {equivalent}"
    if key in DRAFT_2020_12.keywords:
        return f": {_CHOOSE}"
    if key in _OPENAPI:
        return f", from OpenAPI: {_OPENAPI[key]}"
    hint = severed(schema, key) or nearest(key, sorted(dialect.keywords), cutoff=_ALIKE)
    if not hint and _is_schema(schema[key]):
        return ": properties stand within, as in {type: object, properties: ...}"
    return hint or _FREE


def _is_schema(value: Json) -> bool:
    match value:
        case {"type": str() | list()} | {"$ref": str()}:
            return True
        case _:
            return False
