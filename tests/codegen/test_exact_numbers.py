"""Numbers of a protocol file: no digit is lost between the file and what a slot accepts."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from enkaku import DecodeError
from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.json_values import LongNumber, distinct, read_number, same
from enkaku_codegen.proving.constants import fits
from enkaku_codegen.reading.definition import read_protocol
from generated.packages import imported

NUMBERS = [
    "0",
    "1",
    "-1",
    "0.5",
    "1.0",
    "1e0",
    "0.1",
    "0.1000000000000000000001",
    "1e-400",
    "1.0000000000000000000001",
    "9007199254740992.0",
    "9007199254740993",
    "9007199254740993.0",
    "9007199254740992.5",
    "12345678901234567890.5",
    "1e22",
    "1e23",
    "100000000000000000000000",
    "99999999999999991611392",
    "1e300",
    "-1e300",
    "972783798187987123879878123.18878137",
    "972783798187987123879878123.188781371",
]


@contextmanager
def package(directory: Path, text: str, name: str = "protocol.json") -> Iterator[ModuleType]:
    (directory / name).write_text(text, encoding="utf-8")
    with imported(read_protocol(directory / name), directory, formatted=False) as module:
        yield module


def accepts(slot: Any, text: str) -> bool:
    try:
        slot.decode(text.encode())
    except DecodeError:
        return False
    return True


COMPARISONS = {
    "minimum": lambda number, limit: number >= limit,
    "maximum": lambda number, limit: number <= limit,
    "exclusiveMinimum": lambda number, limit: number > limit,
    "exclusiveMaximum": lambda number, limit: number < limit,
    "const": lambda number, limit: number == limit,
    "enum": lambda number, limit: number == limit,
}


@pytest.mark.parametrize("keyword", COMPARISONS)
def test_slot_compares_numbers_of_file_exactly(keyword: str, tmp_path: Path) -> None:
    frame = "[{}]" if keyword == "enum" else "{}"
    schemas = {
        f"{kind}{index}": f'{{"type": "{kind}", "{keyword}": {frame.format(limit)}}}'
        for kind in ("number", "integer")
        for index, limit in enumerate(NUMBERS)
    }
    schemas |= {
        f"any{index}": f'{{"{keyword}": {frame.format(limit)}}}'
        for index, limit in enumerate(NUMBERS)
    }
    text = ", ".join(
        f'"{name}": {{"type": "event", "data": {each}}}' for name, each in schemas.items()
    )
    with package(tmp_path, f"{{{text}}}") as module:
        for name in schemas:
            limit = Fraction(NUMBERS[int(name.lstrip("anyumberitg"))])
            slot = getattr(module, name.upper()).data
            for number in NUMBERS:
                exact = Fraction(number)
                expected = COMPARISONS[keyword](exact, limit)
                if name.startswith("integer"):
                    expected = expected and exact.denominator == 1
                elif keyword.startswith("exclusive") and exact.denominator > 1:
                    # A number whose float is outside of the bounds of the type is rejected.
                    expected = expected and accepts(slot, number)
                assert accepts(slot, number) is expected, (schemas[name], number)


@pytest.mark.parametrize("name", ["protocol.json", "protocol.yaml"])
def test_schema_keeps_digits_in_each_format(name: str, tmp_path: Path) -> None:
    text = '{"a": {"type": "event", "data": {"const": [9007199254740993.0, 0.1000000000000000000001, 1e-400]}}}'
    with package(tmp_path, text, name) as module:
        slot = module.A.data
        assert accepts(slot, "[9007199254740993, 0.1000000000000000000001, 1e-400]")
        assert not accepts(slot, "[9007199254740992, 0.1000000000000000000001, 1e-400]")
        assert not accepts(slot, "[9007199254740993, 0.1, 1e-400]")
        assert not accepts(slot, "[9007199254740993, 0.1000000000000000000001, 0]")


def test_yaml_float_tag_keeps_digits(tmp_path: Path) -> None:
    text = "a: {type: event, data: {enum: [!!float 9007199254740993, !!float 0.1000000000000000000001, !!float 1]}}"
    with package(tmp_path, text, "protocol.yaml") as module:
        assert [
            accepts(module.A.data, text) for text in ("9007199254740993", "9007199254740992")
        ] == [True, False]
        assert accepts(module.A.data, "0.1000000000000000000001")
        assert accepts(module.A.data, "1")


def test_multiple_of_keeps_digits(tmp_path: Path) -> None:
    text = '{"a": {"type": "event", "data": {"multipleOf": 0.1000000000000000000001}}}'
    with package(tmp_path, text) as module:
        assert accepts(module.A.data, "0.2000000000000000000002")
        assert not accepts(module.A.data, "0.2")
        assert accepts(module.A.data, "0")


def test_default_beyond_float_is_not_filled(tmp_path: Path) -> None:
    properties = {
        "long": '{"type": "number", "default": 0.1000000000000000000001}',
        "whole": '{"type": "integer", "default": 9007199254740993.0}',
        "large": '{"type": "number", "maximum": 1e23, "default": 1e23}',
    }
    inside = ", ".join(f'"{name}": {schema}' for name, schema in properties.items())
    text = (
        '{"defaults": "fill", "procedures": {"a": {"type": "event", '
        f'"data": {{"type": "object", "properties": {{{inside}}}}}}}}}}}'
    )
    with package(tmp_path, text) as module:
        value = module.A.data.decode(b"{}")
        assert (value.long, value.whole, value.large) == (None, 2**53 + 1, 1e23)
        assert "`0.1000000000000000000001`" in (
            module.models.__file__ and Path(module.models.__file__).read_text()
        )


def test_default_beside_bound_is_rejected(tmp_path: Path) -> None:
    schema = '{"type": "number", "maximum": 1, "default": 1.0000000000000000000001}'
    text = (
        '{"defaults": "fill", "procedures": {"a": {"type": "event", "data": '
        f'{{"type": "object", "properties": {{"a": {schema}}}}}}}}}}}'
    )
    with pytest.raises(
        ProtocolError, match=r"the default 1\.0000000000000000000001 does not match"
    ):
        with package(tmp_path, text):
            pass


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1e400", "too large for a 64-bit"),
        ("1e-5000", "exponent that is out of range"),
        ("1e-99999999999999999999", "exponent that is out of range"),
        (f"1.{'0' * 5000}1", "at most 4000 are supported"),
    ],
)
def test_read_number_out_of_range_is_rejected(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_number(text)


def test_length_beside_integer_is_rejected(tmp_path: Path) -> None:
    text = '{"a": {"type": "event", "data": {"maxLength": 3.0000000000000000000001}}}'
    with pytest.raises(ProtocolError, match=r"expected an integer, got 3\.0000000000000000000001"):
        with package(tmp_path, text):
            pass


def test_identity_is_of_exact_numbers() -> None:
    numbers = [*map(read_number, NUMBERS)]
    for one, first in zip(numbers, NUMBERS, strict=True):
        for other, second in zip(numbers, NUMBERS, strict=True):
            assert same(one, other) is (Fraction(first) == Fraction(second)), (first, second)
    assert len(distinct(numbers)) == len({Fraction(each) for each in NUMBERS})
    assert type(read_number("1e-400")) is LongNumber
    assert json.loads("[0.25]", parse_float=read_number) == [0.25]


def test_fits_compares_constants_exactly() -> None:
    assert not fits(2**53 + 1, "maximum", 2.0**53)
    assert fits(10**23, "minimum", 1e23)
    assert not fits(10**23 - 1, "minimum", 1e23)
    assert not fits(1, "multipleOf", read_number("0.1000000000000000000001"))
    assert fits(1, "multipleOf", 0.1)
    assert fits("a", "multipleOf", 0.1)
