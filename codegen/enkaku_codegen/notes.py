"""What schemas say of themselves, for docstrings.

Above it: planner. Below it: JSON, names.
"""

import json
from collections.abc import Iterator
from typing import Final

from .jsontree import Json, as_text
from .names import pascal

__all__ = ["text_of", "text_of_property"]

_LONGEST: Final = 60
_MOST_EXAMPLES: Final = 3


def text_of(schema: Json, name: str = "") -> str:
    """Give what a schema says of its values: the description, else the title; and examples.

    Args:
        schema: The schema.
        name: The name of the type; a title that says the same is left out.
    """
    return _joined([*_described(schema, name), *_examples(schema)])


def text_of_property(schema: Json, name: str, *, described: bool, filled: bool) -> str:
    """Give what a schema says of a property.

    Args:
        schema: The property's schema.
        name: The property's name; a title that says the same is left out.
        described: Whether a type of its own has the text of its values already.
        filled: Whether the default stands in the code.
    """
    texts = [] if described else [*_described(schema, name)]
    examples = [] if described else [*_examples(schema)]
    return _joined([*texts, *_remarks(schema, filled=filled), *examples])


def _joined(parts: list[str]) -> str:
    return "\n\n".join(parts)


def _described(schema: Json, name: str) -> Iterator[str]:
    if isinstance(schema, dict):
        text, title = (as_text(schema.get(key)) for key in ("description", "title"))
        if text.strip():
            yield text
        elif title.strip() and not pascal(name).endswith(pascal(title)):
            yield title


def _remarks(schema: Json, *, filled: bool) -> Iterator[str]:
    """Give the marks of a property, and its default: a remark, unless it is filled in."""
    if not isinstance(schema, dict):
        return
    for key, text in (
        ("deprecated", "Deprecated."),
        ("readOnly", "Read-only."),
        ("writeOnly", "Write-only."),
    ):
        if schema.get(key) is True:
            yield text
    if "default" in schema and not filled and (default := _short(schema["default"])):
        yield f"Default: {default}"


def _examples(schema: Json) -> Iterator[str]:
    examples = schema.get("examples") if isinstance(schema, dict) else None
    if isinstance(examples, list):
        short = [text for each in examples if (text := _short(each))][:_MOST_EXAMPLES]
        if short:
            yield f"{'Examples' if len(short) > 1 else 'Example'}: {', '.join(short)}"


def _short(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if len(text) <= _LONGEST else ""
