"""Formats: strings that are values of other Python types, such as a date-time, which is a ``datetime``.

A string is read if it has the format, as RFC 3339, RFC 4122 and JSON Schema define it, and its type holds it exactly. Several strings may
mean the same value: one that the type would write in another way is read as an instance of a subclass, which remembers it.
So a value that was read is written as the same string.
"""

import datetime as dt
import re
from abc import abstractmethod
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, NamedTuple, TypeVar, cast
from uuid import UUID

from pydantic_core import (
    CoreSchema,
    PydanticCustomError,
    PydanticSerializationUnexpectedValue,
    core_schema,
)

from .any_json import IS_EXACT
from .pydantic_internals import SILENT_KEYS, Schema, address_class

__all__ = ["format_schema"]

T = TypeVar("T")


class _Remembering:
    """An immutable value that remembers the string that it was read from.

    Attributes:
        json_text: The string; empty if the value was computed, as by adding to another.
    """

    json_text = ""

    @abstractmethod
    def plain(self) -> object:
        """Return the value without the string."""

    def __repr__(self) -> str:
        return repr(self.plain())

    def __reduce_ex__(
        self, _protocol: object
    ) -> tuple[Callable[[Any, str], object], tuple[object, str]]:
        return _remember, (self.plain(), self.json_text)


class _DateTime(_Remembering, dt.datetime):
    def plain(self) -> dt.datetime:
        return dt.datetime.combine(self.date(), self.time(), self.tzinfo)


class _Time(_Remembering, dt.time):
    def plain(self) -> dt.time:
        return dt.time(self.hour, self.minute, self.second, self.microsecond, self.tzinfo)


class _Duration(_Remembering, dt.timedelta):
    def plain(self) -> dt.timedelta:
        return dt.timedelta(self.days, self.seconds, self.microseconds)


class _Uuid(_Remembering, UUID):
    def plain(self) -> UUID:
        return UUID(int=self.int)


class _Ipv6(_Remembering, IPv6Address):
    def plain(self) -> IPv6Address:
        return IPv6Address(int(self))


class _Format(NamedTuple):
    """A format and its type.

    Attributes:
        expected: What is expected, for errors.
        pattern: The strings of the format, but for what ``read`` rejects.
        read: Makes an instance of a class of a string; raises ValueError or OverflowError if the type cannot hold it.
        write: Returns the string for a value.
        type_: The type.
        remembering: Its subclass that remembers a string; the type itself if each value has one string only.
    """

    expected: str
    pattern: "re.Pattern[str]"
    read: Callable[[Any, str], Any]
    write: Callable[[Any], str]
    type_: type
    remembering: type

    def value_of(self, text: str) -> object:
        """Read a string.

        Raises:
            PydanticCustomError: It has not the format, or the type does not hold it.
        """
        if self.pattern.fullmatch(text) is not None:
            try:
                value = self.read(self.type_, text)
                if self.write(value) == text:
                    return value
                return _remembered(self.read(self.remembering, text), text)
            except (ValueError, OverflowError):
                pass
        raise PydanticCustomError("expected", cast(Any, self.expected))

    def text_of(self, value: object) -> str:
        """Write a value, by pydantic's serializer, which tries another alternative of a union if this one fails."""
        is_other = not isinstance(value, self.type_)
        if is_other or (isinstance(value, dt.datetime) and self.type_ is dt.date):
            raise PydanticSerializationUnexpectedValue(self.expected)
        return (isinstance(value, _Remembering) and value.json_text) or self.write(value)


def _remembered(value: T, text: str) -> T:
    object.__setattr__(
        value, "json_text", text
    )  # a UUID prevents what is written value.json_text = text
    return value


def _remember(value: object, text: str) -> object:
    """Return a value with the string that it was read from: what a copy of it is made by."""
    found = next((each for each in _BY_TYPE.values() if type(value) is each.type_), None)
    return value if found is None or not text else found.value_of(text)


_CLOCK: Final = r"(?:[01]\d|2[0-3]):[0-5]\d"
_TIME: Final = rf"{_CLOCK}:[0-5]\d(?:\.\d{{1,6}}0*)?(?:Z|[+-]{_CLOCK})"
_DATE: Final = r"\d{4}-\d\d-\d\d"
_HEX: Final = "[0-9a-fA-F]"
_HOURS: Final = r"T(?=\d)(?:(?P<hours>\d+)H(?!\d+S))?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?"
_DURATION: Final = re.compile(
    rf"P(?:(?P<weeks>\d+)W|(?P<days>\d+)D(?:{_HOURS})?)|P{_HOURS.replace('(?P<', '(?P<only_')}",
    re.ASCII,
)


