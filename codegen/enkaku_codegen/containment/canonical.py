"""Decider by the canonical forms of jsonschema-rs, whose API is experimental: no other module knows it.

At the first use it decides ten pairs whose answers are known. Where an answer differs, or the API is missing or
raises, the package does without it: the other deciders remain.
"""

from functools import cache
from typing import Any, Final, Literal, TypeAlias

import jsonschema_rs

from enkaku_codegen.json_values import Json, exact_numbers

from .pair import Pair

__all__ = ["KNOWN", "Answer", "is_trusted", "relation"]

Answer: TypeAlias = Literal["yes", "no", "unknown"]

_TEXT: Final[Json] = {"type": "string"}
_NUMBER: Final[Json] = {"type": "number"}
_POINT: Final[dict[str, Json]] = {
    "type": "object",
    "properties": {"x": _NUMBER},
    "required": ["x"],
    "additionalProperties": False,
}
KNOWN: Final[tuple[tuple[dict[str, Json], dict[str, Json], Answer], ...]] = (
    ({"type": "integer", "maximum": 5}, {"type": "integer", "maximum": 9}, "yes"),
    ({"type": "integer", "maximum": 9}, {"type": "integer", "maximum": 5}, "no"),
    ({"enum": ["a", "b"]}, {"type": "string"}, "yes"),
    ({"enum": ["a", "b"]}, {"const": "a"}, "no"),
    ({"type": "string"}, {"type": ["string", "null"]}, "yes"),
    ({"type": "string"}, {"type": "string", "minLength": 1}, "no"),
    (_POINT, {**_POINT, "properties": {"x": _NUMBER, "y": _TEXT}}, "yes"),
    ({"type": "object"}, {"type": "object", "properties": {"x": _NUMBER}}, "no"),
    ({"type": "array", "items": {"type": "integer"}}, {"type": "array", "items": _NUMBER}, "yes"),
    ({"type": "array", "items": _TEXT}, {"type": "array", "items": _TEXT, "maxItems": 3}, "no"),
)
"""Writer, reader, and whether the reader accepts all values of the writer."""


@cache
def is_trusted() -> bool:
    """Return whether jsonschema-rs decides all known pairs as expected."""
    return all(_covers(writer, reader) == answer for writer, reader, answer in KNOWN)


def relation(pair: Pair) -> Answer:
    """Return whether the reader accepts all values of the writer."""
    # Long numbers would be rounded.
    if pair.writer.has_long_numbers or pair.reader.has_long_numbers or not is_trusted():
        return "unknown"
    answer = _covers(pair.writer.document, pair.reader.document)
    return answer if answer in ("yes", "no") else "unknown"


def _covers(writer: dict[str, Json], reader: dict[str, Json]) -> Answer | Literal["failed"]:
    try:
        api: Any = jsonschema_rs
        forms = [
            api.canonicalize(
                exact_numbers(each), draft=api.Draft202012, validate_formats=False, offline=True
            )
            for each in (writer, reader)
        ]
        answer = forms[1].covers(forms[0]).value
    except BaseException as error:  # an experimental API; a panic of Rust is no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return "failed"
    return answer if answer in ("yes", "no", "unknown") else "failed"
