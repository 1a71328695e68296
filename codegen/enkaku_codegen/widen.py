"""Schemas made simple: each one a choice of alternatives that a Python type can express.

Whatever no type expresses is left out, so that the result accepts all that the schema accepts, and sometimes
more; never less. One level at a time: what stands below properties and items is left as it is.

Above it: the planner. Below it: the form of a schema. It knows no Python names.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from .jsontree import Json, Schema, same
from .merge import merge, type_names, with_enum
from .nodes import ANYTHING, Node, as_dict, as_list, referred
from .pattern import is_portable

__all__ = ["alternatives"]

# An alternative a line is readable; a thousand of them are not a type any more.
_MOST_ALTERNATIVES: Final = 256
_DEEPEST: Final = 30

_SIZES: Final = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
_CHILDREN: Final = {
    "array": ("items", "prefixItems"),
    "object": (
        "properties",
        "patternProperties",
        "additionalProperties",
        "required",
        "title",
        "description",
    ),
}
_LOWER: Final = ("minimum", "exclusiveMinimum")
_UPPER: Final = ("maximum", "exclusiveMaximum")
_TYPES: Final = ("null", "boolean", "integer", "number", "string", "array", "object")
_UNTYPED: Final = ("null", "boolean", "number", "string", "array")
# What says more of a value than its type; beside a reference, anything else is left to the reference.
_SHAPING: Final = frozenset(
    {
        "$ref",
        "additionalProperties",
        "allOf",
        "anyOf",
        "const",
        "enum",
        "items",
        "oneOf",
        "patternProperties",
        "prefixItems",
        "properties",
    }
)


def alternatives(schema: Schema, definitions: Mapping[str, Schema]) -> list[Node]:
    """Give the forms that a value may take: at least one, each once, anything only alone."""
    nodes: list[Node] = []
    for count, node in enumerate(_Widening(definitions).alternatives(schema)):
        if not node or count > _MOST_ALTERNATIVES:
            return [ANYTHING]
        if not any(same(node, other) for other in nodes):
            nodes.append(node)
    if not nodes:
        return [ANYTHING]
    if {"type": "number"} in nodes:
        nodes = [node for node in nodes if node.get("type") != "integer"]
    return nodes


class _Widening:
    """One schema's way to alternatives."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def alternatives(self, schema: Schema, depth: int = 0) -> Iterator[Node]:
        if isinstance(schema, bool) or depth > _DEEPEST:
            # A schema that refuses everything has no type either.
            yield ANYTHING
            return
        parts = self._parts(schema)
        references = [part for part in parts if "$ref" in part]
        shaping = [part for part in parts if _SHAPING & part.keys()]
        if len(references) == 1 and len(shaping) == 1:
            yield {"$ref": references[0]["$ref"]}
            return
        yield from self._choices(self._merged(parts), depth + 1)

    def _parts(self, schema: Node) -> list[Node]:
        """Part a schema into what all has to hold: itself, its reference, its ``allOf``."""
        rest = {key: value for key, value in schema.items() if key not in {"$ref", "allOf"}}
        parts: list[Node] = [rest] if rest else []
        if isinstance(schema.get("$ref"), str):
            parts.append({"$ref": schema["$ref"]})
        for part in as_list(schema.get("allOf")):
            if isinstance(part, dict):
                parts.extend(self._parts(part))
        return parts

    def _merged(self, parts: Sequence[Node]) -> Node:
        merged: Node = {}
        seen: set[str] = set()
        pending = list(reversed(parts))
        while pending:
            part = pending.pop()
            name = referred(part)
            if name is None:
                merged = merge(merged, with_enum(part))
            elif name not in seen:
                seen.add(name)
                target = self._definitions.get(name)
                if isinstance(target, dict):
                    pending.extend(reversed(self._parts(target)))
        return merged

    def _choices(self, schema: Node, depth: int) -> Iterator[Node]:
        keyword = "oneOf" if "oneOf" in schema else "anyOf"
        branches = [branch for branch in as_list(schema.get(keyword)) if branch is not False]
        base = {key: value for key, value in schema.items() if key not in {"anyOf", "oneOf"}}
        narrows = any(
            branch is True or not isinstance(branch, dict) or (_SHAPING | {"type"}) & branch.keys()
            for branch in branches
        )
        if not branches or "enum" in base or (not narrows and "type" in base):
            yield from _typed(base)
        elif _SHAPING & base.keys():
            yield from self._distributed(base, branches, depth)
        else:
            yield from self._branches(base, branches, depth)

    def _branches(self, base: Node, branches: Sequence[Json], depth: int) -> Iterator[Node]:
        types = {"type": base["type"]} if "type" in base else {}
        for branch in branches:
            if isinstance(branch, dict) and types and "$ref" not in branch:
                yield from self.alternatives(merge(types, branch), depth)
            elif isinstance(branch, dict | bool):
                yield from self.alternatives(branch, depth)

    def _distributed(self, base: Node, branches: Sequence[Json], depth: int) -> Iterator[Node]:
        """Join each branch with what stands beside the choice, but for its texts."""
        base = {key: value for key, value in base.items() if key not in {"description", "title"}}
        for branch in branches:
            if not isinstance(branch, dict):
                yield from _typed(base)
                continue
            merged = self._merged(self._parts(branch))
            if "anyOf" in merged or "oneOf" in merged:
                # One more level of choice: the branch alone is wider, and stays readable.
                yield from self.alternatives(branch, depth)
            else:
                yield from _typed(merge(base, merged))


