"""The canonical form of JSON (RFC 8785)."""

import json
import struct
from decimal import Decimal

import pytest
from enkaku._json import load_unique
from enkaku.identity.canonical import canonical
from hypothesis import given
from hypothesis import strategies as st

# Appendix B of RFC 8785: the bits of a float, and its text.
NUMBERS = {
    0x0000000000000000: "0",
    0x8000000000000000: "0",
    0x0000000000000001: "5e-324",
    0x8000000000000001: "-5e-324",
    0x7FEFFFFFFFFFFFFF: "1.7976931348623157e+308",
    0xFFEFFFFFFFFFFFFF: "-1.7976931348623157e+308",
    0x4340000000000000: "9007199254740992",
    0xC340000000000000: "-9007199254740992",
    0x4430000000000000: "295147905179352830000",
    0x44B52D02C7E14AF5: "9.999999999999997e+22",
    0x44B52D02C7E14AF6: "1e+23",
    0x44B52D02C7E14AF7: "1.0000000000000001e+23",
    0x444B1AE4D6E2EF4E: "999999999999999700000",
    0x444B1AE4D6E2EF4F: "999999999999999900000",
    0x444B1AE4D6E2EF50: "1e+21",
    0x3EB0C6F7A0B5ED8C: "9.999999999999997e-7",
    0x3EB0C6F7A0B5ED8D: "0.000001",
    0x41B3DE4355555553: "333333333.3333332",
    0x41B3DE4355555554: "333333333.33333325",
    0x41B3DE4355555555: "333333333.3333333",
    0x41B3DE4355555556: "333333333.3333334",
    0x41B3DE4355555557: "333333333.33333343",
    0xBECBF647612F3696: "-0.0000033333333333333333",
    0x43143FF3C1CB0959: "1424953923781206.2",
}
# Section 3.2 of RFC 8785.
EXAMPLE = (
    r'{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],'
    r'"string":"\u20ac$\u000F\u000aA'
    "'"
    r'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}'
)
EXPECTED = (
    '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
    r'"string":"€$\u000f\nA'
    "'"
    r'B\"\\\\\"/"}'
)


@pytest.mark.parametrize(("bits", "text"), NUMBERS.items())
def test_canonical_number_is_as_ecmascript_prints(bits: int, text: str) -> None:
    (number,) = struct.unpack(">d", bits.to_bytes(8))
    assert canonical(number) == text.encode()


def test_canonical_example_of_rfc_is_equal() -> None:
    assert canonical(json.loads(EXAMPLE)) == EXPECTED.encode()


def test_canonical_sorts_names_by_utf16() -> None:
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\x80", "\xf6"]  # of RFC 8785
    written = json.loads(canonical(dict.fromkeys(names)))
    assert [*written] == ["\r", "1", "\x80", "\xf6", "\u20ac", "\U0001f600", "\ufb33"]


@pytest.mark.parametrize(
    "value",
    [
        2**53 + 1,
        -(2**53) - 1,
        [10**400],
        Decimal("0.10000000000000000001"),
        Decimal("0.1000000000000000055511151231257827"),
        Decimal("1e400"),
        Decimal("NaN"),
        "\ud800",
        {"\udfff": 1},
        float("inf"),
        float("nan"),
    ],
    ids=repr,
)
def test_canonical_value_that_would_change_is_rejected(value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 # each has a text of its own
        canonical(value)


def test_canonical_value_of_another_type_raises_type_error() -> None:
    with pytest.raises(TypeError, match="bytes is not a type of JSON"):
        canonical({"a": b""})


def test_canonical_decimal_that_is_a_float_is_written() -> None:
    assert (
        canonical([Decimal("1.50"), Decimal("-0.0"), Decimal("1e21"), Decimal("1E-7")])
        == b"[1.5,0,1e+21,1e-7]"
    )


def test_canonical_integer_up_to_2_53_is_written() -> None:
    assert (
        canonical([2**53, -(2**53), True, 1, 0]) == b"[9007199254740992,-9007199254740992,true,1,0]"
    )


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_canonical_form_reads_back_as_the_value(value: object) -> None:
    written = canonical(value)
    read = json.loads(written, parse_int=float)
    assert read == value
    assert canonical(read) == written


@pytest.mark.parametrize("text", ['{"a":1,"a":1}', '[{"b":{"":1,"":2}}]', r'{"a":1,"\u0061":2}'])
def test_load_unique_repeated_name_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="repeated"):
        load_unique(text.encode())
