"""Defaults that are filled in if a property is absent: immutable constants only, which instances can share."""

from collections.abc import Iterator, Mapping

from jsonschema_rs import Draft202012Validator

from enkaku_codegen.json_values import Json, LongNumber, Schema, as_text, exact_numbers
from enkaku_codegen.reading.bundle import needed_definitions, without_annotations
from enkaku_codegen.reading.definition import Protocol
from enkaku_codegen.reading.options import STRING_KEYWORDS
from enkaku_codegen.reading.simple_schema import as_list, reference_name
from enkaku_codegen.reading.validation_text import describe

from .docstrings import annotation_values

__all__ = ["constant"]

_CHOICES = ("allOf", "anyOf", "oneOf")
_LARGEST = 2**63


def constant(schema: Schema, protocol: Protocol) -> tuple[Json, ...]:
    """Return the default of a property in a tuple of one; empty if there is none that generated code can hold.

    Args:
        schema: The property's schema.
        protocol: Has the definitions that the schema refers to, and the types of strings.

    Raises:
        ValueError: The default does not match its schema; the message says so.
    """
    defaults = annotation_values(schema, "default")
    if not isinstance(schema, dict) or not defaults:
        return ()
    shared = needed_definitions(schema, protocol.definitions)
    whole: dict[str, Json] = {
        "allOf": [without_annotations(schema)],
        "$defs": {name: without_annotations(each) for name, each in shared.items()},
    }
    validator = Draft202012Validator(exact_numbers(whole), validate_formats=False)

    def matches(value: Json) -> bool:
        return validator.is_valid(exact_numbers(value))

    # The default of a joined schema need not match the others.
    default = next(filter(matches, defaults), None)
    if "default" in schema and not matches(schema["default"]):
        raise ValueError(f"the default {describe(schema['default'])} does not match its schema")
    if default is None or isinstance(default, list | dict | LongNumber):
        return ()
    if isinstance(default, str) and _converts_strings(schema, protocol):
        return ()
    if isinstance(default, float) and default.is_integer() and abs(default) < _LARGEST:
        return (int(default),)  # 1.0 is 1 in JSON, and the type int accepts only the latter
    return (default,)


def _converts_strings(schema: Schema, protocol: Protocol) -> bool:
    """Return whether strings become values of another type, which a string in generated code would not."""
    types = protocol.string_types
    return any(
        (key, as_text(each.get(key))) in types
        for each in _in_place(schema, protocol.definitions)
        for key in STRING_KEYWORDS
    )


def _in_place(schema: Schema, definitions: Mapping[str, Schema]) -> Iterator[dict[str, Json]]:
    """Yield the schema, and the schemas that it applies to the same value."""
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
