"""Options of a protocol: requests about its schemas and types that JSON Schema has no keywords for."""

from collections.abc import Iterator, Mapping
from typing import Final, Literal, TypeAlias

from enkaku_codegen.json_values import Json, Tokens

from .validation_text import describe, nearest

__all__ = [
    "ENCODINGS",
    "FORMATS",
    "LATEST_NAMES",
    "OPTIONS",
    "STRING_KEYWORDS",
    "NameRules",
    "StringTypes",
    "encoding_faults",
    "encodings_of",
    "format_faults",
    "formats_of",
    "names_of",
]

OPTIONS: Final = ("formats", "encodings", "defaults", "names", "foreign", "errors", "callbacks")
"""The keys that only a document has, next to its procedures."""

NameRules: TypeAlias = Literal[1, 2]
"""A version of the rules that make Python names; a protocol may keep an older one."""

LATEST_NAMES: Final = 2
"""The version that applies unless the protocol selects another."""

FORMATS: Final[Mapping[str, str]] = {
    "date-time": "datetime",
    "date": "date",
    "time": "time",
    "duration": "timedelta",
    "uuid": "UUID",
    "ipv4": "IPv4Address",
    "ipv6": "IPv6Address",
}
"""The Python type that a protocol may select, by the ``format`` of JSON Schema."""

ENCODINGS: Final[Mapping[str, str]] = {"base64": "bytes"}
"""The Python type that a protocol may select, by the ``contentEncoding`` of JSON Schema."""

STRING_KEYWORDS: Final = ("format", "contentEncoding")
"""The keywords that may give strings a Python type, in their order of precedence."""

StringTypes: TypeAlias = Mapping[tuple[str, Json], str]
"""The Python types for strings, by keyword and its value."""


def format_faults(value: Json) -> Iterator[tuple[Tokens, str]]:
    """Yield the errors in the ``formats`` of a protocol."""
    yield from _faults(value, FORMATS, "format")


def encoding_faults(value: Json) -> Iterator[tuple[Tokens, str]]:
    """Yield the errors in the ``encodings`` of a protocol."""
    yield from _faults(value, ENCODINGS, "encoding")


def _faults(value: Json, types: Mapping[str, str], thing: str) -> Iterator[tuple[Tokens, str]]:
    known = ", ".join(f"{name}: {type_}" for name, type_ in types.items())
    if not isinstance(value, dict):
        yield (), f"expected an object with some of {known}; got {describe(value)}"
        return
    for name, type_ in value.items():
        if name not in types:
            hint = nearest(name, types)
            yield (name,), f"unknown {thing}{hint}: expected one of {known}"
        elif type_ != types[name]:
            found = describe(type_)
            yield (name,), f"expected {types[name]}, got {found}; there are {known}"


def formats_of(value: Json) -> Mapping[str, str]:
    """Return the ``formats`` of a protocol, in the order of ``FORMATS``."""
    return _selected(value, FORMATS)


def encodings_of(value: Json) -> Mapping[str, str]:
    """Return the ``encodings`` of a protocol."""
    return _selected(value, ENCODINGS)


def _selected(value: Json, types: Mapping[str, str]) -> Mapping[str, str]:
    asked = value if isinstance(value, dict) else {}
    return {name: type_ for name, type_ in types.items() if asked.get(name) == type_}


def names_of(value: Json) -> NameRules:
    """Return the ``names`` of a protocol: the version of the rules for Python names."""
    return 1 if value == 1 and value is not True else LATEST_NAMES
