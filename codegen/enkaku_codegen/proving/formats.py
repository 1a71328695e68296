"""Strings of a format that its Python type cannot hold: the type rejects them, and the generator says so."""

from collections.abc import Mapping
from typing import Final

from enkaku_codegen.json_values import Json
from enkaku_codegen.planning.plan import ObjectPlan, TypePlan
from enkaku_codegen.reading.simple_schema import SimpleSchema

__all__ = ["unheld"]

_UNHELD: Final[Mapping[str, str]] = {
    "date": "a date has no year 0000",
    "datetime": "a datetime has no leap second, no year 0000, and at most 6 digits after the second",
    "time": "a time has no leap second, and at most 6 digits after the second",
    "timedelta": "a timedelta has no years and months, and at most 999999999 days",
}


def unheld(simple: SimpleSchema, types: Mapping[str, TypePlan]) -> tuple[str, ...]:
    """Return what the types of formats in a simple schema do not hold.

    Args:
        simple: The simple schema, with the names of types in its ``$ref``.
        types: The types, by name.
    """
    found: dict[str, None] = {}
    seen: set[str] = set()
    waiting: list[Json] = [simple]
    while waiting:
        match waiting.pop():
            case {"$ref": str() as name}:
                if name not in seen:
                    seen.add(name)
                    waiting += _within(types[name])
            case {"type": "string", "format": str() as type_}:
                found |= {_UNHELD[type_]: None} if type_ in _UNHELD else {}
            case dict() as parts:
                waiting += parts.values()
            case list() as parts:
                waiting += parts
            case _:
                pass
    return tuple(sorted(found))


def _within(plan: TypePlan) -> list[Json]:
    if isinstance(plan, ObjectPlan):
        return [each.schema for each in plan.fields]
    return [plan.schema]
