"""Why a value was refused, for people: what was expected, what was found, and where.

Above it: what reads the refusals of pydantic and of jsonschema-rs. Below it: the words. Both libraries report every
alternative of a union; what is told is the alternative that the value comes closest to.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from pydantic import BaseModel

from .errors import Problem
from .pydantic_internals import extra_of
from .words import describe, listed

__all__ = ["Choice", "Fault", "Nothing", "Path", "member_of", "problem", "settle", "tell"]

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
