"""Types of formats: strings are read if they have the format, and what was read is written as the same string."""

import copy
import datetime as dt
import json
import pickle
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any
from uuid import UUID

import enkaku
import pytest
from enkaku import Checked
from enkaku.values.slot import Slot
from jsonschema_rs import Draft202012Validator
from pydantic import Field
from typing_extensions import TypeAliasType

UTC = dt.UTC
AN_HOUR = dt.timezone(dt.timedelta(hours=1))
HEX = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
FORMATS: dict[Any, str] = {
    dt.datetime: "date-time",
    dt.date: "date",
    dt.time: "time",
    dt.timedelta: "duration",
    UUID: "uuid",
    IPv4Address: "ipv4",
    IPv6Address: "ipv6",
}


def _pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 # made here


VALID: list[tuple[str, Any]] = [
    ("2020-01-02T03:04:05Z", dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ("2020-01-02T03:04:05.000Z", dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ("2020-01-02T03:04:05.1Z", dt.datetime(2020, 1, 2, 3, 4, 5, 100_000, tzinfo=UTC)),
    ("2020-01-02T03:04:05.123456Z", dt.datetime(2020, 1, 2, 3, 4, 5, 123_456, tzinfo=UTC)),
    ("2020-01-02T03:04:05.1234560Z", dt.datetime(2020, 1, 2, 3, 4, 5, 123_456, tzinfo=UTC)),
    ("2020-01-02t03:04:05z", dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ("2020-01-02T03:04:05-00:00", dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ("2020-01-02T03:04:05+00:00", dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ("2020-01-02T03:04:05+01:00", dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=AN_HOUR)),
    ("0001-01-01T00:00:00+23:59", dt.datetime.fromisoformat("0001-01-01T00:00:00+23:59")),
    ("2020-01-02", dt.date(2020, 1, 2)),
    ("03:04:05Z", dt.time(3, 4, 5, tzinfo=UTC)),
    ("03:04:05.50+01:00", dt.time(3, 4, 5, 500_000, tzinfo=AN_HOUR)),
    ("P1D", dt.timedelta(days=1)),
    ("PT36H", dt.timedelta(hours=36)),
    ("P1DT12H", dt.timedelta(hours=36)),
    ("P2W", dt.timedelta(days=14)),
    ("P0D", dt.timedelta(0)),
    ("PT0S", dt.timedelta(0)),
    ("PT1H0M1S", dt.timedelta(seconds=3601)),
    ("PT90M", dt.timedelta(minutes=90)),
    ("P999999999D", dt.timedelta(days=999_999_999)),
    (HEX, UUID(HEX)),
    (HEX.upper(), UUID(HEX)),
    ("192.0.2.1", IPv4Address("192.0.2.1")),
    ("::1", IPv6Address("::1")),
    ("0:0:0:0:0:0:0:1", IPv6Address("::1")),
    ("2001:DB8::1", IPv6Address("2001:db8::1")),
    ("::ffff:192.0.2.1", IPv6Address("::ffff:192.0.2.1")),
]


@pytest.mark.parametrize(("text", "value"), VALID, ids=[text for text, _ in VALID])
def test_format_string_is_read_and_written_unchanged(text: str, value: Any) -> None:
    slot = Slot("slot", type(value))
    read = slot.decode(json.dumps(text).encode())
    assert isinstance(read, type(value))
    assert (read, hash(read)) == (value, hash(value))
    assert (repr(read), str(read)) == (repr(value), str(value))
    for each in (
        read,
        copy.deepcopy(read),
        _pickled(read),
    ):
        assert json.loads(slot.encode(each)) == text
    assert Draft202012Validator({"format": FORMATS[type(value)]}, validate_formats=True).is_valid(
        text
    )


WRONG: list[tuple[Any, str]] = [
    *((dt.datetime, each) for each in (
        *("-1", "0", "1700000000", "2020-01-02", "2020-01-02T03:04:05", "2020-01-02 03:04:05Z"),
        *("2020-01-02T03:04Z", "2020-01-02_03:04:05Z", "2020-01-02T03:04:05,5Z", "2020-01-02T03:04:05+0100"),
        *("2020-01-02T24:00:00Z", "2020-01-02T03:04:05+24:00", "2020-02-30T00:00:00Z", "2020-01-02T03:04:05.Z"),
        *("\uff12020-01-02T03:04:05Z", "2020-01-02T03:04:05Z\n", " 2020-01-02T03:04:05Z", ""),
    )),
    *((dt.date, each) for each in ("0", "-1", "1700000000", "20200102", "2020-1-2", "2020-01-02T00:00:00Z", "2020-02-30")),
    *((dt.time, each) for each in ("03:04:05", "03:04Z", "3600", "24:00:00Z", "03:04:60Z", "030405Z")),
    *((dt.timedelta, each) for each in (
        *("12:30", "1 days", "1 day, 12:30", "P", "PT", "P1DT", "-P1D", "+P1D", "PT1.5S", "P1D1H", "P1W2D", "PT1H1S", "1"),
    )),
    *((UUID, each) for each in (f"urn:uuid:{HEX}", HEX.replace("-", ""), f"{{{HEX}}}", HEX[:-1], f"{HEX}\n", HEX.replace("f", "g"))),
    *((IPv4Address, each) for each in ("1.2.3", "01.2.3.4", "1.2.3.256", "1.2.3.4/24", "\u0661.2.3.4", "16909060")),
    *((IPv6Address, each) for each in ("fe80::1%eth0", "12345::", ":::", "::1/64", "1.2.3.4", "::01.2.3.4")),
]  # fmt: skip


@pytest.mark.parametrize(("type_", "text"), WRONG)
def test_string_without_format_is_rejected(type_: Any, text: str) -> None:
    name = FORMATS[type_]
    assert not Draft202012Validator({"format": name}, validate_formats=True).is_valid(text)
    expected = {"date-time": "date-time of RFC 3339", "uuid": "UUID of RFC 4122"}.get(
        name, "such as"
    )
    with pytest.raises(enkaku.DecodeError, match=expected):
        Slot("slot", type_).decode(json.dumps(text).encode())


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (dt.datetime, "1998-12-31T23:59:60Z"),
        (dt.datetime, "0000-01-01T00:00:00Z"),
        (dt.datetime, "2020-01-02T03:04:05.1234567Z"),
        (dt.date, "0000-01-01"),
        (dt.time, "23:59:60Z"),
        (dt.time, "03:04:05.1234567Z"),
        (dt.timedelta, "P1Y2M"),
        (dt.timedelta, "P1000000000D"),
        (dt.timedelta, f"P{'9' * 5000}D"),
    ],
)
def test_format_value_that_type_cannot_hold_is_rejected(type_: Any, text: str) -> None:
    with pytest.raises(enkaku.DecodeError, match="RFC 3339"):
        Slot("slot", type_).decode(json.dumps(text).encode())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (dt.datetime(2020, 1, 2, tzinfo=UTC), "2020-01-02T00:00:00Z"),
        (dt.datetime(2020, 1, 2, 3, 4, 5, 600, tzinfo=AN_HOUR), "2020-01-02T03:04:05.000600+01:00"),
        (dt.time(1, tzinfo=UTC), "01:00:00Z"),
        (dt.timedelta(days=425), "P425D"),
        (dt.timedelta(hours=36, seconds=1), "P1DT12H0M1S"),
        (dt.timedelta(minutes=61), "PT1H1M"),
        (dt.timedelta(seconds=60), "PT1M"),
        (UUID(HEX), HEX),
    ],
)
def test_format_value_made_here_is_written_in_its_format(value: Any, text: str) -> None:
    assert json.loads(Slot("slot", type(value)).encode(value)) == text


