"""Names that generated modules import, and the modules that they come from.

This is the only list of them: the import statements are written from it, and ``names`` reserves what is in it. So a
definition, a procedure or an error never gets a name that a generated module imports.
"""

from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["IMPORTED", "builtin_classes", "names_in_annotations", "written"]

IMPORTED: Final[Mapping[str, str]] = {
    "ABSENT": "from enkaku",
    "Absent": "from enkaku",
    "Annotated": "from typing",
    "Decimal": "from decimal",
    "Field": "from pydantic",
    "Final": "from typing",
    "IPv4Address": "from ipaddress",
    "IPv6Address": "from ipaddress",
    "Literal": "from typing",
    "Model": "from enkaku.generated",
    "NoneType": "from types",
    "TYPE_CHECKING": "from typing",
    "TypeAlias": "from typing",
    "TypeAliasType": "from typing_extensions",
    "UUID": "from uuid",
    "Union": "from typing",
    "Unpack": "from typing",
    "abstractmethod": "from abc",
    "dt": "import datetime as dt",
    "enkaku": "import enkaku",
    "enkaku.sync": "import enkaku.sync",
}
"""How each name is imported: the statement for a whole module, or the start of the statement for a name from one."""

_WRITTEN: Final[Mapping[str, str]] = {
    # Through the module: a property called "date" would shadow the class.
    **{name: f"dt.{name}" for name in ("date", "datetime", "time", "timedelta")},
    "IPv4Address": "IPv4Address",
    "IPv6Address": "IPv6Address",
    "UUID": "UUID",
    "bytes": "bytes",
}


def written(type_: str) -> str:
    """Return a type as annotations write it."""
    return _WRITTEN[type_]


def builtin_classes(types: Iterable[str]) -> frozenset[str]:
    """Return the types that are built in, whose names an attribute must not have."""
    return frozenset(
        each for each in map(written, types) if "." not in each and each not in IMPORTED
    )


def names_in_annotations(types: Iterable[str]) -> frozenset[str]:
    """Return the names that the types are written with: of classes, and of modules such as ``dt``.

    An attribute of the same name would shadow them within its class.
    """
    return frozenset(written(each).partition(".")[0] for each in types)
