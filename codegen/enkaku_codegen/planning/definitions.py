"""Definitions as a whole: the order to plan them in, the names of their types, and which of them lack a type."""

import builtins
from collections.abc import Iterator, Mapping

from enkaku_codegen.json_values import Json, Schema
from enkaku_codegen.reading.definition import Protocol
from enkaku_codegen.reading.simple_schema import as_dict, as_list, reference_name

from .names import definition_names

__all__ = ["class_names", "in_order", "is_untyped", "or_other", "type_names_of"]

_OTHER_TYPES = ("type", "enum", "const", "anyOf", "oneOf")


def class_names(protocol: Protocol) -> Mapping[str, str]:
    """Return the name of each own definition's class, or of its type if it has no class.

    One that is part of itself does not get the name of a built-in exception, which a reference to it would lead to
    while the class is being made.
    """
    definitions = protocol.definitions
    own = [each for each in definitions if each not in protocol.imported]
    return {
        each: f"{name}_" if hasattr(builtins, name) and _is_recursive(each, definitions) else name
        for each, name in definition_names(own, protocol.names).items()
    }


def _is_recursive(name: str, definitions: Mapping[str, Schema]) -> bool:
    """Return whether a definition refers to itself, directly or through others."""
    seen, waiting = set[str](), [name]
    while waiting:
        for each in _references(definitions.get(waiting.pop(), True)):
            if each == name:
                return True
            if each not in seen:
                seen.add(each)
                waiting.append(each)
    return False


def _references(schema: Json) -> Iterator[str]:
    """Yield the definitions that a schema refers to, at any depth."""
    parts: list[Json] = [schema]
    while parts:
        match parts.pop():
            case dict() as part:
                if str(part.get("$ref")).startswith("#/$defs/"):
                    yield reference_name(part) or ""
                parts += part.values()
            case list() as part:
                parts += part
            case _:
                pass


def type_names_of(protocol: Protocol, classes: Mapping[str, str]) -> Mapping[str, str]:
    """Return the name of each definition's type.

    Args:
        protocol: The protocol.
        classes: The names of the definitions' classes.
    """
    taken = frozenset(classes.values())
    if protocol.names == 1:
        return classes
    return {
        each: (
            other
            if (other := or_other(name)) not in taken
            and is_untyped(protocol.definitions[each], protocol.definitions)
            else name
        )
        for each, name in classes.items()
    }


def or_other(name: str) -> str:
    """Return the name for the union of a class and all values that are no objects."""
    return f"{name.removesuffix('_')}OrOther"


def is_untyped(schema: Schema, definitions: Mapping[str, Schema]) -> bool:
    """Return whether a schema has properties, but accepts all values that are no objects."""
    parts, seen, has_properties = [schema], set[str](), False
    while parts:
        part = parts.pop()
        if not isinstance(part, dict):
            continue
        if any(key in part for key in _OTHER_TYPES):
            return False
        has_properties = has_properties or bool(as_dict(part.get("properties")))
        parts += [each for each in as_list(part.get("allOf")) if isinstance(each, dict)]
        name = reference_name(part)
        if name is not None and name not in seen:
            seen.add(name)
            parts.append(definitions.get(name, True))
    # A reference alone is another name for what it refers to.
    alone = isinstance(schema, dict) and "$ref" in schema and not schema.get("properties")
    return has_properties and not alone


def in_order(definitions: Mapping[str, Schema]) -> list[str]:
    """Return the definitions by name, but each after those that it joins by ``allOf`` or ``$ref``."""
    done: dict[str, None] = {}
    for first in sorted(definitions):
        trail = {first: _joined(definitions[first])} if first not in done else {}
        while trail:
            current = next(reversed(trail))
            following = next(trail[current], None)
            if following is None:
                done[current] = None
                del trail[current]
            elif following in definitions and following not in done and following not in trail:
                trail[following] = _joined(definitions[following])
    return [*done]


def _joined(schema: Json) -> Iterator[str]:
    """Yield the definitions that apply to the same value as the schema."""
    if not isinstance(schema, dict):
        return
    name = reference_name(schema)
    if name is not None:
        yield name
    for key in ("allOf", "anyOf", "oneOf"):
        for each in as_list(schema.get(key)):
            yield from _joined(each)
