"""Errors of pydantic as ``Problem``s: each type of error has its text here.

pydantic adds the names of alternatives to a location; they are used to group the errors of a union, and then removed.
"""

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
    Missing,
    Path,
    child_of,
    count,
    matching,
    named,
    one_of,
    problem,
    to_problems,
)
from .pydantic_internals import DIGITS_MAX, NUMBER_OUT_OF_RANGE, TOO_DEEP, explains_itself

__all__ = ["faults_of", "from_pydantic", "is_invalid_json"]

Location = tuple[int | str, ...]
"""pydantic's location of an error: steps into the value, and names of alternatives among them."""

_ERRORS_MAX: Final = 1000  # errors that are compared, to choose those that are reported
_NESTED: Final = f"at most {DEPTH_MAX} levels of arrays and objects"


def is_invalid_json(error: ValidationError) -> bool:
    """Return whether the text was rejected because it is not JSON."""
    if error.error_count() != 1:
        return False
    return error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid"


def from_pydantic(
    error: ValidationError, value: object, *, python: bool = False
) -> tuple[Problem, ...]:
    """Return the problems of a value that pydantic rejected.

    Args:
        error: The errors.
        value: The value, as it was read from JSON or made by this program.
        python: Whether this program made the value.
    """
    if error.error_count() > _ERRORS_MAX:
        return (problem((), f"valid value (this has {error.error_count()} problems)", value),)
    details = error.errors(include_url=False, include_input=False)
    if is_invalid_json(error):
        return (_invalid(details[0]),)
    return to_problems(_to_faults(details, value, python=python), value)


def faults_of(error: ValidationError, value: object) -> list[Fault | Choice]:
    """Return the faults of a part of a value, with their locations in the part."""
    return _to_faults(error.errors(include_url=False, include_input=False), value)


def _to_faults(
    details: Sequence[ErrorDetails], value: object, *, python: bool = False
) -> list[Fault | Choice]:
    translator = _Translator(value, python=python)
    for each in details:
        each["loc"] = _untagged(each["loc"])
    return translator.group([(each["loc"], translator.fault(each)) for each in details], ())


def _untagged(location: Location) -> Location:
    tags = {index for index, step in enumerate(location) if step == TAG}
    return tuple(step for i, step in enumerate(location) if i not in tags and i + 1 not in tags)


def _invalid(detail: ErrorDetails) -> Problem:
    reason = str(detail.get("ctx", {}).get("error", "unknown reason"))
    if reason.startswith(TOO_DEEP):
        return Problem("", _NESTED, "more")
    if reason.startswith(NUMBER_OUT_OF_RANGE):
        return Problem("", f"number of at most {DIGITS_MAX} digits", "longer number")
    return Problem("", "JSON", f"invalid JSON: {reason}")


