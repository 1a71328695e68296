"""JSON values as TypeScript source, with references to constants among them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

from enkaku_codegen.json_values import Json, as_json

from .escaping import tskey, tsrepr

__all__ = ["Constant", "Spread", "Value", "literal"]


@dataclass(frozen=True, slots=True)
class Constant:
    """A reference to a constant."""

    name: str


@dataclass(frozen=True, slots=True)
class Spread:
    """An object that has the properties of a constant, and others that take precedence."""

    constant: Constant
    others: Mapping[str, "Value"]


Value: TypeAlias = Json | Constant | Spread | Mapping[str, "Value"] | Sequence["Value"]
"""A JSON value that may contain references."""


def literal(value: Value, width: int, taken: int = 0) -> str:
    """Return a value as source; one that is wider has a line for each of its parts.

    Args:
        value: The value.
        width: The greatest length of a line, without its indentation.
        taken: The number of characters in its first line that are around it.
    """
    flat = _flat(value)
    if len(flat) + taken <= width:
        return flat
    inner = width - 2
    match value:
        case Spread():
            lines = [f"...{value.constant.name}", *_properties(value.others, inner)]
        case Mapping() if value:
            lines = _properties(value, inner)
        case list() | tuple() if value:
            lines = [literal(each, inner, 1) for each in value]
        case _:
            return flat
    body = "".join(f"{line},\n" for line in lines)
    indented = "".join(f"  {line}\n" for line in body.splitlines())
    return f"[\n{indented}]" if isinstance(value, list | tuple) else f"{{\n{indented}}}"


def _properties(value: Mapping[str, Value], width: int) -> list[str]:
    keys = {name: f"{tskey(name)}: " for name in value}
    return [
        f"{keys[name]}{literal(each, width, len(keys[name]) + 1)}" for name, each in value.items()
    ]


def _flat(value: Value) -> str:
    match value:
        case Constant(name=name):
            return name
        case Spread():
            parts = [f"...{value.constant.name}", *_flat_properties(value.others)]
            return f"{{ {', '.join(parts)} }}"
        case Mapping():
            return f"{{ {', '.join(_flat_properties(value))} }}" if value else "{}"
        case list() | tuple():
            return f"[{', '.join(map(_flat, value))}]"
        case str():
            return tsrepr(value)
        case _:
            return as_json(cast(Json, value))


def _flat_properties(value: Mapping[str, Value]) -> list[str]:
    return [f"{tskey(name)}: {_flat(each)}" for name, each in value.items()]
