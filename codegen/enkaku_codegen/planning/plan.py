"""Plan of a package: every name in it, and a simple schema for each type; plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from enkaku_codegen.json_values import Json
from enkaku_codegen.reading.definition import ErrorDefinition, Procedure, SlotName
from enkaku_codegen.reading.simple_schema import ANYTHING, SimpleSchema

__all__ = [
    "AliasPlan",
    "ErrorPlan",
    "FieldPlan",
    "ImportedType",
    "ObjectPlan",
    "Plan",
    "ProcedurePlan",
    "TypePlan",
    "name_in_code",
    "names_in",
    "reaches_itself",
    "without_loops",
]


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """A property of an object: its attribute, its name in JSON, and its simple schema.

    Attributes:
        default: The value to fill in if it is absent, in a tuple of one; empty if there is none.
        deprecated: Whether the schema is marked as deprecated.
        secret: Whether the value, or a part of it without a type, is secret.
    """

    attribute: str
    key: str
    schema: SimpleSchema
    required: bool
    text: str
    default: tuple[Json, ...] = ()
    deprecated: bool = False
    secret: bool = False


@dataclass(frozen=True, slots=True)
class ObjectPlan:
    """An object with properties, which becomes a class."""

    name: str
    fields: tuple[FieldPlan, ...]
    closed: bool
    text: str


@dataclass(frozen=True, slots=True)
class AliasPlan:
    """Any other type that has a name."""

    name: str
    schema: SimpleSchema
    text: str


TypePlan = ObjectPlan | AliasPlan


@dataclass(frozen=True, slots=True)
class ImportedType:
    """A type of another package. Its name in simple schemas begins with the package's module."""

    module: str
    type: TypePlan


def name_in_code(name: str) -> str:
    """Return the name that code has for a type in simple schemas."""
    return name.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class ErrorPlan:
    """A declared error, which becomes an exception class.

    Attributes:
        definition: The first of its declarations.
        data: The simple schema of its data, None if it has none.
        secret: Whether its data is secret.
    """

    name: str
    definition: ErrorDefinition
    data: SimpleSchema | None
    secret: bool = False

    @property
    def code(self) -> str | None:
        """The code; None where the declaration leaves it open."""
        return self.definition.code

    @property
    def text(self) -> str:
        """The description of the declaration."""
        return self.definition.description


@dataclass(frozen=True, slots=True)
class ProcedurePlan:
    """A procedure: its names, and the simple schema of each of its slots.

    Attributes:
        secrets: The slots that are secret.
    """

    procedure: Procedure
    method: str
    constant: str
    slots: Mapping[SlotName, SimpleSchema]
    errors: tuple[str, ...]
    secrets: frozenset[SlotName] = frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """A package to be generated. In its simple schemas, ``$ref`` is the name of one of its types.

    Attributes:
        types: A type comes after the types that are parts of it.
        definitions: The name of the type of each definition.
        widened: Why the types of schemas are object, by location: they exceed a limit.
        imported: The types of other packages that the types here may consist of, by name.
        imported_errors: The errors of other packages that procedures declare.
        modules: The module that each name of another package in the code is imported from.
        callbacks: The procedures that the server calls.
    """

    client: str
    sync_client: str
    handler: str
    description: str
    types: tuple[TypePlan, ...]
    errors: tuple[ErrorPlan, ...]
    procedures: tuple[ProcedurePlan, ...]
    definitions: Mapping[str, str]
    widened: Mapping[str, str]
    imported: Mapping[str, ImportedType] = field(default_factory=dict[str, ImportedType])
    imported_errors: tuple[ErrorPlan, ...] = ()
    modules: Mapping[str, str] = field(default_factory=dict[str, str])
    callbacks: tuple[ProcedurePlan, ...] = ()

    @property
    def callbacks_client(self) -> str:
        """The class by which the server calls."""
        return f"{self.client.removesuffix('Client')}CallbacksClient"

    @property
    def callbacks_handler(self) -> str:
        """The class that the client extends to serve these calls."""
        return f"{self.client.removesuffix('Client')}CallbacksHandler"

    @property
    def both_ways(self) -> tuple[ProcedurePlan, ...]:
        """The procedures, and then the callbacks."""
        return (*self.procedures, *self.callbacks)

    @property
    def known(self) -> Mapping[str, TypePlan]:
        """All types by name, those of other packages included."""
        imported = {name: each.type for name, each in self.imported.items()}
        return {**{each.name: each for each in self.types}, **imported}


def names_in(schema: Json) -> list[str]:
    """Return the names of the types in a simple schema."""
    match schema:
        case {"$ref": str() as name}:
            return [name]
        case dict():
            return [
                name for key, each in schema.items() if key != "enum" for name in names_in(each)
            ]
        case list():
            return [name for each in schema for name in names_in(each)]
        case _:
            return []


def _direct_names(schema: SimpleSchema) -> list[str]:
    """Return the names of the types that a simple schema is, or has as an alternative."""
    branches = schema.get("anyOf")
    schemas = [schema, *(branches if isinstance(branches, list) else [])]
    return [
        name
        for simple in schemas
        if isinstance(simple, dict) and "$ref" in simple
        for name in names_in(simple)
    ]


def reaches_itself(graph: Mapping[str, list[str]]) -> frozenset[str]:
    """Return the nodes of a graph that are part of a cycle."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        pending = list(graph[start])
        while pending:
            each = pending.pop()
            if each not in seen:
                seen.add(each)
                pending.extend(graph.get(each, ()))
        return seen

    return frozenset(name for name in graph if name in reached(name))


def without_loops(types: tuple[TypePlan, ...]) -> tuple[TypePlan, ...]:
    """Return the types, with ``{}`` for aliases that are an alternative of themselves."""
    direct = {
        each.name: _direct_names(each.schema) for each in types if isinstance(each, AliasPlan)
    }
    loops = reaches_itself(direct)
    return tuple(
        (
            replace(each, schema=ANYTHING)
            if isinstance(each, AliasPlan) and each.name in loops
            else each
        )
        for each in types
    )
