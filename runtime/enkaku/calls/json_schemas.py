"""The parts of JSON Schemas, in a document whose references are ``#/$defs/NAME``: references, documentation, and differences."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias, cast

__all__ = ["Json", "bare", "needed", "reference_to", "renamed", "target_of"]

Json: TypeAlias = object

_PREFIX: Final = "#/$defs/"
_DOCUMENTATION: Final = frozenset(
    {
        *("$comment", "default", "deprecated", "description", "examples"),
        *("readOnly", "title", "writeOnly"),
    }
)
_ONE: Final = frozenset(
    {
        *("additionalProperties", "contains", "contentSchema", "else", "if", "items", "not"),
        *("propertyNames", "then", "unevaluatedItems", "unevaluatedProperties"),
    }
)
_LISTED: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED: Final = frozenset(
    {"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"}
)


def target_of(schema: Mapping[str, Json]) -> str | None:
    """Return the name of the definition to which a schema refers; None if it refers to none."""
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith(_PREFIX):
        return None
    name = reference.removeprefix(_PREFIX)
    return None if "/" in name else name.replace("~1", "/").replace("~0", "~")


def reference_to(name: str) -> str:
    """Return the reference to a definition."""
    return _PREFIX + name.replace("~", "~0").replace("/", "~1")


def needed(schemas: Sequence[Json], definitions: Mapping[str, Json]) -> set[str]:
    """Return the names of the definitions to which schemas refer, directly or through others."""
    found: set[str] = set()
    waiting = [*schemas]
    while waiting:
        schema = waiting.pop()
        if not isinstance(schema, dict):
            continue
        own = cast("dict[str, Json]", schema)
        name = target_of(own)
        if "$dynamicRef" in own and not definitions.keys() <= found:
            # Its target may be any definition that leads to it.
            found |= definitions.keys()
            waiting += definitions.values()
        elif name is not None and name in definitions and name not in found:
            found.add(name)
            waiting.append(definitions[name])
        waiting += _subschemas(own)
    return found


def _subschemas(schema: Mapping[str, Json]) -> Iterator[Json]:
    for key, value in schema.items():
        if key in _ONE:
            yield value
        elif key in _LISTED and isinstance(value, list):
            yield from cast("list[Json]", value)
        elif key in _NAMED and isinstance(value, dict):
            yield from cast("dict[str, Json]", value).values()


def _rebuilt(schema: Json, change: Callable[[dict[str, Json]], dict[str, Json]]) -> Json:
    """Return a schema as a function has changed it, and each schema in it."""
    if not isinstance(schema, dict):
        return schema
    new = change(cast("dict[str, Json]", schema))
    for key, value in new.items():
        if key in _ONE:
            new[key] = _rebuilt(value, change)
        elif key in _LISTED and isinstance(value, list):
            new[key] = [_rebuilt(each, change) for each in cast("list[Json]", value)]
        elif key in _NAMED and isinstance(value, dict):
            named = cast("dict[str, Json]", value)
            new[key] = {name: _rebuilt(each, change) for name, each in named.items()}
    return new


def renamed(schema: Json, names: Mapping[str, str]) -> Json:
    """Return a schema in which some definitions have other names."""

    def change(own: dict[str, Json]) -> dict[str, Json]:
        name = target_of(own)
        known = None if name is None else names.get(name)
        return {**own, "$ref": reference_to(known)} if known is not None else {**own}

    return _rebuilt(schema, change)


def bare(schema: Json) -> Json:
    """Return a schema without documentation."""
    return _rebuilt(
        schema,
        lambda own: {
            key: value
            for key, value in own.items()
            if key not in _DOCUMENTATION and not key.startswith("x-")
        },
    )