def _typed(schema: Node) -> Iterator[Node]:
    """Give the alternatives of a schema without references and choices."""
    schema = with_enum(schema)
    names = type_names(schema.get("type"))
    if "enum" in schema:
        yield from _listed(as_list(schema["enum"]), names)
    elif names:
        for name in names:
            yield _of_type(name, schema)
    elif as_dict(schema.get("properties")):
        # Without a type, only objects have to have these properties: anything else passes.
        yield _of_type("object", schema)
        for name in _UNTYPED:
            yield {"type": name}
    else:
        yield ANYTHING


def _listed(values: list[Json], names: list[str]) -> Iterator[Node]:
    def fits(value: Json) -> bool:
        kind = _kind(value)
        return not names or kind in names or (kind == "integer" and "number" in names)

    literal: list[Json] = []
    for value in values:
        if not fits(value) and not isinstance(value, float):
            continue
        if isinstance(value, bool | int) or (isinstance(value, str) and _is_text(value)):
            literal.append(value)
        else:
            yield {"type": _kind(value)}
    if literal:
        yield {"enum": literal}


def _kind(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"


def _is_text(value: str) -> bool:
    """Tell whether UTF-8 can hold the text: a lone surrogate is no value of a literal type."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _of_type(name: str, schema: Node) -> Node:
    if name not in _TYPES:
        return ANYTHING
    node: Node = {"type": name}
    for key in _SIZES.get(name, ()):
        size = schema.get(key)
        # Beyond that, nothing fits in memory anyway.
        if isinstance(size, int | float) and 0 <= size < 2**31 and size == int(size):
            node[key] = int(size)
    for key in _CHILDREN.get(name, ()):
        if key in schema:
            node[key] = schema[key]
    pattern = schema.get("pattern")
    if name == "string" and isinstance(pattern, str) and is_portable(pattern):
        node["pattern"] = pattern
    if name in {"integer", "number"}:
        node.update(_bounds(name, schema))
    return node


def _bounds(name: str, schema: Node) -> Iterator[tuple[str, Json]]:
    for key in (*_LOWER, *_UPPER):
        value = schema.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if not -(2**53) <= value <= 2**53:
            continue
        if name == "integer":
            # x >= 0.5 is x >= 1, and x > 0.5 is x > 0
            up = key in {"minimum", "exclusiveMaximum"}
            value = math.ceil(value) if up else math.floor(value)
        yield key, value
    factor = schema.get("multipleOf")
    if name == "integer" and isinstance(factor, int) and 0 < factor <= 2**53:
        yield "multipleOf", factor
