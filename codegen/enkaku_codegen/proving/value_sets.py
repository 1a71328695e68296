"""Value sets: disjoint parts of a simple schema, each of values of one kind."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias

from enkaku_codegen.json_values import Json, exact_number, is_number, kind_of
from enkaku_codegen.planning.plan import AliasPlan, ObjectPlan, TypePlan
from enkaku_codegen.reading.simple_schema import ANYTHING, SimpleSchema, as_dict

__all__ = [
    "ANY_KIND",
    "Array",
    "Constant",
    "Map",
    "Number",
    "Object",
    "Plain",
    "String",
    "Tuple",
    "ValueSet",
    "highest",
    "lowest",
    "only_constant",
    "size",
    "takes_null",
    "value_sets",
]

ANY_KIND: Final = ("null", "boolean", "number", "string", "array", "object")
"""The types of JSON values; ``number`` includes ``integer``."""


@dataclass(frozen=True, slots=True)
class Constant:
    """One value: a string, an integer or a boolean."""

    value: Json

    @property
    def kind(self) -> str:
        """The JSON type of the value."""
        return kind_of(self.value)


@dataclass(frozen=True, slots=True)
class Plain:
    """Null, or both booleans."""

    kind: str


@dataclass(frozen=True, slots=True)
class Number:
    """Numbers, or integers, within bounds."""

    kind: str
    simple: SimpleSchema


@dataclass(frozen=True, slots=True)
class String:
    """Strings."""

    simple: SimpleSchema
    kind: str = "string"


@dataclass(frozen=True, slots=True)
class Array:
    """Arrays whose items all have one schema."""

    items: SimpleSchema
    simple: SimpleSchema
    kind: str = "array"


@dataclass(frozen=True, slots=True)
class Tuple:
    """Arrays of one length, with a schema for each position."""

    items: tuple[SimpleSchema, ...]
    kind: str = "array"


@dataclass(frozen=True, slots=True)
class Map:
    """Objects whose values all have one schema.

    Attributes:
        keys: The simple schema of the property names.
    """

    values: SimpleSchema
    keys: SimpleSchema
    simple: SimpleSchema
    kind: str = "object"


@dataclass(frozen=True, slots=True)
class Object:
    """Objects of a class."""

    plan: ObjectPlan
    kind: str = "object"


ValueSet: TypeAlias = Constant | Plain | Number | String | Array | Tuple | Map | Object


def value_sets(simple: SimpleSchema, types: Mapping[str, TypePlan]) -> Iterator[ValueSet]:
    """Yield the value sets of a simple schema, whose union it is.

    Args:
        simple: The simple schema, with the names of types in its ``$ref``.
        types: The types, by name.
    """
    match simple:
        case {"$ref": str() as name}:
            plan = types[name]
            if isinstance(plan, AliasPlan):
                yield from value_sets(plan.schema, types)
            else:
                yield Object(plan)
        case {"anyOf": [*branches]}:
            for branch in branches:
                yield from value_sets(as_dict(branch), types)
        case {"enum": [*values]}:
            yield from map(Constant, values)
        case {"type": str() as kind}:
            yield _of_kind(kind, simple)
        case _:
            for kind in ANY_KIND:
                yield from value_sets(_EVERY[kind], types)


def _of_kind(kind: str, simple: SimpleSchema) -> ValueSet:
    match kind, simple:
        case "integer" | "number", _:
            return Number(kind, simple)
        case "string", _:
            return String(simple)
        case "array", {"prefixItems": [*items]}:
            return Tuple(tuple(as_dict(each) for each in items))
        case "array", _:
            return Array(_below(simple, "items"), simple)
        case "object", _:
            keys = simple.get("propertyNames")
            names = keys if isinstance(keys, dict) else _ANY_TEXT
            return Map(_below(simple, "additionalProperties"), names, simple)
        case _:
            return Plain(kind)


def _below(simple: SimpleSchema, key: str) -> SimpleSchema:
    below = simple.get(key)
    return below if isinstance(below, dict) else ANYTHING


_ANY_TEXT: Final[SimpleSchema] = {"type": "string"}
# One object each: the prover caches results by identity.
_EVERY: Final[Mapping[str, SimpleSchema]] = {
    **{kind: {"type": kind} for kind in ANY_KIND},
    "array": {"type": "array", "items": ANYTHING},
    "object": {"type": "object", "additionalProperties": ANYTHING},
}


def takes_null(simple: SimpleSchema, types: Mapping[str, TypePlan]) -> bool:
    """Return whether null is a value of a type."""
    return any(values.kind == "null" for values in value_sets(simple, types))


def only_constant(simple: SimpleSchema, types: Mapping[str, TypePlan]) -> tuple[Json, ...]:
    """Return the only value of a type in a tuple of one; empty if it has others."""
    match [*value_sets(simple, types)]:
        case [Constant(value)]:
            return (value,)
        case [Plain("null")]:
            return (None,)
        case _:
            return ()


def size(values: ValueSet) -> tuple[int, int | None]:
    """Return the minimum and maximum number of characters, items or properties of the values of a set."""
    match values:
        case String(simple) | Array(_, simple) | Map(_, _, simple):
            least = _first_number(simple, "minLength", "minItems", "minProperties")
            most = _first_number(simple, "maxLength", "maxItems", "maxProperties")
            return least or 0, most
        case Tuple(items):
            return len(items), len(items)
        case Object(plan):
            required = sum(field.required for field in plan.fields)
            return required, len(plan.fields) if plan.closed else None
        case _:
            return 0, None


def _first_number(simple: SimpleSchema, *keys: str) -> int | None:
    found = [value for key in keys if isinstance(value := simple.get(key), int)]
    return found[0] if found else None


Bound: TypeAlias = tuple[float | Decimal, bool]
"""A bound, and whether it is just above the number; bounds are compared as tuples."""


def lowest(schema: SimpleSchema, *, integer: bool) -> Bound:
    """Return the lower bound of the numbers of a schema."""
    found: list[Bound] = [
        (-math.inf, False),
        *((math.ceil(each) if integer else each, False) for each in _numbers(schema, "minimum")),
        *(
            (math.floor(each) + 1, False) if integer else (each, True)
            for each in _numbers(schema, "exclusiveMinimum")
        ),
    ]
    return max(found)


def highest(schema: SimpleSchema, *, integer: bool) -> Bound:
    """Return the upper bound of the numbers of a schema."""
    found: list[Bound] = [
        (math.inf, True),
        *((math.floor(each) if integer else each, True) for each in _numbers(schema, "maximum")),
        *(
            (math.ceil(each) - 1, True) if integer else (each, False)
            for each in _numbers(schema, "exclusiveMaximum")
        ),
    ]
    return min(found)


def _numbers(schema: SimpleSchema, key: str) -> list[Decimal]:
    value = schema.get(key)
    return [exact_number(value)] if is_number(value) else []
