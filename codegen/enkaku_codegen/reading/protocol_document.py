"""A protocol as one document: a protocol file that refers to no other file, for those who have only the generated package."""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Final

from enkaku_codegen.json_values import Json, Schema, Tokens, find, identity, pointer, same, tokens

from .bundle import needed_definitions
from .definition import ErrorDefinition, Procedure, Protocol
from .dialects import DRAFT_2020_12
from .lint import NAME_IN_PYTHON
from .schemas import is_dynamic, rebuilt
from .simple_schema import reference_name

__all__ = ["bundle"]


def bundle(protocol: Protocol) -> dict[str, Json]:
    """Return a protocol as one document: a protocol file that refers to no other file.

    Every ``$ref`` is ``#/$defs/NAME``; only slots with a ``$dynamicRef``, and the definitions that these share, are as they were
    written. A definition whose type is imported loses the name of its package, unless two would have one name then. Definitions
    with a ``$dynamicRef`` that no slot uses are left out.
    """
    return _Bundler(protocol).bundled()


class _Bundler:
    """Makes the document of a protocol.

    Args:
        protocol: The protocol.
    """

    def __init__(self, protocol: Protocol) -> None:
        self._protocol: Final = protocol
        self._names: Final = _short_names(protocol)
        left_out = _dynamic_names(protocol) | {
            name for name in self._names.values() if name in protocol.definitions
        }
        self._definitions: Final[dict[str, Json]] = {
            **{
                self._names.get(name, name): self._definition(name, schema)
                for name, schema in protocol.definitions.items()
                if name not in left_out
            },
            **protocol.dynamic_originals,
        }
        self._errors: Final = self._error_definitions()

    def bundled(self) -> dict[str, Json]:
        """Return the document."""
        protocol = self._protocol
        of_all = _errors_of_all(protocol.procedures)
        document: dict[str, Json] = {
            "name": protocol.name,
            "description": protocol.description,
            "formats": dict(protocol.formats),
            "encodings": dict(protocol.encodings),
            "defaults": "fill" if protocol.defaults else None,
            "names": protocol.names,
            "errors": self._error(of_all),
            "procedures": {each.name: self._procedure(each) for each in protocol.procedures},
            "callbacks": {each.name: self._procedure(each) for each in protocol.callbacks},
            "$defs": dict(sorted((self._definitions | self._errors).items())),
        }
        return {key: value for key, value in document.items() if value}

    def _definition(self, name: str, schema: Schema) -> Schema:
        renamed = self._renamed(schema)
        wanted = renamed.get(NAME_IN_PYTHON) if isinstance(renamed, dict) else None
        if wanted is None or isinstance(renamed, bool) or wanted == self._names.get(name, name):
            return renamed
        # The name of a property, which is a definition since something refers to its schema.
        return {key: value for key, value in renamed.items() if key != NAME_IN_PYTHON}

    def _procedure(self, procedure: Procedure) -> dict[str, Json]:
        document: dict[str, Json] = {"type": procedure.kind}
        if procedure.description:
            document["description"] = procedure.description
        if procedure.idempotent:
            document["idempotent"] = True
        if procedure.python_name is not None:
            document[NAME_IN_PYTHON] = procedure.python_name
        slots: dict[str, Json] = {
            slot: (
                procedure.dynamic_originals[slot]
                if slot in procedure.dynamic_originals
                else self._renamed(schema)
            )
            for slot, schema in procedure.slots.items()
        }
        error = self._error([each for each in procedure.errors if not each.of_all])
        return {
            **document,
            **slots,
            **({} if error is None else {"error": error}),
        }

    def _error(self, errors: Iterable[ErrorDefinition]) -> Json:
        """Return the declaration of errors; None if there are none."""
        declared: list[Json] = []
        for same_object in _grouped(errors):
            first = same_object[0]
            whole = self._error_object(same_object, first.description)
            known = None if first.definition is None else self._shared_error(first.definition)
            if known is None or not _says_the_same(known, whole):
                declared.append(whole)
                continue
            reference: dict[str, Json] = {"$ref": "#" + pointer(("$defs", str(first.definition)))}
            if first.description != known.get("description", ""):
                reference["description"] = first.description
            declared.append(reference)
        if len(declared) > 1:
            return {"anyOf": declared}
        return declared[0] if declared else None

    def _shared_error(self, name: str) -> dict[str, Json] | None:
        known = self._definitions.get(name, self._errors.get(name))
        return known if isinstance(known, dict) else None

    def _error_definitions(self) -> dict[str, Json]:
        """Return the definitions of errors that are no types."""
        found: dict[str, list[list[ErrorDefinition]]] = {}
        for procedure in self._protocol.both_ways:
            for group in _grouped(procedure.errors):
                name = group[0].definition
                if name is not None and name not in self._definitions:
                    found.setdefault(name, []).append(group)
        return {
            # Where one reference has no description, the definition has none either.
            name: self._error_object(groups[0], min(each[0].description for each in groups))
            for name, groups in found.items()
        }

    def _error_object(self, errors: list[ErrorDefinition], description: str) -> dict[str, Json]:
        """Return the object of one error, which may have several codes."""
        codes = [each.code for each in errors if each.code is not None]
        data = errors[0].data
        code: dict[str, Json] = {"type": "string"}
        if codes:
            code |= {"const": codes[0]} if len(codes) == 1 else {"enum": [*codes]}
        properties: dict[str, Json] = {"code": code, "message": {"type": "string"}}
        if data is not None:
            properties["data"] = self._renamed(data)
        return {
            "type": "object",
            **({"description": description} if description else {}),
            "properties": properties,
            "required": [*properties],
            "additionalProperties": False,
        }

    def _renamed(self, schema: Schema) -> Schema:
        """Return a schema whose references have the names of the document."""
        if isinstance(schema, bool) or not self._names:
            return schema
        new = rebuilt(schema, DRAFT_2020_12, lambda _, each: self._renamed(each))
        name = reference_name(schema)
        if name in self._names:
            new["$ref"] = "#" + pointer(("$defs", self._names[name]))
        return new


