"""Structure of JSON Schema: the subschemas of a schema, and the check that it is well-formed.

Two dialects are read. Everything after the reader sees one: ``rebuilt`` translates draft-07 to draft 2020-12.
"""

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

from enkaku_codegen.json_values import Json, Schema, Tokens, as_json, read_number

from .dialects import DRAFT_07, DRAFT_2020_12, HOLDERS, Dialect
from .validation_text import explain

__all__ = ["applied", "check", "is_dynamic", "rebuilt", "subschemas"]

_SPENT: Final = HOLDERS | {"$schema", "$id", "$anchor", "$dynamicAnchor", "$vocabulary"}


def subschemas(schema: dict[str, Json], dialect: Dialect) -> Iterator[tuple[Tokens, Schema]]:
    """Yield the schemas directly within a schema, each with its path there."""
    for key, value in schema.items():
        match value:
            case dict() if key in dialect.named:
                for name, each in value.items():
                    if isinstance(each, dict | bool):
                        yield (key, name), each
            case list() if key in dialect.listed:
                for index, each in enumerate(value):
                    if isinstance(each, dict | bool):
                        yield (key, str(index)), each
            case dict() | bool() if key in dialect.one:
                yield (key,), value
            case _:
                pass


def is_dynamic(schema: Json) -> bool:
    """Return whether a schema of draft 2020-12 has a ``$dynamicRef`` in it."""
    return isinstance(schema, dict) and (
        "$dynamicRef" in schema
        or any(is_dynamic(each) for _, each in subschemas(schema, DRAFT_2020_12))
    )


def applied(schema: dict[str, Json], dialect: Dialect) -> Iterator[tuple[Tokens, Schema]]:
    """Yield the subschemas that apply to values of a schema, without those that only references lead to."""
    if dialect.ref_alone and "$ref" in schema:
        return
    for path, each in subschemas(schema, dialect):
        if path[0] not in HOLDERS:
            yield path, each


def check(schema: Schema, dialect: Dialect) -> tuple[tuple[Tokens, str], ...]:
    """Return the errors in a schema, without those in its subschemas."""
    if isinstance(schema, bool):
        return ()
    # Subschemas are checked by themselves, so that no schema is too deep for the validator. Keywords that
    # can't be wrong are left out, so that the cache serves the many schemas that are alike.
    shallow: dict[str, Json] = {}
    for key, value in schema.items():
        match value:
            case str() if key in ("$comment", "$ref", "description", "title"):
                pass
            case list() if key in ("enum", "examples") or (key == "required" and _are_names(value)):
                pass
            case dict() if key in dialect.named:
                wrong = {name: each for name, each in value.items() if not _is_schema(each)}
                shallow[key] = wrong
            case list() if key in dialect.listed:
                stripped: list[Json] = [True if _is_schema(each) else each for each in value]
                shallow[key] = stripped[:1] if all(map(_is_schema, value)) else stripped
            case dict() if key in dialect.one:
                pass
            case _ if key not in ("const", "default"):
                shallow[key] = value
            case _:
                pass
    return _faults(as_json(dict(sorted(shallow.items()))), dialect)


def _is_schema(value: Json) -> bool:
    return isinstance(value, dict | bool)


def _are_names(values: list[Json]) -> bool:
    names = {value for value in values if isinstance(value, str)}
    return len(names) == len(values)


@lru_cache(maxsize=4096)
def _faults(text: str, dialect: Dialect) -> tuple[tuple[Tokens, str], ...]:
    content: Json = json.loads(text, parse_float=read_number)
    errors = dialect.validator.iter_errors(content)
    return tuple(dict.fromkeys(fault for error in errors for fault in explain(error)))


def rebuilt(
    schema: dict[str, Json], dialect: Dialect, make: Callable[[Tokens, Schema], Schema]
) -> dict[str, Json]:
    """Return the schema in draft 2020-12, with its subschemas replaced, and without ``$defs`` and identifiers.

    Unknown keywords are left out, too: only the lenient mode lets them pass.

    Args:
        schema: The schema; it is not changed.
        dialect: The dialect of the schema.
        make: Returns the new schema for a subschema, from its path and itself.
    """
    new: dict[str, Json] = {
        key: (
            dict(value)
            if isinstance(value, dict)
            else list(value) if isinstance(value, list) else value
        )
        for key, value in schema.items()
        if key not in _SPENT and (key in dialect.keywords or key.startswith("x-"))
    }
    for path, each in applied(schema, dialect):
        match new[path[0]]:
            case dict() as named if len(path) == 2:
                named[path[1]] = make(path, each)
            case list() as listed:
                listed[int(path[1])] = make(path, each)
            case _:
                new[path[0]] = make(path, each)
    return _upgraded(new) if dialect is DRAFT_07 else new


def _upgraded(schema: dict[str, Json]) -> dict[str, Json]:
    """Return a schema of draft-07 in draft 2020-12."""
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    new = dict(schema)
    rest = new.pop("additionalItems", None)
    if isinstance(new.get("items"), list):
        new["prefixItems"] = new.pop("items")
        if rest is not None:
            new["items"] = rest
    dependencies = new.pop("dependencies", None)
    if isinstance(dependencies, dict):
        for key, value in dependencies.items():
            kind = "dependentRequired" if isinstance(value, list) else "dependentSchemas"
            into = new.setdefault(kind, {})
            if isinstance(into, dict):
                into[key] = value
    return new
