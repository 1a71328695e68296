"""Patterns of procedures, in access rules and in capabilities.

A pattern is compared part by part between slashes. A last part ``*`` stands for any rest, also for none: ``math/*`` matches ``math``,
``math/add`` and ``math/a/b``. ``*`` alone matches all procedures of protocols. Those of Enkaku itself, which begin with ``enkaku:``,
are matched only by patterns that begin so; ``enkaku:*`` matches all of these.
"""

import re
from typing import Final

__all__ = ["covers", "require_pattern", "specificity"]

_RESERVED: Final = "enkaku:"
_ANY: Final = "*"
_REST: Final = "/*"
_STRICT: Final = re.compile(r"[A-Za-z0-9_.:-]+(/[A-Za-z0-9_.:-]+)*(/\*)?")


def covers(granted: str, wanted: str) -> bool:
    """Return whether a pattern matches a procedure, or everything that another pattern matches."""
    reserved = granted.startswith(_RESERVED)
    if reserved != wanted.startswith(_RESERVED):
        return False
    if reserved:
        granted, wanted = granted.removeprefix(_RESERVED), wanted.removeprefix(_RESERVED)
    if granted in {_ANY, wanted}:
        return True
    prefix = granted.removesuffix(_REST)
    return prefix != granted and (wanted == prefix or wanted.startswith(f"{prefix}/"))


def specificity(pattern: str) -> tuple[int, bool]:
    """Return a sort key: greater for the more specific of two patterns that match one procedure."""
    parts = pattern.removeprefix(_RESERVED).split("/")
    # Of "math" and "math/*", both of which match "math", the name alone is the more specific.
    return len(parts) - (parts[-1] == _ANY), parts[-1] != _ANY


def require_pattern(pattern: str, *, strict: bool) -> None:
    """Check a pattern where it is written.

    Args:
        pattern: The pattern.
        strict: Whether its parts must be as the TypeScript implementation wants them: of letters, digits and ``_.:-``.

    Raises:
        ValueError: It has a ``*`` elsewhere than as its last part, or it is empty; or it is not strict.
    """
    rest = pattern.removeprefix(_RESERVED)
    *before, last = rest.split("/")
    if not rest or _ANY in "".join(before) or (_ANY in last and last != _ANY):
        raise ValueError(f"{pattern!r}: '*' must be the whole last part, as in 'math/*'")
    if strict and rest != _ANY and (_STRICT.fullmatch(rest) is None or "./" in rest):
        raise ValueError(
            f"{pattern!r}: the parts between '/' must have letters, digits and '_.:-' only, and not end with '.'"
        )
