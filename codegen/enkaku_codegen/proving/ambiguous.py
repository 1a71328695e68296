"""Ambiguous unions: recursive unions that nothing tells apart at their first level, which the runtime reads within a budget.

The runtime skips an alternative if a property is missing, or has another JSON type or constant. If several alternatives remain,
it must validate all of them, at each level of the value.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Final

from enkaku_codegen.json_values import Json, Tokens, identity, tokens
from enkaku_codegen.planning.plan import ObjectPlan, Plan, TypePlan, names_in
from enkaku_codegen.reading.simple_schema import SimpleSchema

from .value_sets import Array, Constant, Map, Object, Tuple, ValueSet, value_sets

__all__ = ["ambiguous_unions"]

_MOST_PAIRS: Final = 20_000  # of alternatives of one union that are compared


def ambiguous_unions(plan: Plan) -> Iterator[Tokens]:
    """Yield the paths of the schemas that contain an ambiguous union: definitions, or slots if it is in no definition."""
    types = plan.known
    finder = _Finder(types)
    definition_of = {name: definition for definition, name in plan.definitions.items()}
    for type_plan in plan.types:
        name = type_plan.name
        if name in definition_of and any(map(finder.is_ambiguous, _schemas(type_plan))):
            yield "$defs", definition_of[name]
    for each in plan.both_ways:
        for slot, simple in each.slots.items():
            # A union of a definition was reported there.
            names = finder.reachable(simple, but=definition_of)
            inner = [schema for name in names for schema in _schemas(types[name])]
            if any(map(finder.is_ambiguous, [simple, *inner])):
                yield *tokens(each.procedure.pointer), slot


def _schemas(plan: TypePlan) -> list[SimpleSchema]:
    return [each.schema for each in plan.fields] if isinstance(plan, ObjectPlan) else [plan.schema]


class _Finder:
    def __init__(self, types: Mapping[str, TypePlan]) -> None:
        self._types = types
        self._recursive: dict[str, bool] = {}

    def reachable(self, simple: SimpleSchema, but: Mapping[str, str] | None = None) -> set[str]:
        """Return the names of the types that a simple schema consists of, except for those of ``but`` and their parts."""
        found: set[str] = set()
        waiting = names_in(simple)
        while waiting:
            name = waiting.pop()
            if name not in found and not (but and name in but):
                found.add(name)
                waiting += [
                    each for schema in _schemas(self._types[name]) for each in names_in(schema)
                ]
        return found

    def is_ambiguous(self, simple: Json) -> bool:
        """Return whether a simple schema contains an ambiguous union, outside of the types that it refers to."""
        if isinstance(simple, list):
            return any(map(self.is_ambiguous, simple))
        if not isinstance(simple, dict):
            return False
        if "anyOf" in simple and self._is_ambiguous_union(simple):
            return True
        return any(self.is_ambiguous(each) for key, each in simple.items() if key != "enum")

    def _is_ambiguous_union(self, union: SimpleSchema) -> bool:
        sets = [each for each in value_sets(union, self._types) if each.kind in _CONTAINERS]
        if len(sets) ** 2 > 2 * _MOST_PAIRS or not any(map(self._is_recursive, sets)):
            return False
        return any(
            one.kind == other.kind
            and not self._differ(one, other)
            and (self._is_recursive(one) or self._is_recursive(other))
            for one, other in combinations(sets, 2)
        )

    def _differ(self, one: ValueSet, other: ValueSet) -> bool:
        """Return whether the first level of a value shows that it is not of both sets."""
        if not isinstance(one, Object) or not isinstance(other, Object):
            return False
        return self._excludes(one, other) or self._excludes(other, one)

    def _excludes(self, one: Object, other: Object) -> bool:
        """Return whether a property that one class requires shows that a value is not of the other."""
        fields = {each.key: each for each in other.plan.fields}
        for field in one.plan.fields:
            if not field.required:
                continue
            if field.key not in fields:
                if other.plan.closed:
                    return True
            elif not any(
                _overlap(one_set, other_set)
                for one_set in value_sets(field.schema, self._types)
                for other_set in value_sets(fields[field.key].schema, self._types)
            ):
                return True
        return False

    def _is_recursive(self, values: ValueSet) -> bool:
        match values:
            case Object(plan):
                names = [plan.name]
            case Array(items, _):
                names = names_in(items)
            case Tuple(items):
                names = [name for each in items for name in names_in(each)]
            case Map(inner, _, _):
                names = names_in(inner)
            case _:
                names = []
        return any(map(self._reaches_itself, names))

    def _reaches_itself(self, name: str) -> bool:
        if name not in self._recursive:
            parts = [each for schema in _schemas(self._types[name]) for each in names_in(schema)]
            self._recursive[name] = any(name in self.reachable({"$ref": each}) for each in parts)
        return self._recursive[name]


_CONTAINERS: Final = frozenset({"array", "object"})


def _overlap(one: ValueSet, other: ValueSet) -> bool:
    """Return whether the JSON types of two sets are the same, and they are not different constants."""
    kinds = {"number" if each.kind == "integer" else each.kind for each in (one, other)}
    if isinstance(one, Constant) and isinstance(other, Constant):
        return identity(one.value) == identity(other.value)
    return len(kinds) == 1
