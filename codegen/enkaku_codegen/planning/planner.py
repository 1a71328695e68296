"""Decides on every name and every type of a package.

It knows JSON Schema and names, but no Python types.
"""

import json
from dataclasses import dataclass, field

from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.jsontree import Schema, pointer
from enkaku_codegen.reading.definition import ErrorDefinition, Procedure, Protocol, SlotName
from enkaku_codegen.reading.simple_schema import NULL, Node, reads_well

from .docstrings import text_of
from .names import Claims, class_name, constant_name, method_name, own_class_name, pascal
from .plan import AliasPlan, ErrorPlan, Plan, ProcedurePlan, without_loops
from .schema_planner import Place, SchemaPlanner, unless_taken
from .simplify import alternatives
from .stdlib import imported_classes

__all__ = ["make_plan"]


def make_plan(protocol: Protocol) -> Plan:
    """Decide on every name and every type of a package.

    Raises:
        ProtocolError: Some names are the same in Python; all such pairs are told.
    """
    taken = frozenset(own_class_name(each) for each in protocol.definitions)
    return _Planner(protocol, taken, SchemaPlanner(protocol)).plan()


@dataclass(slots=True)
class _Planner:
    protocol: Protocol
    taken: frozenset[str]
    schemas: SchemaPlanner
    methods: Claims = field(default_factory=lambda: Claims("the client"))
    errors: list[ErrorPlan] = field(default_factory=list[ErrorPlan])
    shared_errors: dict[tuple[str, str | None], str] = field(
        default_factory=dict[tuple[str, str | None], str]
    )

    def plan(self) -> Plan:
        prefix = own_class_name(self.protocol.name)
        client, handler = f"{prefix}Client", f"{prefix}Handler"
        self.schemas.claim(self.schemas.package, client, "the client class", "")
        self.schemas.claim(self.schemas.package, handler, "the handler class", "")
        for each in imported_classes(self.protocol.formats.values()):
            self.schemas.claim(self.schemas.package, each, "the type of a format", "")
        for name, schema in self.protocol.definitions.items():
            self.definition(name, schema)
        procedures = tuple(self.procedure(each) for each in self.protocol.procedures)
        if self.schemas.issues:
            raise ProtocolError(self.schemas.issues)
        return Plan(
            client=client,
            handler=handler,
            description=self.protocol.description,
            types=without_loops(tuple(self.schemas.types.values())),
            errors=tuple(self.errors),
            procedures=procedures,
        )

    def spot(self, name: str, where: str) -> Place:
        return Place(unless_taken(name, self.taken), where, taken=self.taken)

    def definition(self, name: str, schema: Schema) -> None:
        owner = f"the definition {json.dumps(name)}"
        spot = Place(own_class_name(name), pointer(("$defs", name)), owner, taken=self.taken)
        node = self.schemas.node(schema, spot, named=True)
        if node != {"$ref": spot.name} or spot.name not in self.schemas.types:
            self.schemas.add(AliasPlan(spot.name, node, text_of(schema, spot.name)), spot)

    def procedure(self, procedure: Procedure) -> ProcedurePlan:
        name = procedure.name
        method, constant = method_name(name), constant_name(name)
        owner = f"the procedure {json.dumps(name)}"
        known = len(self.schemas.issues)
        self.schemas.claim(self.methods, method, owner, procedure.pointer)
        if len(self.schemas.issues) == known:
            # Two methods with one name have one name for their constants, too: told once.
            self.schemas.claim(self.schemas.package, constant, owner, procedure.pointer)
        slots: dict[SlotName, Node] = {}
        for slot, schema in procedure.slots.items():
            spot = self.spot(class_name(name, slot), procedure.pointer + pointer((slot,)))
            slots[slot] = self.slot(schema, spot)
        errors = tuple(self.error(procedure, each) for each in procedure.errors)
        return ProcedurePlan(procedure, method, constant, slots, errors)

    def slot(self, schema: Schema, spot: Place) -> Node:
        """Plan a slot's type, and name it unless it reads well without a name."""
        choices, _ = alternatives(schema, self.protocol.definitions, formats=self.protocol.formats)
        several = sum(choice != NULL for choice in choices) > 1
        node = self.schemas.node(schema, spot, named=several)
        if not several and reads_well(node):
            return node
        self.schemas.add(AliasPlan(spot.name, node, text_of(schema, spot.name)), spot)
        return {"$ref": spot.name}

    def error(self, procedure: Procedure, error: ErrorDefinition) -> str:
        """Plan an error's class; one that several procedures refer to is one class."""
        if error.definition is None:
            name = class_name(procedure.name, error.code or "error")
        else:
            known = self.shared_errors.get((error.definition, error.code))
            if known is not None:
                return known
            codes = [each for each in procedure.errors if each.definition == error.definition]
            suffix = pascal(error.code) if error.code and len(codes) > 1 else ""
            name = own_class_name(own_class_name(error.definition).removesuffix("_") + suffix)
            self.shared_errors[error.definition, error.code] = name
        owner = f"the error {json.dumps(error.definition or error.code or 'error')}"
        self.schemas.claim(self.schemas.package, name, owner, error.pointer)
        data = None
        if error.data is not None:
            data = self.slot(error.data, self.spot(f"{name}Data", error.pointer))
        self.errors.append(ErrorPlan(name, error, data))
        return name
