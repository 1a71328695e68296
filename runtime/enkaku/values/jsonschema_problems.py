"""Problems of jsonschema-rs as ``Problem``s: knows what that library calls its errors."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from enkaku.errors import Problem

from .problems import Choice, Fault, called, count, matching, one_of, settle, tell

__all__ = ["from_schema"]

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError as SchemaError


def from_schema(errors: "Iterable[SchemaError]", value: object) -> tuple[Problem, ...]:
    """Explain a refusal of jsonschema-rs's."""
    faults = [fault for each in errors for fault in _schema_faults(each)]
    return tell(faults or [Fault((), _SCHEMA["anyOf"])], value)


_TYPES: Final = {
    "array": "an array",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "text",
}
_TOLD: Final = 100  # members of one object that are looked at
_SCHEMA: Final = {
    "anyOf": "a value that its schema accepts",
    "contains": "other items",
    "exclusiveMaximum": "less than {limit}",
    "exclusiveMinimum": "more than {limit}",
    "maximum": "{limit} or less",
    "minimum": "{limit} or more",
    "multipleOf": "a multiple of {multiple_of}",
    "not": "another value",
    "oneOfMultipleValid": "a value that fits one alternative alone",
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


def _schema_faults(error: "SchemaError") -> list[Fault | Choice]:
    path, kind = tuple(error.instance_path), error.kind.name
    facts: dict[str, Any] = error.kind.as_dict()
    if kind in {"anyOf", "oneOf"}:
        branches = facts["context"]
        if kind == "oneOf" and not all(branches):
            return [Fault(path, _SCHEMA["oneOfMultipleValid"])]
        return [Choice(path, [[f for each in b for f in _schema_faults(each)] for b in branches])]
    if kind in {"additionalProperties", "unevaluatedProperties"}:
        names = facts["unexpected"][:_TOLD]
        return [Fault((*path, name), f"no member {called(name)}", inside=True) for name in names]
    if kind == "not" and _is_hidden(facts["schema"]):
        return [Fault(path, "a value that fits one of its alternatives")]
    if kind == "required":
        return [Fault(path, f"the member {called(facts['property'])}", inside=True)]
    if kind == "propertyNames":
        inner = settle(_schema_faults(facts["error"]))
        words = " and ".join(fault.expected for fault in inner)
        return [Fault(path, f"as the name of each member, {words}", inside=True)]
    return [Fault(path, _schema_expected(error, facts), constant=kind in {"const", "enum"})]


def _is_hidden(schema: Any) -> bool:  # noqa: ANN401 # a JSON Schema
    return str(schema).startswith(("{'not': {'anyOf': ", "{'not': {'oneOf': "))


def _schema_expected(error: "SchemaError", facts: dict[str, Any]) -> str:
    kind = error.kind.name
    if "error" in facts:
        return "text that its pattern can be tried on in time"
    if kind in _SCHEMA:
        return _SCHEMA[kind].format(**facts)
    match kind:
        case _ if kind in _SIZES:
            words, thing = _SIZES[kind]
            told = f"{words} {count(facts['limit'], thing)}"
        case "type":
            names = sorted(facts["types"], key=lambda name: name == "null")
            told = " or ".join(_TYPES[name] for name in names)
        case "const":
            told = one_of([facts["expected_value"]])
        case "enum":
            told = one_of(facts["options"])
        case "pattern":
            told = matching(facts["pattern"])
        case "falseSchema":
            told = _nothing(error)
        case _:
            told = _SCHEMA["anyOf"]
    return told


def _nothing(error: "SchemaError") -> str:
    if error.schema_path[-1:] == ["additionalProperties"]:
        return "an object without members"  # told of the object, not of each member
    if not error.instance_path:
        return "no value at all"
    last = error.instance_path[-1]
    return f"no member {called(last)}" if isinstance(last, str) else "no further item"
