"""Definition of a protocol: what the file says, checked and free of references to other files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, cast, get_args

from enkaku_codegen.errors import Issue, ProtocolError, in_order
from enkaku_codegen.json_values import Json, Schema, as_text, pointer, tokens

from .declared_errors import DeclaredError, DeclaredErrors
from .dialects import Dialect
from .dynamic_refs import DynamicSchemas
from .library import Library
from .lint import NAME_IN_PYTHON
from .load import Document, load, sources
from .locations import Location, Resource
from .metaschema import faults, is_document
from .options import LATEST_NAMES, NameRules, StringTypes, encodings_of, formats_of, names_of
from .references import References
from .simple_schema import as_dict

__all__ = [
    "ErrorDefinition",
    "Json",
    "Kind",
    "Procedure",
    "Protocol",
    "Schema",
    "SlotName",
    "read_protocol",
]

Kind = Literal["event", "request", "stream", "channel"]
SlotName = Literal["data", "param", "send", "receive", "result"]


@dataclass(frozen=True, slots=True)
class ErrorDefinition:
    """An error that a procedure declares.

    Attributes:
        definition: The name in ``$defs`` if the declaration is a reference to it, else None.
        code: The code, or None if the declaration leaves it open.
        data: The schema of the error's data, or None if it declares none.
        description: The description of the declaration, or ``""``.
        pointer: The location of the declaration, as a JSON pointer into the protocol file.
        of_all: Whether the protocol declares it for all procedures.
    """

    definition: str | None
    code: str | None
    data: Schema | None
    description: str
    pointer: str
    of_all: bool = False


@dataclass(frozen=True, slots=True)
class Procedure:
    """A procedure: its kind, and a schema for each slot that it has.

    Attributes:
        slots: Only the slots that are declared, in the order data, param, send, receive, result.
        pointer: The location of the procedure, as a JSON pointer into the protocol file.
        dynamic_schemas: The original schema of each slot whose schema has a ``$dynamicRef``, whose target
            would change if all references were by name.
        idempotent: Whether a client may repeat the request if the connection is lost before the reply.
        python_name: What Python names are made of instead of the name, as the file has it; None if it has nothing.
    """

    name: str
    kind: Kind
    description: str
    slots: Mapping[SlotName, Schema]
    errors: tuple[ErrorDefinition, ...]
    pointer: str
    dynamic_schemas: Mapping[SlotName, Schema] = field(default_factory=dict[SlotName, Schema])
    idempotent: bool = False
    python_name: Json = None


@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol whose every ``$ref`` is ``#/$defs/NAME`` with NAME in ``definitions``.

    The schemas are of draft 2020-12. NAME is escaped as in a JSON pointer (``json_values.tokens`` reverts it),
    and nothing else is.

    Attributes:
        name: The name in the file, else the file's own name without its suffix.
        procedures: Sorted by name, so that their order in the file does not matter.
        definitions: The shared schemas by name, sorted by name.
        formats: The Python type for strings of a format, by format: some of ``options.FORMATS``.
        encodings: The Python type for encoded strings, by ``contentEncoding``: some of ``options.ENCODINGS``.
        defaults: Whether the ``default`` of a property is filled in if the property is absent.
        names: The version of the rules that make Python names.
        sources: The digests of all files that were read, by their paths from the protocol file's
            directory; empty if there are no such paths.
        warnings: What is allowed in the files, and probably not meant; sorted.
        origins: The location of each definition.
    """

    name: str
    description: str
    procedures: tuple[Procedure, ...]
    definitions: Mapping[str, Schema]
    formats: Mapping[str, str] = field(default_factory=dict[str, str])
    encodings: Mapping[str, str] = field(default_factory=dict[str, str])
    defaults: bool = False
    names: NameRules = LATEST_NAMES
    sources: Mapping[str, str] = field(default_factory=dict[str, str], compare=False)
    warnings: tuple[Issue, ...] = field(default=(), compare=False)
    origins: Mapping[str, Location] = field(
        default_factory=dict[str, Location], compare=False, repr=False
    )

    def located(self, error: ProtocolError) -> ProtocolError:
        """Return the error with file, line and pointer there for each issue at a definition, which any file may have."""
        return ProtocolError(map(self._located, error.issues))

    def _located(self, issue: Issue) -> Issue:
        match tokens(issue.pointer):
            case ("$defs", name, *path) if issue.file is None and name in self.origins:
                origin = self.origins[name].below(tuple(path))
                return origin.document.issue(origin.path, issue.message)
            case _:
                return issue

    @property
    def string_types(self) -> StringTypes:
        """The Python types that ``formats`` and ``encodings`` select for strings."""
        return {
            **{("format", name): type_ for name, type_ in self.formats.items()},
            **{("contentEncoding", name): type_ for name, type_ in self.encodings.items()},
        }


_SLOTS: Final[tuple[SlotName, ...]] = get_args(SlotName)


def read_protocol(path: Path, name: str | None = None) -> Protocol:
    """Read and check a protocol file and all files that it refers to.

    Args:
        path: A JSON or YAML file: a bare mapping of procedures, or a document with ``procedures``.
        name: The name of the protocol; None takes that of the file.

    Raises:
        ProtocolError: The file, or one that it refers to, has errors. They have file, line and JSON pointer.
    """
    document = load(path)
    reader = _Reader(document)
    for where, message in faults(document.value):
        reader.library.add_issue(Location(document, where), message)
    return reader.read(name)


