"""Plain texts, numbers and constants: the expressions by which they are known.

Above it: plain, which compiles them. Below it: pydantic's schemas, with the marks of exact and number.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any, Final, cast

from pydantic_core import CoreSchema, SchemaValidator

from .anything import BOUNDS, CONSTANTS

__all__ = ["LENGTHS", "Node", "NotPlain", "know", "sized", "test_of"]

Node = dict[str, Any]

LENGTHS: Final = frozenset({"max_length", "min_length"})
"""What may be said of the length of a text, an array or a map."""

_SILENT: Final = frozenset({"fail_fast", "metadata", "ref", "strict", "type"})
_COMPARED: Final = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}

Name = Callable[[object], str]
"""Returns what an expression calls a value."""


class NotPlain(Exception):
    """Here ends what is known: of a type, or of a value."""


def know(node: Node, said: AbstractSet[str] = frozenset()) -> None:
    """Raise NotPlain if a node says more."""
    if not node.keys() <= said | _SILENT:
        raise NotPlain


def sized(node: Node, value: str) -> str:
    """Return what is to be added to a test of a value, for the bounds of its length."""
    least, most = node.get("min_length"), node.get("max_length")
    tests = [f" and len({value}) >= {least:d}"] if least is not None else []
    tests += [f" and len({value}) <= {most:d}"] if most is not None else []
    return "".join(tests)


def test_of(node: Node, name: Name) -> str | None:
    """Return an expression that is true if ``{0}`` is plain, or None if the node is no scalar's."""
    metadata = node.get("metadata", {})
    if BOUNDS in metadata or CONSTANTS in metadata:
        if node.get("serialization") != {"type": "any"}:
            raise NotPlain  # it is written in another way
        if BOUNDS in metadata:
            return _number(node, metadata[BOUNDS], name)
        return _constants(metadata[CONSTANTS], name)
    match node["type"]:
        case "str":
            know(node, LENGTHS | {"pattern"})
            asked = f" and {_judge(node, name)}" if "pattern" in node else sized(node, "{0}")
            return f"type({{0}}) is str{asked}"
        case "literal":
            know(node, {"expected"})
            return _constants(node["expected"], name)
        case "bool":
            know(node)
            return "type({0}) is bool"
        case "none":
            know(node)
            return "{0} is None"
        case _:
            return None


def _constants(expected: list[object], name: Name) -> str:
    kinds = frozenset(type(each) for each in expected)
    if not kinds <= {str, int, bool, type(None)}:
        raise NotPlain
    if all(kind is str for kind in kinds):
        return f"type({{0}}) is str and {{0}} in {name(frozenset(expected))}"
    pairs = frozenset((type(each), each) for each in expected)
    return f"type({{0}}) in {name(kinds)} and (type({{0}}), {{0}}) in {name(pairs)}"


def _number(node: Node, bounds: dict[str, float], name: Name) -> str:
    if bounds.keys() <= _COMPARED.keys():
        tests = [f"{{0}} {_COMPARED[each]} {name(limit)}" for each, limit in bounds.items()]
    else:
        tests = [_judge(node, name)]
    whole = " and ".join(["type({0}) is int", *tests])
    if node["type"] == "json-or-python":
        return whole
    # Neither NaN nor an infinity; what is larger is written in another form, and so is minus zero.
    finite = ["type({0}) is float", "-1e16 < {0} < 1e16", "({0} or str({0}) == '0.0')"]
    return f"({' and '.join([*finite, *tests])} or {whole})"


def _judge(node: Node, name: Name) -> str:
    """Return a test that asks pydantic, of a value whose class was looked at."""
    schema = cast(CoreSchema, {key: node[key] for key in node if key != "ref"})
    return f"{name(SchemaValidator(schema).isinstance_python)}({{0}})"
