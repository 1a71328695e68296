"""Simple schemas, or nodes: what a Python type can express, as JSON Schema.

A node has one of these forms:

- ``{}``: anything;
- ``{"$ref": "#/$defs/NAME"}``;
- ``{"enum": [...]}``: strings, integers and booleans, at least one;
- ``{"type": NAME, ...}``: one type, with the keywords that belong to it; ``format`` is the name of a Python type;
- ``{"anyOf": [...]}``: a choice between nodes.
"""

from collections.abc import Mapping
from typing import Final

from enkaku_codegen.jsontree import Json, distinct, tokens

__all__ = [
    "ANYTHING",
    "NULL",
    "Node",
    "any_of",
    "as_dict",
    "as_list",
    "is_class",
    "is_closed",
    "is_long_enum",
    "reads_well",
    "referred",
    "sized",
]

Node = dict[str, Json]

_MOST_LITERALS: Final = 3
_LONGEST: Final = 60

ANYTHING: Final[Node] = {}
NULL: Final[Node] = {"type": "null"}


def as_list(value: Json) -> list[Json]:
    """Give the value if it is an array, else an empty one."""
    return value if isinstance(value, list) else []


def as_dict(value: Json) -> dict[str, Json]:
    """Give the value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def referred(node: Mapping[str, Json]) -> str | None:
    """Give the name of the definition that a schema refers to, or None."""
    target = node.get("$ref")
    return tokens(target.removeprefix("#"))[-1] if isinstance(target, str) else None


def any_of(nodes: list[Node]) -> Node:
    """Choose between schemas, each once."""
    unique = distinct(nodes)
    return unique[0] if len(unique) == 1 else {"anyOf": [*unique]}


def sized(node: Node, schema: Mapping[str, Json], *keys: str) -> Node:
    """Take over the sizes that a schema asks for."""
    return node | {key: schema[key] for key in keys if key in schema}


def is_class(node: Node) -> bool:
    """Tell whether a form is an object that becomes a class: one with properties, or without any members."""
    return node.get("type") == "object" and (bool(node.get("properties")) or is_closed(node))


def is_closed(node: Node) -> bool:
    """Tell whether a form has no members but its properties."""
    return node.get("additionalProperties") is False and not node.get("patternProperties")


def is_long_enum(node: Node) -> bool:
    """Tell whether a schema is a choice between so many literals that it reads better with a name."""
    literals = as_list(node.get("enum"))
    return len(literals) > _MOST_LITERALS or len(str(literals)) > _LONGEST


def reads_well(node: Json) -> bool:
    """Tell whether a type may stand in a signature as it is, such as ``list[dict[str, Owner]] | None``."""
    match node:
        case {"anyOf": [*nodes]}:
            return all(reads_well(each) for each in nodes)
        case {"type": "array", "items": item, **rest}:
            return not rest and reads_well(item)
        case {"type": "object", "additionalProperties": value, **rest}:
            return not rest and reads_well(value)
        case {"type": "array" | "object"} | {"enum": _}:
            return False
        case {"type": "string", "format": _}:
            return True
        case {"type": _, **rest}:
            return not rest
        case _:
            return True
