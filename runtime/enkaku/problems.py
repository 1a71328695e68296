"""Why a value was refused, for people: pydantic's errors and jsonschema-rs's, in words of ours.

Above it: slots. Below it: the words. Both libraries report every alternative of a union; what is told is the
alternative that the value comes closest to.
"""

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from .errors import Problem
from .exact import CHOICE
from .json_text import DEPTH_MAX
from .words import count, describe, one_of, show

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError as SchemaError

__all__ = ["from_pydantic", "from_schema", "problem"]

Path = tuple[int | str, ...]

_NESTED: Final = f"at most {DEPTH_MAX} levels of arrays and objects"
_PATTERN_MAX: Final = 60  # characters of a pattern that are worth showing


@dataclass(frozen=True, slots=True)
class _Fault:
    path: Path
    expected: str
    inside: bool = False  # the kind of value is right; what it holds is not
    constant: bool = (
        False  # one certain value was wanted: alternatives are often told apart by such
    )


@dataclass(frozen=True, slots=True)
class _Choice:
    path: Path
    branches: "Sequence[Sequence[_Fault | _Choice]]"


def problem(path: Sequence[int | str], expected: str, value: object) -> Problem:
    """Make a problem of the value that is at its place."""
    return Problem(_pointer(path), expected, describe(value))


def from_pydantic(
    error: ValidationError, value: object, *, python: bool = False
) -> tuple[Problem, ...]:
    """Explain a refusal of pydantic's.

    Args:
        error: The refusal.
        value: What was refused, as it was read from JSON.
        python: Whether it was not, but came from this program.
    """
    details = error.errors(include_url=False, include_input=False)
    if details[0]["type"] == "json_invalid":
        return (_invalid(details[0]),)
    faults = [(each["loc"], _PydanticWords(value, python=python).fault(each)) for each in details]
    return _problems(_group(faults, ()), value)


def from_schema(errors: "Iterable[SchemaError]", value: object) -> tuple[Problem, ...]:
    """Explain a refusal of jsonschema-rs's."""
    return _problems([fault for each in errors for fault in _schema_faults(each)], value)


def _problems(faults: Sequence[_Fault | _Choice], value: object) -> tuple[Problem, ...]:
    by_path: dict[Path, list[str]] = {}
    for fault in _settle(faults):
        expected = by_path.setdefault(fault.path, [])
        if fault.expected not in expected:
            expected.append(fault.expected)
    return tuple(
        problem(path, " and ".join(expected), _at(value, path))
        for path, expected in by_path.items()
    )


def _settle(faults: Iterable[_Fault | _Choice]) -> list[_Fault]:
    settled: list[_Fault] = []
    for fault in faults:
        settled += [fault] if isinstance(fault, _Fault) else _closest(fault)
    return settled


def _closest(choice: _Choice) -> list[_Fault]:
    branches = [settled for branch in choice.branches if (settled := _settle(branch))]
    inside = [branch for branch in branches if any(_is_inside(choice, each) for each in branch)]
    if not inside:
        words = dict.fromkeys(fault.expected for branch in branches for fault in branch)
        return [_Fault(choice.path, " or ".join(words) or "another value")]
    constants = [{fault.path: fault for fault in branch if fault.constant} for branch in inside]
    shared = [path for path in constants[0] if all(path in each for each in constants)]
    if shared and len(inside) > 1:
        words = dict.fromkeys(each[shared[0]].expected for each in constants)
        return [_Fault(shared[0], " or ".join(words), constant=True)]
    return min(inside, key=lambda branch: (sum(fault.constant for fault in branch), len(branch)))


def _is_inside(choice: _Choice, fault: _Fault) -> bool:
    return fault.inside or len(fault.path) > len(choice.path)


def _group(
    faults: Sequence[tuple[tuple[int | str, ...], _Fault]], before: tuple[int | str, ...]
) -> list[_Fault | _Choice]:
    """Gather the faults of each union, which pydantic tells one by one: their places name the choice."""
    grouped: list[_Fault | _Choice] = []
    choices: dict[tuple[int | str, ...], dict[int | str, list[tuple[Any, _Fault]]]] = {}
    for place, fault in faults:
        rest = place[len(before) :]
        at = next((i for i, step in enumerate(rest) if str(step).startswith(CHOICE)), None)
        if at is None:
            grouped.append(fault)
            continue
        union = place[: len(before) + at]
        if union not in choices:
            choices[union] = {}
            grouped.append(_Choice(union, ()))
        choices[union].setdefault(rest[at], []).append((place, fault))
    return [
        each if isinstance(each, _Fault) else _choice(each.path, choices[each.path])
        for each in grouped
    ]


def _choice(
    union: tuple[int | str, ...], branches: dict[int | str, list[tuple[Any, _Fault]]]
) -> _Choice:
    path = tuple(step for step in union if not str(step).startswith(CHOICE))
    return _Choice(path, [_group(each, (*union, label)) for label, each in branches.items()])


def _at(value: object, path: Path) -> object:
    for step in path:
        value = _member(value, step)
    return value


class _Nothing:
    """Where there is no value."""


def _member(value: object, step: int | str) -> object:
    if isinstance(value, BaseModel):
        return {**vars(value), **(value.__pydantic_extra__ or {})}.get(str(step), _Nothing)
    if isinstance(value, dict):
        return cast(dict[object, object], value).get(step, _Nothing)
    if isinstance(value, list | tuple) and isinstance(step, int):
        items = cast(Sequence[object], value)
        return items[step] if step < len(items) else _Nothing
    return _Nothing


def _pointer(path: Sequence[int | str]) -> str:
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


def _name(member: object) -> str:
    return show(member) or "with a long name"


