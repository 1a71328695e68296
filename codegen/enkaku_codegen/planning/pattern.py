r"""Regular expressions of JSON Schema (ECMA 262), translated for pydantic, which uses Rust's.

Both read most patterns alike. The differences: ``\d`` and ``\w`` are ASCII in ECMA 262 and Unicode in Rust; their
``\s`` differ by two characters; ``.`` excludes four line terminators in ECMA 262 and only ``\n`` in Rust. Rust has no
look-around and no backreferences.
"""

import re
from functools import lru_cache
from typing import Final

from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

__all__ = ["matches", "portable"]

_SPACE: Final = r"[\s--\x85]\uFEFF"
_IN_CLASS: Final = {
    r"\d": "0-9",
    r"\w": "A-Za-z0-9_",
    r"\s": _SPACE,
    r"\D": "[^0-9]",
    r"\W": "[^A-Za-z0-9_]",
    r"\S": f"[^{_SPACE}]",
}
_ALONE: Final = {
    **{key: text if key.isupper() else f"[{text}]" for key, text in _IN_CLASS.items()},
    ".": r"[^\n\r\u2028\u2029]",
}

# Characters beyond ASCII match themselves, except surrogates.
_BEYOND: Final = "\x80-\ud7ff\ue000-\U0010ffff"
_ESCAPE: Final = r"\\[dDwWsSnrt.\-/\\+*?()\[\]{}|^$]"
_IN_CLASS_PLAIN: Final = rf"[A-Za-z0-9 _/:;,.@#%=!<>'\"+*?()|${_BEYOND}]"
_CLASS: Final = rf"\[\^?(?:{_ESCAPE}|{_IN_CLASS_PLAIN}|(?<!-)-(?!-))+\]"
_PLAIN: Final = rf"[A-Za-z0-9 _\-/:;,.@#%&=!<>~'\"{_BEYOND}]"
_COUNT: Final = r"\{\d{1,3}(?:,\d{0,3})?\}"
_PIECE: Final = rf"(?:{_ESCAPE}|{_CLASS}|{_PLAIN}|{_COUNT}|[()^$|*+?])"
_PORTABLE: Final = re.compile(rf"{_PIECE}*+")
_PIECES: Final = re.compile(_PIECE)
# ECMA 262 has no flags for the rest of a pattern: the engines read them differently.
_FLAGS: Final = re.compile(r"\(\?[A-Za-z-]")
_ESCAPES: Final = re.compile(r"\\.")


@lru_cache(maxsize=4096)
def portable(pattern: str) -> str | None:
    """Return the pattern for pydantic that accepts the same strings; None if there is none."""
    if _PORTABLE.fullmatch(pattern) is None or _FLAGS.search(pattern):
        return None
    text = _PIECES.sub(_piece, pattern)
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


def _piece(match: re.Match[str]) -> str:
    text = match[0]
    if text.startswith("[") and len(text) > 1:
        return _ESCAPES.sub(lambda found: _IN_CLASS.get(found[0], found[0]), text)
    return _ALONE.get(text, text)
