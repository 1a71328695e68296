"""A keyword of a schema, and the atom whose values it is asked about: what the rules of proofs work with."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from enkaku_codegen.jsontree import Json, Schema, Tokens, pointer
from enkaku_codegen.reading.simple_schema import Node

from .disjoint import Apart
from .value_sets import Atom

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

    apart: Apart
    definitions: Mapping[str, Schema]
    listed: dict[int, AbstractSet[Hashable]]

    def reasons(self, node: Node, schema: Json, path: Tokens) -> tuple[Reason, ...]:
        """Give the reasons why values of a type may not fit a schema."""
        ...

    def atom(self, atom: Atom, schema: Json, path: Tokens) -> Iterator[Reason]:
        """Give the reasons why values of an atom may not fit a schema."""
        ...

    def definition(self, atom: Atom, name: str) -> Iterator[Reason]:
        """Give the reasons why values of an atom may not fit a definition."""
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """A keyword, and an atom whose values it is asked about.

    Attributes:
        schema: What the keyword stands in.
        path: Where the keyword stands.
    """

    proof: Proof
    atom: Atom
    schema: Node
    path: Tokens

    def no(self, text: str) -> Iterator[Reason]:
        """Give one reason."""
        yield Reason(self.path, text)

    def below(self, node: Node, schema: Json, *steps: str) -> Iterator[Reason]:
        """Give the reasons why what is within the atom may break what is within the keyword."""
        yield from self.proof.reasons(node, schema, (*self.path, *steps))

    def same(self, schema: Json, *steps: str) -> Iterator[Reason]:
        """Give the reasons why the atom itself may break a schema within the keyword."""
        yield from self.proof.atom(self.atom, schema, (*self.path, *steps))

    def holds(self, schema: Json) -> bool:
        """Tell whether the atom certainly fits a schema within the keyword."""
        # What is apart is soon found, where a proof would look at all that both refer to.
        return not self.never(schema) and not any(True for _ in self.same(schema))

    def never(self, schema: Json) -> bool:
        """Tell whether the atom certainly does not fit a schema within the keyword."""
        return self.proof.apart.atom(self.atom, schema)


Rule: TypeAlias = Callable[[Case, Json], Iterator[Reason]]
