"""Index of alternatives: which of a union values may match, found by constants and names instead of pair by pair.

An alternative is excluded if it has another type, gives a property other constants than the class, or requires a property that
the class does not have. A union of a thousand classes has half a million pairs, and each class has one or two candidates.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Final

from enkaku_codegen.json_values import Json, Schema, identity
from enkaku_codegen.planning.all_of import type_names
from enkaku_codegen.planning.plan import FieldPlan, TypePlan
from enkaku_codegen.reading.simple_schema import SimpleSchema, as_dict, as_list, reference_name

from .value_sets import ANY_KIND, Constant, Object, ValueSet, value_sets

__all__ = ["Candidates"]

_FEW: Final = 8  # alternatives that are compared one by one
_LONGEST_CHAIN: Final = 20  # references to references


class Candidates:
    """Finds the alternatives that a class may match.

    Args:
        alternatives: The schemas of a union.
        definitions: The targets of references.
    """

    def __init__(self, alternatives: Sequence[Json], definitions: Mapping[str, Schema]) -> None:
        self._all: Final = range(len(alternatives))
        self._by_constant: Final[dict[str, dict[Hashable, list[int]]]] = {}
        self._by_name: Final[dict[str, list[int]]] = {}
        self._without: Final[dict[str, list[int]]] = {}
        self._requiring_none: Final[list[int]] = []
        self._by_kind: Final[dict[str, list[int]]] = {}
        if len(alternatives) > _FEW:
            self._index([_resolved(each, definitions) for each in alternatives])

    def _index(self, schemas: Sequence[SimpleSchema]) -> None:
        for kind in ANY_KIND:
            self._by_kind[kind] = [i for i, each in enumerate(schemas) if kind in _kinds(each)]
        counts: dict[str, int] = {}
        for schema in schemas:
            for name in _required(schema):
                counts[name] = counts.get(name, 0) + 1
        for index, schema in enumerate(schemas):
            for name, property_schema in as_dict(schema.get("properties")).items():
                for constant in _constants(property_schema):
                    by_constant = self._by_constant.setdefault(name, {})
                    by_constant.setdefault(constant, []).append(index)
            rarest = min(_required(schema), key=lambda name: counts[name], default=None)
            if rarest is None:
                self._requiring_none.append(index)
            else:
                self._by_name.setdefault(rarest, []).append(index)
        for name, by_constant in self._by_constant.items():
            given = {index for indices in by_constant.values() for index in indices}
            self._without[name] = [index for index in self._all if index not in given]

    def of(self, values: ValueSet, types: Mapping[str, TypePlan]) -> Sequence[int]:
        """Return the indices of the alternatives that values of a set may match, in ascending order."""
        kind = "number" if values.kind == "integer" else values.kind
        best: Sequence[int] = self._by_kind.get(kind, self._all)
        if not isinstance(values, Object):
            return best
        for field in values.plan.fields:
            if field.required and field.key in self._by_constant:
                constants = _field_constants(field, types)
                if constants is not None:
                    by_constant = self._by_constant[field.key]
                    found = [index for each in constants for index in by_constant.get(each, ())]
                    best = min(best, [*self._without[field.key], *found], key=len)
        if values.plan.closed and self._by_name:
            names = {field.key for field in values.plan.fields}
            found = [index for name in names for index in self._by_name.get(name, ())]
            best = min(best, [*self._requiring_none, *found], key=len)
        return sorted({*best})


def _resolved(schema: Json, definitions: Mapping[str, Schema]) -> SimpleSchema:
    """Return the schema that a reference leads to, and that accepts all values that the reference accepts."""
    for _ in range(_LONGEST_CHAIN):
        if not isinstance(schema, dict):
            return {}
        if "$ref" not in schema or "properties" in schema:
            return schema
        schema = definitions.get(reference_name(schema) or "", True)
    return {}


def _kinds(schema: SimpleSchema) -> frozenset[str]:
    """Return the types of the values that a schema accepts; ``number`` includes ``integer``."""
    if "type" not in schema:
        return frozenset(ANY_KIND)
    return frozenset("number" if each == "integer" else each for each in type_names(schema["type"]))


def _required(schema: SimpleSchema) -> list[str]:
    return [each for each in as_list(schema.get("required")) if isinstance(each, str)]


def _constants(schema: Json) -> list[Hashable]:
    """Return the constants that a schema lists; none if it may accept other values."""
    if not isinstance(schema, dict):
        return []
    if "const" in schema:
        return [identity(schema["const"])]
    return [identity(each) for each in as_list(schema.get("enum"))]


def _field_constants(field: FieldPlan, types: Mapping[str, TypePlan]) -> list[Hashable] | None:
    """Return the constants of a field; None if it has other values."""
    found: list[Hashable] = []
    for each in value_sets(field.schema, types):
        if not isinstance(each, Constant):
            return None
        found.append(identity(each.value))
    return found
