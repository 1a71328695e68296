"""Any JSON value: what the empty schema accepts, and nothing more."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from pydantic_core import CoreSchema, PydanticCustomError, core_schema, to_json

from enkaku._json import DEPTH_MAX

__all__ = [
    "CONSTANTS",
    "DONE",
    "NUMBER",
    "WHOLE",
    "Foreign",
    "Writable",
    "any_schema",
    "find_foreign",
]

DONE: Final = "enkaku"
"""The key of the metadata of schemas that already have their exact meaning."""

NUMBER: Final = "enkaku_number"
"""The key of the bounds of a number, in the metadata of its schema: by pydantic's names for them."""

WHOLE: Final = "enkaku_whole"
"""The key of the bounds of a whole number, likewise."""

CONSTANTS: Final = "enkaku_constants"
"""The key of the values of a Literal that are not all text, in the metadata of its schema."""

_N, _I = b"NI"  # what NaN and Infinity begin with: a byte is looked for faster than bytes
_PLAIN: Final = frozenset({str, int, bool, type(None)})


class Writable:
    """Base of the objects that may stand in any JSON value: they write themselves as one."""


class Foreign(ValueError):
    """Something that JSON has not is in a value.

    Attributes:
        path: Where.
        expected: What would be JSON.
        value: What is there.
    """

    def __init__(self, path: Sequence[int | str], expected: str, value: object) -> None:
        super().__init__(f"{expected} is JSON")
        self.path = tuple(path)
        self.expected = expected
        self.value = value


def find_foreign(value: object, path: tuple[int | str, ...] = ()) -> None:
    """Raise Foreign if something that JSON has not is in ``value``."""
    if len(path) > DEPTH_MAX:
        raise Foreign((), f"at most {DEPTH_MAX} levels of arrays and objects", value)
    if isinstance(value, list | tuple):
        for index, item in enumerate(cast(Sequence[object], value)):
            if type(item) not in _PLAIN:
                find_foreign(item, (*path, index))
    elif isinstance(value, dict):
        for name, member in cast(Mapping[object, object], value).items():
            if not isinstance(name, str):
                raise Foreign(path, "text as the name of each member", name)
            if type(member) not in _PLAIN:
                find_foreign(member, (*path, name))
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise Foreign(path, "a number", value)
    elif value is not None and not isinstance(value, Writable | str | int):
        raise Foreign(path, "a JSON value", value)


def any_schema(*, null: bool = True) -> CoreSchema:
    """Make the schema of any JSON value; with ``null=False``, of any but null."""
    read = core_schema.no_info_after_validator_function(
        _read if null else _read_not_null, core_schema.any_schema()
    )
    write = core_schema.plain_serializer_function_ser_schema(
        _write, return_schema=core_schema.any_schema(), when_used="json"
    )
    return core_schema.json_or_python_schema(
        read, core_schema.any_schema(), metadata={DONE: True}, serialization=write
    )


def _read(value: object) -> object:
    """Refuse the numbers that JSON has not: pydantic reads NaN, and 1e999 as an infinity."""
    if type(value) in _PLAIN:
        return value
    text = to_json(value)
    if _N in text or _I in text:
        try:
            find_foreign(value)
        except Foreign as error:
            # The reader tells where: a place in here is none that pydantic would name.
            raise PydanticCustomError(
                "foreign", "{expected}", {"expected": error.expected, "path": error.path}
            ) from None
    return value


def _read_not_null(value: object) -> object:
    if value is None:
        raise PydanticCustomError("expected", "any value but null")
    return _read(value)


def _write(value: object) -> object:
    if type(value) not in _PLAIN and not _is_plain([value], DEPTH_MAX):
        find_foreign(value)
    return value


def _is_plain(items: Iterable[Any], depth: int) -> bool:
    """Return whether values are JSON at the first glance, which is all that most need."""
    for item in items:
        kind: Any = item.__class__
        if kind in _PLAIN:
            continue
        if kind is float:
            plain = math.isfinite(item)
        elif kind is list:
            plain = depth > 0 and _is_plain(item, depth - 1)
        else:
            plain = kind is dict and depth > 0 and _has_plain_members(item, depth)
        if not plain:
            return False
    return True


def _has_plain_members(value: dict[Any, Any], depth: int) -> bool:
    for name in value:
        if type(name) is not str:
            return False
    return _is_plain(value.values(), depth - 1)
