"""One class for equal classes: what a schema repeats in several places, such as the geometries of GeoJSON.

Classes are one if their fields are equal, their parts included, and they are of one kind: they have the same title, or
the same constant as a discriminator. Equal fields alone are a coincidence, as in ``{"x": 1}``. The shortest name stays.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from enkaku_codegen.json_values import Json, as_text
from enkaku_codegen.reading.simple_schema import SimpleSchema, as_dict

from .plan import FieldPlan, ObjectPlan, TypePlan, names_in

__all__ = ["Kind", "kind_of", "reachable", "renamed", "shared_names", "with_names"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a class is for, apart from its fields.

    Attributes:
        name: Its title, or its discriminating constants; ``""`` if it has neither.
        text: Its docstring, wherever it stands.
    """

    name: str
    text: str


def kind_of(schema: SimpleSchema, text: str) -> Kind:
    """Return the kind of the class for a simple schema."""
    constants: list[Json] = []
    for key, each in sorted(as_dict(schema.get("properties")).items()):
        match each:
            case {"const": str() as constant} | {"enum": [str() as constant]}:
                constants += [key, constant]
            case _:
                pass
    return Kind(as_text(schema.get("title")) or (json.dumps(constants) if constants else ""), text)


def shared_names(types: Sequence[TypePlan], kinds: Mapping[str, Kind]) -> Mapping[str, str]:
    """Return the new names of classes that are equal to one with a shorter name.

    Args:
        types: The types; each comes after its parts.
        kinds: The kinds of the classes among them.
    """
    # A type is written with numbers for its parts, equal ones for equal parts, so that each is written once.
    numbers: dict[str, int] = {}
    contents: dict[str, int] = {}
    groups: dict[tuple[int, str], list[str]] = {}
    for each in types:
        kind = kinds.get(each.name, Kind("", each.text))
        text = json.dumps([_content(each, contents), kind.text])
        contents[each.name] = numbers.setdefault(text, len(numbers))
        if kind.name and isinstance(each, ObjectPlan):
            groups.setdefault((contents[each.name], kind.name), []).append(each.name)
    return {
        name: shortest
        for group in groups.values()
        if len(group) > 1
        for shortest in [min(group, key=lambda name: (len(name), name))]
        for name in group
        if name != shortest
    }


def _content(type_: TypePlan, contents: Mapping[str, int]) -> Json:
    """Return the content of a type, with numbers for the types in it."""
    if isinstance(type_, ObjectPlan):
        return [type_.closed, *(_field(each, contents) for each in type_.fields)]
    return ["alias", _mapped(type_.schema, contents)]


def _field(each: FieldPlan, contents: Mapping[str, int]) -> Json:
    return [
        *(each.attribute, each.key, each.required, each.text, each.deprecated, [*each.default]),
        each.secret,
        _mapped(each.schema, contents),
    ]


def renamed(schema: SimpleSchema, names: Mapping[str, str]) -> SimpleSchema:
    """Return a simple schema with the types in it renamed."""
    return (
        as_dict(_mapped(schema, names))
        if any(each in names for each in names_in(schema))
        else schema
    )


def _mapped(schema: Json, names: Mapping[str, str] | Mapping[str, int]) -> Json:
    match schema:
        case {"$ref": str() as name}:
            return {"$ref": names.get(name, name)}
        case dict():
            return {
                key: each if key == "enum" else _mapped(each, names) for key, each in schema.items()
            }
        case list():
            return [_mapped(each, names) for each in schema]
        case _:
            return schema


def with_names(type_: TypePlan, names: Mapping[str, str]) -> TypePlan:
    """Return a type with the types in it renamed."""
    if isinstance(type_, ObjectPlan):
        fields = (replace(each, schema=renamed(each.schema, names)) for each in type_.fields)
        return replace(type_, fields=tuple(fields))
    return replace(type_, schema=renamed(type_.schema, names))


def reachable(schemas: Iterable[SimpleSchema], types: Mapping[str, TypePlan]) -> frozenset[str]:
    """Return the names of the types that simple schemas lead to."""
    reached: set[str] = set()
    waiting = [name for schema in schemas for name in names_in(schema)]
    while waiting:
        name = waiting.pop()
        type_ = types.get(name)
        if type_ is None or name in reached:
            continue
        reached.add(name)
        parts = (
            [each.schema for each in type_.fields]
            if isinstance(type_, ObjectPlan)
            else [type_.schema]
        )
        waiting += [part for schema in parts for part in names_in(schema)]
    return frozenset(reached)
