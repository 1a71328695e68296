"""Definition of a protocol for the TypeScript implementation: its procedures, and a constant for each definition.

There, a schema stands alone: it has no definitions around it. So a reference is the constant of the definition, and
only definitions that are parts of themselves are bundled, each with an ``$id`` of its own. A slot says its type at
the top; where its schema does not, it becomes an ``anyOf`` of one schema for each type.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast
from urllib.parse import quote

from enkaku_codegen.errors import Issue
from enkaku_codegen.json_values import Json, Schema, Tokens, kind_of, pointer
from enkaku_codegen.planning.definitions import in_order
from enkaku_codegen.planning.names import own_class_name
from enkaku_codegen.planning.plan import Plan, name_in_code
from enkaku_codegen.reading.bundle import needed_definitions
from enkaku_codegen.reading.definition import ErrorDefinition, Procedure, Protocol
from enkaku_codegen.reading.dialects import DRAFT_2020_12
from enkaku_codegen.reading.schemas import rebuilt
from enkaku_codegen.reading.simple_schema import reference_name

from .typescript_values import Constant, Spread, Value

__all__ = ["ProtocolWriter"]

_TYPES: Final = ("array", "boolean", "null", "number", "object", "string")
_DESCRIBING: Final = frozenset(
    {"default", "deprecated", "description", "examples", "readOnly", "title", "writeOnly"}
)


def _names_of_imported(protocol: Protocol, plan: Plan) -> Mapping[str, str]:
    """Return names for the definitions whose types are imported: their constants are written here again."""
    own = {each.name for each in plan.types}
    names: dict[str, str] = {}
    for definition, type_ in plan.definitions.items():
        if definition in protocol.imported:
            stem = protocol.imported[definition].package.document.path.stem
            name = own_class_name(f"{stem}/{name_in_code(type_)}")
            names[definition] = f"{name}_" if name in own else name
        elif "." in type_:  # it only refers to an imported one with the same name
            names[definition] = name_in_code(type_)
    return names


class ProtocolWriter:
    """Translates the schemas of a protocol.

    Attributes:
        warnings: What the TypeScript implementation does not support; each call may add some.
    """

    def __init__(self, protocol: Protocol, plan: Plan) -> None:
        self.warnings: list[Issue] = []
        self._protocol = protocol
        self._types = {**plan.definitions, **_names_of_imported(protocol, plan)}
        self._needed = {
            name: sorted(needed_definitions(schema, protocol.definitions))
            for name, schema in protocol.definitions.items()
        }
        self._cycles = {
            name: frozenset(each for each in needed if name in self._needed.get(each, ()))
            for name, needed in self._needed.items()
        }
        self._written: dict[str, Value] = {}

    def write(self) -> tuple[Mapping[str, Value], Mapping[str, Value]]:
        """Return the schemas of the definitions that are used, by constant, and the procedures, by name."""
        made = dict(self._constants())
        procedures = {each.name: self._procedure(each) for each in self._protocol.procedures}
        used: set[str] = set()
        waiting = [*procedures.values()]
        while waiting:
            for name in _constants_in(waiting.pop()):
                if name not in used:
                    used.add(name)
                    waiting.append(made[name])
        return {name: value for name, value in made.items() if name in used}, procedures

    def _constants(self) -> Iterator[tuple[str, Value]]:
        """Yield the constant and the schema of each definition that a procedure needs, after those in it."""
        used: set[str] = set()
        for procedure in self._protocol.procedures:
            for schema in (*procedure.slots.values(), *_data(procedure)):
                used |= needed_definitions(schema, self._protocol.definitions).keys()
        done: set[str] = set()
        for first in in_order(self._protocol.definitions):
            for name in self._parts_first(first):
                if name in used and name not in done:
                    done.add(name)
                    yield self._constant(name).name, self._definition(name)

    def _procedure(self, procedure: Procedure) -> Value:
        """Return the definition of a procedure."""
        value: dict[str, Value] = {"type": procedure.kind}
        if procedure.description:
            value["description"] = procedure.description
        for slot, schema in procedure.slots.items():
            typed = self._typed(self._schema(schema))
            if slot == "data" and self._kinds(typed) != ["object"]:
                self._warn(procedure, "the data of an event", (slot,))
            else:
                value[slot] = typed
        if procedure.errors:
            error = self._error(procedure.errors)
            if error is None:
                self._warn(procedure, "the data of an error", ("error",))
            else:
                value["error"] = error
        return value

    def _warn(self, procedure: Procedure, what: str, path: Tokens) -> None:
        message = (
            f"left out of protocol.ts: {what} is an object in the TypeScript implementation, "
            "and this need not be one"
        )
        self.warnings.append(Issue(None, None, procedure.pointer + pointer(path), message))

    def _parts_first(self, first: str) -> Iterator[str]:
        """Yield the definitions that one refers to, and that one last; those of a cycle in any order."""
        trail: dict[str, Iterator[str]] = {first: iter(self._direct(first))}
        seen = {first}
        while trail:
            current = next(reversed(trail))
            following = next(trail[current], None)
            if following is None:
                del trail[current]
                yield current
            elif following not in seen:
                seen.add(following)
                trail[following] = iter(self._direct(following))

    def _direct(self, name: str) -> Sequence[str]:
        """Return the definitions that one needs, without those of its cycle."""
        return [each for each in self._needed[name] if each not in self._cycles[name]]

    def _constant(self, name: str) -> Constant:
        return Constant(f"{self._types[name]}Schema")

    def _definition(self, name: str) -> Value:
        """Return the schema of a definition; with the definitions of its cycle, if it is part of itself."""
        cycle = self._cycles[name]
        definitions = self._protocol.definitions
        made = self._schema(definitions[name], cycle)
        if cycle and isinstance(made, dict):
            own: dict[str, Value] = {
                "$id": f"urn:enkaku:{_quoted(self._protocol.name)}:{_quoted(self._types[name])}"
            }
            inner = {
                self._types[each]: self._schema(definitions[each], cycle) for each in sorted(cycle)
            }
            made = own | self._mapping(made) | {"$defs": inner}
        self._written[self._constant(name).name] = made
        return made

    @staticmethod
    def _mapping(value: Value) -> dict[str, Value]:
        return dict(cast("Mapping[str, Value]", value))

    def _schema(self, schema: Schema, cycle: frozenset[str] = frozenset()) -> Value:
        """Return a schema with constants for references, but for those to definitions of the same cycle."""
        if isinstance(schema, bool):
            return schema

        def below(_: Tokens, each: Schema) -> Schema:
            # The type of what ``rebuilt`` makes is that of JSON, and references to constants are none.
            return cast("Schema", self._schema(each, cycle))

        made: dict[str, Value] = {
            key: value
            for key, value in rebuilt(schema, DRAFT_2020_12, below).items()
            if not key.startswith("x-")
        }
        name = reference_name(schema)
        if name is None or name not in self._types:
            return made
        if name in cycle:
            return made | {"$ref": f"#/$defs/{_quoted(self._types[name])}"}
        constant = self._constant(name)
        del made["$ref"]
        if not made:
            return constant
        if (
            made.keys() <= _DESCRIBING
            and not self._cycles[name]
            and not isinstance(self._protocol.definitions[name], bool)
        ):
            return Spread(constant, made)
        joined = cast("list[Value]", made.get("allOf", []))
        return made | {"allOf": [*joined, constant]}

    def _resolved(self, value: Value) -> Value:
        """Return the schema that a constant has, and what has a constant's properties."""
        while isinstance(value, Constant | Spread):
            constant = value.constant if isinstance(value, Spread) else value
            value = self._written.get(constant.name, {})
        return value

    def _kinds(self, value: Value) -> list[str]:
        """Return the types of the values that a schema may accept."""
        match self._resolved(value):
            case {"type": str() as kind}:
                return [kind]
            case {"type": [*kinds]}:
                return [kind for kind in kinds if isinstance(kind, str)]
            case {"const": constant}:
                return [kind_of(cast(Json, constant))]
            case {"enum": [*values]}:
                return [*dict.fromkeys(kind_of(cast(Json, each)) for each in values)]
            case {"anyOf": [*parts]} | {"oneOf": [*parts]}:
                return [*dict.fromkeys(kind for each in parts for kind in self._kinds(each))]
            case {"allOf": [*parts]}:
                return min((self._kinds(each) for each in parts), key=len, default=[*_TYPES])
            case _:
                return [*_TYPES]

    def _says_type(self, value: Value) -> bool:
        match self._resolved(value):
            case {"type": str()}:
                return True
            case {"anyOf": [*parts]}:
                return not any(map(self._is_choice, parts))
            case _:
                return False

    def _is_choice(self, value: Value) -> bool:
        match self._resolved(value):
            case {"type": str()}:
                return False
            case _:
                return True

    def _typed(self, value: Value) -> Value:
        """Return a schema for the same values that says its type at the top, or is a choice of such schemas."""
        if self._says_type(value):
            return value
        kinds = self._kinds(value)
        if isinstance(value, bool) or not value:
            one: Value = {"not": {}} if value is False else {}
            return {"anyOf": [{"type": kind} | self._mapping(one) for kind in kinds]}
        if len(kinds) == 1:
            return self._of_kind(value, kinds[0])
        described: dict[str, Value] = {}
        if isinstance(value, dict):
            described = {key: each for key, each in value.items() if key in _DESCRIBING}
            value = {key: each for key, each in value.items() if key not in _DESCRIBING}
            if "anyOf" in value and len(value) == 1:
                parts = [
                    part
                    for each in cast("list[Value]", value["anyOf"])
                    for part in self._parts(each)
                ]
                return described | {"anyOf": parts}
        return described | {"anyOf": [self._of_kind(value, kind) for kind in kinds]}

    def _parts(self, value: Value) -> list[Value]:
        """Return the alternatives of a schema, each of one type."""
        typed = self._typed(value)
        if not self._is_choice(typed):
            return [typed]
        if isinstance(typed, dict) and isinstance(choices := typed.get("anyOf"), list):
            return [*cast("list[Value]", choices)]
        return [self._of_kind(typed, kind) for kind in self._kinds(typed)]

    def _of_kind(self, value: Value, kind: str) -> Value:
        match value:
            case Constant():
                return {"type": kind, "allOf": [value]}
            case Spread():
                return {"type": kind, **value.others, "allOf": [value.constant]}
            case dict() as schema if not schema:
                return {"type": kind}
            case dict() as schema:
                rest = {key: each for key, each in self._mapping(schema).items() if key != "type"}
                return {"type": kind, **rest}
            case _:
                return {"type": kind}

    def _error(self, errors: Sequence[ErrorDefinition]) -> Value:
        """Return the schema of the declared errors, which is one object there; None if it can't have their data."""
        data: list[Value] = [
            self._typed(self._schema(each.data)) for each in errors if each.data is not None
        ]
        if any(self._kinds(each) != ["object"] for each in data):
            return None
        codes = [each.code for each in errors]
        code: dict[str, Value] = {"type": "string"}
        if None not in codes:
            code |= {"const": codes[0]} if len(codes) == 1 else {"enum": codes}
        properties: dict[str, Value] = {"code": code, "message": {"type": "string"}}
        required = ["code", "message"]
        if data:
            one = len(data) == 1
            properties["data"] = data[0] if one else {"type": "object", "anyOf": data}
            if len(data) == len(errors):
                required.append("data")
        described: dict[str, Value] = (
            {"description": errors[0].description}
            if len(errors) == 1 and errors[0].description
            else {}
        )
        return {
            "type": "object",
            **described,
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }


def _constants_in(value: Value) -> Iterator[str]:
    """Yield the names of the constants in a value, at any depth."""
    parts: list[Value] = [value]
    while parts:
        match parts.pop():
            case Constant(name=name):
                yield name
            case Spread(constant=constant, others=others):
                yield constant.name
                parts += others.values()
            case Mapping() as mapping:
                parts += mapping.values()
            case list() | tuple() as listed:
                parts += listed
            case _:
                pass


def _data(procedure: Procedure) -> Iterator[Schema]:
    for error in procedure.errors:
        if error.data is not None:
            yield error.data


def _quoted(text: str) -> str:
    """Return a text as a part of a URI; a lone surrogate, which UTF-8 can't encode, is escaped."""
    return quote(text, safe="", errors="backslashreplace")
