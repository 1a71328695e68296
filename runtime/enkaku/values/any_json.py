"""Any JSON value: the type of the empty schema.

Pydantic's ``Any`` accepts more: NaN, infinities and every Python object. These functions reject them.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from pydantic_core import CoreSchema, PydanticCustomError, core_schema, to_json

from enkaku._json import DEPTH_MAX

from .digits import doubt

__all__ = [
    "BYTES",
    "CONSTANTS",
    "INTEGER",
    "IS_EXACT",
    "NUMBER",
    "JsonWritable",
    "NotJson",
    "any_schema",
    "require_json",
]

IS_EXACT: Final = "enkaku"
"""The metadata key of schemas that already have their exact meaning."""

NUMBER: Final = "enkaku_number"
"""The metadata key of a number's bounds, which have pydantic's names."""

INTEGER: Final = "enkaku_integer"
"""The metadata key of an integer's bounds."""

BYTES: Final = "enkaku_bytes"
"""The metadata key of bytes without bounds."""

CONSTANTS: Final = "enkaku_constants"
"""The metadata key of the values of a Literal that are not all strings."""

_LARGE: Final = re.compile(
    rb"\.0(?<=[0-9]{16}\.0)"
)  # how floats from EXACT_INTEGER_MAX to 1e16 end
_EXPONENT: Final = to_json(1e16).strip(b"0126.")  # e+ or e: between the digits of larger floats
# The end of this, and how fractions, NaN and Infinity begin: Python finds one byte faster than several.
_E, _POINT, _N, _I = _EXPONENT[-1:] + b".NI"
_SCALARS: Final = frozenset({str, int, bool, type(None)})


class JsonWritable:
    """Base of the classes whose instances may be part of any JSON value: pydantic writes them as objects."""


class NotJson(ValueError):
    """A value contains something that JSON cannot express.

    Attributes:
        path: The location.
        expected: What JSON allows there.
        value: The value there.
    """

    def __init__(self, path: Sequence[int | str], expected: str, value: object) -> None:
        super().__init__(f"expected {expected}")
        self.path = tuple(path)
        self.expected = expected
        self.value = value


def require_json(value: object, path: tuple[int | str, ...] = (), *, but: type = str) -> None:
    """Raise NotJson if a value contains something that JSON cannot express.

    Args:
        value: The value.
        path: Its location.
        but: A type whose instances are accepted, too.
    """
    if len(path) > DEPTH_MAX:
        raise NotJson((), f"at most {DEPTH_MAX} levels of arrays and objects", value)
    if isinstance(value, list | tuple):
        for index, item in enumerate(cast(Sequence[object], value)):
            if type(item) not in _SCALARS:
                require_json(item, (*path, index), but=but)
    elif isinstance(value, dict):
        for name, each in cast(Mapping[object, object], value).items():
            if not isinstance(name, str):
                raise NotJson(path, "string as property name", name)
            if type(each) not in _SCALARS:
                require_json(each, (*path, name), but=but)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise NotJson(path, "number", value)
    elif value is not None and not isinstance(value, (JsonWritable, str, int, but)):
        raise NotJson(path, "JSON value", value)


def any_schema(*, null: bool = True) -> CoreSchema:
    """Return the schema of any JSON value; with ``null=False``, of any except null."""
    read = core_schema.no_info_after_validator_function(
        _read if null else _read_not_null, core_schema.any_schema()
    )
    write = core_schema.plain_serializer_function_ser_schema(
        _write, return_schema=core_schema.any_schema(), when_used="json"
    )
    return core_schema.json_or_python_schema(
        read, core_schema.any_schema(), metadata={IS_EXACT: True}, serialization=write
    )


def _read(value: object) -> object:
    """Reject NaN, which pydantic reads, and infinities, as which it reads 1e999; raise doubt about large floats."""
    if type(value) in _SCALARS:
        return value
    data = to_json(value)
    if (_E in data and data.find(_EXPONENT) >= 0) or (
        _POINT in data and data.find(b".0") >= 0 and _LARGE.search(data)
    ):
        doubt.last = object()
    if _N in data or _I in data:
        try:
            require_json(value)
        except NotJson as error:
            # pydantic does not know the location inside of the value: the error carries it.
            raise PydanticCustomError(
                "not_json", "{expected}", {"expected": error.expected, "path": error.path}
            ) from None
    return value


def _read_not_null(value: object) -> object:
    if value is None:
        raise PydanticCustomError("expected", "any value except null")
    return _read(value)


def _write(value: object) -> object:
    if type(value) not in _SCALARS and not _are_json([value], DEPTH_MAX):
        require_json(value)
    return value


def _are_json(items: Iterable[Any], depth: int) -> bool:
    """Return whether values are certainly JSON: a fast check, which suffices for most."""
    for item in items:
        item_type: Any = item.__class__
        if item_type in _SCALARS:
            continue
        if item_type is float:
            is_json = math.isfinite(item)
        elif item_type is list:
            is_json = depth > 0 and _are_json(item, depth - 1)
        else:
            is_json = item_type is dict and depth > 0 and _are_properties(item, depth)
        if not is_json:
            return False
    return True


def _are_properties(value: dict[Any, Any], depth: int) -> bool:
    for name in value:
        if type(name) is not str:
            return False
    return _are_json(value.values(), depth - 1)
