"""Protocols that ask for more of their types: values of formats, and defaults."""

from dataclasses import replace
from typing import Any, Final

from enkaku_codegen.reading.definition import Protocol
from enkaku_codegen.reading.options import FORMATS
from generated.packages import one_param

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
