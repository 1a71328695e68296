"""Numbers that no float has all digits of: they are compared exactly, and keep their digits or are rejected."""

import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal

import enkaku
import pytest
from enkaku import Checked, DecodeError, Slot
from enkaku.values.digits import may_lose_digits
from enkaku.wire.messages import decode_client_message
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

LITERALS = (  # noqa: SIM905 # a list would have one line for each
    "0 0.0 99999999.9999999999 1 2 -1 1.0 1e0 10e-1 0.1 0.10 0.3 0.5 2.5 1e-7 5e-324 1e-400 -1e-400 0.10000000000000001 "
    "0.1000000000000000000001 0.30000000000000004 1.0000000000000000000001 0.9999999999999999999999 "
    "9007199254740991.0 9007199254740991.9 9007199254740992 9007199254740992.0 9007199254740992.5 9007199254740993 "
    "9007199254740993.0 9.007199254740993e15 -9007199254740993.0 18446744073709551615 18446744073709551616.5 "
    "12345678901234567890 12345678901234567890.0 12345678901234567890.5 1e22 1e23 1.5e22 100000000000000000000000 "
    "99999999999999991611392 1e300 -1e300 123456789012345678901234567890.123"
).split()
LIMITS: list[float] = [
    *(0, 1, 0.0, 1.0, 0.1, 0.3, 2.5, -1, 100, 2**53, 2**53 + 1, -(2**53) - 1, 10**23, 1e23, 1e22, 1e300, -1e300)
]  # fmt: skip
COMPARISONS: dict[str, tuple[str, Callable[[Fraction, Fraction], bool]]] = {
    "minimum": ("ge", lambda number, limit: number >= limit),
    "maximum": ("le", lambda number, limit: number <= limit),
    "exclusiveMinimum": ("gt", lambda number, limit: number > limit),
    "exclusiveMaximum": ("lt", lambda number, limit: number < limit),
}
DECIMALS = [
    *(Decimal("0.1000000000000000000001"), Decimal("1e-400"), Decimal("9007199254740992.5")),
    *(Decimal("12345678901234567890.5"), Decimal("1.0000000000000000000001")),
]


def exact(number: object) -> Fraction:
    return Fraction(repr(number) if isinstance(number, float) else str(number))


def accepts(slot: Slot[Any], text: str) -> bool:
    try:
        slot.decode(text.encode())
    except DecodeError:
        return False
    return True


def comes_back(slot: Slot[Any], text: str) -> bool:
    """Whether a number comes back as it is, or as the nearest float if it has a fraction."""
    number = exact(slot.encode(slot.decode(text.encode())).decode())
    return number == exact(text) or (exact(text).denominator > 1 and number == exact(float(text)))


@pytest.mark.parametrize("keyword", COMPARISONS)
@pytest.mark.parametrize("limit", LIMITS)
def test_type_bound_is_exact(keyword: str, limit: float) -> None:
    name, fits = COMPARISONS[keyword]
    field: Any = Field(**{name: limit})
    number: Slot[Any] = Slot("number", Annotated[float, field])
    integer: Slot[Any] = Slot("integer", Annotated[int, field])
    for text in LITERALS:
        expected = fits(exact(text), exact(limit))
        whole = exact(text).denominator == 1
        # A number whose float is outside of the bounds is rejected: the handler would get that float.
        held = whole or fits(exact(float(text)), exact(limit))
        assert accepts(number, text) is (expected and held), text
        assert accepts(integer, text) is (expected and whole), text
        assert not accepts(number, text) or comes_back(number, text), text
        assert not accepts(integer, text) or comes_back(integer, text), text


@pytest.mark.parametrize("keyword", COMPARISONS)
@pytest.mark.parametrize("limit", [*LIMITS, *DECIMALS])
def test_checked_bound_is_exact(keyword: str, limit: float) -> None:
    fits = COMPARISONS[keyword][1]
    schema: dict[str, object] = {keyword: limit}
    for form in (float, object):
        slot: Slot[Any] = Slot("checked", Checked(form, schema))
        for text in LITERALS:
            expected = fits(exact(text), exact(limit))
            assert accepts(slot, text) is expected, text
            assert (
                accepts(Slot("items", Checked(object, {"items": schema})), f"[{text}]") is expected
            ), text


