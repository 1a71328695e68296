"""Defaults that are filled in where a property is absent: constants, since nobody can change them."""

from collections.abc import Iterator, Mapping

from jsonschema_rs import Draft202012Validator

from enkaku_codegen.json_values import Json, Schema
from enkaku_codegen.reading.bundle import needed_definitions
from enkaku_codegen.reading.definition import Protocol
from enkaku_codegen.reading.simple_schema import as_list, reference_name
from enkaku_codegen.reading.validation_text import describe

from .docstrings import annotation_values

__all__ = ["constant"]

_CHOICES = ("allOf", "anyOf", "oneOf")
_LARGEST = 2**63


def constant(schema: Schema, protocol: Protocol) -> tuple[Json, ...]:
    """Return the default of a property, in a list of one; empty if it has none that can stand in code.

    Args:
        schema: The property's schema.
        protocol: Has what it refers to, and what becomes of texts.

    Raises:
        ValueError: It does not fit the schema that it stands in; says so.
    """
    defaults = annotation_values(schema, "default")
    if not isinstance(schema, dict) or not defaults:
        return ()
    whole: dict[str, Json] = {
        **schema,
        "$defs": {**needed_definitions(schema, protocol.definitions)},
    }
    validator = Draft202012Validator(whole, validate_formats=False)
    # One of a schema that this is joined with need not fit what the others say.
    default = next(filter(validator.is_valid, defaults), None)
    if "default" in schema and not validator.is_valid(schema["default"]):
        raise ValueError(f"the default {describe(schema['default'])} does not match its schema")
    if default is None or isinstance(default, list | dict):
        return ()
    if isinstance(default, str) and _reads_texts(schema, protocol):
        return ()
    if isinstance(default, float) and default.is_integer() and abs(default) < _LARGEST:
        return (int(default),)  # which it is in JSON, and to the type of whole numbers
    return (default,)


def _reads_texts(schema: Schema, protocol: Protocol) -> bool:
    """Return whether texts may become other values: a text in code would not."""
    formats = (each.get("format") for each in _in_place(schema, protocol.definitions))
    return any(isinstance(each, str) and each in protocol.formats for each in formats)


def _in_place(schema: Schema, definitions: Mapping[str, Schema]) -> Iterator[dict[str, Json]]:
    """Yield the schema, and those that it says of the same value."""
    waiting: list[Json] = [schema]
    seen: set[str] = set()
    while waiting:
        each = waiting.pop()
        if not isinstance(each, dict):
            continue
        yield each
        waiting += [part for key in _CHOICES for part in as_list(each.get(key))]
        name = reference_name(each)
        if name is not None and name not in seen:
            seen.add(name)
            waiting.append(definitions.get(name, True))
