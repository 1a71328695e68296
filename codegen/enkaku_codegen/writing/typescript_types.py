"""TypeScript types of a plan: one expression for each simple schema.

An object with properties is an interface, without an index signature, so that a compiler finds a misspelt property.
Sizes, patterns and bounds have no types.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from enkaku_codegen.json_values import Json
from enkaku_codegen.planning.plan import FieldPlan, ObjectPlan, Plan, name_in_code
from enkaku_codegen.reading.simple_schema import SimpleSchema, as_dict, as_list

from .escaping import Tag, Text, tsrepr

__all__ = ["Alias", "Interface", "Property", "expression", "types"]

_UNKNOWN: Final = "unknown"
_EXACT: Final = 2**53
_SIMPLE: Final = {
    "boolean": "boolean",
    "integer": "number",
    "null": "null",
    "number": "number",
    "string": "string",
}


@dataclass(frozen=True, slots=True)
class Property:
    """A property of an interface for the template: ``readonly NAME?: TYPE``."""

    name: Text
    type: str
    required: bool
    text: Text
    tags: Sequence[Tag]


@dataclass(frozen=True, slots=True)
class Interface:
    """An object with properties for the template."""

    name: str
    properties: Sequence[Property]
    text: Text
    kind: Literal["interface"] = "interface"


@dataclass(frozen=True, slots=True)
class Alias:
    """Any other type that has a name, for the template."""

    name: str
    type: str
    text: Text
    kind: Literal["alias"] = "alias"


def types(plan: Plan, line_length: int) -> Sequence[Interface | Alias]:
    """Return the types of a plan, each after the types that are parts of it.

    Args:
        plan: The plan.
        line_length: The greatest length of a line, beyond which a union has a line for each alternative.
    """
    return [
        (
            Interface(
                each.name,
                [_property(field, line_length) for field in each.fields],
                Text(each.text),
            )
            if isinstance(each, ObjectPlan)
            else Alias(
                each.name,
                _laid_out(each.schema, line_length - len(f"export type {each.name} = ;"), "  "),
                Text(each.text),
            )
        )
        for each in plan.types
    ]


def _property(field: FieldPlan, line_length: int) -> Property:
    around = len(f"  readonly {field.key}?: ;")
    return Property(
        name=Text(field.key),
        type=_laid_out(field.schema, line_length - around, "    "),
        required=field.required,
        text=Text(field.text),
        tags=[Tag("@deprecated", Text(""))] if field.deprecated else [],
    )


def _laid_out(schema: SimpleSchema, width: int, indent: str) -> str:
    """Return a type; a union that is wider has a line for each alternative."""
    parts = _alternatives(schema)
    flat = " | ".join(parts)
    if len(parts) == 1 or len(flat) <= width:
        return flat
    return "".join(f"\n{indent}| {part}" for part in parts)


def expression(schema: Json) -> str:
    """Return the type of the values of a simple schema."""
    return " | ".join(_alternatives(as_dict(schema)))


def _alternatives(schema: SimpleSchema) -> Sequence[str]:
    """Return the types whose union is the type of a simple schema, each written once."""
    match schema:
        case {"$ref": str() as name}:
            return [name_in_code(name)]
        case {"enum": [*values]}:
            return [*dict.fromkeys(map(_literal, values))]
        case {"anyOf": [*schemas]}:
            parts = dict.fromkeys(part for each in schemas for part in _alternatives(as_dict(each)))
            return [_UNKNOWN] if _UNKNOWN in parts else [*parts]
        case {"type": "array"}:
            return [_array(schema)]
        case {"type": "object"}:
            return [_map(schema)]
        case {"type": str() as name}:
            return [_SIMPLE[name]]
        case _:
            return [_UNKNOWN]


def _literal(value: Json) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return tsrepr(value)
        case int() if abs(value) <= _EXACT:
            return str(value)
        case _:
            return "number"  # an integer that no number of JavaScript has all digits of


def _array(schema: Mapping[str, Json]) -> str:
    if "prefixItems" in schema:
        return f"readonly [{', '.join(map(expression, as_list(schema['prefixItems'])))}]"
    if schema.get("maxItems") == 0:
        return "readonly []"
    items = _alternatives(as_dict(schema.get("items")))
    item = items[0] if len(items) == 1 else f"({' | '.join(items)})"
    return f"readonly {f'({item})' if item.startswith('readonly ') else item}[]"


def _map(schema: Mapping[str, Json]) -> str:
    values = expression(schema.get("additionalProperties"))
    match schema.get("propertyNames"):
        case {"enum": _} as keys:
            return f"{{ readonly [key in {expression(keys)}]?: {values} }}"
        case _:
            return f"{{ readonly [key: string]: {values} }}"
