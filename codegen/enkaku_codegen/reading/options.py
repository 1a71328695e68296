"""Options of a protocol: requests about its schemas and types that JSON Schema has no keywords for."""

from collections.abc import Iterator, Mapping
from typing import Final, Literal, TypeAlias

from enkaku_codegen.json_values import Json, Tokens

from .validation_text import describe, nearest

__all__ = [
    "FORMATS",
    "LATEST_NAMES",
    "OPTIONS",
    "NameRules",
    "format_faults",
    "formats_of",
    "names_of",
]

OPTIONS: Final = ("formats", "defaults", "names", "foreign", "errors")
"""The keys of a document that hold options."""

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


def format_faults(value: Json) -> Iterator[tuple[Tokens, str]]:
    """Yield the errors in the ``formats`` of a protocol."""
    known = ", ".join(f"{name}: {type_}" for name, type_ in FORMATS.items())
    if not isinstance(value, dict):
        yield (), f"expected an object with some of {known}; got {describe(value)}"
        return
    for name, type_ in value.items():
        if name not in FORMATS:
            hint = nearest(name, FORMATS)
            yield (name,), f"unknown format{hint}: expected one of {known}"
        elif type_ != FORMATS[name]:
            found = describe(type_)
            yield (name,), f"expected {FORMATS[name]}, got {found}; there are {known}"


def formats_of(value: Json) -> Mapping[str, str]:
    """Return the ``formats`` of a protocol, in the order of ``FORMATS``."""
    asked = value if isinstance(value, dict) else {}
    return {name: type_ for name, type_ in FORMATS.items() if asked.get(name) == type_}


def names_of(value: Json) -> NameRules:
    """Return the ``names`` of a protocol: the version of the rules for Python names."""
    return 1 if value == 1 and value is not True else LATEST_NAMES
