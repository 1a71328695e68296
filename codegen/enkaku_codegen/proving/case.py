"""Interface between the prover and its rules: one keyword, applied to one value set."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from enkaku_codegen.json_values import Json, Schema, Tokens, pointer
from enkaku_codegen.reading.simple_schema import SimpleSchema

from .disjoint import Disjointness
from .value_sets import ValueSet

__all__ = ["Case", "Proof", "Reason", "Rule"]


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason why a type does not enforce its schema.

    Attributes:
        path: The path of the keyword in the protocol file, or in a definition: ``("$defs", NAME, ...)``.
        text: What the type does not enforce.
    """

    path: Tokens
    text: str

    def __str__(self) -> str:
        return f"{pointer(self.path)}: {self.text}"


class Proof(Protocol):
    """The prover, as the rules use it.

    Attributes:
        definitions: The targets of references.
        listed: The values of an ``enum``, by the identity of its list.
    """

    disjoint: Disjointness
    definitions: Mapping[str, Schema]
    listed: dict[int, AbstractSet[Hashable]]

    def reasons(self, simple: SimpleSchema, schema: Json, path: Tokens) -> tuple[Reason, ...]:
        """Return the reasons why values of a type may not match a schema."""
        ...

    def reasons_for_values(self, values: ValueSet, schema: Json, path: Tokens) -> Iterator[Reason]:
        """Yield the reasons why values of a set may not match a schema."""
        ...

    def reasons_for_definition(self, values: ValueSet, name: str) -> Iterator[Reason]:
        """Yield the reasons why values of a set may not match a definition."""
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """A keyword, and the value set that it is applied to.

    Attributes:
        schema: The schema of the keyword.
        path: The path of the keyword.
    """

    proof: Proof
    values: ValueSet
    schema: SimpleSchema
    path: Tokens

    def reason(self, text: str) -> Iterator[Reason]:
        """Yield one reason."""
        yield Reason(self.path, text)

    def below(self, simple: SimpleSchema, schema: Json, *steps: str) -> Iterator[Reason]:
        """Yield the reasons why parts of the values may not match a subschema of the keyword."""
        yield from self.proof.reasons(simple, schema, (*self.path, *steps))

    def same(self, schema: Json, *steps: str) -> Iterator[Reason]:
        """Yield the reasons why the values themselves may not match a subschema of the keyword."""
        yield from self.proof.reasons_for_values(self.values, schema, (*self.path, *steps))

    def always_fits(self, schema: Json) -> bool:
        """Return whether all values certainly match a subschema of the keyword."""
        # never_fits is fast. Without it, same would visit all definitions of schemas that are disjoint.
        return not self.never_fits(schema) and not any(True for _ in self.same(schema))

    def never_fits(self, schema: Json) -> bool:
        """Return whether no value can match a subschema of the keyword."""
        return self.proof.disjoint.of_values(self.values, schema)

    def candidates(self, alternatives: list[Json]) -> Mapping[int, Json]:
        """Return the subschemas of the keyword that values may match, by their indices."""
        found = self.proof.disjoint.candidates(self.values, alternatives)
        return {index: alternatives[index] for index in found}


Rule: TypeAlias = Callable[[Case, Json], Iterator[Reason]]
