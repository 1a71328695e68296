"""Decider by the prover of generated types: the reader's schema against the types planned for the writer.

The type of the writer accepts every value that its schema accepts. So if every value of the type matches the reader's
schema, so does every value that the writer accepts.
"""

from typing import Final

from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.planning.planner import make_plan
from enkaku_codegen.proving.prove import Prover, Reason
from enkaku_codegen.reading.definition import Procedure, Protocol

from .pair import Pair

__all__ = ["reasons"]

_SLOT: Final = "param"


def reasons(pair: Pair) -> tuple[Reason, ...]:
    """Return the reasons why the reader may reject a value that the writer accepts; empty if it accepts all."""
    procedure = Procedure("value", "request", "", {_SLOT: pair.writer.schema}, (), "")
    try:
        plan = make_plan(Protocol("writer", "", (procedure,), pair.writer.definitions))
    except ProtocolError as error:
        # Names of types collide, or joined schemas are too many.
        return (Reason((), f"the writer's schema has no type: {error.issues[0].message}"),)
    names = {name: plan.definitions.get(name, "") for name in pair.reader.definitions}
    prover = Prover(plan.known, pair.reader.definitions, names)
    return prover.slot(plan.procedures[0].slots[_SLOT], pair.reader.schema, ())
