"""Random cases that have to do with one keyword."""

from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Final

from .cases import Case
from .schemas import Schema, SchemaMaker

__all__ = ["stepped_cases", "targeted_cases"]

_DRAWS: Final = 20_000
_OUTERMOST: Final = 2
_NUMBERS: Final = ("integer", "number")
_COMPANIONS: Final = {
    "additionalProperties": ("properties", "patternProperties"),
    "contains": ("minContains", "maxContains"),
    "if": ("then", "else"),
    "items": ("prefixItems",),
    "unevaluatedItems": ("prefixItems",),
    "unevaluatedProperties": ("properties", "allOf"),
}


def targeted_cases(seed: str, keywords: Iterable[str], count: int) -> dict[str, list[Case]]:
    """Make some cases for each keyword; all of them share their definitions.

    Each has a schema with the keyword, in a place where a type can say so, or where none can.
    """
    pick = Random(seed)
    maker = SchemaMaker(pick, "draft2020-12", shared=3)
    made: dict[str, list[Case]] = {}
    for keyword in keywords:
        schemas = [_around(pick, keyword, _with_keyword(maker, keyword)) for _ in range(count)]
        made[keyword] = [
            _case(f"{keyword.strip('$')}/{number}", each, maker)
            for number, each in enumerate(schemas)
        ]
    return made


def _with_keyword(maker: SchemaMaker, keyword: str) -> dict[str, Any]:
    for _ in range(_DRAWS):
        schema = maker.schema(_OUTERMOST)
        if keyword == "$dynamicRef":
            return {"anyOf": [{"type": "array", "items": {keyword: "#"}}, schema]}
        if isinstance(schema, dict) and keyword in schema:
            return schema if maker.chance(0.25) else _bare(schema, keyword)
    raise AssertionError(f"no random schema has {keyword}")


def _bare(schema: dict[str, Any], keyword: str) -> dict[str, Any]:
    """Give the keyword alone, with those without which it means nothing."""
    kept = (keyword, "type", *_COMPANIONS.get(keyword, ()))
    return {word: value for word, value in schema.items() if word in kept}


def _around(pick: Random, keyword: str, schema: dict[str, Any]) -> Schema:
    has_type = "type" in schema and keyword != "type"
    return pick.choice(_PLACES)(schema, {"type": schema["type"]} if has_type else {})


# A schema, where its type may say it all, or where no type says more than what is beside it.
_PLACES: Final[list[Callable[[dict[str, Any], dict[str, Any]], Schema]]] = [
    lambda schema, _: schema,
    lambda schema, beside: {**beside, "if": True, "then": schema},
    lambda schema, beside: {**beside, "if": {"const": "other"}, "else": schema},
    lambda schema, _: {"anyOf": [{"type": "null"}, schema]},
    lambda schema, beside: {
        "type": "object",
        "properties": {"value": {**beside, "if": True, "then": schema}},
        "required": ["value"],
    },
    lambda schema, beside: {**beside, "allOf": [schema]},
]


def stepped_cases(keyword: str) -> list[Case]:
    """Make cases whose types say nearly as much as their schemas: one step less."""
    schemas: list[Schema] = []
    for wide, narrow in _STEPS.get(keyword, ()):
        schema = {**wide, "if": True, "then": narrow}
        schemas += [schema, {"type": "array", "items": schema}]
    return [
        Case(f"{keyword}/step/{number}", "draft2020-12", each, _DEFINITIONS)
        for number, each in enumerate(schemas)
    ]


_WHOLE: Final = {"type": "integer"}
_A: Final = {"type": "object", "properties": {"a": _WHOLE}}
_DEFINITIONS: Final[dict[str, Schema]] = {"Large": {"type": "integer", "minimum": 3}}


