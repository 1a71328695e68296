"""Comparison of generated code: what users of the Python package of the old version can no longer import, call or type-check.

The plans of both versions are walked side by side, from what both have on the wire: definitions, slots, properties and errors.
So a class that has another name is one finding, not one for each place that uses it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, get_args

from enkaku_codegen.json_values import Json, as_json, as_text, pointer
from enkaku_codegen.planning.plan import (
    AliasPlan,
    ErrorPlan,
    FieldPlan,
    ObjectPlan,
    Plan,
    ProcedurePlan,
    TypePlan,
    name_in_code,
)
from enkaku_codegen.planning.planner import make_plan
from enkaku_codegen.reading.definition import Protocol, SlotName
from enkaku_codegen.reading.simple_schema import SimpleSchema, as_dict, as_list

from .rules import RULES
from .wire import Change

__all__ = ["compare_code"]

_SLOTS: Final[tuple[SlotName, ...]] = get_args(SlotName)
_TYPES: Final[Mapping[str, str]] = {
    "boolean": "bool",
    "integer": "int",
    "null": "None",
    "number": "float",
    "string": "str",
}


def compare_code(old: Protocol, new: Protocol) -> list[Change]:
    """Return the differences in the packages that are generated from two versions.

    Raises:
        ProtocolError: The names of one of them collide in Python.
    """
    walk = _Walk(make_plan(old), make_plan(new))
    return [*walk.changes()]


@dataclass(frozen=True, slots=True)
class _Place:
    """A location in both versions."""

    old: str | None
    new: str | None


@dataclass(slots=True)
class _Walk:
    old: Plan
    new: Plan
    _renamed: dict[str, str] = field(default_factory=dict[str, str])
    _pairs: dict[tuple[str, str], _Place] = field(default_factory=dict[tuple[str, str], _Place])

    def changes(self) -> Iterator[Change]:
        """Yield the differences, each once."""
        found: list[Change] = []
        self._pair_definitions()
        errors = self._errors()
        found += errors
        found += self._procedures(self.old.procedures, self.new.procedures)
        found += self._procedures(self.old.callbacks, self.new.callbacks)
        done: set[tuple[str, str]] = set()
        while waiting := [each for each in self._pairs.items() if each[0] not in done]:
            for (one, other), place in waiting:
                done.add((one, other))
                found += self._types(self.old.known[one], self.new.known[other], place)
        yield from self._classes()
        yield from self._renames()
        yield from found
        yield from self._names()

    def _pair_definitions(self) -> None:
        for name in self.old.definitions.keys() & self.new.definitions.keys():
            one, other = self.old.definitions[name], self.new.definitions[name]
            if one in self.old.known and other in self.new.known:
                where = pointer(("$defs", name))
                self._pair(one, other, _Place(where, where))
        for name in self.old.known.keys() & self.new.known.keys():
            self._pair(name, name, _Place(None, None))

    def _pair(self, one: str, other: str, place: _Place) -> bool:
        """Compare two named types later; return whether they have one name, or one replaces the other."""
        if one != other and self._renamed.get(one) != other:
            if one in self.new.known or other in self.old.known or one in self._renamed:
                return False
            self._renamed[one] = other
        known = self._pairs.setdefault((one, other), place)
        if known.old is None and place.old is not None:
            self._pairs[one, other] = place
        return True

    # Types

    def _same(self, one: SimpleSchema, other: SimpleSchema, place: _Place) -> bool:
        """Return whether two simple schemas are the same Python type, and compare the types in them later."""
        match one, other:
            case {"$ref": str() as name}, {"$ref": str() as another}:
                return self._pair(name, another, place)
            case {"$ref": str() as name}, _ if name not in self.new.known:
                type_ = self.old.known[name]
                return isinstance(type_, AliasPlan) and self._same(type_.schema, other, place)
            case _, {"$ref": str() as another} if another not in self.old.known:
                type_ = self.new.known[another]
                return isinstance(type_, AliasPlan) and self._same(one, type_.schema, place)
            case {"anyOf": list() as some}, {"anyOf": list() as others}:
                return self._same_union(some, others, place)
            case {"type": "array", "prefixItems": list() as some}, {
                "type": "array",
                "prefixItems": list() as others,
            }:
                return len(some) == len(others) and all(
                    self._same(as_dict(each), as_dict(another), place)
                    for each, another in zip(some, others, strict=True)
                )
            case {"type": "array", "items": dict() as item}, {
                "type": "array",
                "items": dict() as another,
            }:
                return self._same(item, another, place)
            case {"type": "object", "additionalProperties": dict() as value}, {
                "type": "object",
                "additionalProperties": dict() as another,
            }:
                return self._same(value, another, place)
            case _:
                return _text(one) == _text(other)

    def _same_union(self, some: list[Json], others: list[Json], place: _Place) -> bool:
        left = [as_dict(each) for each in others]
        for each in map(as_dict, some):
            found = next((other for other in left if _text(other) == _text(each)), None)
            if found is None:
                found = next((other for other in left if self._same(each, other, place)), None)
            if found is None or not self._same(each, found, place):
                return False
            left.remove(found)
        return not left

    def _types(self, one: TypePlan, other: TypePlan, place: _Place) -> Iterator[Change]:
        name = name_in_code(other.name)
        if isinstance(one, ObjectPlan) and isinstance(other, ObjectPlan):
            yield from self._fields(name, one, other, place)
        elif isinstance(one, AliasPlan) and isinstance(other, AliasPlan):
            if not self._same(one.schema, other.schema, place):
                message = f"{name} is {_text(other.schema)}, and was {_text(one.schema)}"
                yield _change("type-changed", place, message)
        else:
            now = "a class" if isinstance(other, ObjectPlan) else _text(other.schema)
            was = "a class" if isinstance(one, ObjectPlan) else _text(one.schema)
            yield _change("type-changed", place, f"{name} is {now}, and was {was}")

    def _fields(
        self, name: str, one: ObjectPlan, other: ObjectPlan, place: _Place
    ) -> Iterator[Change]:
        old = {each.key: each for each in one.fields}
        new = {each.key: each for each in other.fields}
        for key in dict.fromkeys([*old, *new]):
            before, after = old.get(key), new.get(key)
            if before is not None and after is not None:
                yield from self._field(name, before, after, place)
            elif before is not None:
                yield _change("field-removed", place, f"{name}.{before.attribute} is gone")
            elif after is not None:
                rule = "field-required" if _is_needed(after) else "field-added"
                yield _change(rule, place, f"{name}.{after.attribute} is new")

    def _field(
        self, name: str, before: FieldPlan, after: FieldPlan, place: _Place
    ) -> Iterator[Change]:
        label = f"{name}.{after.attribute}"
        if before.attribute != after.attribute:
            yield _change("field-renamed", place, f"{label} was {name}.{before.attribute}")
        if _is_needed(after) and not _is_needed(before):
            yield _change("field-required", place, f"{label} must be given")
        if _may_be_absent(after) and not _may_be_absent(before):
            yield _change("field-optional", place, f"{label} may be absent")
        if not self._same(before.schema, after.schema, place):
            message = f"{label} is {_text(after.schema)}, and was {_text(before.schema)}"
            yield _change("field-type-changed", place, message)

    # Procedures and errors

    def _procedures(
        self, some: tuple[ProcedurePlan, ...], others: tuple[ProcedurePlan, ...]
    ) -> Iterator[Change]:
        new = {each.procedure.name: each for each in others}
        for one in some:
            other = new.pop(one.procedure.name, None)
            if other is None:
                place = _Place(one.procedure.pointer, None)
                yield _change("method-removed", place, f"the method {one.method} is gone")
                continue
            place = _Place(one.procedure.pointer, other.procedure.pointer)
            if one.method != other.method:
                message = f"the method {other.method} was {one.method}"
                yield _change("method-renamed", place, message)
            elif one.constant != other.constant:
                yield _change("name-renamed", place, f"{other.constant} was {one.constant}")
            for slot in _SLOTS:
                if slot not in one.slots and slot not in other.slots:
                    continue
                before, after = one.slots.get(slot), other.slots.get(slot)
                if before is not None and after is not None and self._same(before, after, place):
                    continue
                message = f"{slot} of {other.method} is {_text(after)}, and was {_text(before)}"
                yield _change("signature-changed", place, message)
        for each in new.values():
            place = _Place(None, each.procedure.pointer)
            yield _change("method-added", place, f"the method {each.method} is new")

    def _errors(self) -> list[Change]:
        """Compare the exceptions of procedures that declare the same code."""
        found: dict[str, Change] = {}
        old, new = _exceptions(self.old), _exceptions(self.new)
        for key in old.keys() & new.keys():
            one, other = old[key], new[key]
            place = _Place(one.definition.pointer, other.definition.pointer)
            if one.name != other.name and one.name not in _error_names(self.new):
                message = f"the exception {other.name} was {one.name}"
                found.setdefault(message, _change("name-renamed", place, message))
                self._renamed.setdefault(one.name, other.name)
            before, after = one.data, other.data
            if before is None and after is None:
                continue
            if before is None or after is None or not self._same(before, after, place):
                message = f"{other.name}.data is {_text(after)}, and was {_text(before)}"
                found.setdefault(message, _change("signature-changed", place, message))
        return list(found.values())

    # Names

    def _classes(self) -> Iterator[Change]:
        """Yield the classes of the protocol itself that have other names."""
        for before, after in zip(_own_classes(self.old), _own_classes(self.new), strict=True):
            if before != after and before and after:
                message = f"{after} was {before}"
                yield _change("name-renamed", _Place("", ""), message)
                self._renamed[before] = after

    def _renames(self) -> Iterator[Change]:
        for one, other in self._renamed.items():
            place = self._pairs.get((one, other))
            if place is not None:
                message = f"{name_in_code(other)} was {name_in_code(one)}"
                yield _change("name-renamed", place, message)

    def _names(self) -> Iterator[Change]:
        """Yield the names that are gone, and those that are new."""
        old, new = _public(self.old), _public(self.new)
        for name in sorted(old.keys() - new.keys() - self._renamed.keys()):
            yield _change("name-removed", _Place(old[name], None), f"{name} is gone")
        for name in sorted(new.keys() - old.keys() - {*self._renamed.values()}):
            yield _change("name-added", _Place(None, new[name]), f"{name} is new")


def _change(rule: str, place: _Place, message: str) -> Change:
    severity = RULES[rule].new_callee or "error"
    return Change(rule, severity, place.old, place.new, message, (), {"level": "source"})


def _own_classes(plan: Plan) -> tuple[str, ...]:
    served = (plan.client, plan.sync_client, plan.handler) if plan.procedures else ("", "", "")
    called = (plan.callbacks_client, plan.callbacks_handler) if plan.callbacks else ("", "")
    return (*served, *called)


def _exceptions(plan: Plan) -> dict[tuple[str, str | None], ErrorPlan]:
    """Return the exceptions by procedure and code."""
    by_name = {each.name: each for each in (*plan.errors, *plan.imported_errors)}
    return {
        (each.procedure.pointer, by_name[name].code): by_name[name]
        for each in plan.both_ways
        for name in each.errors
    }


def _error_names(plan: Plan) -> frozenset[str]:
    return frozenset(each.name for each in plan.errors)


def _public(plan: Plan) -> dict[str, str]:
    """Return the names of a package, each with the location of what it is for."""
    definitions = {type_: pointer(("$defs", name)) for name, type_ in plan.definitions.items()}
    names = dict.fromkeys((each for each in _own_classes(plan) if each), "")
    names |= {each.name: definitions.get(each.name, "") for each in plan.types}
    names |= {each.name: each.definition.pointer for each in plan.errors}
    # Constants and methods have one name, so that one finding is enough where the procedure has another.
    return names


def _is_needed(each: FieldPlan) -> bool:
    """Return whether the constructor needs the argument: a constant fills itself in."""
    return each.required and len(as_list(each.schema.get("enum"))) != 1


def _may_be_absent(each: FieldPlan) -> bool:
    return not each.required and not each.default


def _text(schema: SimpleSchema | None) -> str:
    """Return a simple schema as a Python type, without bounds, which no type checker knows."""
    match schema:
        case None:
            return "not there"
        case {"$ref": str() as name}:
            return name_in_code(name)
        case {"anyOf": [*choices]}:
            return " | ".join(sorted({_text(as_dict(each)) for each in choices}))
        case {"enum": [*values]}:
            return f"Literal[{', '.join(sorted(map(_literal, values)))}]"
        case {"type": "array" | "object" as name}:
            return _container_text(name, schema)
        case {"type": "string", "format": str() as type_}:
            return type_
        case _:
            return _TYPES.get(as_text(schema.get("type")), "object")


def _container_text(name: str, schema: SimpleSchema) -> str:
    if name == "object":
        return f"dict[str, {_text(as_dict(schema.get('additionalProperties')))}]"
    if "prefixItems" not in schema:
        return f"list[{_text(as_dict(schema.get('items')))}]"
    return f"tuple[{', '.join(_text(as_dict(each)) for each in as_list(schema['prefixItems']))}]"


def _literal(value: Json) -> str:
    return repr(value) if isinstance(value, bool) else as_json(value)