@pytest.mark.parametrize(
    "value",
    [
        dt.datetime.fromisoformat("2020-01-02"),
        dt.datetime(2020, 1, 2, tzinfo=dt.timezone(dt.timedelta(seconds=1))),
        dt.time(3, 4, 5),
        dt.timedelta(seconds=1.5),
        dt.timedelta(-1),
        dt.timedelta.min,
        IPv6Address("fe80::1%eth0"),
    ],
    ids=repr,
)
def test_format_value_that_format_cannot_hold_is_rejected(value: Any) -> None:
    with pytest.raises(enkaku.EncodeError, match="such as"):
        Slot("slot", type(value)).encode(value)


def test_format_value_computed_from_another_is_written_anew() -> None:
    slot = Slot("slot", dt.datetime)
    read = slot.decode(b'"2020-01-02T03:04:05.000Z"')
    for later in (read + dt.timedelta(seconds=1), read.replace(second=6)):
        assert slot.encode(later) == b'"2020-01-02T03:04:06Z"'
        assert slot.encode(_pickled(later)) == slot.encode(later)
        assert repr(later).startswith("datetime.datetime(2020, 1, 2, 3, 4, 6")


@pytest.mark.parametrize(
    ("type_", "schema", "valid", "invalid"),
    [
        (UUID, {"pattern": "^[0-9A-F-]*$"}, HEX.upper(), HEX),
        (dt.datetime, {"minLength": 24}, "2020-01-02T03:04:05.000Z", "2020-01-02T03:04:05Z"),
        (dt.datetime, {"maxLength": 20}, "2020-01-02t03:04:05z", "2020-01-02T03:04:05.0Z"),
        (IPv6Address, {"minLength": 15}, "0:0:0:0:0:0:0:1", "::1"),
        (dt.timedelta, {"not": {"pattern": "D"}}, "PT36H", "P1DT12H"),
    ],
)
def test_format_with_other_keywords_keeps_them(
    type_: Any, schema: dict[str, Any], valid: str, invalid: str
) -> None:
    slot: Slot[Any] = Slot("slot", Checked(type_, schema))
    read = slot.decode(json.dumps(valid).encode())
    assert json.loads(slot.encode(read)) == valid
    with pytest.raises(enkaku.DecodeError):
        slot.decode(json.dumps(invalid).encode())
    with pytest.raises(enkaku.EncodeError):
        slot.encode(Slot("slot", type_).decode(json.dumps(invalid).encode()))


