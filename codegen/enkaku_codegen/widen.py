"""Schemas made simple: each one a choice of alternatives that a Python type can express.

Whatever no type expresses is left out, so that the result accepts all that the schema accepts, and sometimes
more; never less. One level at a time: what stands below properties and items is left as it is.

Above it: the planner. Below it: the form of a schema. It knows no Python names.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from .jsontree import SURROGATE, Json, Schema, as_text, distinct
from .merge import merge, type_names, with_enum
from .nodes import ANYTHING, Node, as_dict, as_list, referred
from .pattern import portable

__all__ = ["alternatives", "map_keys"]

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
    "string": ("format",),
    "object": (
        "properties",
        "patternProperties",
        "propertyNames",
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
_TEXTS: Final[tuple[str, ...]] = ("description", "title")
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

# What else than properties evaluates members.
_EVALUATING: Final = frozenset(
    {
        *("additionalProperties", "anyOf", "dependentSchemas", "else", "if", "not", "oneOf"),
        *("patternProperties", "then", "$dynamicRef"),
    }
)


def map_keys(schema: Node, rest: Json) -> Node | None:
    """Give the simple schema of the keys of a map; None if any text is a key, or no type says which.

    Args:
        schema: The form of the map.
        rest: The schema of the values whose keys fit no pattern.
    """
    patterns = [*as_dict(schema.get("patternProperties"))]
    if patterns:
        text = portable(patterns[0]) if len(patterns) == 1 and rest is False else None
        return None if text is None else {"type": "string", "pattern": text}
    names = schema.get("propertyNames")
    if not isinstance(names, dict) or "$ref" in names:
        return None
    forms, _ = alternatives({**names, "type": "string"}, {})
    match forms:
        case [{"enum": [*_]} as form]:
            return form
        case [{"type": "string", **rest} as form] if rest:
            return form
        case _:
            return None


def alternatives(
    schema: Schema,
    definitions: Mapping[str, Schema],
    within: frozenset[str] = frozenset(),
    formats: Mapping[str, str] = MappingProxyType({}),
) -> tuple[list[Node], frozenset[str]]:
    """Give the forms that a value may take: at least one, each once, anything only alone.

    Args:
        schema: Any schema.
        definitions: What its references lead to.
        within: The definitions that were joined with others around it. They are not joined again, which
            need not come to an end where definitions refer to themselves.
        formats: The Python types that stand for texts of a format, which is the ``format`` of the form.

    Returns:
        The forms; and ``within`` for what stands in them.
    """
    widening = _Widening(definitions, within)
    nodes: list[Node] = []
    for count, node in enumerate(widening.alternatives(schema)):
        if not node or count > _MOST_ALTERNATIVES:
            return [ANYTHING], within
        nodes.append(_formatted(node, formats))
    nodes = _with_one_enum(distinct(nodes))
    if {"type": "number"} in nodes:
        nodes = [node for node in nodes if node.get("type") != "integer"]
    return nodes or [ANYTHING], within | widening.joined


def _with_one_enum(nodes: list[Node]) -> list[Node]:
    """Join the literals of all forms in the place of the first that has some."""
    literals = distinct(value for node in nodes for value in as_list(node.get("enum")))
    first = next((place for place, node in enumerate(nodes) if "enum" in node), 0)
    return [
        {"enum": literals} if place == first and literals else node
        for place, node in enumerate(nodes)
        if place == first or "enum" not in node
    ]


def _formatted(node: Node, formats: Mapping[str, str]) -> Node:
    """Give the form with the Python type for its format, if one is asked for: nothing else can be said of it."""
    if "format" not in node:
        return node
    type_ = formats.get(as_text(node["format"]))
    if type_ is None:
        return {key: value for key, value in node.items() if key != "format"}
    return {"type": "string", "format": type_}


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
        merged = self._merged(parts)
        is_last = (
            schema.get("unevaluatedProperties") is merged.get("unevaluatedProperties") is False
        )
        if is_last and not _EVALUATING & merged.keys():
            # All that is evaluated are the properties that were joined.
            merged = {**merged, "additionalProperties": False}
        yield from self._choices(merged, depth + 1)

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
        """Join parts; what they say of themselves goes before what those say that they refer to."""
        merged: Node = {}
        texts: Node = {}
        seen: set[str] = set()
        pending = [(part, False) for part in reversed(parts)]
        while pending:
            part, is_referred = pending.pop()
            name = referred(part)
            if name is None:
                if is_referred:
                    texts = Node({key: part[key] for key in _TEXTS if key in part}) | texts
                    part = {key: value for key, value in part.items() if key not in _TEXTS}
                merged = merge(merged, with_enum(part))
            elif name not in seen:
                seen.add(name)
                self.joined.add(name)
                target = self._definitions.get(name)
                if isinstance(target, dict):
                    pending.extend((each, True) for each in reversed(self._parts(target)))
        return merged if any(key in merged for key in _TEXTS) else merged | texts

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
            if self._is_apart(branch, type_names(types.get("type"))):
                continue
            if isinstance(branch, dict) and types and "$ref" not in branch:
                yield from self.alternatives(merge(types, branch), depth)
            elif isinstance(branch, dict | bool):
                yield from self.alternatives(branch, depth)

    def _is_apart(self, branch: Json, names: list[str]) -> bool:
        """Tell whether a branch leads to a definition of another type than any of those named."""
        seen: set[str] = set()
        while names and isinstance(branch, dict):
            others = {*type_names(branch.get("type"))}
            related = {"integer", "number"} if {"integer", "number"} & others else set[str]()
            if others and not {*names} & (others | related):
                return True
            name = referred(branch)
            if name is None or name in seen:
                break
            seen.add(name)
            branch = self._definitions.get(name, True)
        return False

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
            if again or depth > _DEEPEST:
                # Known already: the branch alone is wider.
                yield from self.alternatives(branch, depth)
            else:
                yield from self._choices(merge(base, merged), depth + 1)


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
        least = 1 if key.startswith("min") else 0
        if isinstance(size, int | float) and least <= size < 2**31 and size == int(size):
            node[key] = int(size)
    for key in _CHILDREN.get(name, ()):
        if key in schema:
            node[key] = schema[key]
    pattern = schema.get("pattern")
    if name == "string" and isinstance(pattern, str) and (text := portable(pattern)) is not None:
        node["pattern"] = text
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
