"""Problems of pydantic as ``Problem``s: knows what that library calls its errors, and how it names locations."""

import ast
import re
from collections.abc import Sequence
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from enkaku._json import DEPTH_MAX
from enkaku.errors import Problem

from .exact import CHOICE, TAG
from .problems import (
    Choice,
    Fault,
    Nothing,
    Path,
    called,
    count,
    matching,
    member_of,
    one_of,
    problem,
    tell,
)
from .pydantic_internals import DIGITS_MAX, NUMBER_OUT_OF_RANGE, TOO_DEEP, explains_itself

__all__ = ["from_pydantic", "is_invalid_json"]

Place = tuple[int | str, ...]
"""Where pydantic says that an error is: steps into the value, and names of alternatives among them."""

_TOLD: Final = 1000  # errors that are looked at, to choose those that are told
_NESTED: Final = f"at most {DEPTH_MAX} levels of arrays and objects"


def is_invalid_json(error: ValidationError) -> bool:
    """Return whether the text was refused before its value was looked at."""
    if error.error_count() != 1:
        return False
    return error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid"


def from_pydantic(
    error: ValidationError, value: object, *, python: bool = False
) -> tuple[Problem, ...]:
    """Explain a refusal of pydantic's.

    Args:
        error: The refusal.
        value: What was refused, as it was read from JSON.
        python: Whether it was not, but came from this program.
    """
    if error.error_count() > _TOLD:
        return (problem((), f"another value: there are {error.error_count()} problems", value),)
    details = error.errors(include_url=False, include_input=False)
    if is_invalid_json(error):
        return (_invalid(details[0]),)
    words = _Words(value, python=python)
    for each in details:
        each["loc"] = _untagged(each["loc"])
    return tell(words.group([(each["loc"], words.fault(each)) for each in details], ()), value)


def _untagged(place: Place) -> Place:
    tags = {index for index, step in enumerate(place) if step == TAG}
    return tuple(step for i, step in enumerate(place) if i not in tags and i + 1 not in tags)


def _invalid(detail: ErrorDetails) -> Problem:
    reason = str(detail.get("ctx", {}).get("error", "it is none"))
    if reason.startswith(TOO_DEEP):
        return Problem("", _NESTED, "more")
    if reason.startswith(NUMBER_OUT_OF_RANGE):
        return Problem("", f"numbers of at most {DIGITS_MAX} digits", "a longer one")
    return Problem("", "JSON", f"text that is none: {reason}")


_PYDANTIC: Final = {
    "bool_type": "true or false",
    "dict_type": "an object",
    "finite_number": "a number",
    "float_type": "a number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "int_type": "a whole number",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "list_type": "an array",
    "model_attributes_type": "an object",
    "model_type": "an object",
    "multiple_of": "a multiple of {multiple_of}",
    "none_required": "null",
    "recursion_loop": f"{_NESTED}, none of which holds itself",
    "string_type": "text",
    "string_unicode": "text",
    "tuple_type": "an array",
}
# How pydantic names the values of a Literal: as Python writes them.
_REPR: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|None""")
_OWN: Final = frozenset({"expected", "foreign", "literal"})


class _Words:
    """Words and places for pydantic's errors about one value."""

    def __init__(self, value: object, *, python: bool) -> None:
        self._value = value
        self._python = python

    def group(self, faults: Sequence[tuple[Place, Fault]], before: Place) -> list[Fault | Choice]:
        """Gather the faults of each union, which pydantic tells one by one: their places name the choice."""
        grouped: list[Fault | Place] = []
        choices: dict[Place, dict[int | str, list[tuple[Place, Fault]]]] = {}
        for place, fault in faults:
            rest = place[len(before) :]
            at = next((i for i, step in enumerate(rest) if str(step).startswith(CHOICE)), None)
            if at is None:
                grouped.append(fault)
                continue
            union = place[: len(before) + at]
            if union not in choices:
                choices[union] = {}
                grouped.append(union)
            choices[union].setdefault(rest[at], []).append((place, fault))
        return [
            each if isinstance(each, Fault) else self._choice(each, choices[each])
            for each in grouped
        ]

    def _choice(self, union: Place, by_label: dict[int | str, list[tuple[Place, Fault]]]) -> Choice:
        branches = [self.group(faults, (*union, label)) for label, faults in by_label.items()]
        return Choice(self.path(union), branches)

    def fault(self, detail: ErrorDetails) -> Fault:
        kind, context = detail["type"], detail.get("ctx", {})
        path = self.path(detail["loc"])
        if not explains_itself(kind, context):
            return Fault(path, _own_words(detail))
        if kind == "missing":
            last = detail["loc"][-1]
            if isinstance(last, int):
                return Fault(path, f"at least {count(last + 1, 'item')}", inside=True)
            return Fault(path, f"the member {called(last)}", inside=True)
        if kind == "extra_forbidden":
            return Fault(path, f"no member {called(detail['loc'][-1])}", inside=True)
        if kind.startswith("union_tag"):
            return _of_tag(kind, context, path)
        if kind == "foreign":
            path += tuple(context["path"])
        return Fault(path, self._expected(detail), constant=kind.startswith("literal"))

    def path(self, place: Place) -> Path:
        """Drop the steps that are not in the value: pydantic names alternatives among them."""
        value, path = self._value, list[int | str]()
        for step in place:
            inner = member_of(value, step)
            if inner is not Nothing:
                value = inner
                path.append(step)
        return tuple(path)

    def _expected(self, detail: ErrorDetails) -> str:
        kind, context = detail["type"], detail.get("ctx", {})
        if kind in _OWN:
            return detail["msg"]
        if self._python and "class" in "".join(context):
            return f"an instance of {context.get('class_name', context.get('class'))}"
        if kind in _PYDANTIC:
            return _PYDANTIC[kind].format(**context)
        return _sized(detail, context)


def _of_tag(kind: str, context: dict[str, Any], path: Path) -> Fault:
    """Tell that the member by which the classes of a union are told apart is missing, or is another text."""
    tag = _REPR.findall(str(context["discriminator"]))[0]
    name = str(ast.literal_eval(tag))
    if kind == "union_tag_not_found":
        return Fault(path, f"the member {called(name)}", inside=True)
    tags = _REPR.findall(str(context["expected_tags"]))
    return Fault((*path, name), one_of(ast.literal_eval(each) for each in tags), constant=True)


def _values_in(text: object) -> list[object]:
    """Read what pydantic writes as Python does."""
    return [ast.literal_eval(each) for each in _REPR.findall(str(text))]


def _sized(detail: ErrorDetails, context: dict[str, Any]) -> str:
    match detail["type"]:
        case "literal_error":
            return one_of(_values_in(context["expected"]))
        case "string_too_short":
            return f"text of at least {count(context['min_length'], 'character')}"
        case "string_too_long":
            return f"text of at most {count(context['max_length'], 'character')}"
        case "string_pattern_mismatch":
            return matching(context["pattern"])
        case "too_short":
            return f"at least {count(context['min_length'], _things(context))}"
        case "too_long":
            return f"at most {count(context['max_length'], _things(context))}"
        case _:
            return _own_words(detail)


def _own_words(detail: ErrorDetails) -> str:
    return detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")


def _things(context: dict[str, Any]) -> str:
    return "member" if context.get("field_type") == "Dictionary" else "item"
