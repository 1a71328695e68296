"""Regular expressions of JSON Schema (ECMA 262), translated for pydantic, which uses those of Rust."""

from functools import lru_cache

from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

from enkaku_codegen.reading.ecma262 import PatternError
from enkaku_codegen.reading.rust_regex import plain_regex

__all__ = ["matches", "portable"]


@lru_cache(maxsize=4096)
def portable(pattern: str) -> str | None:
    """Return the pattern for pydantic that accepts the same strings; None if there is none."""
    try:
        text = plain_regex(pattern)
    except PatternError:
        return None
    if text is not None:
        try:
            SchemaValidator(core_schema.str_schema(pattern=text))
        except SchemaError:
            return None
    return text


@lru_cache(maxsize=4096)
def matches(pattern: str, text: str) -> bool:
    """Return whether a string matches a pattern that ``portable`` returned."""
    try:
        SchemaValidator(core_schema.str_schema(pattern=pattern)).validate_python(text)
    except ValidationError:
        return False
    return True