def _compiled(pattern: str) -> "re.Pattern[str]":
    return re.compile(pattern, re.ASCII | re.IGNORECASE)


def _read_iso(type_: Any, text: str) -> object:  # noqa: ANN401 # a class with fromisoformat
    return type_.fromisoformat(text.upper())


def _write_iso(value: dt.datetime | dt.time) -> str:
    text = value.isoformat()
    return f"{text[:-6]}Z" if text.endswith("+00:00") else text


def _read_duration(type_: Callable[..., object], text: str) -> object:
    found = _DURATION.fullmatch(text)
    parts = {} if found is None else found.groupdict()
    return type_(**{name.removeprefix("only_"): int(each) for name, each in parts.items() if each})


def _write_duration(value: dt.timedelta) -> str:
    if value < dt.timedelta(0):
        return str(value)  # which is rejected, as the format has none
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{value.microseconds:06}".rstrip("0") if value.microseconds else ""
    last = f"{seconds}{fraction}S" if seconds or fraction else ""
    middle = f"{minutes}M" if minutes or (hours and last) else ""
    time = (f"{hours}H" if hours else "") + middle + last
    days = f"{value.days}D" if value.days else ""
    return f"P{days}T{time}" if time else f"P{days}" if days else "PT0S"


def _call(type_: Callable[[str], object], text: str) -> object:
    return type_(text)


_BY_TYPE: Final = {
    "datetime": _Format(
        "date-time of RFC 3339 with at most 6 digits after the second, such as 2020-01-02T03:04:05Z",
        _compiled(f"{_DATE}T{_TIME}"),
        *(_read_iso, _write_iso, dt.datetime, _DateTime),
    ),
    "date": _Format(
        "date of RFC 3339, such as 2020-01-02",
        _compiled(_DATE),
        *(_read_iso, dt.date.isoformat, dt.date, dt.date),
    ),
    "time": _Format(
        "time of RFC 3339 with at most 6 digits after the second, such as 03:04:05Z",
        _compiled(_TIME),
        *(_read_iso, _write_iso, dt.time, _Time),
    ),
    "timedelta": _Format(
        "duration of RFC 3339 without years and months, such as P1DT12H",
        _DURATION,
        *(_read_duration, _write_duration, dt.timedelta, _Duration),
    ),
    "uuid": _Format(
        "UUID of RFC 4122, such as 00000000-0000-0000-0000-000000000000",
        _compiled(f"{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}"),
        *(_call, str, UUID, _Uuid),
    ),
    "IPv4Address": _Format(
        "IPv4 address, such as 192.0.2.1",
        _compiled(r"[0-9.]{7,15}"),
        *(_call, str, IPv4Address, IPv4Address),
    ),
    "IPv6Address": _Format(
        "IPv6 address, such as 2001:db8::1",
        _compiled(f"(?:{_HEX}|[:.]){{2,45}}"),
        *(_call, str, IPv6Address, _Ipv6),
    ),
}


_BARE_KEYS: Final = SILENT_KEYS | {"microseconds_precision"}


def format_schema(schema: Schema) -> Schema | None:
    """Return the schema for a type whose values are strings of a format in JSON; None for another type.

    Args:
        schema: The schema that pydantic made of the type, which remains the one for Python values.
    """
    address = address_class(schema)
    found = _BY_TYPE.get(schema["type"] if address is None else address.__name__)
    if found is None:
        return None
    python = cast(CoreSchema, {key: each for key, each in schema.items() if key != "ref"})
    from_json: CoreSchema = core_schema.no_info_after_validator_function(
        found.value_of, core_schema.str_schema(strict=True)
    )
    if schema.keys() - _BARE_KEYS and not address:
        # The type has bounds, or a version. Its own schema keeps the instance of a subclass.
        from_json = core_schema.chain_schema([from_json, python])
    exact = core_schema.json_or_python_schema(
        from_json,
        python,
        metadata={IS_EXACT: True},
        serialization=core_schema.plain_serializer_function_ser_schema(
            found.text_of, return_schema=core_schema.str_schema(), when_used="json"
        ),
    )
    return cast(Schema, exact)