class _Reader:
    """Builds the definition of a protocol from its file."""

    def __init__(self, document: Document) -> None:
        head = document.value
        options = head if isinstance(head, dict) and is_document(head) else {}
        self.library = Library(
            lenient=options.get("foreign") == "lenient",
            formats=bool(formats_of(options.get("formats"))),
        )
        self._document = document
        self._file = self.library.add_file(document)
        self._references = References(self.library, document)
        self._errors = DeclaredErrors(self.library, self._references)

    def read(self, name: str | None) -> Protocol:
        value = self._document.value
        head = value if isinstance(value, dict) and is_document(value) else {}
        dialect = self.library.file_dialect(self._file)
        shared = _schemas(Location(self._document, ("$defs",))) if head else []
        for location in shared:
            self.library.add(location, self._file, dialect)
        top = Location(self._document, ("procedures",) if head else ())
        errors = {location: self._add(location, dialect) for location in _schemas(top)}
        of_all = self._add(Location(self._document, ()), dialect, "errors") if head else []
        for location, declared in errors.items():
            if as_dict(location.value).get("type") != "event":
                declared.extend(self._errors.others(declared, of_all))
        self._gather(shared, errors)
        self._raise_issues()
        definitions = self._references.definitions()
        dynamic = DynamicSchemas(self.library, self._references, shared)
        procedures = [
            self._procedure(location, declared, dynamic) for location, declared in errors.items()
        ]
        self._raise_issues()
        return Protocol(
            name=name or as_text(head.get("name")) or self._document.path.stem,
            description=as_text(head.get("description")),
            procedures=tuple(sorted(procedures, key=lambda procedure: procedure.name)),
            definitions=definitions,
            formats=formats_of(head.get("formats")),
            encodings=encodings_of(head.get("encodings")),
            defaults=head.get("defaults") == "fill",
            names=names_of(head.get("names")),
            sources=sources(self.library.documents, self._document.path.parent),
            warnings=in_order([*self.library.warnings, *self.library.ignored()]),
            origins=self._references.origins,
        )

    def _raise_issues(self) -> None:
        if self.library.issues:
            raise ProtocolError(self.library.issues)

    def _add(
        self, owner: Location, dialect: Dialect, key: Literal["error", "errors"] = "error"
    ) -> list[DeclaredError]:
        """Add the schemas of a procedure, or of the protocol, to the library; return the errors that it declares.

        Args:
            owner: Its location.
            dialect: The dialect of its schemas.
            key: The key of its errors.
        """
        keys = (*_SLOTS, key) if owner.path else (key,)
        for location in _schemas(owner):
            if location.path[-1] in keys:
                home = Resource(location, self._file.uri, outer=self._file)
                self.library.add(location, home, dialect)
        has_error = isinstance(as_dict(owner.value).get(key), dict)
        return self._errors.of(owner.below((key,))) if has_error else []

    def _gather(
        self, shared: list[Location], errors: Mapping[Location, list[DeclaredError]]
    ) -> None:
        """Follow the references of all schemas that become types.

        A definition that only errors refer to becomes an exception, not a type.
        """
        exceptions = set(self._errors.definitions.values())
        for location in shared:
            if location not in exceptions:
                self._references.name(location)
                self._references.gather(location)
        for procedure, declared in errors.items():
            for location in _schemas(procedure):
                if location.path[-1] in _SLOTS:
                    self._references.gather(location)
            for error in declared:
                if error.data is not None:
                    self._references.gather(error.data)

    def _procedure(
        self, location: Location, declared: list[DeclaredError], dynamic: DynamicSchemas
    ) -> Procedure:
        value = as_dict(location.value)
        for error in declared:
            if error.data is not None and dynamic.is_needed(error.data):
                message = "$dynamicRef is not supported in the data of an error"
                self.library.add_issue(error.data, message)
        slots: dict[SlotName, Location] = {
            slot: location.below((slot,)) for slot in _SLOTS if slot in value
        }
        return Procedure(
            name=location.path[-1],
            kind=cast("Kind", value["type"]),
            description=as_text(value.get("description")),
            slots={
                slot: self._references.resolved(slot_location)
                for slot, slot_location in slots.items()
            },
            errors=tuple(
                ErrorDefinition(
                    definition=error.definition,
                    code=code,
                    data=None if error.data is None else self._references.resolved(error.data),
                    description=error.description,
                    pointer=pointer(error.declared_at.path),
                    of_all=not _is_within(error.declared_at, location),
                )
                for error in declared
                for code in error.codes
            ),
            pointer=pointer(location.path),
            dynamic_schemas={
                slot: dynamic.schema(slot_location)
                for slot, slot_location in slots.items()
                if dynamic.is_needed(slot_location)
            },
            idempotent=value.get("idempotent") is True,
            python_name=value.get(NAME_IN_PYTHON),
        )


def _is_within(inner: Location, outer: Location) -> bool:
    return inner.path[: len(outer.path)] == outer.path


def _schemas(location: Location) -> list[Location]:
    """Return the locations directly below one that have a schema or another object."""
    try:
        properties = as_dict(location.value)
    except KeyError:
        return []
    return [
        location.below((key,))
        for key, value in properties.items()
        if isinstance(value, dict | bool)
    ]
