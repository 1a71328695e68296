"""Changes a schema of others as little as a protocol file asks for: names of references and of unknown keywords."""

import re
from collections.abc import Callable
from typing import Any

DRAFT_07 = "http://json-schema.org/draft-07/schema#"
DRAFT_2020_12 = "https://json-schema.org/draft/2020-12/schema"

_NAMED = {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
_LISTED = {"allOf", "anyOf", "oneOf", "prefixItems"}
_ONE = {
    *("additionalItems", "additionalProperties", "contains", "contentSchema", "else", "if"),
    *("items", "not", "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties"),
}
_PLAIN = {
    *("$comment", "$id", "$ref", "$schema", "const", "contentEncoding", "contentMediaType"),
    *("default", "dependencies", "description", "enum", "examples", "exclusiveMaximum"),
    *(
        "exclusiveMinimum",
        "format",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
    ),
    *("minLength", "minProperties", "minimum", "multipleOf", "pattern", "readOnly", "required"),
    *("title", "type", "uniqueItems", "writeOnly"),
}
_NEW = {
    *("$anchor", "$defs", "contentSchema", "dependentRequired", "dependentSchemas", "deprecated"),
    *("maxContains", "minContains", "prefixItems", "unevaluatedItems", "unevaluatedProperties"),
}
_KNOWN = {
    DRAFT_07: (_NAMED | _LISTED | _ONE | _PLAIN) - _NEW,
    DRAFT_2020_12: (_NAMED | _LISTED | _ONE | _PLAIN | _NEW) - {"additionalItems", "dependencies"},
}


def converted(schema: Any, refer: Callable[[str], str], draft: str = DRAFT_07) -> Any:
    """Convert a schema and those within it.

    Args:
        refer: Gives what a reference becomes.
        draft: What the schema is written in.
    """
    if not isinstance(schema, dict):
        return schema
    new: dict[str, Any] = {}
    for key, value in schema.items():
        match value:
            case _ if key not in _KNOWN[draft]:
                new[key if key.startswith("x-") else f"x-{key.lstrip('$_')}"] = value
            case dict() if key in _NAMED or key == "dependencies":
                new[key] = {name: converted(each, refer, draft) for name, each in value.items()}
            case list() if key in _LISTED or key == "items":
                new[key] = [converted(each, refer, draft) for each in value]
            case _ if key in _ONE:
                new[key] = converted(value, refer, draft)
            case str() if key == "$ref":
                new[key] = refer(value)
            case _:
                new[key] = value
    return new


def shared(reference: str) -> str:
    """Give what a reference into ``definitions`` becomes."""
    return re.sub("^#/definitions/", "#/$defs/", reference)
