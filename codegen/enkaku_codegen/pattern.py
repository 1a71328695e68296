"""Which regular expressions mean the same to JSON Schema (ECMA 262) and to pydantic (Rust).

A portable pattern accepts in Rust whatever it accepts in ECMA 262; others are left out of the types.
"""

import re
from typing import Final

from pydantic_core import SchemaError, SchemaValidator, core_schema

__all__ = ["is_portable"]

# One piece of a pattern outside of a character class. \w and \d hold more in Rust than in ECMA 262, which is
# why they may stand here and in a class, but not in a negated class. \s, \b, lookarounds and references: no.
_ESCAPE: Final = r"\\[dwnrt.\-/\\+*?()\[\]{}|^$]"
_PLAIN: Final = r"[A-Za-z0-9 _\-/:;,.@#%&=!<>~'\"]"
_CLASS: Final = rf"\[(?:{_ESCAPE}|[A-Za-z0-9 _/:;,.@#%=!<>'\"+*?()|$]|(?<!-)-(?!-))+\]"
_NEGATED: Final = r"\[\^(?:\\[nrt.\-/\\\[\]^]|[A-Za-z0-9 _/:;,.@#%=!<>'\"+*?()|$]|(?<!-)-(?!-))+\]"
_COUNT: Final = r"\{\d{1,3}(?:,\d{0,3})?\}"
_PIECE: Final = rf"(?:{_ESCAPE}|{_PLAIN}|{_CLASS}|{_NEGATED}|{_COUNT}|[()^$|*+?])"
_PORTABLE: Final = re.compile(rf"{_PIECE}*+")


def is_portable(pattern: str) -> bool:
    """Tell whether a pattern may stand in a type."""
    if _PORTABLE.fullmatch(pattern) is None:
        return False
    try:
        SchemaValidator(core_schema.str_schema(pattern=pattern))
    except SchemaError:
        return False
    return True
