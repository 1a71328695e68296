"""Secret values: those of schemas with ``writeOnly: true`` or ``x-secret: true``.

A secret belongs to the innermost property or slot around it: that of an item belongs to the property with the array. So does
what no type expresses, such as a property within ``then``.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from enkaku_codegen.json_values import Json, Schema
from enkaku_codegen.reading.definition import Protocol
from enkaku_codegen.reading.dialects import DRAFT_2020_12
from enkaku_codegen.reading.lint import HIDDEN
from enkaku_codegen.reading.schemas import applied
from enkaku_codegen.reading.simple_schema import reference_name

__all__ = ["Secrets"]

_MARKS: Final = ("writeOnly", HIDDEN)
_TYPED: Final = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
_OF_MAPS: Final = frozenset({"additionalProperties", "patternProperties"})


class Secrets:
    """Finds the secrets of a protocol."""

    def __init__(self, protocol: Protocol) -> None:
        self._definitions: Final[Mapping[str, Schema]] = protocol.definitions
        schemas: list[Json] = [*protocol.definitions.values()]
        for procedure in protocol.both_ways:
            schemas += procedure.slots.values()
            schemas += (each.data for each in procedure.errors)
        self._has_some: Final = _mentions(schemas)

    def holds(self, schema: Schema) -> bool:
        """Return whether a schema or a part of it is secret, apart from properties, which have types of their own."""
        waiting = [(schema, False)] if self._has_some else []
        seen: set[tuple[int, bool]] = set()
        while waiting:
            each, untyped = waiting.pop()
            if isinstance(each, bool) or (id(each), untyped) in seen:
                continue
            if any(each.get(mark) is True for mark in _MARKS):
                return True
            seen.add((id(each), untyped))
            name = reference_name(each)
            if name is not None and name in self._definitions:
                waiting.append((self._definitions[name], untyped))
            typed = _TYPED if "properties" in each else _TYPED | _OF_MAPS
            for path, inner in applied(each, DRAFT_2020_12):
                if path[0] != "properties" or untyped:
                    waiting.append((inner, untyped or path[0] not in typed))
        return False


def _mentions(schemas: Iterable[Json]) -> bool:
    waiting = [*schemas]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            if any(each.get(mark) is True for mark in _MARKS):
                return True
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return False
