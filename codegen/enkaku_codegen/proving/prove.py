"""Prover: decides whether a generated type enforces the whole of its schema.

A type accepts every value that its schema accepts. The prover checks the other direction: if all values of the
type match the schema, the type alone validates; else a validator runs as well. A proof may fail for a type that
is exact, which costs time at run time, but never succeeds for one that is not.

A type is split into *value sets*, each of one kind. A rule for each keyword of the schema gives the reasons why values
of a set may not match it. If a pair of type and schema comes up within its own proof, as in a recursive tree, it is
assumed to hold: a counterexample would be infinitely deep. For definitions, the prover assumes that every class
enforces its definition, drops the assumptions that fail, and repeats until none fails (a greatest fixed point). So
no proof visits more than one definition, however long their chain is.
"""

from collections.abc import Hashable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Final, TypeAlias

from enkaku_codegen.json_values import Json, Schema, Tokens
from enkaku_codegen.planning.plan import ObjectPlan, TypePlan
from enkaku_codegen.proving import rules_arrays, rules_logic, rules_objects, rules_values
from enkaku_codegen.reading.simple_schema import SimpleSchema

from .case import Case, Reason, Rule
from .disjoint import Disjointness
from .value_sets import Object, ValueSet, value_sets

__all__ = ["RULES", "Prover", "Reason"]

RULES: Final[dict[str, Rule]] = {
    **rules_values.RULES,
    **rules_arrays.RULES,
    **rules_objects.RULES,
    **rules_logic.RULES,
}
"""The rule of each keyword; annotations have none."""

_MOST_REASONS: Final = 5
# A slot of a real protocol takes some hundred steps, of about ten microseconds each.
_MOST_STEPS: Final = 100_000
_MOST_STEPS_OF_ALL: Final = 1_000_000
_DEEPEST: Final = 60


class _TooLarge(Exception):
    """A proof would take too long."""


class Prover:
    """Proves types of a package.

    Args:
        types: The types, by name.
        definitions: The targets of references in schemas.
        names: The name of the type of each definition.
    """

    def __init__(
        self,
        types: Mapping[str, TypePlan],
        definitions: Mapping[str, Schema],
        names: Mapping[str, str],
    ) -> None:
        self.disjoint = Disjointness(types, definitions, self._step)
        self.listed: dict[int, AbstractSet[Hashable]] = {}
        self._types = types
        self.definitions = definitions
        self._value_sets: dict[_Key, tuple[ValueSet, ...]] = {}
        self._enforced: dict[_Pair, tuple[Reason, ...]] = {}
        self._known: dict[_Pair, tuple[Reason, ...]] = {}
        self._proved: list[_Pair] = []
        self._depth = 0
        self._steps = 0
        self._steps_of_all = 0
        self._find_enforced(names)

    def _find_enforced(self, names: Mapping[str, str]) -> None:
        """Find the classes that enforce their definitions, as a greatest fixed point."""
        waiting = {
            (name, id(schema)): (definition, schema)
            for definition, schema in self.definitions.items()
            if isinstance(self._types.get(name := names[definition]), ObjectPlan)
        }
        before = len(waiting) + 1
        while len(waiting) < before:
            before = len(waiting)
            for pair, (definition, schema) in [*waiting.items()]:
                self._enforced = dict.fromkeys(waiting, ()) | self._enforced
                self._discard_assumptions()
                del self._known[pair]
                found = self.slot({"$ref": pair[0]}, schema, ("$defs", definition))
                if found:
                    self._enforced[pair] = found
                    del waiting[pair]
        self._discard_assumptions()

    def _discard_assumptions(self) -> None:
        """Discard all results but those for definitions."""
        self._known = dict(self._enforced)
        self._proved.clear()

    def slot(self, simple: SimpleSchema, schema: Schema, path: Tokens) -> tuple[Reason, ...]:
        """Return the reasons why a slot's type does not enforce its schema; empty if it does.

        Args:
            simple: The simple schema of the type.
            schema: The slot's schema.
            path: Its path in the protocol file.
        """
        self._depth = self._steps = 0
        try:
            return self.reasons(simple, schema, path)
        except (_TooLarge, RecursionError):
            self._discard_assumptions()
            return (Reason(path, _TOO_LARGE),)

    def reasons(self, simple: SimpleSchema, schema: Json, path: Tokens) -> tuple[Reason, ...]:
        """Return the reasons why values of a type may not match a schema; empty if all match."""
        if not isinstance(schema, dict):
            return () if schema is True else (Reason(path, _NOTHING),)
        key = _key(simple), id(schema)
        if key in self._known:
            return self._known[key]
        if self._depth > _DEEPEST:
            return (Reason(path, _TOO_LARGE),)
        proved = len(self._proved)
        self._known[key] = ()  # assumed, until the proof ends
        self._depth += 1
        found = tuple(self._found(simple, schema, path))
        self._depth -= 1
        if found:
            # Proofs within this one may have used the assumption, which failed.
            for each in self._proved[proved:]:
                del self._known[each]
            del self._proved[proved:]
            self._known[key] = found
        else:
            self._proved.append(key)
        return found

    def _found(self, simple: SimpleSchema, schema: SimpleSchema, path: Tokens) -> Iterator[Reason]:
        reasons = (
            reason
            for values in self._parts(simple)
            for reason in self.reasons_for_values(values, schema, path)
        )
        yield from dict.fromkeys(islice(reasons, _MOST_REASONS))

    def _parts(self, simple: SimpleSchema) -> tuple[ValueSet, ...]:
        key = _key(simple)
        if key not in self._value_sets:
            self._value_sets[key] = tuple(value_sets(simple, self._types))
        return self._value_sets[key]

    def reasons_for_values(self, values: ValueSet, schema: Json, path: Tokens) -> Iterator[Reason]:
        """Yield the reasons why values of a set may not match a schema."""
        if not isinstance(schema, dict):
            if schema is False:
                yield Reason(path, _NOTHING)
            return
        self._step()
        for keyword, value in schema.items():
            rule = RULES.get(keyword)
            if rule is not None:
                yield from rule(Case(self, values, schema, (*path, keyword)), value)

    def _step(self) -> None:
        self._steps += 1
        self._steps_of_all += 1
        if self._steps > _MOST_STEPS or self._steps_of_all > _MOST_STEPS_OF_ALL:
            raise _TooLarge

    def reasons_for_definition(self, values: ValueSet, name: str) -> Iterator[Reason]:
        """Yield the reasons why values of a set may not match a definition."""
        schema, path = self.definitions.get(name, False), ("$defs", name)
        if isinstance(values, Object):
            yield from self.reasons({"$ref": values.plan.name}, schema, path)
        else:
            yield from self.reasons_for_values(values, schema, path)


_TOO_LARGE: Final = "the schema is too large to prove that the type enforces it"
_NOTHING: Final = "the schema accepts no value, but the type does"
_Key: TypeAlias = str | int
_Pair: TypeAlias = tuple[_Key, int]


def _key(simple: SimpleSchema) -> _Key:
    """Return a key for a simple schema: the type that it refers to, else its identity, which its plan keeps alive."""
    match simple:
        case {"$ref": str() as name}:
            return name
        case _:
            return id(simple)
