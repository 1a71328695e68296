"""Definition of a protocol: what the file says, checked and free of references to other files."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, cast, get_args

from enkaku_codegen.errors import Issue, ProtocolError, in_order
from enkaku_codegen.fingerprint import Import
from enkaku_codegen.json_values import Json, Schema, as_text, pointer, tokens

from .declared_errors import DeclaredError, DeclaredErrors
from .dialects import Dialect
from .dynamic_refs import DynamicSchemas
from .library import Library
from .lint import NAME_IN_PYTHON
from .load import DISK, Document, Files, load, sources
from .locations import Location, Resource
from .metaschema import faults, is_document
from .options import LATEST_NAMES, NameRules, StringTypes, encodings_of, formats_of, names_of
from .references import Package, References
from .simple_schema import as_dict

__all__ = [
    "ErrorDefinition",
    "Imported",
    "ImportedProtocol",
    "Json",
    "Kind",
    "Procedure",
    "Protocol",
    "Schema",
    "SlotName",
    "read_loaded",
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
        package: The package that may have its class already, if the definition is of another file; else None.
    """

    definition: str | None
    code: str | None
    data: Schema | None
    description: str
    pointer: str
    of_all: bool = False
    package: "ImportedProtocol | None" = None


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


@dataclass(frozen=True, slots=True, eq=False)
class ImportedProtocol:
    """A protocol whose package is imported.

    Attributes:
        module: Where the package is imported from.
        document: The protocol file.
        protocol: The protocol itself.
    """

    module: str
    document: Document
    protocol: "Protocol"


@dataclass(frozen=True, slots=True)
class Imported:
    """A definition whose type is imported: the package, and its name there."""

    package: ImportedProtocol
    name: str


@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol whose every ``$ref`` is ``#/$defs/NAME`` with NAME in ``definitions``.

    The schemas are of draft 2020-12. NAME is escaped as in a JSON pointer (``json_values.tokens`` reverts it),
    and nothing else is.

    Attributes:
        name: The name in the file, else the file's own name without its suffix.
        procedures: Sorted by name, so that their order in the file does not matter.
        callbacks: The procedures that the server calls and the client serves; sorted as well.
        definitions: The shared schemas by name, sorted by name.
        formats: The Python type for strings of a format, by format: some of ``options.FORMATS``.
        encodings: The Python type for encoded strings, by ``contentEncoding``: some of ``options.ENCODINGS``.
        defaults: Whether the ``default`` of a property is filled in if the property is absent.
        names: The version of the rules that make Python names.
        sources: The digests of all files that were read, by their paths from the protocol file's
            directory; empty if there are no such paths.
        warnings: What is allowed in the files, and probably not meant; sorted.
        origins: The location of each definition.
        imported: The definitions whose types are imported.
        referred: The other definitions of other files, which have types where the protocol refers to them.
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
    imported: Mapping[str, Imported] = field(default_factory=dict[str, Imported])
    referred: frozenset[str] = frozenset()
    callbacks: tuple[Procedure, ...] = ()

    @property
    def both_ways(self) -> tuple[Procedure, ...]:
        """The procedures, and then the callbacks."""
        return (*self.procedures, *self.callbacks)

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


def read_protocol(path: Path, name: str | None = None, imports: Sequence[Import] = ()) -> Protocol:
    """Read and check a protocol file and all files that it refers to.

    Args:
        path: A JSON or YAML file: a bare mapping of procedures, or a document with ``procedures``.
        name: The name of the protocol; None takes that of the file.
        imports: The files whose types are imported from their packages.

    Raises:
        ProtocolError: The file, or one that it refers to, has errors. They have file, line and JSON pointer.
    """
    return read_loaded(load(path), name, imports)


def read_loaded(
    document: Document,
    name: str | None = None,
    imports: Sequence[Import] = (),
    files: Files = DISK,
    *,
    unused: bool = False,
) -> Protocol:
    """Check a protocol file that was read, and read all files that it refers to.

    Args:
        document: The protocol file.
        name: The name of the protocol; None takes that of the file.
        imports: The files whose types are imported from their packages.
        files: Where files are read from.
        unused: Whether the protocol may refer to none of the files that are imported.

    Raises:
        ProtocolError: The file, or one that it refers to, has errors. They have file, line and JSON pointer.
    """
    known = _Imports(imports, files)
    protocol, library = known.read(document, name)
    if not unused:
        known.require_used(document, library)
    return protocol


