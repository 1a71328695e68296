"""JSON's numbers: whole ones stay whole, and bounds hold to the last digit."""

from typing import Annotated, Any, Literal

import enkaku
import pytest
from enkaku import DecodeError, EncodeError, Slot
from pydantic import Field, ValidationError


class Sample(enkaku.Model, extra="forbid"):
    number: float
    whole: int


NUMBER: Slot[float] = Slot("number", float)
WHOLE: Slot[int] = Slot("whole", int)
SAMPLE: Slot[Sample] = Slot("sample", Sample)
BIG = 2**53 + 1


@pytest.mark.parametrize(
    "text",
    ["42", "1.0", "1.5", "9007199254740993", "1" + "0" * 40, "5e-324", "1e+300", "0.1"],
)
def test_number_round_trips_as_written(text: str) -> None:
    assert NUMBER.encode(NUMBER.decode(text.encode())) == text.encode()
    inside = b'{"number":%b,"whole":1}' % text.encode()
    assert SAMPLE.encode(SAMPLE.decode(inside)) == inside


@pytest.mark.parametrize("text", [b"-0.0", b"-0", b"-0e5", b"-0.000"])
def test_number_minus_zero_is_encoded_as_zero(text: bytes) -> None:
    anything: Slot[object] = Slot("anything", object)
    for slot in (NUMBER, anything):
        assert slot.encode(slot.decode(text)) in (b"0", b"0.0")
    assert anything.encode(["-0.0", "[-0.0]", {"-0.0": -0.0}]) == b'["-0.0","[-0.0]",{"-0.0":0.0}]'
    assert NUMBER.encode(-0.05) == b"-0.05"


def test_number_integer_is_int_and_fraction_is_float() -> None:
    assert type(NUMBER.decode(b"42")) is int
    assert type(NUMBER.decode(b"42.0")) is float
    assert type(NUMBER.decode(b"-0")) is int
    assert type(Sample(number=1, whole=1).number) is int


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"1.0", 1),
        (b"1e2", 100),
        (b"1E2", 100),
        (b"-0.0", 0),
        (b"1E300", 10**300),
        (b"1e23", 10**23),
    ],
)
def test_integer_with_zero_fraction_is_int(text: bytes, value: float) -> None:
    read = WHOLE.decode(text)
    assert type(read) is int
    assert read == value
    assert WHOLE.decode(WHOLE.encode(read)) == read


@pytest.mark.parametrize("text", [b"true", b"NaN", b"-Infinity", b"1e999", b"-1e999", b'"1"'])
def test_number_invalid_is_rejected(text: bytes) -> None:
    for slot in (NUMBER, WHOLE):
        with pytest.raises(DecodeError):
            slot.decode(text)


@pytest.mark.parametrize("text", [b"1.5", b"1e-1", b"9007199254740992.5e-1"])
def test_integer_with_fraction_is_rejected(text: bytes) -> None:
    with pytest.raises(DecodeError, match="expected integer"):
        WHOLE.decode(text)


@pytest.mark.parametrize(
    ("field", "accepted", "refused"),
    [
        (Field(ge=BIG), [BIG, BIG + 1, float(BIG + 1)], [BIG - 1, float(BIG - 1)]),
        (Field(gt=BIG), [BIG + 1, float(BIG + 1)], [BIG, float(BIG - 1)]),
        (Field(le=BIG), [BIG, float(BIG - 1)], [BIG + 1, float(BIG + 1)]),
        (Field(lt=BIG), [BIG - 1, float(BIG - 1)], [BIG, float(BIG + 1)]),
        (Field(ge=0.5), [1, 0.5, 1.0], [0, 0.4, -1]),
        (Field(gt=0.5), [1, 0.6], [0, 0.5]),
        (Field(le=0.5), [0, 0.5, -1], [1, 0.6]),
        (Field(lt=-0.5), [-1, -0.6], [0, -0.5]),
        (Field(ge=10**400), [10**400], [10**399, 1e308]),
        (Field(le=10**400), [10**400, 1e308], [10**401]),
        (Field(le=-(10**400)), [-(10**400)], [-1e308]),
        (Field(ge=-(10**400)), [-1e308], [-(10**401)]),
        (Field(gt=BIG, ge=BIG + 1), [BIG + 1, float(BIG + 1)], [BIG]),
        (Field(multiple_of=0.1), [1, 0.3, 10**40], [0.25]),
        (Field(multiple_of=3), [3, 10**40 + 2, 3.0], [4, 10**40, 1.5]),
    ],
)
def test_number_bounds_are_exact(field: Any, accepted: list[float], refused: list[float]) -> None:
    slot: Slot[Any] = Slot("bounded", Annotated[float, field])
    for value in accepted:
        assert slot.decode(slot.encode(value)) == value
    for value in refused:
        with pytest.raises(EncodeError):
            slot.encode(value)
        with pytest.raises(DecodeError):
            slot.decode(repr(value).encode())


def test_integer_bounds_hold_for_zero_fractions() -> None:
    slot: Slot[int] = Slot("bounded", Annotated[int, Field(ge=1, le=9, multiple_of=3)])
    assert slot.decode(b"3.0") == 3
    for text in (b"0.0", b"12.0", b"4.0", b"3.5"):
        with pytest.raises(DecodeError):
            slot.decode(text)


@pytest.mark.parametrize(
    ("form", "accepted", "refused"),
    [
        (Literal[1], [b"1", b"1.0", b"1e0"], [b"true", b"2", b'"1"', b"null", b"[1]", b"{}"]),
        (Literal[True], [b"true"], [b"1", b"1.0", b"false", b'"true"']),
        (Literal[1, False], [b"1", b"false"], [b"true", b"0", b"0.0"]),
        (Literal["1", 0], [b'"1"', b"0", b"-0.0"], [b"1", b"false", b'"0"']),
        (Literal[2**53 + 1], [b"9007199254740993"], [b"9007199254740992", b"9007199254740992.0"]),
        (
            Literal["a", None],  # noqa: PYI061 # as generated
            [b'"a"', b"null"],
            [b"false", b"0", b'""'],
        ),
    ],
)
def test_literal_distinguishes_true_and_one(
    form: Any, accepted: list[bytes], refused: list[bytes]
) -> None:
    slot: Slot[Any] = Slot("literal", form)
    for text in accepted:
        value = slot.decode(text)
        assert type(value) is not float
        assert slot.decode(slot.encode(value)) is value or type(value) is int
    for text in refused:
        with pytest.raises(DecodeError):
            slot.decode(text)


def test_literal_decodes_to_named_type() -> None:
    slot: Slot[Any] = Slot("literal", Literal[1, True])
    assert slot.decode(b"true") is True
    assert type(slot.decode(b"1.0")) is int
    assert slot.encode(True) == b"true"
    assert slot.encode(1) == b"1"


def test_model_constructor_is_strict_about_numbers() -> None:
    for arguments in ({"number": True, "whole": 1}, {"number": 1, "whole": 1.0}):
        with pytest.raises(ValidationError):
            Sample(**arguments)
    assert Sample(number=10**40, whole=10**40).number == 10**40


def test_encode_numbers_invalid_for_constructor_are_rejected() -> None:
    for number in (float("nan"), float("inf"), "1", True):
        with pytest.raises(EncodeError):
            SAMPLE.encode(Sample.model_construct(number=number, whole=1))
    nullable: Slot[list[float | None]] = Slot("nullable", list[float | None])
    with pytest.raises(EncodeError):
        nullable.encode([float("inf")])
