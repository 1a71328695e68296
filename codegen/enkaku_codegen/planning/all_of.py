"""Intersection of schemas (``allOf``). Where no schema expresses it, the result accepts more values."""

from enkaku_codegen.json_values import Json, identity, same
from enkaku_codegen.reading.simple_schema import SimpleSchema, as_dict, as_list

__all__ = ["merge", "type_names", "with_enum"]

_ITEMS = ("prefixItems", "items")


def type_names(types: Json) -> list[str]:
    """Return the types of a ``type`` keyword: one, several, or none if it is missing."""
    return [name for name in (as_list(types) or [types]) if isinstance(name, str)]


def with_enum(schema: SimpleSchema) -> SimpleSchema:
    """Return a schema with ``const`` as an ``enum`` of one value, so that ``merge`` sees one keyword."""
    if "const" not in schema:
        return schema
    rest = {key: value for key, value in schema.items() if key != "const"}
    return merge(rest, {"enum": [schema["const"]]})


def merge(first: SimpleSchema, second: SimpleSchema) -> SimpleSchema:
    """Return one schema for two without references, ``allOf`` and ``const``.

    Where the values of a keyword can't be joined, the first stays: the result accepts more values, never fewer.
    """
    merged = dict(first)
    for key, value in second.items():
        merged[key] = _both(key, merged[key], value) if key in merged else value
    if "prefixItems" in merged and all(
        any(key in each for key in _ITEMS) for each in (first, second)
    ):
        # ``items`` is for the items after ``prefixItems`` of the same schema: joined, it would be for others.
        for key in _ITEMS:
            merged.pop(key, None)
    return merged


def _both(key: str, first: Json, second: Json) -> Json:
    match key:
        case "type":
            return _common_types(type_names(first), type_names(second))
        case "enum":
            others = {identity(each) for each in as_list(second)}
            common = [each for each in as_list(first) if identity(each) in others]
            return common or first
        case "required":
            names = as_list(first)
            return [*names, *(name for name in as_list(second) if name not in names)]
        case "properties" | "patternProperties":
            return _joined(as_dict(first), as_dict(second))
        case "additionalProperties":
            # Each is for properties that its own schema does not name. Joined, it is for fewer: this accepts more values.
            return False if False in (first, second) else _all_of(first, second)
        case "items":
            return _all_of(first, second)
        case "unevaluatedProperties":
            # What a subschema evaluates counts as evaluated here, which a joined schema can't express.
            return True
        case _:
            return first


def _joined(first: dict[str, Json], second: dict[str, Json]) -> dict[str, Json]:
    properties = dict(first)
    for name, schema in second.items():
        properties[name] = _all_of(properties[name], schema) if name in properties else schema
    return properties


def _all_of(first: Json, second: Json) -> Json:
    if first == second and same(first, second):  # == is fast for schemas that differ
        return first
    # One flat list: nested ones would reach the maximum depth where many schemas are joined.
    match first:
        case {"allOf": [*parts], **rest} if not rest:
            return {"allOf": [*parts, second]}
        case _:
            return {"allOf": [first, second]}


def _common_types(first: list[str], second: list[str]) -> Json:
    def fits(name: str, names: list[str]) -> bool:
        return name in names or (name == "integer" and "number" in names)

    names = dict.fromkeys([*first, *second])
    common = [name for name in names if fits(name, first) and fits(name, second)]
    # The types are disjoint, so no value fits. Python cannot express that: keep the first types.
    return [*common] if common else [*first]