@pytest.mark.parametrize("constant", [*LIMITS, *DECIMALS])
def test_checked_constant_is_exact(constant: float) -> None:
    slots: list[Slot[Any]] = [
        Slot("const", Checked(object, {"const": constant})),
        Slot("enum", Checked(object, {"enum": ["a", constant]})),
        Slot("not", Checked(object, {"not": {"not": {"const": constant}}})),
    ]
    nested: Slot[Any] = Slot("nested", Checked(object, {"const": {"a": [constant]}}))
    for text in LITERALS:
        for slot in slots:
            assert accepts(slot, text) is (exact(text) == exact(constant)), text
        assert accepts(nested, f'{{"a":[{text}]}}') is (exact(text) == exact(constant)), text


@pytest.mark.parametrize("step", [1, 2, 0.1, 0.5, 3, 1e22, 2**53 + 1, *DECIMALS])
def test_multiple_of_is_exact(step: float) -> None:
    slots: list[Slot[Any]] = [Slot("checked", Checked(float, {"multipleOf": step}))]
    if not isinstance(step, Decimal):
        slots.append(Slot("typed", Annotated[float, Field(multiple_of=step)]))
    for text in LITERALS:
        expected = (exact(text) / exact(step)).denominator == 1
        assert accepts(slots[0], text) is expected, text
        if len(slots) > 1 and exact(text) == exact(float(text)):
            assert accepts(slots[1], text) is expected, text
        assert expected or not any(accepts(slot, text) for slot in slots), text


@given(
    st.sampled_from(["0.1", "0.25", "0.01", "0.7", "2.5", "1e-5", "1e-22", "1e-23", "12.34"]),
    st.integers(-(10**18), 10**18) | st.integers(-(10**6), 10**6),
    st.sampled_from([0, 0, 1, -1]),
    st.integers(0, 25),
)
def test_multiple_of_fraction_is_exact(step: str, times: int, beside: int, digits: int) -> None:
    number = Decimal(step) * times + Decimal(beside).scaleb(-digits)
    for text in (str(number), repr(float(number)), str(times)):
        slot: Slot[Any] = Slot("checked", Checked(float, {"multipleOf": float(step)}))
        assert accepts(slot, text) is ((Fraction(text) / Fraction(step)).denominator == 1), text


def test_integer_with_digits_beyond_float_is_exact() -> None:
    slots: list[Slot[Any]] = [
        Slot("typed", int),
        Slot("checked", Checked(int, {"type": "integer"})),
        Slot("object", Checked(object, {"type": "integer"})),
    ]
    for text in LITERALS:
        for slot in slots:
            whole = exact(text).denominator == 1
            assert accepts(slot, text) is whole, text
            assert not whole or comes_back(slot, text), text


@pytest.mark.parametrize(
    "text", ["9007199254740993.0", "9.007199254740993e15", "12345678901234567890.0"]
)
def test_large_whole_number_keeps_its_digits(text: str) -> None:
    class Open(enkaku.Model):
        a: float

    whole = int(exact(text))
    forms: list[tuple[Any, str]] = [
        (float, "%s"),
        (int, "%s"),
        (object, "%s"),
        (object, '{"a":[%s,"b"]}'),
        (list[float | None], "[%s,1.5]"),
        (dict[str, object], '{"a":{"b":%s}}'),
        (Open, '{"a":%s,"more":[%s]}'.replace("[%s]", "[1]")),
        (Open, '{"a":1.5,"more":%s}'),
    ]
    for form, pattern in forms:
        slot: Slot[Any] = Slot("slot", form)
        assert slot.encode(slot.decode((pattern % text).encode())) == (pattern % whole).encode()