def _in_member(
    wide: dict[str, Any], narrow: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ask it of a member: alternatives are told apart by what they are themselves."""
    return {"type": "object", "properties": {"a": wide}}, {"properties": {"a": narrow}}


# For each keyword: schemas that a type enforces, and what is asked beside that.
_STEPS: Final[dict[str, list[tuple[dict[str, Any], dict[str, Any]]]]] = {
    "$ref": [(_WHOLE, {"$ref": "#/$defs/Large"})],
    "additionalProperties": [(_A, {"additionalProperties": False})],
    "allOf": [(_WHOLE, {"allOf": [{"minimum": 3}]})],
    "anyOf": [(_WHOLE, {"anyOf": [{"type": "integer", "minimum": 3}, {"type": "string"}]})],
    "const": [({"type": "boolean"}, {"const": True})],
    "contains": [({"type": "array"}, {"contains": {"const": "a"}})],
    "dependentRequired": [
        ({**_A, "required": ["a"]}, {"dependentRequired": {"id": ["a"], "a": ["id"]}})
    ],
    "dependentSchemas": [(_A, {"dependentSchemas": {"a": {"required": ["id"]}}})],
    "enum": [
        _in_member({"enum": [1, True, "a"]}, {"enum": [1, "a"]}),
        _in_member({"enum": [0, False, None]}, {"enum": [False, None]}),
        _in_member({"enum": ["1", 1]}, {"enum": ["1"]}),
    ],
    "exclusiveMaximum": [
        ({"type": kind, "exclusiveMaximum": 4}, {"exclusiveMaximum": 3}) for kind in _NUMBERS
    ],
    "exclusiveMinimum": [
        ({"type": kind, "exclusiveMinimum": 3}, {"exclusiveMinimum": 4}) for kind in _NUMBERS
    ],
    "if": [(_A, {"if": {"required": ["a"]}, "else": {"required": ["id"]}})],
    "items": [({"type": "array"}, {"items": _WHOLE})],
    "maxItems": [({"type": "array", "maxItems": 3}, {"maxItems": 2})],
    "maxLength": [({"type": "string", "maxLength": 2}, {"maxLength": 1})],
    "maxProperties": [({"type": "object", "maxProperties": 2}, {"maxProperties": 1})],
    "maximum": [({"type": kind, "maximum": 4}, {"maximum": 3}) for kind in _NUMBERS],
    "minItems": [({"type": "array", "minItems": 1}, {"minItems": 2})],
    "minLength": [({"type": "string", "minLength": 1}, {"minLength": 2})],
    "minProperties": [({"type": "object", "minProperties": 1}, {"minProperties": 2})],
    "minimum": [({"type": kind, "minimum": 3}, {"minimum": 4}) for kind in _NUMBERS],
    "multipleOf": [(_WHOLE, {"multipleOf": 3})],
    "not": [(_WHOLE, {"not": {"minimum": 3}})],
    "oneOf": [
        (
            {"type": "integer", "minimum": 3},
            {"oneOf": [{"type": "integer"}, {"type": "integer", "maximum": 5}]},
        )
    ],
    "pattern": [({"type": "string", "pattern": "^a"}, {"pattern": "^[A-Z]"})],
    "patternProperties": [({"type": "object"}, {"patternProperties": {"^a": _WHOLE}})],
    "prefixItems": [({"type": "array"}, {"prefixItems": [_WHOLE]})],
    "properties": [({"type": "object"}, {"properties": {"a": _WHOLE}})],
    "propertyNames": [({"type": "object"}, {"propertyNames": {"pattern": "^a"}})],
    "required": [({**_A, "required": ["a"]}, {"required": ["id", "a"]})],
    "type": [
        ({"type": "number"}, {"type": "integer"}),
        ({"type": ["string", "integer"]}, {"type": "string"}),
    ],
    "unevaluatedItems": [({"type": "array"}, {"unevaluatedItems": _WHOLE})],
    "unevaluatedProperties": [(_A, {"unevaluatedProperties": False})],
    "uniqueItems": [({"type": "array"}, {"uniqueItems": True})],
}


def _case(name: str, schema: Schema, maker: SchemaMaker) -> Case:
    return Case(name, "draft2020-12", schema, maker.definitions)
