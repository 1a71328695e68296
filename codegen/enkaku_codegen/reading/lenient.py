"""Lenient mode for files that a protocol refers to: schemas that other tools wrote for themselves.

Keywords with a clear equivalent are converted: those of draft-04, OpenAPI and editors. All other unknown keywords
mean nothing in JSON Schema, and are ignored.
"""

from typing import Final

from enkaku_codegen.json_values import Json

from .simple_schema import as_list

__all__ = ["convert", "is_convertible"]

_OLD_DRAFTS: Final = ("json-schema.org/draft-04/schema", "json-schema.org/draft-06/schema")
_LIMITS: Final = {"exclusiveMaximum": "maximum", "exclusiveMinimum": "minimum"}


def is_convertible(uri: Json) -> bool:
    """Return whether a ``$schema`` names a draft whose schemas are read as those of draft-07."""
    if not isinstance(uri, str):
        return False
    return uri.removesuffix("#").partition("://")[2] in _OLD_DRAFTS


def convert(schema: dict[str, Json], *, old: bool) -> None:
    """Convert a schema in place, without those in it.

    Args:
        schema: The schema.
        old: Whether it is of an old draft, whose ``id`` is ``$id`` today.
    """
    if old and isinstance(schema.get("id"), str):
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
