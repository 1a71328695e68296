"""Planner of a package: names for all procedures, errors and types, and the type of each slot."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from enkaku_codegen.errors import Issue, ProtocolError
from enkaku_codegen.json_values import Schema, pointer
from enkaku_codegen.reading.definition import ErrorDefinition, Procedure, Protocol, SlotName
from enkaku_codegen.reading.lint import NAME_IN_PYTHON
from enkaku_codegen.reading.simple_schema import NULL, SimpleSchema, reads_well
from enkaku_codegen.reading.validation_text import describe

from .definitions import class_names, in_order, is_untyped, or_other, type_names_of
from .docstrings import schema_text
from .imported import builtin_classes
from .names import Namespace, class_name, constant_name, method_name, own_class_name, pascal
from .one_class import reachable
from .packages import imported_types, package_plans, with_imported
from .plan import (
    AliasPlan,
    ErrorPlan,
    ImportedType,
    ObjectPlan,
    Plan,
    ProcedurePlan,
    TypePlan,
    name_in_code,
    names_in,
    without_loops,
)
from .schema_planner import PlanScope, SchemaPlanner, unless_taken
from .simplify import alternatives

__all__ = ["make_plan"]


def make_plan(protocol: Protocol) -> Plan:
    """Plan a package.

    Raises:
        ProtocolError: Some names are the same in Python; it has all such pairs.
    """
    packages = package_plans(protocol, make_plan)
    classes = class_names(protocol)
    types = with_imported(type_names_of(protocol, classes), protocol, packages)
    imported = (name_in_code(types[each]) for each in protocol.imported)
    taken = frozenset([*classes.values(), *imported])
    return _Planner(protocol, packages, classes, taken, SchemaPlanner(protocol, types)).plan()


@dataclass(slots=True)
class _Planner:
    protocol: Protocol
    packages: Mapping[str, Plan]
    classes: Mapping[str, str]
    taken: frozenset[str]
    schemas: SchemaPlanner
    errors: list[ErrorPlan] = field(default_factory=list[ErrorPlan])
    imported_errors: dict[str, ErrorPlan] = field(default_factory=dict[str, ErrorPlan])
    modules: dict[str, str] = field(default_factory=dict[str, str])
    shared_errors: dict[tuple[str, str | None], str] = field(
        default_factory=dict[tuple[str, str | None], str]
    )

    def plan(self) -> Plan:
        prefix = own_class_name(self.protocol.name, 1)
        client, handler = f"{prefix}Client", f"{prefix}Handler"
        sync_client = f"{prefix}SyncClient"
        if self.protocol.procedures:
            self.schemas.reserve(self.schemas.package, client, "the client class", "")
            # Also where it is not generated: other names must not change when it is.
            self.schemas.reserve(self.schemas.package, sync_client, "the synchronous client", "")
            self.schemas.reserve(self.schemas.package, handler, "the handler class", "")
        if self.protocol.callbacks:
            for end in ("Client", "Handler"):
                name, owner = f"{prefix}Callbacks{end}", f"the {end.lower()} class of the callbacks"
                self.schemas.reserve(self.schemas.package, name, owner, "")
        for name in in_order(self.protocol.definitions):
            if name in self.classes and "." not in self.schemas.definitions[name]:
                self.definition(name, self.protocol.definitions[name])
        procedures = self.planned(self.protocol.procedures, "procedure", Namespace("the client"))
        of_callbacks = Namespace("the client of the callbacks")
        callbacks = self.planned(self.protocol.callbacks, "callback", of_callbacks)
        imported = imported_types(self.packages)
        self.use_imported(imported, (*procedures, *callbacks))
        if self.schemas.issues:
            raise ProtocolError(self.schemas.issues)
        return Plan(
            client=client,
            sync_client=sync_client,
            handler=handler,
            description=self.protocol.description,
            types=without_loops(tuple(self.schemas.types.values())),
            errors=tuple(self.errors),
            procedures=procedures,
            definitions=self.schemas.definitions,
            widened=self.schemas.widened,
            imported=imported,
            imported_errors=tuple(self.imported_errors.values()),
            modules=self.modules,
            callbacks=callbacks,
        )

    def use_imported(
        self, imported: Mapping[str, ImportedType], procedures: Iterable[ProcedurePlan]
    ) -> None:
        """Keep the types that the protocol needs beside those of other packages, and reserve the names that it imports."""
        if not imported:
            return
        types = self.schemas.types
        slots = [simple for each in procedures for simple in each.slots.values()]
        data = [each.data for each in self.errors if each.data is not None]
        own: list[SimpleSchema] = [
            {"$ref": type_}
            for definition, type_ in self.schemas.definitions.items()
            if definition not in self.protocol.imported and definition not in self.protocol.referred
        ]
        needed = reachable([*slots, *data, *own], types)
        for name in types.keys() - needed:
            self.schemas.discard(name)
        parts = [schema for each in types.values() for schema in _schemas(each)]
        used = {name for schema in [*slots, *data, *parts] for name in names_in(schema)}
        for name in sorted(used & imported.keys()):
            self.use(name_in_code(name), imported[name].module, "type")

    def use(self, name: str, module: str, what: str) -> None:
        """Import a name of another package."""
        self.schemas.reserve(self.schemas.package, name, f"the {what} of {module}", "")
        self.modules[name] = module

    def scope(self, name: str, where: str) -> PlanScope:
        return PlanScope(unless_taken(name, self.taken), where, taken=self.taken)

    def definition(self, name: str, schema: Schema) -> None:
        owner = f"the definition {json.dumps(name)}"
        class_, type_ = self.classes[name], self.schemas.definitions[name]
        scope = PlanScope(class_, pointer(("$defs", name)), owner, taken=self.taken)
        simple = self.schemas.root(schema, scope, named=type_ == class_)
        if simple != {"$ref": type_} or type_ not in self.schemas.types:
            self.schemas.add(
                AliasPlan(type_, simple, schema_text(schema, type_)), replace(scope, name=type_)
            )

    def planned(
        self, procedures: Iterable[Procedure], what: str, methods: Namespace
    ) -> tuple[ProcedurePlan, ...]:
        """Plan the procedures of one direction.

        Args:
            procedures: The procedures.
            what: What each is, in words.
            methods: The namespace of their methods.
        """
        return tuple(
            self.procedure(each, f"the {what} {json.dumps(each.name)}", methods)
            for each in procedures
        )

    def procedure(self, procedure: Procedure, owner: str, methods: Namespace) -> ProcedurePlan:
        name = self.name(procedure)
        reserved = builtin_classes(self.protocol.encodings.values())
        method, constant = method_name(name, reserved), constant_name(name)
        known = len(self.schemas.issues)
        self.schemas.reserve(methods, method, owner, procedure.pointer)
        if len(self.schemas.issues) == known:
            # Methods with one name also have one name for their constants: this reports the collision once.
            self.schemas.reserve(self.schemas.package, constant, owner, procedure.pointer)
        slots: dict[SlotName, SimpleSchema] = {}
        for slot, schema in procedure.slots.items():
            scope = self.scope(class_name(name, slot), procedure.pointer + pointer((slot,)))
            slots[slot] = self.slot(schema, scope)
        errors = tuple(self.error(procedure, each) for each in procedure.errors)
        secrets: frozenset[SlotName] = frozenset(
            slot for slot, schema in procedure.slots.items() if self.schemas.secrets.holds(schema)
        )
        return ProcedurePlan(procedure, method, constant, slots, errors, secrets)

    def name(self, procedure: Procedure) -> str:
        """Return the name that the names for a procedure are made of."""
        wanted = procedure.python_name
        reserved = builtin_classes(self.protocol.encodings.values())
        such = method_name(wanted if isinstance(wanted, str) else procedure.name, reserved)
        if wanted is None:
            return procedure.name
        if wanted == such:
            return such
        message = f'expected a name for a method, such as "{such}", got {describe(wanted)}'
        where = procedure.pointer + pointer((NAME_IN_PYTHON,))
        self.schemas.issues.append(Issue(None, None, where, message))
        return procedure.name

    def slot(self, schema: Schema, scope: PlanScope) -> SimpleSchema:
        """Plan the type of a slot, and name it unless it reads well without a name."""
        choices, _ = alternatives(
            schema, self.protocol.definitions, string_types=self.protocol.string_types
        )
        several = sum(choice != NULL for choice in choices) > 1
        untyped = self.protocol.names > 1 and is_untyped(schema, self.protocol.definitions)
        name = or_other(scope.name) if untyped else scope.name
        simple = self.schemas.root(schema, scope, named=several and not untyped)
        if not several and reads_well(simple):
            return simple
        self.schemas.add(AliasPlan(name, simple, schema_text(schema, name)), scope)
        return {"$ref": name}

    def imported_error(self, error: ErrorDefinition) -> str | None:
        """Return the class of an error if another package has it."""
        if error.package is None or error.definition is None:
            return None
        module = error.package.module
        for each in self.packages[module].errors:
            same = each.definition.definition == error.definition and each.code == error.code
            if same and each.definition.package is None:
                self.imported_errors[each.name] = each
                self.use(each.name, module, "error")
                return each.name
        return None

    def error(self, procedure: Procedure, error: ErrorDefinition) -> str:
        """Plan the class of an error; procedures that refer to the same definition share a class."""
        shared = error.pointer if error.of_all and error.definition is None else error.definition
        if shared is not None and error.package is not None:
            shared = f"{error.package.module}.{shared}"
        known = None if shared is None else self.shared_errors.get((shared, error.code))
        if known is not None:
            return known
        imported = self.imported_error(error)
        if imported is not None:
            if shared is not None:
                self.shared_errors[shared, error.code] = imported
            return imported
        if error.definition is not None:
            codes = [each for each in procedure.errors if each.definition == error.definition]
            suffix = pascal(error.code, 1) if error.code and len(codes) > 1 else ""
            stem = own_class_name(error.definition, self.protocol.names).removesuffix("_")
            name = own_class_name(stem + suffix)
        elif error.of_all:
            name = (
                class_name(error.code)
                if error.code
                else f"{own_class_name(self.protocol.name, 1)}Error"
            )
        else:
            name = class_name(self.name(procedure), error.code or "error")
        if shared is not None:
            self.shared_errors[shared, error.code] = name
        owner = f"the error {json.dumps(error.definition or error.code or 'error')}"
        self.schemas.reserve(self.schemas.package, name, owner, error.pointer)
        data = None
        if error.data is not None:
            data = self.slot(error.data, self.scope(f"{name}Data", error.pointer))
        secret = error.data is not None and self.schemas.secrets.holds(error.data)
        self.errors.append(ErrorPlan(name, error, data, secret))
        return name


def _schemas(type_: TypePlan) -> Iterable[SimpleSchema]:
    return (
        [each.schema for each in type_.fields] if isinstance(type_, ObjectPlan) else [type_.schema]
    )