class _Imports:
    """The protocols whose packages are imported. Each is read when a reference leads to its file.

    Attributes:
        documents: The files that were read for them, by every path that leads to one.
        files: Where they are read from.
    """

    def __init__(self, imports: Sequence[Import], files: Files = DISK) -> None:
        self.files = files
        self.documents: dict[Path, Document] = {}
        self._imports: dict[str, Import] = {}
        for each in imports:
            first = self._imports.setdefault(files.key(each.file), each)
            if first is not each:
                message = f"imported twice: from {first.module} and from {each.module}"
                raise ProtocolError([Issue(str(each.file), None, "", message)])
        modules = Counter(each.module for each in imports)
        for each in imports:
            if modules[each.module] > 1:
                message = f"imported from {each.module}, as another file is; each file has a package of its own"
                raise ProtocolError([Issue(str(each.file), None, "", message)])
        self._protocols: dict[str, ImportedProtocol] = {}
        self._reading: list[Document] = []

    def read(self, document: Document, name: str | None = None) -> tuple[Protocol, Library]:
        """Read a protocol, and return its files as well."""
        self._reading.append(document)
        reader = _Reader(document, self)
        for where, message in faults(document.value):
            reader.library.add_issue(Location(document, where), message)
        protocol = reader.read(name)
        self._reading.pop()
        return protocol, reader.library

    def of(self, document: Document) -> ImportedProtocol | None:
        """Return the protocol that a file is imported as; None for the file that is read now, and those that are not."""
        if document.key == self._reading[-1].key or not self._imports:
            return None
        if any(each.key == document.key for each in self._reading):
            message = (
                f"refers to {document.name}, which refers to it: two packages cannot import each other; "
                "put what both need into a third file"
            )
            raise ProtocolError([Issue(self._reading[-1].name, None, "", message)])
        wanted = self._imports.get(document.key)
        if wanted is not None and document.key not in self._protocols:
            protocol, library = self.read(document)
            self.documents |= library.documents
            self._protocols[document.key] = ImportedProtocol(wanted.module, document, protocol)
        return self._protocols.get(document.key)

    def require_used(self, main: Document, library: Library) -> None:
        """Raise an error for a file that is imported, and that the protocol does not refer to."""
        used = {each.key for each in library.documents.values()}
        issues = [
            Issue(
                main.name,
                None,
                "",
                f"imports {each.file} from {each.module}, and does not refer to it",
            )
            for key, each in self._imports.items()
            if key not in used or key == main.key
        ]
        if issues:
            raise ProtocolError(issues)


class _Reader:
    """Builds the definition of a protocol from its file."""

    def __init__(self, document: Document, imports: _Imports) -> None:
        head = document.value
        options = head if isinstance(head, dict) and is_document(head) else {}
        self.library = Library(
            lenient=options.get("foreign") == "lenient",
            formats=bool(formats_of(options.get("formats"))),
            files=imports.files,
        )
        self._document = document
        self._file = self.library.add_file(document)
        self._imports = imports
        self._references = References(self.library, document, self._package_of)
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
        back = _schemas(Location(self._document, ("callbacks",))) if head else []
        back_errors = {location: self._add(location, dialect) for location in back}
        self._gather(shared, errors | back_errors)
        self._raise_issues()
        definitions = self._references.definitions()
        dynamic = DynamicSchemas(self.library, self._references, shared)
        procedures, callbacks = (
            [self._procedure(location, declared, dynamic) for location, declared in each.items()]
            for each in (errors, back_errors)
        )
        self._raise_issues()
        return Protocol(
            name=name or as_text(head.get("name")) or self._document.path.stem,
            description=as_text(head.get("description")),
            procedures=_sorted(procedures),
            callbacks=_sorted(callbacks),
            definitions=definitions,
            formats=formats_of(head.get("formats")),
            encodings=encodings_of(head.get("encodings")),
            defaults=head.get("defaults") == "fill",
            names=names_of(head.get("names")),
            sources=sources(
                {**self._imports.documents, **self.library.documents}, self._document.path.parent
            ),
            warnings=in_order([*self.library.warnings, *self.library.ignored()]),
            origins=self._references.origins,
            imported=self._imported(),
            referred=frozenset(
                name
                for name, origin in self._references.origins.items()
                if origin.document is not self._document
                and self._imports.of(origin.document) is None
            ),
        )

    def _package_of(self, document: Document) -> Package | None:
        found = self._imports.of(document)
        return None if found is None else Package(found.module, found.protocol.definitions)

    def _imported(self) -> Mapping[str, Imported]:
        found: dict[str, Imported] = {}
        for name, origin in self._references.origins.items():
            package = self._imports.of(origin.document)
            if package is not None:
                found[name] = Imported(package, name.removeprefix(f"{package.module}."))
        return found

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
        packages = {error.location: self._imports.of(error.location.document) for error in declared}
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
                    definition=_without_module(error.definition, packages[error.location]),
                    code=code,
                    data=None if error.data is None else self._references.resolved(error.data),
                    description=error.description,
                    pointer=pointer(error.declared_at.path),
                    of_all=not _is_within(error.declared_at, location),
                    package=packages[error.location],
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


def _without_module(definition: str | None, package: ImportedProtocol | None) -> str | None:
    if definition is None or package is None:
        return definition
    return definition.removeprefix(f"{package.module}.")


def _sorted(procedures: list[Procedure]) -> tuple[Procedure, ...]:
    return tuple(sorted(procedures, key=lambda procedure: procedure.name))


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
