"""A keyword of a schema, and the value set that it is asked about: what the rules of proofs work with."""

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
    """Why a type does not enforce its schema.

    Attributes:
        path: Of the keyword, in the protocol file, or in a definition: ``("$defs", NAME, ...)``.
        text: What the type can't say.
    """

    path: Tokens
    text: str

    def __str__(self) -> str:
        return f"{pointer(self.path)}: {self.text}"


class Proof(Protocol):
    """What rules ask the prover for.

    Attributes:
        definitions: What references lead to.
        listed: The values of an ``enum``, by the identity of its list.
    """

    disjoint: Disjointness
    definitions: Mapping[str, Schema]
    listed: dict[int, AbstractSet[Hashable]]

    def reasons(self, simple: SimpleSchema, schema: Json, path: Tokens) -> tuple[Reason, ...]:
        """Return the reasons why values of a type may not fit a schema."""
        ...

    def reasons_for_values(self, values: ValueSet, schema: Json, path: Tokens) -> Iterator[Reason]:
        """Return the reasons why values of a value set may not fit a schema."""
        ...

    def reasons_for_definition(self, values: ValueSet, name: str) -> Iterator[Reason]:
        """Return the reasons why values of a value set may not fit a definition."""
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """A keyword, and a value set that it is asked about.

    Attributes:
        schema: What the keyword stands in.
        path: Where the keyword stands.
    """

    proof: Proof
    values: ValueSet
    schema: SimpleSchema
    path: Tokens

    def reason(self, text: str) -> Iterator[Reason]:
        """Yield one reason."""
        yield Reason(self.path, text)

    def below(self, simple: SimpleSchema, schema: Json, *steps: str) -> Iterator[Reason]:
        """Yield the reasons why what is within the value set may break what is within the keyword."""
        yield from self.proof.reasons(simple, schema, (*self.path, *steps))

    def same(self, schema: Json, *steps: str) -> Iterator[Reason]:
        """Yield the reasons why the value set itself may break a schema within the keyword."""
        yield from self.proof.reasons_for_values(self.values, schema, (*self.path, *steps))

    def always_fits(self, schema: Json) -> bool:
        """Return whether every value of the set fits a schema within the keyword."""
        # What is disjoint is soon found, where a proof would look at all that both refer to.
        return not self.never_fits(schema) and not any(True for _ in self.same(schema))

    def never_fits(self, schema: Json) -> bool:
        """Return whether no value of the set fits a schema within the keyword."""
        return self.proof.disjoint.of_values(self.values, schema)


Rule: TypeAlias = Callable[[Case, Json], Iterator[Reason]]
