"""``Problem``s: where a value is invalid, what was expected, and what was given.

Both validators report every alternative of a union; a problem names the alternative that the value comes closest to.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, cast

from pydantic import BaseModel

from enkaku.errors import Problem

from .pydantic_internals import extra_of

__all__ = [
    "Choice",
    "Fault",
    "Nothing",
    "Path",
    "called",
    "count",
    "describe",
    "listed",
    "matching",
    "member_of",
    "one_of",
    "problem",
    "settle",
    "show",
    "tell",
]

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


Path = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason why a value was refused.

    Attributes:
        path: Where; of a member that is missing, its object.
        expected: What would have been accepted there, in words.
        inside: Whether the kind of value is right, and what it holds is not.
        constant: Whether certain values were wanted: alternatives are often told apart by such.
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
    """Make a problem of the value that is at its place."""
    return Problem(_pointer(path), expected, "nothing" if value is Nothing else describe(value))


def tell(faults: Sequence[Fault | Choice], value: object) -> tuple[Problem, ...]:
    """Make problems of the reasons, one for each place."""
    by_path: dict[Path, list[str]] = {}
    for fault in settle(faults):
        expected = by_path.setdefault(fault.path, [])
        if fault.expected not in expected:
            expected.append(fault.expected)
    return tuple(
        problem(path, listed(expected, "and"), _at(value, path))
        for path, expected in by_path.items()
    )


def settle(faults: Iterable[Fault | Choice]) -> list[Fault]:
    """Choose the alternative of each union that the value comes closest to."""
    settled: list[Fault] = []
    for fault in faults:
        settled += [fault] if isinstance(fault, Fault) else _closest(fault)
    return settled


def _closest(choice: Choice) -> list[Fault]:
    branches = [settled for branch in choice.branches if (settled := settle(branch))]
    inside = [branch for branch in branches if any(_is_inside(choice, each) for each in branch)]
    if not inside:
        words = dict.fromkeys(fault.expected for branch in branches for fault in branch)
        return [Fault(choice.path, listed(words, "or") or "another value")]
    constants = [{fault.path: fault for fault in branch if fault.constant} for branch in inside]
    shared = [path for path in constants[0] if all(path in each for each in constants)]
    if shared and len(inside) > 1:
        words = dict.fromkeys(each[shared[0]].expected for each in constants)
        return [Fault(shared[0], listed(words, "or"), constant=True)]
    return min(inside, key=lambda branch: (sum(fault.constant for fault in branch), len(branch)))


def _is_inside(choice: Choice, fault: Fault) -> bool:
    return fault.inside or len(fault.path) > len(choice.path)


def _at(value: object, path: Path) -> object:
    for step in path:
        value = member_of(value, step)
    return value


class Nothing:
    """Where there is no value."""


def member_of(value: object, step: int | str) -> object:
    """Return what is one step further in a value, or ``Nothing``."""
    if isinstance(value, BaseModel):
        return {**vars(value), **extra_of(value)}.get(str(step), Nothing)
    if isinstance(value, dict):
        return cast(dict[object, object], value).get(step, Nothing)
    if isinstance(value, list | tuple) and isinstance(step, int):
        items = cast(Sequence[object], value)
        return items[step] if 0 <= step < len(items) else Nothing
    return Nothing


def _pointer(path: Sequence[int | str]) -> str:
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)
