"""Warnings about schemas: names that are allowed, and are nearly the name of something else.

These are the names of required properties that are no property, and of formats where the protocol selects types for
formats. A name counts as a property if any schema for the same value has it: those around, and those in ``allOf``, ``if`` and
so on. Where a ``$ref`` may bring properties, there is no warning.
"""

from collections.abc import Iterator
from typing import Final

from enkaku_codegen.json_values import Json, Tokens, find

from .dialects import IN_PLACE, Dialect
from .options import FORMATS
from .schemas import applied
from .simple_schema import as_dict, as_list
from .validation_text import describe, nearest

__all__ = ["STANDARD_FORMATS", "doubts", "format_doubt"]

_LISTED: Final = frozenset({"allOf", "anyOf", "oneOf"})
_SHORTEST: Final = 3
_ALIKE: Final = 0.8
STANDARD_FORMATS: Final = FORMATS.keys() | set("""
    email hostname idn-email idn-hostname iri iri-reference json-pointer regex relative-json-pointer uri
    uri-reference uri-template
    """.split())  # noqa: SIM905 # twelve lines say no more
"""The formats of JSON Schema."""


def doubts(document: Json, path: Tokens, dialect: Dialect) -> Iterator[tuple[Tokens, str]]:
    """Yield the warnings about the schema at a path of a file, each with its path from the schema."""
    schema = as_dict(find(document, path))
    own = as_dict(schema.get("properties"))
    if not own or "patternProperties" in schema:
        return
    unknown = [each for each in _names(schema) if isinstance(each[2], str) and each[2] not in own]
    if not unknown:
        return  # as nearly all: the schemas around need not be read
    around = [as_dict(find(document, each)) for each in _around(path)]
    if any(map(_is_open, around)):
        return
    known, expected = _properties(around[-1], dialect)
    others = [each for each in own if each not in expected]
    for location, keyword, name in unknown:
        if name not in known and (hint := _nearest(str(name), others)):
            yield location, f"{keyword}, but no property{hint}"


def format_doubt(schema: dict[str, Json]) -> str:
    """Return the warning about a ``format`` that JSON Schema does not have, but nearly; empty if there is none."""
    name = schema.get("format")
    if not isinstance(name, str) or name in STANDARD_FORMATS:
        return ""
    hint = nearest(name.lower(), sorted(STANDARD_FORMATS), cutoff=_ALIKE)
    return f"unknown format {describe(name)}{hint}: the string stays a string" if hint else ""


def _around(path: Tokens) -> Iterator[Tokens]:
    """Yield the paths of the schemas for the same value that are around a schema, from itself to the outermost."""
    yield path
    while path:
        named = path[-2:-1]
        if named == ("dependentSchemas",) or (set(named) & _LISTED and path[-1].isdecimal()):
            path = path[:-2]
        elif path[-1] in IN_PLACE and named != ("properties",):
            path = path[:-1]
        else:
            break
        yield path


def _is_open(schema: Json) -> bool:
    """Return whether a schema may have properties by reference."""
    match schema:
        case {"$ref": _} | {"$dynamicRef": _}:
            return True
        case {"allOf": [*parts]}:
            return any(map(_is_open, parts))
        case _:
            return False


def _properties(schema: dict[str, Json], dialect: Dialect) -> tuple[set[str], set[str]]:
    """Return the properties that a schema and those in it name for the same value, and those that they require."""
    known: set[str] = set()
    expected: set[str] = set()
    waiting: list[Json] = [schema]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            known.update(as_dict(each.get("properties")))
            expected.update(name for _, _, name in _names(each) if isinstance(name, str))
            waiting += [below for path, below in applied(each, dialect) if path[0] in IN_PLACE]
    return known, expected


def _names(schema: dict[str, Json]) -> Iterator[tuple[Tokens, str, Json]]:
    """Yield the names of properties in the keywords that require them: path, what it is, name."""
    for index, name in enumerate(as_list(schema.get("required"))):
        yield ("required", str(index)), "required", name
    for keyword in ("dependentRequired", "dependencies"):
        for key, names in as_dict(schema.get(keyword)).items():
            yield (keyword, key), f"in {keyword}", key
            for index, name in enumerate(as_list(names)):
                yield (keyword, key, str(index)), f"in {keyword}", name


def _nearest(name: str, others: list[str]) -> str:
    def starts(one: str, other: str) -> bool:
        return len(one) >= _SHORTEST and other.startswith(one)

    for other in others:
        if starts(name, other) or starts(other, name):
            return f' (did you mean "{other}"?)'
    return nearest(name, others)
