"""Disjointness test: whether no value of a set matches a schema, which decides ``oneOf`` and ``not``.

It is conservative: it may report disjoint sets as overlapping, never the reverse.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from enkaku_codegen.json_values import Json, Schema, exact_number, identity, kind_of
from enkaku_codegen.planning.all_of import type_names
from enkaku_codegen.planning.pattern import matches
from enkaku_codegen.planning.plan import TypePlan
from enkaku_codegen.reading.simple_schema import (
    ANYTHING,
    SimpleSchema,
    as_dict,
    as_list,
    reference_name,
)

from .candidates import Candidates
from .constants import fits
from .value_sets import (
    Constant,
    Map,
    Number,
    Object,
    String,
    ValueSet,
    highest,
    lowest,
    size,
    value_sets,
)

__all__ = ["Disjointness"]

_DEEPEST: Final = 20


_Check: TypeAlias = Callable[["Disjointness", ValueSet, SimpleSchema, int], bool]


class Disjointness:
    """Compares the types of a package with the schemas of its protocol.

    Args:
        types: The types, by name.
        definitions: The targets of references in schemas.
        step: Called for each schema that is visited; may raise, to limit the time.
    """

    def __init__(
        self,
        types: Mapping[str, TypePlan],
        definitions: Mapping[str, Schema],
        step: Callable[[], None],
    ) -> None:
        self._types = types
        self._step = step
        self.definitions = definitions
        self._candidates: dict[int, Candidates] = {}
        # By class and identity of the schema; the depth is that from which no proof was found.
        self._disjoint: set[tuple[str, int]] = set()
        self._overlapping: dict[tuple[str, int], int] = {}

    def candidates(self, values: ValueSet, alternatives: list[Json]) -> Sequence[int]:
        """Return the indices of the alternatives that values of a set may match; the others need no comparison."""
        key = id(alternatives)
        if key not in self._candidates:
            self._candidates[key] = Candidates(alternatives, self.definitions)
        return self._candidates[key].of(values, self._types)

    def of_all(self, values: ValueSet, alternatives: list[Json], depth: int) -> bool:
        """Return whether no value of a set matches one of the alternatives."""
        return all(
            self.of_values(values, alternatives[index], depth)
            for index in self.candidates(values, alternatives)
        )

    def of_type(self, simple: SimpleSchema, schema: Json, depth: int = 0) -> bool:
        """Return whether no value of a type matches a schema."""
        return all(self.of_values(each, schema, depth) for each in value_sets(simple, self._types))

    def of_values(self, values: ValueSet, schema: Json, depth: int = 0) -> bool:
        """Return whether no value of a set matches a schema."""
        if not isinstance(schema, dict) or depth > _DEEPEST:
            return schema is False
        if not isinstance(values, Object):
            return self._compare(values, schema, depth)
        key = values.plan.name, id(schema)
        if key in self._disjoint:
            return True
        if depth >= self._overlapping.get(key, _DEEPEST + 1):
            return False
        found = self._compare(values, schema, depth)
        if found:
            self._disjoint.add(key)
        else:
            self._overlapping[key] = depth
        return found

    def _compare(self, values: ValueSet, schema: SimpleSchema, depth: int) -> bool:
        self._step()
        checks = _OF_CONSTANTS if isinstance(values, Constant) else _CHECKS
        return any(
            check(self, values, schema, depth + 1)
            for keyword, check in checks.items()
            if keyword in schema
        )


def _type(_disjoint: Disjointness, values: ValueSet, schema: SimpleSchema, _depth: int) -> bool:
    numbers = {"integer", "number"}
    related = numbers if values.kind in numbers else {values.kind}
    return not related & {*type_names(schema["type"])}


def _const(_disjoint: Disjointness, values: ValueSet, schema: SimpleSchema, _depth: int) -> bool:
    return not _may_be(values, schema["const"])


def _enum(_disjoint: Disjointness, values: ValueSet, schema: SimpleSchema, _depth: int) -> bool:
    return not any(_may_be(values, value) for value in as_list(schema["enum"]))


def _may_be(values: ValueSet, value: Json) -> bool:
    match values, value:
        case Constant(constant), _:
            return identity(constant) == identity(value)
        case String(simple), str():
            pattern = simple.get("pattern")
            return not isinstance(pattern, str) or matches(pattern, value)
        case Number(), bool():
            return False
        case Number(kind, simple), int() | float():
            integer = kind == "integer"
            lower, upper = lowest(simple, integer=integer), highest(simple, integer=integer)
            number = exact_number(value)
            return lower < (number, True) and (number, False) < upper
        case _:
            return values.kind == kind_of(value)


def _leaf(keyword: str) -> _Check:
    """Return a check that asks the validator about a constant."""

    def check(_disjoint: Disjointness, values: ValueSet, schema: SimpleSchema, _depth: int) -> bool:
        return isinstance(values, Constant) and not fits(values.value, keyword, schema[keyword])

    return check


def _range(_disjoint: Disjointness, values: ValueSet, schema: SimpleSchema, _depth: int) -> bool:
    if not isinstance(values, Number):
        return False
    integer = values.kind == "integer"
    return lowest(values.simple, integer=integer) >= highest(schema, integer=integer) or (
        lowest(schema, integer=integer) >= highest(values.simple, integer=integer)
    )


def _size(_disjoint: Disjointness, values: ValueSet, schema: SimpleSchema, _depth: int) -> bool:
    if isinstance(values, Constant) or values.kind not in _SIZES:
        return False
    least, most = size(values)
    asked_least, asked_most = (schema.get(key) for key in _SIZES[values.kind])
    return (isinstance(asked_least, int | float) and most is not None and most < asked_least) or (
        isinstance(asked_most, int | float) and least > asked_most
    )


def _required(_disjoint: Disjointness, values: ValueSet, schema: SimpleSchema, _depth: int) -> bool:
    if not isinstance(values, Object) or not values.plan.closed:
        return False
    keys = {field.key for field in values.plan.fields}
    return any(name not in keys for name in as_list(schema["required"]))


def _properties(disjoint: Disjointness, values: ValueSet, schema: SimpleSchema, depth: int) -> bool:
    """Return whether a property is always present and never matches its schema."""
    asked = as_list(schema.get("required"))
    fields = (
        {field.key: field for field in values.plan.fields} if isinstance(values, Object) else {}
    )
    for key, below in as_dict(schema["properties"]).items():
        if isinstance(values, Map):
            value = values.values
        elif isinstance(values, Object):
            value = fields[key].schema if key in fields else ANYTHING
        else:
            return False
        there = key in asked or (key in fields and fields[key].required)
        if there and disjoint.of_type(value, below, depth):
            return True
    return False


def _closed(_disjoint: Disjointness, values: ValueSet, schema: SimpleSchema, _depth: int) -> bool:
    if schema["additionalProperties"] is not False or "patternProperties" in schema:
        return False
    known = as_dict(schema.get("properties"))
    return isinstance(values, Object) and any(
        field.required and field.key not in known for field in values.plan.fields
    )


def _reference(disjoint: Disjointness, values: ValueSet, schema: SimpleSchema, depth: int) -> bool:
    return disjoint.of_values(
        values, disjoint.definitions.get(reference_name(schema) or "", True), depth
    )


def _all_of(disjoint: Disjointness, values: ValueSet, schema: SimpleSchema, depth: int) -> bool:
    return any(disjoint.of_values(values, each, depth) for each in as_list(schema["allOf"]))


def _any_of(disjoint: Disjointness, values: ValueSet, schema: SimpleSchema, depth: int) -> bool:
    return disjoint.of_all(values, as_list(schema["anyOf"]), depth)


def _one_of(disjoint: Disjointness, values: ValueSet, schema: SimpleSchema, depth: int) -> bool:
    return disjoint.of_all(values, as_list(schema["oneOf"]), depth)


_SIZES: Final = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
_CHECKS: Final[Mapping[str, _Check]] = {
    "type": _type,
    "const": _const,
    "enum": _enum,
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _range),
    **dict.fromkeys([key for keys in _SIZES.values() for key in keys], _size),
    "required": _required,
    "properties": _properties,
    "additionalProperties": _closed,
    "$ref": _reference,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
}
_OF_CONSTANTS: Final[Mapping[str, _Check]] = {
    **_CHECKS,
    **{
        keyword: _leaf(keyword)
        for keyword in (
            *("pattern", "minLength", "maxLength", "multipleOf"),
            *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        )
    },
}
