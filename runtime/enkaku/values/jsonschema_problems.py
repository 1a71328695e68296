"""Errors of jsonschema-rs as ``Problem``s: each kind of error has its text here."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from enkaku.errors import Problem

from .json_schema import is_hidden_union
from .problems import (
    Choice,
    Fault,
    choose_alternatives,
    count,
    matching,
    named,
    one_of,
    to_problems,
)

__all__ = ["from_schema"]

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError as SchemaError


def from_schema(errors: "Iterable[SchemaError]", value: object) -> tuple[Problem, ...]:
    """Return the problems of a value that jsonschema-rs rejected."""
    faults = [fault for each in errors for fault in _to_faults(each)]
    return to_problems(faults or [Fault((), _TEXTS["anyOf"])], value)


_NAMES_MAX: Final = 100  # additional properties of one object that are reported
_TEXTS: Final = {
    "anyOf": "value that the schema accepts",
    "contains": 'items that "contains" accepts',
    "exclusiveMaximum": "less than {limit}",
    "exclusiveMinimum": "more than {limit}",
    "maximum": "{limit} or less",
    "minimum": "{limit} or more",
    "multipleOf": "a multiple of {multiple_of}",
    "not": 'value that "not" does not exclude',
    "oneOfMultipleValid": "value that fits exactly one alternative",
    "unevaluatedItems": "no additional items",
}
_SIZES: Final = {
    "additionalItems": ("at most", "item"),
    "maxItems": ("at most", "item"),
    "maxLength": ("string of at most", "character"),
    "maxProperties": ("at most", "property"),
    "minItems": ("at least", "item"),
    "minLength": ("string of at least", "character"),
    "minProperties": ("at least", "property"),
}


def _to_faults(error: "SchemaError") -> list[Fault | Choice]:
    path, kind = tuple(error.instance_path), error.kind.name
    details: dict[str, Any] = error.kind.as_dict()
    if kind in {"anyOf", "oneOf"}:
        branches = details["context"]
        if kind == "oneOf" and not all(branches):
            return [Fault(path, _TEXTS["oneOfMultipleValid"])]
        return [Choice(path, [[f for each in b for f in _to_faults(each)] for b in branches])]
    if kind in {"additionalProperties", "unevaluatedProperties"}:
        names = details["unexpected"][:_NAMES_MAX]
        return [Fault((*path, name), f"no property {named(name)}", inside=True) for name in names]
    if kind == "not" and is_hidden_union(details["schema"]):
        return [Fault(path, "value that fits one of the alternatives")]
    if kind == "required":
        return [Fault(path, f"property {named(details['property'])}", inside=True)]
    if kind == "propertyNames":
        inner = choose_alternatives(_to_faults(details["error"]))
        expected = " and ".join(fault.expected for fault in inner)
        return [Fault(path, f"property names: {expected}", inside=True)]
    return [Fault(path, _expected(error, details), constant=kind in {"const", "enum"})]


def _expected(error: "SchemaError", details: dict[str, Any]) -> str:
    kind = error.kind.name
    if "message" in details:
        return str(details["message"])  # a keyword of ``json_schema``
    if "error" in details:
        return "string that can be matched against its pattern in time"
    if kind in _TEXTS:
        return _TEXTS[kind].format(**details)
    match kind:
        case _ if kind in _SIZES:
            bound, thing = _SIZES[kind]
            text = f"{bound} {count(details['limit'], thing)}"
        case "type":
            text = " or ".join(sorted(details["types"], key=lambda name: name == "null"))
        case "const":
            text = one_of([details["expected_value"]])
        case "enum":
            text = one_of(details["options"])
        case "pattern":
            text = matching(details["pattern"])
        case "falseSchema":
            text = _nothing(error)
        case _:
            text = _TEXTS["anyOf"]
    return text


def _nothing(error: "SchemaError") -> str:
    if error.schema_path[-1:] == ["additionalProperties"]:
        return "object without properties"  # reported for the object, not for each property
    if not error.instance_path:
        return "no value"
    last = error.instance_path[-1]
    return f"no property {named(last)}" if isinstance(last, str) else "no additional item"
