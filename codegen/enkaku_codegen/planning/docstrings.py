"""Docstring text from the annotations of schemas: title, description, examples and others."""

from collections.abc import Iterator
from typing import Final

from enkaku_codegen.json_values import Json, as_json, as_text
from enkaku_codegen.reading.lint import HIDDEN

from .names import pascal

__all__ = ["annotation_values", "property_text", "schema_text"]

_LONGEST: Final = 60
_MOST_EXAMPLES: Final = 3


def annotation_values(schema: Json, keyword: str) -> list[Json]:
    """Return the values of an annotation: that of the schema first, then those of its ``allOf``."""
    if not isinstance(schema, dict):
        return []
    own = [schema[keyword]] if keyword in schema else []
    parts = schema.get("allOf")
    joined = parts if isinstance(parts, list) else []
    return own + [each for part in joined for each in annotation_values(part, keyword)]


def schema_text(schema: Json, name: str = "") -> str:
    """Return the docstring text for the values of a schema: the description, else the title; and examples.

    Args:
        schema: The schema.
        name: The name of the type; a title that is the same is left out.
    """
    return _joined([*_described(schema, name), *_examples(schema)])


def property_text(schema: Json, name: str, *, described: bool, filled: bool) -> str:
    """Return the docstring text for a property.

    Args:
        schema: The property's schema.
        name: The property's name; a title that is the same is left out.
        described: Whether a named type already has the text of the schema.
        filled: Whether the default is in the code.
    """
    texts = [] if described else [*_described(schema, name)]
    examples = [] if described else [*_examples(schema)]
    return _joined([*texts, *_annotations(schema, filled=filled), *examples])


def _joined(parts: list[str]) -> str:
    return "\n\n".join(parts)


def _described(schema: Json, name: str) -> Iterator[str]:
    text, title = (
        next(
            (text for each in annotation_values(schema, key) if (text := as_text(each)).strip()), ""
        )
        for key in ("description", "title")
    )
    if text:
        yield text
    elif title and not pascal(name).endswith(pascal(title)):
        yield title


def _annotations(schema: Json, *, filled: bool) -> Iterator[str]:
    """Yield a line for each annotation that is set, and for a default that is not filled in."""
    for key, text in (
        ("deprecated", "Deprecated."),
        ("readOnly", "Read-only."),
        ("writeOnly", "Write-only."),
        (HIDDEN, "Secret."),
    ):
        if True in annotation_values(schema, key):
            yield text
    for default in [] if filled else annotation_values(schema, "default")[:1]:
        if text := _short(default):
            yield f"Default: {text}"


def _examples(schema: Json) -> Iterator[str]:
    for examples in annotation_values(schema, "examples")[:1]:
        each_short = [_short(each) for each in examples] if isinstance(examples, list) else []
        short = [text for text in each_short if text][:_MOST_EXAMPLES]
        if short:
            yield f"{'Examples' if len(short) > 1 else 'Example'}: {', '.join(short)}"


def _short(value: Json) -> str:
    text = as_json(value)
    return f"`{text}`" if len(text) <= _LONGEST else ""
