"""Bytes: base64 strings (RFC 4648, section 4) that are ``bytes`` in Python.

A string is read if base64 with padding writes its bytes as this string. So other alphabets, white space, missing padding and
padding bits that are not zero are rejected, and a value that was read is written as the same string.
"""

from binascii import b2a_base64
from typing import Final, cast

from msgspec import ValidationError, convert
from pydantic_core import (
    CoreSchema,
    PydanticCustomError,
    PydanticSerializationUnexpectedValue,
    core_schema,
)

from .any_json import BYTES, IS_EXACT
from .pydantic_internals import SILENT_KEYS, Schema

__all__ = ["WRITE_BASE64", "bytes_schema"]

_EXPECTED: Final = "base64 string"
_LAST: Final = {1: "AQgw", 2: "AEIMQUYcgkosw048"}
"""The characters before the padding whose unused bits are zero, by the bytes that they end. msgspec ignores these bits."""


def _read(text: str) -> bytes:
    """Return the bytes of a base64 string.

    Raises:
        PydanticCustomError: It is no canonical base64.
    """
    try:
        value = convert(text, bytes)
    except ValidationError:
        pass
    else:
        rest = len(value) % 3
        if not rest or text[rest - 4] in _LAST[rest]:
            return value
    raise PydanticCustomError("expected", _EXPECTED)


def _write(value: object) -> str:
    """Return the base64 string of bytes, for pydantic's serializer, which tries another alternative if the value is unexpected.

    Raises:
        PydanticSerializationUnexpectedValue: The value is of another type.
        TypeError: The value is a buffer that may change.
    """
    if isinstance(value, bytearray | memoryview):
        raise TypeError("expected bytes")  # pydantic would write their contents as text
    if not isinstance(value, bytes):
        raise PydanticSerializationUnexpectedValue(_EXPECTED)
    return b2a_base64(value, newline=False).decode()


WRITE_BASE64: Final = core_schema.plain_serializer_function_ser_schema(
    _write, return_schema=core_schema.str_schema(), when_used="json"
)
"""The serializer of bytes, which writes what msgspec writes."""


def bytes_schema(schema: Schema) -> Schema:
    """Return the schema for bytes that are base64 strings in JSON.

    Args:
        schema: The schema that pydantic made of ``bytes``, which remains the one for Python values.
    """
    if "serialization" in schema:
        return schema  # a serializer of the program writes another string
    python = cast(CoreSchema, {key: each for key, each in schema.items() if key != "ref"})
    from_json: CoreSchema = core_schema.no_info_after_validator_function(
        _read, core_schema.str_schema(strict=True)
    )
    has_bounds = bool(schema.keys() - SILENT_KEYS)
    if has_bounds:
        from_json = core_schema.chain_schema([from_json, python])
    exact = core_schema.json_or_python_schema(
        from_json,
        python,
        metadata={IS_EXACT: True} if has_bounds else {IS_EXACT: True, BYTES: True},
        serialization=WRITE_BASE64,
    )
    return cast(Schema, exact)
