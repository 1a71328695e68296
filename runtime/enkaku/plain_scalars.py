"""Plain texts, numbers and constants: the expressions by which they are known.

Above it: plain, which compiles them. Below it: pydantic's schemas, with the marks of exact and number.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Final, cast

from pydantic_core import CoreSchema, SchemaValidator

from .anything import CONSTANTS, NUMBER, WHOLE
from .pydantic_internals import LENGTH_KEYS, SILENT_KEYS, Node

__all__ = ["NotPlain", "know", "sized", "test_of"]

_LARGE: Final = 1e16  # from here on, floats are written with an exponent
_EXACT: Final = 2**53  # below it, every whole number is a float
_COMPARED: Final = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}

Name = Callable[[object], str]
"""Returns what an expression calls a value."""


class NotPlain(Exception):
    """Here ends what is known: of a type, or of a value."""


def know(node: Node, said: AbstractSet[str] = frozenset()) -> None:
    """Raise NotPlain if a node says more."""
    if not node.keys() <= said | SILENT_KEYS:
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
    marks = metadata.keys() & {CONSTANTS, NUMBER, WHOLE}
    if marks and node.get("serialization") != {"type": "any"}:
        raise NotPlain  # it is written in another way
    if CONSTANTS in marks:
        return _constants(metadata[CONSTANTS], name)
    if WHOLE in marks:
        return _number(node, metadata[WHOLE], name)[0]
    if NUMBER in marks:
        whole, real = _number(node, metadata[NUMBER], name)
        return f"({real} or {whole})"
    match node["type"]:
        case "str":
            know(node, LENGTH_KEYS | {"pattern"})
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


def _number(node: Node, bounds: dict[str, float], name: Name) -> tuple[str, str]:
    """Return the tests of whole numbers, and of others."""
    whole, real = ["type({0}) is int"], ["type({0}) is float"]
    if not bounds.keys() <= _COMPARED.keys():
        whole.append(_judge(node, name))
        real.append(whole[-1])
    else:
        for each, limit in bounds.items():
            whole.append(f"{{0}} {_COMPARED[each]} {_limit(limit, name)}")
            real.append(f"{{0}} {_COMPARED[each]} {_limit(limit, name, float)}")
    # Neither NaN nor an infinity. What is larger is written in another form, and so is minus zero.
    real[1:1] = [f"{{0}} > -{_LARGE}", f"{{0}} < {_LARGE}", "({0} or str({0}) == '0.0')"]
    return " and ".join(whole), " and ".join(real)


def _limit(limit: float, name: Name, kind: type[float] = int) -> str:
    """Return how a bound is written; as a number of the kind it is compared with, if it is the same: that is faster."""
    if type(limit) not in {int, float}:
        raise NotPlain
    return repr(kind(limit)) if abs(limit) < _EXACT and kind(limit) == limit else name(limit)


def _judge(node: Node, name: Name) -> str:
    """Return a test that asks pydantic, of a value whose class was looked at."""
    schema = cast(CoreSchema, {key: node[key] for key in node if key != "ref"})
    return f"{name(SchemaValidator(schema).isinstance_python)}({{0}})"