@pytest.mark.parametrize("text", ["1.0000000000000000000001", "0.9999999999999999999999"])
def test_literal_rejects_number_beside_it(text: str) -> None:
    constant: Slot[Any] = Slot("literal", Literal[1, "a"])
    assert accepts(constant, "1.0")
    assert not accepts(constant, text)


def test_literal_accepts_large_whole_number() -> None:
    slot: Slot[Any] = Slot("literal", Literal[9007199254740993])
    assert accepts(slot, "9007199254740993.0")
    assert not accepts(slot, "9007199254740992.0")
    assert not accepts(slot, "9007199254740993.5")


def test_unique_items_compares_all_digits() -> None:
    slot: Slot[Any] = Slot("unique", Checked(list[object], {"uniqueItems": True}))
    for equal in (
        "[9007199254740993,9007199254740993.0]",
        "[1e23,100000000000000000000000]",
        "[0.1000000000000000000001,0.10000000000000000000010]",
        "[[1e-400],[1.0e-400]]",
        '[{"a":1,"b":1e-400},{"b":1e-400,"a":1.0}]',
    ):
        assert not accepts(slot, equal), equal
    for different in (
        "[9007199254740992,9007199254740993.0]",
        "[1,1.0000000000000000000001]",
        "[1e-400,0]",
        '[[1e-400],["1E-400"]]',
        '[1e-400,"1E-400"]',
    ):
        assert accepts(slot, different), different


def test_bound_of_any_numeric_type_is_exact() -> None:
    third: Any = Field(ge=Fraction(1, 4), le=Decimal("0.1000000000000000000001") + 1)
    slot: Slot[Any] = Slot("slot", Annotated[float, third])
    assert [accepts(slot, text) for text in ("0.25", "0.2", "1.1", "1.2")] == [
        True,
        False,
        True,
        False,
    ]


def test_three_numbers_with_two_floats_are_rejected() -> None:
    slot: Slot[Any] = Slot("slot", list[Annotated[float, Field(ge=1)]])
    tails = ("", ".00000000000000000001", ".00000000000000000002")
    assert accepts(slot, f"[1.0,{','.join(f'1{tail}' for tail in tails[:2])}]")
    with pytest.raises(DecodeError, match="that floats can tell apart"):
        slot.decode(f"[1.0,{','.join(f'1{tail}' for tail in tails)}]".encode())


def test_numbers_with_one_float_are_told_apart() -> None:
    class Two(enkaku.Model):
        whole: int
        number: Annotated[float, Field(ge=1)]

    slot = Slot("two", Two)
    read = slot.decode(b'{"whole":1.0,"number":1.0000000000000000000001}')
    assert (read.whole, read.number) == (1, pytest.approx(1))
    assert not accepts(slot, '{"whole":1.0000000000000000000001,"number":1.0}')
    assert not accepts(slot, '{"whole":1.0,"number":0.9999999999999999999999}')


@pytest.mark.parametrize(
    ("form", "text", "problem"),
    [
        (int, "1.0000000000000000000001", "expected integer, got 1.0000000000000000000001"),
        (int, "1e-400", "expected integer, got 1E-400"),
        (Annotated[float, Field(le=1)], "1.0000000000000000000001", "got 1.0000000000000000000001"),
        (Checked(float, {"maximum": 0.1}), "0.10000000000000000001", "0.1 or less"),
        (Checked(float, {"multipleOf": 0.1}), "0.10000000000000000001", "a multiple of 0.1"),
        (int, f"1.{'0' * 5000}", "at most 4300 digits"),
        (Checked(object, {"minimum": 1}), f"1.{'0' * 5000}1", "at most 4300 digits"),
        (int, "0e-99999999999999999999", "at most 4300 digits"),
    ],
)
def test_rejected_number_is_shown_exactly(form: Any, text: str, problem: str) -> None:
    slot: Slot[Any] = Slot("slot", form)
    with pytest.raises(DecodeError, match=problem.replace(".", r"\.")):
        slot.decode(text.encode())


