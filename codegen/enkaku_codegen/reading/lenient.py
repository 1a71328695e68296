"""Lenient mode for files that a protocol refers to: schemas that other tools wrote for themselves.

Keywords with a clear equivalent are converted: those of draft-04, OpenAPI and editors. All other unknown keywords
mean nothing in JSON Schema, and are ignored.
"""

from collections.abc import Mapping
from typing import Final

from enkaku_codegen.json_values import Json

from .dialects import DRAFT_07, DRAFT_2020_12, Dialect
from .simple_schema import as_dict, as_list

__all__ = ["convert", "has_old_ids", "is_ignorable", "read_as"]

# The dialect that schemas of another draft are converted to, by its $schema without scheme and #.
_READ_AS: Final[Mapping[str, Dialect]] = {
    "json-schema.org/draft-04/schema": DRAFT_07,
    "json-schema.org/draft-06/schema": DRAFT_07,
    "json-schema.org/draft/2019-09/schema": DRAFT_2020_12,
}

_LIMITS: Final = {"exclusiveMaximum": "maximum", "exclusiveMinimum": "minimum"}


def read_as(uri: Json) -> Dialect | None:
    """Return the dialect that schemas of the draft of a ``$schema`` are converted to; None if they are not."""
    return _READ_AS.get(_bare(uri))


def has_old_ids(uri: Json) -> bool:
    """Return whether a ``$schema`` names an old draft, whose ``id`` is ``$id`` today."""
    return read_as(uri) is DRAFT_07


def _bare(uri: Json) -> str:
    return uri.removesuffix("#").partition("://")[2] if isinstance(uri, str) else ""


def is_ignorable(keyword: str, dialect: Dialect) -> bool:
    """Return whether an unknown keyword may be ignored: one that refers to a schema may not."""
    return keyword not in dialect.keywords and keyword != "$recursiveRef"


def convert(schema: dict[str, Json], dialect: Dialect, *, old_ids: bool) -> None:
    """Convert a schema in place, without those in it.

    Args:
        schema: The schema.
        dialect: The dialect that it is converted to.
        old_ids: Whether its ``id`` is ``$id`` today.
    """
    if old_ids and isinstance(schema.get("id"), str):
        schema.setdefault("$id", schema.pop("id"))
    for exclusive, limit in _LIMITS.items():
        if isinstance(schema.get(exclusive), bool) and schema.pop(exclusive) and limit in schema:
            schema[exclusive] = schema.pop(limit)
    if schema.get("nullable") is False:
        del schema["nullable"]
    elif schema.get("nullable") is True and "type" in schema:
        del schema["nullable"]
        types = as_list(schema["type"]) or [schema["type"]]
        schema["type"] = [*types, *([] if "null" in types else ["null"])]
    if "example" in schema and "examples" not in schema:
        schema["examples"] = [schema.pop("example")]
    if isinstance(schema.get("markdownDescription"), str):
        text = schema.pop("markdownDescription")
        schema.setdefault("description", text)
    if isinstance(schema.get("deprecationMessage"), str):
        del schema["deprecationMessage"]
        schema.setdefault("deprecated", True)
    if dialect is DRAFT_2020_12:
        _convert_arrays(schema)
        _convert_dependencies(schema)


def _convert_arrays(schema: dict[str, Json]) -> None:
    rest = schema.pop("additionalItems", None)
    if isinstance(schema.get("items"), list):
        schema["prefixItems"] = schema.pop("items")
        if rest is not None:
            schema["items"] = rest


def _convert_dependencies(schema: dict[str, Json]) -> None:
    dependencies = as_dict(schema.get("dependencies"))
    for key, each in dependencies.items():
        keyword = "dependentRequired" if isinstance(each, list) else "dependentSchemas"
        schema[keyword] = {key: each, **as_dict(schema.get(keyword))}
    if dependencies:
        del schema["dependencies"]
