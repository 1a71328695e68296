"""Schemas made simple: each one a choice of alternatives that a Python type can express.

Whatever no type expresses is left out, so that the result accepts all that the schema accepts, and sometimes
more; never less. One level at a time: what stands below properties and items is left as it is.

Above it: the planner. Below it: the form of a schema. It knows no Python names.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from .jsontree import SURROGATE, Json, Schema, distinct
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


def alternatives(
    schema: Schema, definitions: Mapping[str, Schema], within: frozenset[str] = frozenset()
) -> tuple[list[Node], frozenset[str]]:
    """Give the forms that a value may take: at least one, each once, anything only alone.

    Args:
        schema: Any schema.
        definitions: What its references lead to.
        within: The definitions that were joined with others around it. They are not joined again, which
            need not come to an end where definitions refer to themselves.

    Returns:
        The forms; and ``within`` for what stands in them.
    """
    widening = _Widening(definitions, within)
    nodes: list[Node] = []
    for count, node in enumerate(widening.alternatives(schema)):
        if not node or count > _MOST_ALTERNATIVES:
            return [ANYTHING], within
        nodes.append(node)
    nodes = distinct(nodes)
    if {"type": "number"} in nodes:
        nodes = [node for node in nodes if node.get("type") != "integer"]
    return nodes or [ANYTHING], within | widening.joined


class _Widening:
    """One schema's way to alternatives.

    Attributes:
        joined: The definitions that were joined with something else on the way.
    """

    def __init__(self, definitions: Mapping[str, Schema], within: frozenset[str]) -> None:
        self._definitions = definitions
        self._within = within
        self.joined: set[str] = set()

    def alternatives(self, schema: Schema, depth: int = 0) -> Iterator[Node]:
        if isinstance(schema, bool) or depth > _DEEPEST:
            # A schema that refuses everything has no type either.
            yield ANYTHING
            return
        parts = self._parts(schema)
        references = [part for part in parts if "$ref" in part]
        shaping = [part for part in parts if _SHAPING & part.keys()]
        again = [part for part in references if referred(part) in self._within]
        if again or (len(references) == 1 and len(shaping) == 1):
            yield {"$ref": (again or references)[0]["$ref"]}
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
                self.joined.add(name)
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
            parts = self._parts(branch)
            merged = self._merged(parts)
            again = any(referred(part) in self._within for part in parts)
            if again or "anyOf" in merged or "oneOf" in merged:
                # Known already, or one more level of choice: the branch alone is wider, and stays readable.
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

    fitting = [value for value in values if fits(value) or isinstance(value, float)]
    for kind in dict.fromkeys(_kind(value) for value in fitting if not _is_literal(value)):
        yield {"type": kind}
    literal = distinct(filter(_is_literal, fitting))
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


def _is_literal(value: Json) -> bool:
    """Tell whether pydantic reads the value of a literal type: integers of 64 bits, texts that UTF-8 can hold."""
    match value:
        case bool():
            return True
        case int():
            return -(2**63) <= value < 2**63
        case str():
            return SURROGATE.search(value) is None
        case _:
            return False


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
