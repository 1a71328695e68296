"""Checks that a ``pattern`` is a regular expression that the validator supports, and explains what is wrong."""

import re
import warnings
from functools import lru_cache
from typing import Final

from jsonschema_rs import Draft202012Validator, ValidationError

__all__ = ["pattern_fault"]

MAX_PATTERN: Final = 10_000
_PYTHONS: Final = re.compile(r"\(\?P[<=>]")
_LITERAL: Final = re.compile(r"\\.|\[(?:\\.|[^\]\\])*+\]?", re.DOTALL)
_PLAIN: Final = re.compile(r"\^?[A-Za-z0-9_/: -]*\$?")
# Syntax of other languages that ECMA-262 or the validator does not have, by its first characters.
_FOREIGN: Final = {
    "\\Z": "write $ for the end",
    "(?>": "atomic groups are not supported",
    "(?#": "comments are not supported",
    "(?(": "conditions are not supported",
    "\\k": "named backreferences are not supported",
}
# Errors of Python about syntax that ECMA-262 has.
_PYTHON_ONLY: Final = re.compile(r"bad escape \\[cpPuz]|unknown extension|look-behind requires")


@lru_cache(maxsize=65_536)
def pattern_fault(pattern: str) -> str:
    """Return what is wrong with a pattern, or an empty string if it is supported."""
    if len(pattern) > MAX_PATTERN:
        return f"a pattern of {len(pattern)} characters; at most {MAX_PATTERN} are supported"
    if _PLAIN.fullmatch(pattern):
        return ""
    if _PYTHONS.search(_LITERAL.sub("", pattern)):
        return (
            "not a regular expression of JSON Schema: (?P...) is Python syntax; write (?<name>...)"
        )
    try:
        Draft202012Validator({"pattern": pattern}, validate_formats=False, offline=True)
    except (ValidationError, ValueError):
        return f"not a supported regular expression: {_reason(pattern)}"
    return ""


def _reason(pattern: str) -> str:
    for start, reason in _FOREIGN.items():
        if re.search(rf"(?<!\\)(?:\\\\)*{re.escape(start)}", pattern):
            return reason
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        if isinstance(error, re.error) and not _PYTHON_ONLY.match(error.msg):
            return str(error)
    else:
        if re.search(r"(?<![\\pPux])\{(?!\d+(,\d*)?\})", pattern):
            return "a brace that is not a repetition needs a backslash, \\{"
        if re.search(r"\\[1-9]", pattern):
            return "backreferences are not supported"
    return "it is too large, nested too deeply, or has syntax that the validator does not support"