def _invalid(detail: ErrorDetails) -> Problem:
    reason = str(detail.get("ctx", {}).get("error", "it is none"))
    if reason.startswith("recursion limit"):
        return Problem("", _NESTED, "more")
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


class _PydanticWords:
    """Words and places for pydantic's errors about one value."""

    def __init__(self, value: object, *, python: bool) -> None:
        self._value = value
        self._python = python

    def fault(self, detail: ErrorDetails) -> _Fault:
        kind, context = detail["type"], detail.get("ctx", {})
        path = self._path(detail["loc"])
        if kind == "missing":
            last = detail["loc"][-1]
            if isinstance(last, int):
                return _Fault(path, f"at least {count(last + 1, 'item')}", inside=True)
            return _Fault(path, f"the member {_name(last)}", inside=True)
        if kind == "extra_forbidden":
            return _Fault(path, f"no member {_name(detail['loc'][-1])}", inside=True)
        if kind == "foreign":
            path += tuple(context["path"])
        return _Fault(path, self._expected(detail), constant=kind.startswith("literal"))

    def _path(self, place: tuple[int | str, ...]) -> Path:
        """Drop the steps that are not in the value: pydantic names alternatives among them."""
        value, path = self._value, list[int | str]()
        for step in place:
            inner = _member(value, step)
            if inner is not _Nothing:
                value = inner
                path.append(step)
        return tuple(path)

    def _expected(self, detail: ErrorDetails) -> str:
        kind, context = detail["type"], detail.get("ctx", {})
        if kind in _OWN:
            return detail["msg"]
        if self._python and "class" in "".join(context):
            return f"a {context.get('class_name', context.get('class'))}"
        if kind in _PYDANTIC:
            return _PYDANTIC[kind].format(**context)
        return _sized(detail, context)


def _sized(detail: ErrorDetails, context: dict[str, Any]) -> str:
    match detail["type"]:
        case "literal_error":
            found = _REPR.findall(str(context["expected"]))
            return one_of(ast.literal_eval(each) for each in found)
        case "string_too_short":
            return f"text of at least {count(context['min_length'], 'character')}"
        case "string_too_long":
            return f"text of at most {count(context['max_length'], 'character')}"
        case "string_pattern_mismatch":
            return _matching(context["pattern"])
        case "too_short":
            return f"at least {count(context['min_length'], _things(context))}"
        case "too_long":
            return f"at most {count(context['max_length'], _things(context))}"
        case _:
            return detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")


def _things(context: dict[str, Any]) -> str:
    return "member" if context.get("field_type") == "Dictionary" else "item"


def _matching(pattern: str) -> str:
    return "text that matches " + (pattern if len(pattern) <= _PATTERN_MAX else "its pattern")


_TYPES: Final = {
    "array": "an array",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "text",
}
_SCHEMA: Final = {
    "backtrackLimitExceeded": "text that its pattern can be tried on in time",
    "contains": "other items",
    "exclusiveMaximum": "less than {limit}",
    "exclusiveMinimum": "more than {limit}",
    "maximum": "{limit} or less",
    "minimum": "{limit} or more",
    "multipleOf": "a multiple of {multiple_of}",
    "not": "another value",
    "oneOfMultipleValid": "a value that fits one alternative alone",
    "regexEngineFailure": "text that its pattern can be tried on",
    "unevaluatedItems": "no further items",
    "uniqueItems": "items that are all different",
}
_SIZES: Final = {
    "additionalItems": ("at most", "item"),
    "maxItems": ("at most", "item"),
    "maxLength": ("text of at most", "character"),
    "maxProperties": ("at most", "member"),
    "minItems": ("at least", "item"),
    "minLength": ("text of at least", "character"),
    "minProperties": ("at least", "member"),
}


def _schema_faults(error: "SchemaError") -> list[_Fault | _Choice]:
    path, kind = tuple(error.instance_path), error.kind.name
    facts: dict[str, Any] = error.kind.as_dict()
    if kind in {"anyOf", "oneOf"}:
        branches = facts["context"]
        if kind == "oneOf" and not all(branches):
            return [_Fault(path, _SCHEMA["oneOfMultipleValid"])]
        return [_Choice(path, [[f for each in b for f in _schema_faults(each)] for b in branches])]
    if kind in {"additionalProperties", "unevaluatedProperties"}:
        names = facts["unexpected"]
        return [_Fault((*path, name), f"no member {_name(name)}", inside=True) for name in names]
    if kind == "required":
        return [_Fault(path, f"the member {_name(facts['property'])}", inside=True)]
    if kind == "propertyNames":
        inner = _settle(_schema_faults(facts["error"]))
        words = " and ".join(fault.expected for fault in inner)
        return [_Fault(path, f"as the name of each member, {words}", inside=True)]
    return [_Fault(path, _schema_expected(error, facts), constant=kind in {"const", "enum"})]


def _schema_expected(error: "SchemaError", facts: dict[str, Any]) -> str:
    kind = error.kind.name
    if kind in _SCHEMA:
        return _SCHEMA[kind].format(**facts)
    if kind in _SIZES:
        words, thing = _SIZES[kind]
        return f"{words} {count(facts['limit'], thing)}"
    match kind:
        case "type":
            return " or ".join(_TYPES[name] for name in facts["types"])
        case "const":
            return one_of([facts["expected_value"]])
        case "enum":
            return one_of(facts["options"])
        case "pattern":
            return _matching(facts["pattern"])
        case "falseSchema":
            return _nothing(error)
        case _:
            return "a value that its schema accepts"


def _nothing(error: "SchemaError") -> str:
    if error.schema_path[-1:] == ["additionalProperties"]:
        return "an object without members"  # told of the object, not of each member
    if not error.instance_path:
        return "no value at all"
    last = error.instance_path[-1]
    return f"no member {_name(last)}" if isinstance(last, str) else "no further item"
