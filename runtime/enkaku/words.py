"""How values are told to people: short, in JSON's terms, and never whole where they are long.

Above it: problems, and what words its refusals itself. Below it: the standard library.
"""

import json
import math
from collections.abc import Iterable, Sequence
from typing import Final, cast

__all__ = ["called", "count", "describe", "listed", "matching", "one_of", "show"]

_SHORT: Final = 40  # characters of a value that are worth showing
_PATTERN_MAX: Final = 60  # characters of a pattern that are worth showing
_LISTED: Final = 10  # expectations at one place that are worth telling
_MANY: Final = 6  # alternatives that are worth naming


def count(number: int, thing: str) -> str:
    """Say how many: ``1 item``, ``2 items``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def show(value: object) -> str | None:
    """Write a value as JSON, unless it is long or none of JSON's."""
    if isinstance(value, str) and len(value) > _SHORT:
        return None
    if isinstance(value, int) and value.bit_length() > 4 * _SHORT:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return None
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _SHORT + 2 else None


def describe(value: object) -> str:
    """Say what a value is: a short scalar as JSON, anything else by its kind and size."""
    if isinstance(value, str):
        return show(value) or f"text of {count(len(value), 'character')}"
    if value is None or type(value) in {bool, int, float}:
        return show(value) or (json.dumps(value) if isinstance(value, float) else "a long number")
    if isinstance(value, list | tuple):
        items = cast(Sequence[object], value)
        return f"an array of {count(len(items), 'item')}" if items else "an empty array"
    if isinstance(value, dict):
        members = cast(dict[object, object], value)
        return f"an object of {count(len(members), 'member')}" if members else "an empty object"
    return f"a Python {type(value).__name__}"


def one_of(values: Iterable[object]) -> str:
    """Name alternatives, as JSON: ``"a" or "b"``."""
    shown = [show(value) or describe(value) for value in values]
    if len(shown) > _MANY:
        return f"one of {', '.join(shown[:_MANY])} and {len(shown) - _MANY} more"
    return " or ".join(shown)


def called(member: object) -> str:
    """Say what a member is called."""
    return show(member) or "with a long name"


def listed(words: Iterable[str], by: str) -> str:
    """Join what was expected by ``and`` or ``or``, as far as anybody would read."""
    told = list(words)
    rest = len(told) - _LISTED
    return f" {by} ".join([*told[:_LISTED], f"{rest} more"] if rest > 0 else told)


def matching(pattern: str) -> str:
    """Say what text a pattern wants."""
    return "text that matches " + (pattern if len(pattern) <= _PATTERN_MAX else "its pattern")
