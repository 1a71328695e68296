"""Protocols that ask for more of their types: values of formats, defaults, names of imports, and types
that are part of themselves."""

from dataclasses import replace
from typing import Any, Final

from enkaku_codegen.planning.imported import IMPORTED
from enkaku_codegen.reading.definition import Protocol
from enkaku_codegen.reading.options import FORMATS
from generated.packages import make_protocol, one_param

TEXT: Final = {"type": "string"}
NULLABLE: Final = {"type": ["string", "null"]}


def formats_protocol() -> Protocol:
    """Make a protocol of one request, whose param has a property for each format."""
    properties = {
        **{name: {**TEXT, "format": name} for name in FORMATS},
        "nullable": {**NULLABLE, "format": "date"},
        "listed": {"type": "array", "items": {**TEXT, "format": "uuid"}},
        "plain": {**TEXT, "format": "email"},
    }
    return replace(one_param({"type": "object", "properties": properties}), formats=FORMATS)


def defaults_protocol() -> Protocol:
    """Make a protocol of one request, whose param has properties with defaults."""
    properties: dict[str, Any] = {
        "retries": {"type": "integer", "default": 3},
        "share": {"type": "number", "default": 0.5},
        "mode": {"enum": ["fast", "slow"], "default": "slow"},
        "loud": {"type": "boolean", "default": False},
        "maybe": {**NULLABLE, "default": "yes"},
        "nothing": {**NULLABLE, "default": None},
        "several": {"type": "array", "default": [1]},
        "required": {"type": "integer", "default": 1},
    }
    schema = {"type": "object", "properties": properties, "required": ["required"]}
    return replace(one_param(schema), defaults=True)


def imports_protocol() -> Protocol:
    """Make a protocol whose definitions and procedures have the names that generated modules import."""
    kinds = (*FORMATS, None)
    all_formats = {each or "none": {"type": "string", "format": each or ""} for each in kinds}
    properties = {**all_formats, "a": NULLABLE, "b": {"enum": ["x", "y"]}}
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    definitions = dict.fromkeys(IMPORTED, schema)
    tree = {"type": "array", "items": {"$ref": "#/$defs/tree"}}
    procedures = {
        # Constants are in upper case: these two would have the names of definitions.
        f"get/{name}" if name.isupper() else name: {
            "type": "stream",
            "param": {"$ref": f"#/$defs/{name}"},
            "receive": {"type": "string", "format": [*FORMATS][number % len(FORMATS)]},
        }
        for number, name in enumerate(name for name in IMPORTED if name != "Absent")
    }
    made = make_protocol(procedures, {**definitions, "tree": tree})
    return replace(made, formats=FORMATS)


def recursive_protocol() -> Protocol:
    """Make a protocol with aliases that are part of themselves and of each other, also next to null."""

    def of(name: str) -> dict[str, str]:
        return {"$ref": f"#/$defs/{name}"}

    def maybe(name: str) -> dict[str, Any]:
        return {"anyOf": [of(name), {"type": "null"}]}

    scalars = [{"type": each} for each in ("string", "integer", "null")]
    definitions = {
        "JSONValue": {
            "anyOf": [*scalars, of("JSONObject"), of("JSONArray")],
            "description": "Any JSON value.",
        },
        "JSONObject": {"type": "object", "additionalProperties": of("JSONValue")},
        "JSONArray": {"type": "array", "items": of("JSONValue")},
        "Lists": {"type": "array", "items": of("Lists")},
        "MaybeLists": maybe("Lists"),
        "Nothing": {"type": "null"},
        "Place": {
            "type": "object",
            "properties": {"lists": maybe("Lists"), "object": of("JSONObject")},
        },
    }
    names = [*definitions]
    procedures = {
        name: {
            "type": "channel",
            "param": of(name),
            "send": maybe(name),
            "receive": {"type": "array", "items": maybe(name)},
            "result": {"anyOf": [of(name), of(names[number - 1])]},
        }
        for number, name in enumerate(names)
    }
    return make_protocol({f"get/{name}": each for name, each in procedures.items()}, definitions)
