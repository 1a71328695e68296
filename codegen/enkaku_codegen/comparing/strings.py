"""Strings that the protocol's options turn into values of a Python type: what the runtime enforces beyond the schema.

``format`` and ``contentEncoding`` are annotations, unless ``formats`` or ``encodings`` select a type for them. Then the
runtime rejects other strings. For a comparison, a pattern says so, which all strings of the format match.
"""

import re
from typing import Final

from enkaku_codegen.json_values import Json, Schema, Tokens
from enkaku_codegen.reading.dialects import DRAFT_2020_12
from enkaku_codegen.reading.options import STRING_KEYWORDS, StringTypes
from enkaku_codegen.reading.schemas import applied, rebuilt

__all__ = ["has_literal", "with_patterns"]

_PATTERNS: Final = {
    "date-time": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.Zz+\-]+$",
    "date": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    "time": r"^[0-9]{2}:[0-9]{2}:[0-9]{2}[0-9:.Zz+\-]+$",
    "duration": r"^P[0-9DHMSTWYdhmstwy]+$",
    "uuid": r"^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$",
    "ipv4": r"^[0-9]{1,3}[.][0-9]{1,3}[.][0-9]{1,3}[.][0-9]{1,3}$",
    "ipv6": r"^[0-9A-Fa-f:.]+$",
    "base64": r"^[A-Za-z0-9+/]*={0,2}$",
}


def with_patterns(schema: Schema, types: StringTypes) -> Schema:
    """Return a schema with a pattern for each string that the runtime turns into a value of a type.

    Args:
        schema: Any schema of draft 2020-12.
        types: The types that the protocol selects.
    """
    if isinstance(schema, bool) or not types:
        return schema

    def below(_: Tokens, each: Schema) -> Schema:
        return with_patterns(each, types)

    new = rebuilt(schema, DRAFT_2020_12, below)
    patterns = [
        _PATTERNS[name]
        for keyword in STRING_KEYWORDS
        if isinstance(name := schema.get(keyword), str) and (keyword, name) in types
    ]
    if not patterns or "enum" in schema or "const" in schema:
        return new
    if "pattern" in new:
        return {"allOf": [new, {"pattern": patterns[0]}]}
    return {**new, "pattern": patterns[0]}


def has_literal(schema: Schema, types: StringTypes) -> bool:
    """Return whether a schema lists strings, somewhere in it, that look as if they had one of the formats.

    Such a string need not have it: the pattern of a format matches more strings than the runtime reads.
    """
    patterns = [re.compile(_PATTERNS[str(name)]) for _, name in types]
    waiting: list[Schema] = [schema]
    while waiting:
        each = waiting.pop()
        if isinstance(each, bool):
            continue
        values: list[Json] = [each["const"]] if "const" in each else []
        listed = each.get("enum")
        values += listed if isinstance(listed, list) else []
        if any(
            isinstance(value, str) and any(p.match(value) for p in patterns) for value in values
        ):
            return True
        waiting += [below for _, below in applied(each, DRAFT_2020_12)]
    return False