def _short_names(protocol: Protocol) -> dict[str, str]:
    """Return the names of imported definitions without that of their package, by those with it.

    A definition of the protocol itself that only refers to one of that name is the same one.
    """
    names = {name: each.name for name, each in protocol.imported.items()}
    own = {
        name
        for name, schema in protocol.definitions.items()
        if name not in names and not _is_only(schema, names, name)
    }
    several = Counter(names.values())
    return {
        name: short
        for name, short in names.items()
        if short not in own
        and (
            several[short] == 1
            or all(
                same(protocol.definitions[name], protocol.definitions[other])
                for other, each in names.items()
                if each == short
            )
        )
    }


def _is_only(schema: Schema, names: Mapping[str, str], short: str) -> bool:
    """Return whether a schema only refers to a definition whose short name is this."""
    target = reference_name(schema) if isinstance(schema, dict) and len(schema) == 1 else None
    return target is not None and names.get(target) == short


def _dynamic_names(protocol: Protocol) -> set[str]:
    """Return the definitions that have a ``$dynamicRef``, themselves or through a reference."""
    found = {name for name, schema in protocol.definitions.items() if is_dynamic(schema)}
    size = 0
    while found and size != (size := len(found)):
        found |= {
            name
            for name, schema in protocol.definitions.items()
            if not found.isdisjoint(needed_definitions(schema, protocol.definitions))
        }
    return found


def _errors_of_all(procedures: Iterable[Procedure]) -> list[ErrorDefinition]:
    """Return the errors that the protocol declares for all procedures, in the order of the declaration."""
    lists = [[each for each in procedure.errors if each.of_all] for procedure in procedures]
    found: list[ErrorDefinition] = []
    for errors in sorted(lists, key=len, reverse=True):
        found += [each for each in errors if each not in found]
    return sorted(found, key=lambda each: _position(each.pointer))


def _position(text: str) -> list[tuple[int, str]]:
    return [(int(each) if each.isdecimal() else -1, each) for each in tokens(text)]


def _grouped(errors: Iterable[ErrorDefinition]) -> Iterator[list[ErrorDefinition]]:
    """Yield the errors of each object, which has one for each of its codes."""
    for _, group in groupby(errors, _object_of):
        yield [*group]


def _object_of(error: ErrorDefinition) -> Hashable:
    data = None if error.data is None else identity(error.data)
    return error.definition, error.pointer, error.description, data, error.code is None


def _says_the_same(one: Mapping[str, Json], other: Mapping[str, Json]) -> bool:
    """Return whether two declarations of an error have the same codes and data."""
    return all(
        same(_find(one, path), _find(other, path))
        for path in (("code", "const"), ("code", "enum"), ("data",))
    )


def _find(declaration: Mapping[str, Json], path: Tokens) -> Json:
    try:
        return find({**declaration}, ("properties", *path))
    except KeyError:
        return None
