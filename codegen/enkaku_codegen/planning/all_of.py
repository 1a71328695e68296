"""Joins two schemas that both have to hold into one; where that can't be expressed, the result is wider."""

from enkaku_codegen.json_values import Json, identity, same
from enkaku_codegen.reading.simple_schema import SimpleSchema, as_dict, as_list

__all__ = ["merge", "type_names", "with_enum"]

_ITEMS = ("prefixItems", "items")


def type_names(types: Json) -> list[str]:
    """Return the types of a ``type`` keyword, which has one or several or is not there."""
    return [name for name in (as_list(types) or [types]) if isinstance(name, str)]


def with_enum(schema: SimpleSchema) -> SimpleSchema:
    """Write ``const`` as an ``enum`` of one, so that there is one keyword to join."""
    if "const" not in schema:
        return schema
    rest = {key: value for key, value in schema.items() if key != "const"}
    return merge(rest, {"enum": [schema["const"]]})


def merge(first: SimpleSchema, second: SimpleSchema) -> SimpleSchema:
    """Join two schemas without references, ``allOf`` and ``const``.

    Of two values for one keyword that can't be joined, the first stays: less is asked for, never more.
    """
    merged = dict(first)
    for key, value in second.items():
        merged[key] = _both(key, merged[key], value) if key in merged else value
    if "prefixItems" in merged and all(
        any(key in each for key in _ITEMS) for each in (first, second)
    ):
        # The places that ``items`` is for depend on the ``prefixItems`` beside it.
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
            # Each is for what is not among the properties beside it; to allow them all is wider.
            return False if False in (first, second) else _all_of(first, second)
        case "items":
            return _all_of(first, second)
        case "unevaluatedProperties":
            # What the inner one looks at is evaluated for the outer one.
            return True
        case _:
            return first


def _joined(first: dict[str, Json], second: dict[str, Json]) -> dict[str, Json]:
    properties = dict(first)
    for name, schema in second.items():
        properties[name] = _all_of(properties[name], schema) if name in properties else schema
    return properties


def _all_of(first: Json, second: Json) -> Json:
    if first == second and same(first, second):  # the former is soon done with what is different
        return first
    # One list, and not one in another: what many schemas say of a property lies no deeper than they do.
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
    # Nothing is of both: no type says so, and the first is as good as any.
    return [*common] if common else [*first]
