"""What schemas say of themselves, for docstrings.

Above it: planner. Below it: JSON.
"""

import json
from typing import Final

from .jsontree import Json, Schema

__all__ = ["text_of", "with_default"]

_LONGEST_DEFAULT: Final = 60


def with_default(text: str, schema: Schema) -> str:
    """Add the default: a note, since JSON Schema does not fill it in."""
    if isinstance(schema, bool) or "default" not in schema:
        return text
    default = json.dumps(schema["default"], ensure_ascii=False)
    note = f"Default: {default}" if len(default) <= _LONGEST_DEFAULT else ""
    return "\n\n".join(part for part in (text, note) if part)


def text_of(schema: Json) -> str:
    """Give what a schema says of itself."""
    if isinstance(schema, dict):
        for key in ("description", "title"):
            text = schema.get(key)
            if isinstance(text, str) and text.strip():
                return text
    return ""
