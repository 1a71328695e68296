"""Checks for the slots whose types do not enforce their schemas: what a validator checks at run time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from enkaku_codegen.errors import Issue, ProtocolError
from enkaku_codegen.json_values import Schema, Tokens, pointer, tokens
from enkaku_codegen.planning.names import Namespace, constant_name
from enkaku_codegen.planning.plan import Plan
from enkaku_codegen.reading.bundle import needed_definitions, without_annotations
from enkaku_codegen.reading.definition import Protocol
from enkaku_codegen.reading.simple_schema import SimpleSchema

from .ambiguous import ambiguous_unions
from .formats import unheld
from .prove import Prover, Reason

__all__ = ["Check", "Checks", "make_checks"]


@dataclass(frozen=True, slots=True)
class Check:
    """A slot that a validator checks.

    Attributes:
        label: Procedure and slot, or an error and ``data``.
        constant: The name of the schema in generated code.
        schema: The schema for the validator.
        shared: Whether it refers to definitions.
        reasons: The reasons why the type alone is not enough.
    """

    label: str
    constant: str
    schema: Schema
    shared: bool
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Checks:
    """All slots of a package that a validator checks.

    Attributes:
        slots: By the procedure's constant and the slot, or the error's class and ``data``.
        definitions: The definitions that their schemas refer to.
        proved: The number of slots that need no validator.
        formats: For each slot whose types reject strings of their format, what they reject; by its label.
        widened: Why the types of schemas are object, by location: they exceed a limit of the generator.
        unenforced: What the types of a package without slots do not enforce, so that nothing does.
        ambiguous: Warnings about unions that the runtime reads within a budget.
    """

    slots: Mapping[tuple[str, str], Check]
    definitions: Mapping[str, Schema]
    proved: int
    formats: Mapping[str, tuple[str, ...]]
    widened: Mapping[str, str]
    unenforced: tuple[Reason, ...] = ()
    ambiguous: tuple[Issue, ...] = ()


@dataclass(frozen=True, slots=True)
class _Slot:
    owner: str
    name: str
    label: str
    constant: str
    simple: SimpleSchema
    schema: Schema
    path: Tokens
    dynamic_schema: Schema | None = None


def make_checks(plan: Plan, protocol: Protocol) -> Checks:
    """Return the slots that need a validator in addition to their type.

    Raises:
        ProtocolError: The schemas of two of them would have one name.
    """
    types = plan.known
    prover = Prover(types, protocol.definitions, plan.definitions)
    formats: dict[str, tuple[str, ...]] = {}
    slots: dict[tuple[str, str], Check] = {}
    definitions: dict[str, Schema] = {}
    constants = Namespace("schemas.py")
    issues: list[Issue] = []
    proved = 0
    for slot in _slots(plan):
        if (protocol.formats or plan.imported) and (kept_out := unheld(slot.simple, types)):
            formats[slot.label] = kept_out
        reasons = prover.slot(slot.simple, slot.schema, slot.path)
        if not reasons:
            proved += 1
            continue
        issues += constants.reserve(slot.constant, slot.label, pointer(slot.path))
        if slot.dynamic_schema is not None:
            check = Check(
                slot.label, slot.constant, slot.dynamic_schema, shared=False, reasons=reasons
            )
        else:
            shared = needed_definitions(slot.schema, protocol.definitions)
            definitions |= shared
            check = Check(
                slot.label, slot.constant, without_annotations(slot.schema), bool(shared), reasons
            )
        slots[slot.owner, slot.name] = check
    if issues:
        raise ProtocolError(issues)
    bared = {name: without_annotations(definitions[name]) for name in sorted(definitions)}
    unenforced = () if plan.procedures else tuple(_unenforced(plan, protocol, prover))
    ambiguous = tuple(
        Issue(None, None, pointer(path), _AMBIGUOUS) for path in ambiguous_unions(plan)
    )
    return Checks(slots, bared, proved, formats, plan.widened, unenforced, ambiguous)


def _unenforced(plan: Plan, protocol: Protocol, prover: Prover) -> Iterator[Reason]:
    """Yield what the types of the definitions do not enforce, each once."""
    seen: set[Reason] = set()
    for definition, schema in protocol.definitions.items():
        if definition in protocol.imported or definition in protocol.referred:
            continue
        simple: SimpleSchema = {"$ref": plan.definitions[definition]}
        for reason in prover.slot(simple, schema, ("$defs", definition)):
            if reason not in seen:
                seen.add(reason)
                yield reason


_AMBIGUOUS: Final = (
    "a recursive union whose alternatives may accept the same value: large values may be rejected, since each alternative is tried; "
    "give each object a required property with a 'const' of its own"
)


def _slots(plan: Plan) -> Iterator[_Slot]:
    for each in plan.both_ways:
        procedure = each.procedure
        for slot, simple in each.slots.items():
            yield _Slot(
                owner=each.constant,
                name=slot,
                label=f"{procedure.name} {slot}",
                constant=f"{each.constant}_{slot.upper()}",
                simple=simple,
                schema=procedure.slots[slot],
                path=(*tokens(procedure.pointer), slot),
                dynamic_schema=procedure.dynamic_schemas.get(slot),
            )
    for error in plan.errors:
        schema = error.definition.data
        if error.data is not None and schema is not None:
            yield _Slot(
                owner=error.name,
                name="data",
                label=f"{error.name} data",
                constant=f"{constant_name(error.name)}_ERROR",
                simple=error.data,
                schema=schema,
                path=tokens(error.definition.pointer),
            )
