"""``Problem``s: where a value is invalid, what was expected, and what was given.

Both validators report every alternative of a union; a problem names the alternative that the value comes closest to.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, cast

from pydantic import BaseModel

from enkaku.errors import Problem

from .pydantic_internals import extra_of

__all__ = [
    "Choice",
    "Fault",
    "Missing",
    "Path",
    "child_of",
    "choose_alternatives",
    "count",
    "describe",
    "join_expected",
    "matching",
    "named",
    "one_of",
    "problem",
    "show",
    "to_problems",
]

_VALUE_MAX: Final = 40  # characters of a value that is shown
_PATTERN_MAX: Final = 60  # characters of a pattern that is shown
_EXPECTED_MAX: Final = 10  # expectations that are listed for one location
_ALTERNATIVES_MAX: Final = 6  # alternatives that are listed


def count(number: int, thing: str) -> str:
    """Return a number with its unit: ``1 item``, ``2 items``, ``3 properties``."""
    if number == 1:
        return f"1 {thing}"
    return f"{number} {thing[:-1]}ies" if thing.endswith("y") else f"{number} {thing}s"


def show(value: object) -> str | None:
    """Return a value as JSON, or None if it is long or not JSON."""
    if isinstance(value, str) and len(value) > _VALUE_MAX:
        return None
    if isinstance(value, int) and value.bit_length() > 4 * _VALUE_MAX:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    try:
        text = str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return None
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _VALUE_MAX + 2 else None


def describe(value: object) -> str:
    """Describe a value: a short scalar as JSON, any other value by its type and size."""
    if isinstance(value, str):
        return show(value) or f"string of {count(len(value), 'character')}"
    if value is None or type(value) in {bool, int, float, Decimal}:
        return show(value) or (json.dumps(value) if isinstance(value, float) else "long number")
    if isinstance(value, list | tuple):
        items = cast(Sequence[object], value)
        return f"array with {count(len(items), 'item')}" if items else "empty array"
    if isinstance(value, dict):
        size = len(cast(dict[object, object], value))
        return f"object with {count(size, 'property')}" if size else "empty object"
    return f"Python {type(value).__name__}"


def one_of(values: Iterable[object]) -> str:
    """Return alternatives as JSON: ``"a" or "b"``."""
    shown = [show(value) or describe(value) for value in values]
    if len(shown) > _ALTERNATIVES_MAX:
        return f"one of {', '.join(shown[:_ALTERNATIVES_MAX])} and {len(shown) - _ALTERNATIVES_MAX} more"
    return " or ".join(shown)


def named(name: object) -> str:
    """Return the name of a property as JSON, unless it is long."""
    return show(name) or "with a long name"


def join_expected(expected: Iterable[str], word: str) -> str:
    """Join the first expectations by ``and`` or ``or``, and count the others."""
    texts = list(expected)
    rest = len(texts) - _EXPECTED_MAX
    return f" {word} ".join([*texts[:_EXPECTED_MAX], f"{rest} more"] if rest > 0 else texts)


def matching(pattern: str) -> str:
    """Describe the strings that match a pattern."""
    return "string that matches " + (pattern if len(pattern) <= _PATTERN_MAX else "its pattern")


Path = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason why a value was rejected.

    Attributes:
        path: The location; for a missing property, that of its object.
        expected: What is accepted there, for people.
        inside: Whether the value has the expected type, and the error is in its contents.
        constant: Whether certain values are expected: a union's discriminator is such a property.
    """

    path: Path
    expected: str
    inside: bool = False
    constant: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """A union, none of whose alternatives accepted the value at ``path``: the reasons of each."""

    path: Path
    branches: "Sequence[Sequence[Fault | Choice]]"


def problem(path: Sequence[int | str], expected: str, value: object) -> Problem:
    """Return the problem of a value at a location."""
    return Problem(_pointer(path), expected, "nothing" if value is Missing else describe(value))


def to_problems(faults: Sequence[Fault | Choice], value: object) -> tuple[Problem, ...]:
    """Return one problem for each location that has faults."""
    by_path: dict[Path, list[str]] = {}
    for fault in choose_alternatives(faults):
        expected = by_path.setdefault(fault.path, [])
        if fault.expected not in expected:
            expected.append(fault.expected)
    return tuple(
        problem(path, join_expected(expected, "and"), _at(value, path))
        for path, expected in by_path.items()
    )


def choose_alternatives(faults: Iterable[Fault | Choice]) -> list[Fault]:
    """Replace each union by the faults of the alternative that the value comes closest to."""
    chosen: list[Fault] = []
    for fault in faults:
        chosen += [fault] if isinstance(fault, Fault) else _closest(fault)
    return chosen


def _closest(choice: Choice) -> list[Fault]:
    branches = [faults for branch in choice.branches if (faults := choose_alternatives(branch))]
    inside = [branch for branch in branches if any(_is_inside(choice, each) for each in branch)]
    if not inside:
        expected = dict.fromkeys(fault.expected for branch in branches for fault in branch)
        return [Fault(choice.path, join_expected(expected, "or") or "another value")]
    constants = [{fault.path: fault for fault in branch if fault.constant} for branch in inside]
    shared = [path for path in constants[0] if all(path in each for each in constants)]
    if shared and len(inside) > 1:
        expected = dict.fromkeys(each[shared[0]].expected for each in constants)
        return [Fault(shared[0], join_expected(expected, "or"), constant=True)]
    return min(inside, key=lambda branch: (sum(fault.constant for fault in branch), len(branch)))


def _is_inside(choice: Choice, fault: Fault) -> bool:
    return fault.inside or len(fault.path) > len(choice.path)


def _at(value: object, path: Path) -> object:
    for step in path:
        value = child_of(value, step)
    return value


class Missing:
    """Stands for the value at a location that a value does not have."""


def child_of(value: object, step: int | str) -> object:
    """Return an item or property of a value, or ``Missing``."""
    if isinstance(value, BaseModel):
        return {**vars(value), **extra_of(value)}.get(str(step), Missing)
    if isinstance(value, dict):
        return cast(dict[object, object], value).get(step, Missing)
    if isinstance(value, list | tuple) and isinstance(step, int):
        items = cast(Sequence[object], value)
        return items[step] if 0 <= step < len(items) else Missing
    return Missing


def _pointer(path: Sequence[int | str]) -> str:
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)
