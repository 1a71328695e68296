"""Checks that a ``pattern`` is a regular expression of ECMA 262, and translates it for the validator.

The validator translates some of ECMA 262 itself, but neither all of it nor always: next to a lookahead, for example, it leaves
everything as it is. What is written here means the same to it with and without that.
"""

import re
from functools import lru_cache
from typing import Final

from jsonschema_rs import Draft202012Validator, ValidationError

from enkaku_codegen.json_values import Json

from .ecma262 import PatternError
from .rust_regex import fancy_regex

__all__ = ["pattern_fault", "validator_pattern", "with_validator_patterns"]

MAX_PATTERN: Final = 10_000
_PLAIN: Final = re.compile(r"\^?[A-Za-z0-9_/: -]*\$?")


@lru_cache(maxsize=65_536)
def pattern_fault(pattern: str) -> str:
    """Return what is wrong with a pattern, or an empty string if it is supported."""
    if len(pattern) > MAX_PATTERN:
        return f"a pattern of {len(pattern)} characters; at most {MAX_PATTERN} are supported"
    try:
        text = validator_pattern(pattern)
    except PatternError as error:
        return f"not a supported regular expression: {error}"
    if _PLAIN.fullmatch(text):
        return ""
    try:
        Draft202012Validator({"pattern": text}, validate_formats=False, offline=True)
    except (ValidationError, ValueError):
        return "not a supported regular expression: it is too large for the validator"
    return ""


@lru_cache(maxsize=65_536)
def validator_pattern(pattern: str) -> str:
    """Return the pattern with which the validator accepts the strings that ECMA 262 says.

    Raises:
        PatternError: There is none.
    """
    return pattern if _PLAIN.fullmatch(pattern) else fancy_regex(pattern)


def with_validator_patterns(schema: dict[str, Json]) -> dict[str, Json]:
    """Return a schema with its own patterns translated for the validator, without those in its subschemas."""
    new = dict(schema)
    pattern, named = schema.get("pattern"), schema.get("patternProperties")
    if isinstance(pattern, str):
        new["pattern"] = _translated(pattern)
    if isinstance(named, dict):
        translated: dict[str, Json] = {}
        for name, value in named.items():
            text = _translated(name)
            while text in translated:  # two patterns may be translated alike, and both apply
                text = f"(?:{text})"
            translated[text] = value
        new["patternProperties"] = translated
    return new


def _translated(pattern: str) -> str:
    # A pattern with a fault is reported where the schema is checked.
    return pattern if pattern_fault(pattern) else validator_pattern(pattern)