class Meeting(enkaku.Model, extra="forbid"):
    start: dt.datetime
    key: UUID | None = None
    days: list[dt.date] | None = None
    either: dt.time | UUID | int | enkaku.Absent | None = enkaku.ABSENT
    bounded: Annotated[dt.date, Field(ge=dt.date(2020, 1, 1))] | None = None


def test_format_in_model_is_kept_through_constructor_and_copy() -> None:
    slot = Slot("slot", Meeting)
    data = {
        "start": "2020-01-02T03:04:05.000Z",
        "key": HEX.upper(),
        "days": ["2020-01-02"],
        "either": "03:04:05.0Z",
    }
    read = slot.decode(json.dumps(data).encode())
    made = Meeting(start=read.start, key=read.key, days=read.days, either=read.either)
    for each in (read, made, read.model_copy(deep=True)):
        assert json.loads(slot.encode(each)) == data
    assert slot.decode(b'{"start":"2020-01-02T03:04:05Z","either":null}').either is None
    assert slot.decode(b'{"start":"2020-01-02T03:04:05Z","bounded":"2020-01-01"}').bounded
    for wrong in (
        '"bounded":"2019-12-31"',
        '"key":null',
        '"key":1',
        f'"either":"{HEX}Z"',
        '"days":["0"]',
    ):
        with pytest.raises(enkaku.DecodeError):
            slot.decode(f'{{"start":"2020-01-02T03:04:05Z",{wrong}}}'.encode())


Day = TypeAliasType("Day", dt.date)
Days = TypeAliasType("Days", "list[Day | Days]")


def test_format_in_named_and_recursive_types_is_read() -> None:
    slot: Slot[Any] = Slot("slot", Days)
    data = b'["2020-01-02",["2020-01-03",[]]]'
    assert slot.encode(slot.decode(data)) == data
    for wrong in (b'["0"]', b'[["0"]]'):
        with pytest.raises(enkaku.DecodeError):
            slot.decode(wrong)


def test_format_in_union_with_string_is_written_unchanged() -> None:
    slot: Slot[Any] = Slot("slot", UUID | str | None)
    for text in (HEX, HEX.upper(), "no UUID"):
        assert json.loads(slot.encode(slot.decode(json.dumps(text).encode()))) == text
    assert slot.encode(UUID(HEX)) == f'"{HEX}"'.encode()