_TEXTS: Final = {
    "bool_type": "boolean",
    "bytes_type": "bytes",
    "dict_type": "object",
    "finite_number": "number",
    "float_type": "number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "int_type": "integer",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "list_type": "array",
    "model_attributes_type": "object",
    "model_type": "object",
    "multiple_of": "a multiple of {multiple_of}",
    "none_required": "null",
    "recursion_loop": f"{_NESTED}, without cycles",
    "string_type": "string",
    "string_unicode": "string",
    "tuple_type": "array",
}
# pydantic writes the values of a Literal as Python's repr does.
_REPR: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|None""")
_ENKAKU: Final = frozenset({"expected", "literal", "not_json"})


class _Translator:
    """Translates pydantic's errors about one value into faults."""

    def __init__(self, value: object, *, python: bool) -> None:
        self._value = value
        self._python = python

    def group(
        self, faults: Sequence[tuple[Location, Fault]], before: Location
    ) -> list[Fault | Choice]:
        """Group the faults of each union, which pydantic lists one by one: their locations name the choice."""
        grouped: list[Fault | Location] = []
        choices: dict[Location, dict[int | str, list[tuple[Location, Fault]]]] = {}
        for location, fault in faults:
            rest = location[len(before) :]
            at = next((i for i, step in enumerate(rest) if str(step).startswith(CHOICE)), None)
            if at is None:
                grouped.append(fault)
                continue
            union = location[: len(before) + at]
            if union not in choices:
                choices[union] = {}
                grouped.append(union)
            choices[union].setdefault(rest[at], []).append((location, fault))
        return [
            each if isinstance(each, Fault) else self._choice(each, choices[each])
            for each in grouped
        ]

    def _choice(
        self, union: Location, by_label: dict[int | str, list[tuple[Location, Fault]]]
    ) -> Choice:
        branches = [self.group(faults, (*union, label)) for label, faults in by_label.items()]
        return Choice(self.path(union), branches)

    def fault(self, detail: ErrorDetails) -> Fault:
        kind, context = detail["type"], detail.get("ctx", {})
        path = self.path(detail["loc"])
        if not explains_itself(kind, context):
            return Fault(path, _original_text(detail))
        if kind == "missing":
            last = detail["loc"][-1]
            if isinstance(last, int):
                return Fault(path, f"at least {count(last + 1, 'item')}", inside=True)
            return Fault(path, f"property {named(last)}", inside=True)
        if kind == "extra_forbidden":
            return Fault(path, f"no property {named(detail['loc'][-1])}", inside=True)
        if kind.startswith("union_tag"):
            return _of_tag(kind, context, path)
        if kind == "not_json":
            path += tuple(context["path"])
        return Fault(path, self._expected(detail), constant=kind.startswith("literal"))

    def path(self, location: Location) -> Path:
        """Return a location without the steps that are not in the value, such as the names of alternatives."""
        value, path = self._value, list[int | str]()
        for step in location:
            inner = child_of(value, step)
            if inner is not Missing:
                value = inner
                path.append(step)
        return tuple(path)

    def _expected(self, detail: ErrorDetails) -> str:
        kind, context = detail["type"], detail.get("ctx", {})
        if kind in _ENKAKU:
            return detail["msg"]
        if self._python and "class" in "".join(context):
            return f"instance of {context.get('class_name', context.get('class'))}"
        if kind in _TEXTS:
            return _TEXTS[kind].format(**context)
        return _sized(detail, context)


def _of_tag(kind: str, context: dict[str, Any], path: Path) -> Fault:
    """Return the fault of a discriminator that is missing, or has an unknown value."""
    tag = _REPR.findall(str(context["discriminator"]))[0]
    name = str(ast.literal_eval(tag))
    if kind == "union_tag_not_found":
        return Fault(path, f"property {named(name)}", inside=True)
    tags = _REPR.findall(str(context["expected_tags"]))
    return Fault((*path, name), one_of(ast.literal_eval(each) for each in tags), constant=True)


def _values_in(text: object) -> list[object]:
    """Parse the values that pydantic writes as Python's repr does."""
    return [ast.literal_eval(each) for each in _REPR.findall(str(text))]


def _sized(detail: ErrorDetails, context: dict[str, Any]) -> str:
    match detail["type"]:
        case "literal_error":
            return one_of(_values_in(context["expected"]))
        case "string_too_short":
            return f"string of at least {count(context['min_length'], 'character')}"
        case "string_too_long":
            return f"string of at most {count(context['max_length'], 'character')}"
        case "string_pattern_mismatch":
            return matching(context["pattern"])
        case "too_short":
            return f"at least {count(context['min_length'], _unit(context))}"
        case "too_long":
            return f"at most {count(context['max_length'], _unit(context))}"
        case _:
            return _original_text(detail)


def _original_text(detail: ErrorDetails) -> str:
    return detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")


def _unit(context: dict[str, Any]) -> str:
    return "property" if context.get("field_type") == "Dictionary" else "item"