def test_checked_large_value_shows_exact_limit() -> None:
    schema: dict[str, object] = {"items": {"anyOf": [{"maximum": 5}, {"type": "string"}]}}
    slot: Slot[Any] = Slot("large", Checked(object, schema))
    text = f"[{','.join(['1.5'] * 3000)},5.0000000000000000000001]"
    with pytest.raises(DecodeError, match="fits one of the alternatives"):
        slot.decode(text.encode())


def test_surrogate_beside_number_keeps_its_digits() -> None:
    slot: Slot[Any] = Slot("slot", object)
    value = slot.decode(b'["\\ud800",9007199254740993.0,1e-400]')
    assert value == ["\ud800", 9007199254740993, 0.0]
    whole: Slot[Any] = Slot("slot", list[int | str])
    assert not accepts(whole, '["\\ud800",1.0000000000000000000001]')


def test_message_read_slowly_keeps_digits() -> None:
    raw = (
        b'{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"event","prc":"a",'
        b'"data":["\\ud800",9007199254740993.0,0.1000000000000000000001,1.5]}}'
    )
    message: Any = decode_client_message(raw).payload
    assert bytes(message.data) == b'["\\ud800",9007199254740993,0.1000000000000000000001,1.5]'


def test_constructor_compares_large_numbers_exactly() -> None:
    class Bounded(enkaku.Model):
        low: Annotated[float, Field(ge=1e23)]
        high: Annotated[float, Field(lt=10**23)]

    slot = Slot("bounded", Bounded)
    good = Bounded(low=10**23, high=10**23 - 1)
    assert slot.decode(slot.encode(good)) == good
    for wrong in ({"low": 10**23 - 1}, {"high": 1e23}, {"high": 10**23}):
        with pytest.raises(enkaku.EncodeError):
            slot.encode(good.model_copy(update=wrong))


def test_model_that_is_read_alone_accepts_floats() -> None:
    class Alone(enkaku.Model):
        whole: int
        number: Annotated[float, Field(ge=0)]

    assert Alone.model_validate_json('{"whole":1.0,"number":0.0}') == Alone(whole=1, number=0)


def test_numbers_are_exact_in_any_thread() -> None:
    slot: Slot[Any] = Slot("whole", list[int])

    def read(_: int) -> list[bool]:
        texts = ("[1.0,2]", "[1.0000000000000000000001]", "[2.0]", "[9007199254740993.0]")
        return [accepts(slot, text) for text in texts]

    with ThreadPoolExecutor(4) as pool:
        results = [*pool.map(read, range(400))]
    assert results == [[True, False, True, True]] * 400


@pytest.mark.parametrize(
    "text", ["99999999.9999999999", "100000000.00000001", "0.99999999999999999"]
)
def test_integer_rejects_digits_on_both_sides_of_point(text: str) -> None:
    forms: list[Any] = [int, Checked(int, {}), Checked(object, {"type": "integer"})]
    for form in forms:
        assert not accepts(Slot("slot", form), text)


numbers = st.builds(
    "{}{}{}".format,
    st.integers(-(10**20), 10**20),
    st.just("") | st.integers(0, 10**20).map(".{}".format),
    st.just("") | st.integers(-30, 30).map("e{}".format),
)


@given(numbers, numbers)
def test_any_bound_and_number_agree(text: str, limit: str) -> None:
    schema = {"type": "integer", "minimum": json.loads(limit, parse_float=Decimal)}
    slot: Slot[Any] = Slot("slot", Checked(object, schema))
    expected = exact(text).denominator == 1 and exact(text) >= exact(limit)
    assert accepts(slot, text) is expected


@given(
    st.from_regex(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
)
def test_scan_finds_each_number_that_may_lose_digits(literal: str) -> None:
    number = float(literal)
    if not math.isinf(number) and exact(number) != exact(literal):
        assert may_lose_digits(f'{{"a":[{literal}]}}'.encode())


def test_scan_passes_numbers_of_few_characters() -> None:
    for literal in ("0.0", "-0.5", "12345678901234", "0.1234567890123", "9007199254740"):
        assert not may_lose_digits(f'{{"e":[{literal},"e"]}}'.encode()), literal
