"""Standard library types for strings of JSON Schema, and the import statements for them."""

from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["SOURCES", "builtin_classes", "imported_classes", "imported_modules", "written"]

_WRITTEN: Final[Mapping[str, str]] = {
    # Through the module: a property called "date" would shadow the class.
    **{name: f"dt.{name}" for name in ("date", "datetime", "time", "timedelta")},
    "IPv4Address": "IPv4Address",
    "IPv6Address": "IPv6Address",
    "UUID": "UUID",
    "bytes": "bytes",
}
SOURCES: Final[Mapping[str, str]] = {
    "IPv4Address": "from ipaddress import IPv4Address",
    "IPv6Address": "from ipaddress import IPv6Address",
    "UUID": "from uuid import UUID",
    "dt": "import datetime as dt",
}
"""The import statement for each name in generated code."""


def written(type_: str) -> str:
    """Return a type as annotations write it."""
    return _WRITTEN[type_]


def imported_modules(types: Iterable[str]) -> set[str]:
    """Return the names of the modules through which the types are written."""
    return {written(each).partition(".")[0] for each in types if "." in written(each)}


def imported_classes(types: Iterable[str]) -> set[str]:
    """Return the types that are imported, and written without a module."""
    return {written(each) for each in types} & SOURCES.keys()


def builtin_classes(types: Iterable[str]) -> frozenset[str]:
    """Return the types that are built in, whose names an attribute must not have."""
    return frozenset(
        each for each in map(written, types) if "." not in each and each not in SOURCES
    )
