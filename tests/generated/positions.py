"""Every constraint that a type can express, in whatever type it stands: the schemas and their protocol."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from enkaku_codegen.reading.definition import Protocol
from generated.packages import make_protocol

OBJECT: Final = {"type": "object", "required": ["a"], "additionalProperties": False}
# A schema, a value that fits it, and values that do not.
FORMS: Final[Mapping[str, tuple[Any, Any, list[Any]]]] = {
    "minimum": ({"type": "integer", "minimum": 2}, 2, [1, "2", 2.5]),
    "minimum zero": ({"type": "integer", "minimum": 0}, 0, [-1]),
    "maximum": ({"type": "integer", "maximum": 2}, 2, [3]),
    "maximum zero": ({"type": "number", "maximum": 0}, -0.5, [0.5, 1]),
    "exclusiveMinimum": ({"type": "number", "exclusiveMinimum": 0}, 0.5, [0, -1]),
    "exclusiveMaximum": ({"type": "integer", "exclusiveMaximum": 0}, -1, [0]),
    "both bounds": ({"type": "number", "minimum": 1, "maximum": 1}, 1, [0.5, 1.5]),
    "four bounds": (
        {"type": "integer", "minimum": 1, "exclusiveMinimum": 3, "maximum": 9, "exclusiveMaximum": 6},
        4,
        [3, 6],
    ),
    "multipleOf": ({"type": "integer", "multipleOf": 5}, 10, [11]),
    "minLength": ({"type": "string", "minLength": 2}, "ab", ["a", 2]),
    "maxLength": ({"type": "string", "maxLength": 1}, "é", ["ab"]),
    "maxLength zero": ({"type": "string", "maxLength": 0}, "", ["a"]),
    "pattern": ({"type": "string", "pattern": "^\\d'\"+$"}, "1'\"", ["a", "1'"]),
    "pattern and sizes": (
        {"type": "string", "pattern": "^a", "minLength": 2, "maxLength": 3},
        "ab",
        ["a", "abcd", "ba"],
    ),
    "enum": ({"enum": ["a", 1, True]}, 1, ["b", 2, False]),
    "const": ({"const": "it's"}, "it's", ["its"]),
    "long enum": ({"enum": ["a", "b", "c", "d", "e"]}, "e", ["f"]),
    "boolean": ({"type": "boolean"}, False, [0, "false"]),
    "minItems": ({"type": "array", "items": {"type": "integer"}, "minItems": 1}, [1], [[], ["a"]]),
    "maxItems": ({"type": "array", "maxItems": 1}, [{}], [[1, 2]]),
    "maxItems zero": ({"type": "array", "maxItems": 0}, [], [[1]]),
    "items' minimum": ({"type": "array", "items": {"type": "integer", "minimum": 1}}, [1], [[0]]),
    "items' items": (
        {"type": "array", "items": {"type": "array", "maxItems": 1}, "minItems": 1},
        [[], [1]],
        [[], [[1, 2]]],
    ),
    "tuple": (
        {
            "type": "array",
            "prefixItems": [{"type": "integer", "maximum": 3}, {"type": "string", "minLength": 1}],
            "minItems": 2,
            "items": False,
        },
        [3, "a"],
        [[4, "a"], [3, ""], [3], [3, "a", 1]],
    ),
    "tuple with an optional place": (
        {
            "type": "array",
            "prefixItems": [{"type": "integer"}, {"type": "array", "maxItems": 1}],
            "minItems": 1,
            "maxItems": 2,
        },
        [3, []],
        [[], [3, [1, 2]], [3, [], 1]],
    ),
    "map": ({"type": "object", "additionalProperties": {"type": "integer"}}, {"a": 1}, [{"a": "a"}]),
    "minProperties": ({"type": "object", "minProperties": 1}, {"a": 1}, [{}]),
    "maxProperties": ({"type": "object", "maxProperties": 1}, {"a": 1}, [{"a": 1, "b": 1}]),
    "maxProperties zero": ({"type": "object", "maxProperties": 0}, {}, [{"a": 1}]),
    "values' maximum": (
        {"type": "object", "additionalProperties": {"type": "number", "maximum": 1}},
        {"a": 1},
        [{"a": 2}],
    ),
    "map of maps": (
        {"type": "object", "additionalProperties": {"type": "object", "minProperties": 1}},
        {"a": {"b": 1}},
        [{"a": {}}],
    ),
    "key pattern": (
        {
            "type": "object",
            "patternProperties": {"^a": {"type": "array", "minItems": 1}},
            "additionalProperties": False,
            "maxProperties": 2,
        },
        {"ab": [1]},
        [{"b": [1]}, {"a": []}, {"a": [1], "ab": [1], "ac": [1]}],
    ),
    "key sizes": (
        {"type": "object", "propertyNames": {"minLength": 2, "maxLength": 3}, "minProperties": 1},
        {"ab": 1},
        [{"a": 1}, {"abcd": 1}, {}],
    ),
    "key enum": ({"type": "object", "propertyNames": {"enum": ["a", "b"]}}, {"a": 1}, [{"c": 1}]),
    "class": ({**OBJECT, "properties": {"a": {"type": "integer"}}}, {"a": 1}, [{}, {"a": 1, "b": 1}]),
    "empty class": ({"type": "object", "additionalProperties": False}, {}, [{"a": 1}]),
    "union": (
        {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "maxLength": 1}]},
        "a",
        [0, "ab", 1.5, None],
    ),
    "union of lists": (
        {"anyOf": [{"type": "array", "minItems": 3}, {"type": "array", "maxItems": 1}]},
        [1],
        [[1, 2]],
    ),
    "union of maps": (
        {"anyOf": [{"type": "object", "minProperties": 3}, {"type": "object", "maxProperties": 1}]},
        {"a": 1},
        [{"a": 1, "b": 1}],
    ),
}  # fmt: skip
# What stands around a schema, and around its values.
POSITIONS: Final[Mapping[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]]] = {
    "slot": (lambda schema: schema, lambda value: value),
    "required": (
        lambda schema: {**OBJECT, "properties": {"a": schema}},
        lambda value: {"a": value},
    ),
    "renamed": (
        lambda schema: {"type": "object", "properties": {"aB": schema}, "required": ["aB"]},
        lambda value: {"aB": value},
    ),
    "optional": (
        lambda schema: {"type": "object", "properties": {"a": schema}},
        lambda value: {"a": value},
    ),
    "deprecated and renamed": (
        lambda schema: {"type": "object", "properties": {"aB": {**schema, "deprecated": True}}},
        lambda value: {"aB": value},
    ),
    "nullable": (lambda schema: {"anyOf": [schema, {"type": "null"}]}, lambda value: value),
    "required and nullable": (
        lambda schema: {**OBJECT, "properties": {"a": {"anyOf": [schema, {"type": "null"}]}}},
        lambda value: {"a": value},
    ),
    "optional and nullable": (
        lambda schema: {
            "type": "object",
            "properties": {"aB": {"anyOf": [schema, {"type": "null"}]}},
        },
        lambda value: {"aB": value},
    ),
    "item": (lambda schema: {"type": "array", "items": schema}, lambda value: [value]),
    "item of a sized list": (
        lambda schema: {"type": "array", "items": schema, "minItems": 1, "maxItems": 1},
        lambda value: [value],
    ),
    "nullable item": (
        lambda schema: {"type": "array", "items": {"anyOf": [{"type": "null"}, schema]}},
        lambda value: [None, value],
    ),
    "value": (
        lambda schema: {"type": "object", "additionalProperties": schema},
        lambda value: {"a": value},
    ),
    "value of a sized map": (
        lambda schema: {"type": "object", "additionalProperties": schema, "minProperties": 1},
        lambda value: {"a": value},
    ),
    "value of a key": (
        lambda schema: {
            "type": "object",
            "patternProperties": {"^a$": schema},
            "additionalProperties": False,
        },
        lambda value: {"a": value},
    ),
    "place of a tuple": (
        lambda schema: {
            "type": "array",
            "prefixItems": [schema, schema],
            "minItems": 2,
            "items": False,
        },
        lambda value: [value, value],
    ),
    "definition": (lambda schema: {"$ref": "#/$defs/{}"}, lambda value: value),
    "definition, nullable": (
        lambda schema: {"anyOf": [{"$ref": "#/$defs/{}"}, {"type": "null"}]},
        lambda value: value,
    ),
    "item of a definition": (
        lambda schema: {"type": "array", "items": {"$ref": "#/$defs/{}"}},
        lambda value: [value],
    ),
}


def _filled(schema: Any, name: str) -> Any:
    match schema:
        case dict():
            return {key: _filled(each, name) for key, each in schema.items()}
        case list():
            return [_filled(each, name) for each in schema]
        case str():
            return schema.replace("{}", name) if schema.startswith("#/") else schema
        case _:
            return schema


def procedure_of(form: str, position: str) -> str:
    return f"p{[*FORMS].index(form)}/at{[*POSITIONS].index(position)}"


def protocol() -> Protocol:
    """Make a protocol of a request for each form in each position."""
    definitions = {f"Form{index}": form[0] for index, form in enumerate(FORMS.values())}
    procedures = {
        procedure_of(form, position): {
            "type": "request",
            "param": _filled(around(FORMS[form][0]), f"Form{index}"),
        }
        for index, form in enumerate(FORMS)
        for position, (around, _) in POSITIONS.items()
    }
    return make_protocol(procedures, definitions)
