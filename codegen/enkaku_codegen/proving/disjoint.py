"""Tells whether no value of an atom fits a schema: what makes a ``oneOf`` exclusive, or a ``not`` hold.

The answer may be no for what is apart, never yes for what is not.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from enkaku_codegen.jsontree import Json, Schema, identity, kind_of
from enkaku_codegen.planning.all_of import type_names
from enkaku_codegen.planning.pattern import matches
from enkaku_codegen.planning.plan import TypePlan
from enkaku_codegen.reading.simple_schema import ANYTHING, Node, as_dict, as_list, referred

from .constants import fits
from .value_sets import Atom, Constant, Map, Number, Object, String, atoms, highest, lowest, size

__all__ = ["Apart"]

_DEEPEST: Final = 20


_Check: TypeAlias = Callable[["Apart", Atom, Node, int], bool]


class Apart:
    """Compares the types of a package with the schemas of its protocol.

    Args:
        types: The types, by name.
        definitions: What references in schemas lead to.
        step: Called for each schema that is looked at; may raise, to end what takes too long.
    """

    def __init__(
        self,
        types: Mapping[str, TypePlan],
        definitions: Mapping[str, Schema],
        step: Callable[[], None],
    ) -> None:
        self._types = types
        self._step = step
        self.definitions = definitions

    def node(self, node: Node, schema: Json, depth: int = 0) -> bool:
        """Tell whether no value of a type fits a schema."""
        return all(self.atom(each, schema, depth) for each in atoms(node, self._types))

    def atom(self, atom: Atom, schema: Json, depth: int = 0) -> bool:
        """Tell whether no value of an atom fits a schema."""
        if not isinstance(schema, dict) or depth > _DEEPEST:
            return schema is False
        self._step()
        checks = _OF_CONSTANTS if isinstance(atom, Constant) else _CHECKS
        return any(
            check(self, atom, schema, depth + 1)
            for keyword, check in checks.items()
            if keyword in schema
        )


def _type(_apart: Apart, atom: Atom, schema: Node, _depth: int) -> bool:
    numbers = {"integer", "number"}
    related = numbers if atom.kind in numbers else {atom.kind}
    return not related & {*type_names(schema["type"])}


def _const(_apart: Apart, atom: Atom, schema: Node, _depth: int) -> bool:
    return not _may_be(atom, schema["const"])


def _enum(_apart: Apart, atom: Atom, schema: Node, _depth: int) -> bool:
    return not any(_may_be(atom, value) for value in as_list(schema["enum"]))


def _may_be(atom: Atom, value: Json) -> bool:
    match atom, value:
        case Constant(constant), _:
            return identity(constant) == identity(value)
        case String(node), str():
            pattern = node.get("pattern")
            return not isinstance(pattern, str) or matches(pattern, value)
        case Number(), bool():
            return False
        case Number(kind, node), int() | float():
            whole = kind == "integer"
            lower, upper = lowest(node, whole=whole), highest(node, whole=whole)
            return lower < (value, True) and (value, False) < upper
        case _:
            return atom.kind == kind_of(value)


def _leaf(keyword: str) -> _Check:
    """Make a check that asks the validator about a constant."""

    def check(_apart: Apart, atom: Atom, schema: Node, _depth: int) -> bool:
        return isinstance(atom, Constant) and not fits(atom.value, keyword, schema[keyword])

    return check


def _range(_apart: Apart, atom: Atom, schema: Node, _depth: int) -> bool:
    if not isinstance(atom, Number):
        return False
    whole = atom.kind == "integer"
    return lowest(atom.node, whole=whole) >= highest(schema, whole=whole) or (
        lowest(schema, whole=whole) >= highest(atom.node, whole=whole)
    )


def _size(_apart: Apart, atom: Atom, schema: Node, _depth: int) -> bool:
    if isinstance(atom, Constant) or atom.kind not in _SIZES:
        return False
    least, most = size(atom)
    asked_least, asked_most = (schema.get(key) for key in _SIZES[atom.kind])
    return (isinstance(asked_least, int | float) and most is not None and most < asked_least) or (
        isinstance(asked_most, int | float) and least > asked_most
    )


def _required(_apart: Apart, atom: Atom, schema: Node, _depth: int) -> bool:
    if not isinstance(atom, Object) or not atom.plan.closed:
        return False
    keys = {field.key for field in atom.plan.fields}
    return any(name not in keys for name in as_list(schema["required"]))


def _properties(apart: Apart, atom: Atom, schema: Node, depth: int) -> bool:
    """Look for a member that has to be there, and that does not fit."""
    asked = as_list(schema.get("required"))
    fields = {field.key: field for field in atom.plan.fields} if isinstance(atom, Object) else {}
    for key, below in as_dict(schema["properties"]).items():
        if isinstance(atom, Map):
            value = atom.values
        elif isinstance(atom, Object):
            value = fields[key].schema if key in fields else ANYTHING
        else:
            return False
        there = key in asked or (key in fields and fields[key].required)
        if there and apart.node(value, below, depth):
            return True
    return False


def _closed(_apart: Apart, atom: Atom, schema: Node, _depth: int) -> bool:
    if schema["additionalProperties"] is not False or "patternProperties" in schema:
        return False
    known = as_dict(schema.get("properties"))
    return isinstance(atom, Object) and any(
        field.required and field.key not in known for field in atom.plan.fields
    )


def _reference(apart: Apart, atom: Atom, schema: Node, depth: int) -> bool:
    return apart.atom(atom, apart.definitions.get(referred(schema) or "", True), depth)


def _all_of(apart: Apart, atom: Atom, schema: Node, depth: int) -> bool:
    return any(apart.atom(atom, each, depth) for each in as_list(schema["allOf"]))


def _any_of(apart: Apart, atom: Atom, schema: Node, depth: int) -> bool:
    return all(apart.atom(atom, each, depth) for each in as_list(schema["anyOf"]))


def _one_of(apart: Apart, atom: Atom, schema: Node, depth: int) -> bool:
    return all(apart.atom(atom, each, depth) for each in as_list(schema["oneOf"]))


_SIZES: Final = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
_CHECKS: Final[Mapping[str, _Check]] = {
    "type": _type,
    "const": _const,
    "enum": _enum,
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _range),
    **dict.fromkeys([key for keys in _SIZES.values() for key in keys], _size),
    "required": _required,
    "properties": _properties,
    "additionalProperties": _closed,
    "$ref": _reference,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
}
_OF_CONSTANTS: Final[Mapping[str, _Check]] = {
    **_CHECKS,
    **{
        keyword: _leaf(keyword)
        for keyword in (
            *("pattern", "minLength", "maxLength", "multipleOf"),
            *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        )
    },
}
