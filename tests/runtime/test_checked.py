"""Slots whose type is wider than their schema: the schema is asked as well."""

import importlib.util
import json
import subprocess
import sys
from typing import Any

import enkaku
import pytest
from enkaku import Checked, DecodeError, EncodeError, Slot, UsageError
from hypothesis import given
from hypothesis import strategies as st
from json_values import everything, same, text_of, values
from support import Serving

DRAFT_7 = "http://json-schema.org/draft-07/schema#"
EVEN: dict[str, object] = {"type": "array", "items": {"$ref": "#/$defs/even"}, "uniqueItems": True}
DEFINITIONS: dict[str, object] = {"even": {"multipleOf": 2, "minimum": 0}}


class Pair(enkaku.Model):
    low: float
    high: float | None = None


PAIR: dict[str, object] = {"dependentRequired": {"low": ["high"]}}
EVENS: Slot[list[int]] = Slot("evens", Checked(list[int], EVEN, DEFINITIONS))
PAIRS: Slot[Pair] = Slot("pair", Checked(Pair, PAIR))


def anything(schema: dict[str, object] | bool) -> Slot[object]:
    return Slot("anything", Checked(object, schema))


def test_both_the_type_and_the_schema_must_accept() -> None:
    assert EVENS.decode(b"[2,4.0]") == [2, 4]
    for text in (b"[2,2]", b"[3]", b"[-2]", b'["a"]', b"[2.5]", b"2", b"[2"):
        with pytest.raises(DecodeError):
            EVENS.decode(text)
    assert EVENS.encode([2, 4]) == b"[2,4]"
    for value in ([2, 2], [3], ["a"], None):
        with pytest.raises(EncodeError):
            EVENS.encode(value)  # type: ignore[arg-type] # that is the mistake


def test_a_model_is_checked_as_the_json_that_it_is() -> None:
    assert PAIRS.encode(Pair(low=1, high=2)) == b'{"low":1,"high":2}'
    assert PAIRS.decode(b'{"low":1,"high":2}') == Pair(low=1, high=2)
    with pytest.raises(EncodeError, match='property "high"'):
        PAIRS.encode(Pair(low=1))
    with pytest.raises(DecodeError, match='property "high"'):
        PAIRS.decode(b'{"low":1}')


def test_a_slot_says_what_it_is_checked_with() -> None:
    assert EVENS.schema is EVEN
    assert EVENS.type_form == list[int]
    assert Slot[int]("whole", int).schema is None
    assert anything(False).schema is False
    assert EVENS.declared


def test_true_and_false_are_schemas() -> None:
    assert anything(True).decode(b"[1]") == [1]
    with pytest.raises(DecodeError):
        anything(False).decode(b"1")


def test_the_draft_is_the_newest_unless_the_schema_names_another() -> None:
    pair: dict[str, object] = {"prefixItems": [{"type": "string"}]}
    with pytest.raises(DecodeError):
        anything(pair).decode(b"[1]")
    assert anything({"$schema": DRAFT_7, **pair}).decode(b"[1]") == [1]
    old: dict[str, object] = {"$schema": DRAFT_7, "items": [{"type": "string"}]}
    with pytest.raises(DecodeError):
        anything(old).decode(b"[1]")


def test_draft_7_takes_definitions_too() -> None:
    schema: dict[str, object] = {"$schema": DRAFT_7, "$ref": "#/$defs/even"}
    slot: Slot[object] = Slot("even", Checked(object, schema, DEFINITIONS))
    assert slot.decode(b"2") == 2
    with pytest.raises(DecodeError):
        slot.decode(b"3")


def test_definitions_of_the_schema_itself_come_first() -> None:
    schema: dict[str, object] = {"$ref": "#/$defs/even", "$defs": {"even": {"const": 1}}}
    slot: Slot[object] = Slot("own", Checked(object, schema, DEFINITIONS))
    assert slot.decode(b"1") == 1
    with pytest.raises(DecodeError):
        slot.decode(b"2")


def test_formats_are_not_checked() -> None:
    assert anything({"format": "date"}).decode(b'"never"') == "never"


@pytest.mark.parametrize(
    "schema", [{"$ref": "http://localhost/schema"}, {"$ref": "#/$defs/no"}, {"type": "strange"}]
)
def test_a_schema_that_cannot_be_used_is_told_and_nothing_is_fetched(
    schema: dict[str, object],
) -> None:
    with pytest.raises(UsageError, match="anything: jsonschema-rs rejects the schema"):
        anything(schema).decode(b"1")


def test_numbers_are_compared_to_the_last_digit() -> None:
    slot = anything({"maximum": 10**40})
    assert slot.decode(str(10**40).encode()) == 10**40
    with pytest.raises(DecodeError):
        slot.decode(str(10**40 + 1).encode())
    assert anything({"const": 1}).decode(b"1.0") == 1
    with pytest.raises(DecodeError):
        anything({"const": 1}).decode(b"true")


@pytest.mark.parametrize("pattern", [r"^(a|aa)+$", r"^(?=(a+)+$)a+$", r"^(?=(a|aa)+b)\1$"])
def test_a_pattern_that_takes_for_ever_refuses(pattern: str) -> None:
    slot = anything({"pattern": pattern})
    with pytest.raises(DecodeError, match="expected string that"):
        slot.decode(b'"%bb"' % (b"a" * 60))


@pytest.mark.parametrize(
    ("schema", "accepted", "refused"),
    [
        ({"minLength": 2}, ["\ud800a", "\ud800\ud800"], ["\ud800"]),
        ({"maxLength": 1}, ["\udfff"], ["\udfffa"]),
        ({"pattern": "^a.b$"}, ["a\ud800b"], ["\ud800ab"]),
        ({"const": "\ud800"}, ["\ud800"], ["\ud801", "\U0010fffd", "a"]),
        ({"enum": ["\ud800", "\U0010fffd"]}, ["\ud800", "\U0010fffd"], ["\udfff", "\U0010fffc"]),
        ({"required": ["\ud800"]}, [{"\ud800": 1}], [{"\ud801": 1}, {"\U0010fffd": 1}]),
        (
            {"properties": {"\udc00": False}},
            [{"\udc01": 1}, {"\U0010fffd": "\ud800"}],
            [{"\udc00": 1, "\U0010fffd": 2}],
        ),
        ({"uniqueItems": True}, [["\ud800", "\ud801"]], [["\ud800", "\ud800"]]),
    ],
)
def test_lone_surrogates_are_characters_as_any_other(
    schema: dict[str, object], accepted: list[object], refused: list[object]
) -> None:
    slot = anything(schema)
    for value in accepted:
        assert slot.decode(text_of(value)) == value
        assert json.loads(slot.encode(value)) == value
    for value in refused:
        with pytest.raises(DecodeError) as caught:
            slot.decode(text_of(value))
        str(caught.value).encode()
        with pytest.raises(EncodeError):
            slot.encode(value)


@given(values)
def test_a_schema_that_says_nothing_accepts_everything(value: object) -> None:
    slot = anything({})
    assert same(slot.decode(text_of(value)), value)
    assert same(json.loads(slot.encode(value)), value)


@given(st.text(everything, max_size=4), st.text(everything, max_size=4))
def test_a_constant_accepts_itself_alone(constant: str, value: str) -> None:
    slot = anything({"const": constant})
    try:
        assert slot.decode(text_of(value)) == constant
    except DecodeError:
        assert value != constant


def test_deep_values_are_refused_and_nothing_worse() -> None:
    for depth in (1000, 100_000):
        with pytest.raises(DecodeError):
            anything({"type": "array"}).decode(b"[" * depth + b"]" * depth)


class Refused(
    enkaku.DeclaredDataError[dict[str, int]],
    code="REFUSED",
    data=Checked(dict[str, int], {"minProperties": 1}),
):
    """A declared error whose data has a schema."""


def test_every_slot_of_a_procedure_may_be_checked() -> None:
    even: Checked[int] = Checked(int, {"multipleOf": 2})
    channel = enkaku.Channel[int, int, int, int](
        "c", param=even, send=even, receive=even, result=even, errors=[Refused]
    )
    for slot in (channel.param, channel.send, channel.receive, channel.result):
        assert slot.decode(b"2") == 2
        with pytest.raises(DecodeError, match="multiple of 2"):
            slot.decode(b"3")
    event = enkaku.Event[int]("e", data=even)
    with pytest.raises(EncodeError):
        event.data.encode(1)
    with pytest.raises(EncodeError):
        channel.encode_error(Refused("no", {}))
    assert channel.encode_error(Refused("no", {"a": 1})) == b'{"a":1}'
    assert type(channel.decode_error("REFUSED", "no", b'{"a":1}')) is Refused
    assert type(channel.decode_error("REFUSED", "no", b"{}")) is enkaku.CallError


def test_slots_that_are_not_declared_are_there_and_say_so() -> None:
    request = enkaku.Request[None, str]("r", result=str)
    assert not request.param.declared
    assert request.param.schema is None
    assert request.param.decode(b"null") is None
    assert request.result.declared
    assert request.result.decode(b'"a"') == "a"
    assert not enkaku.Event[None]("e").data.declared
    assert enkaku.Request[None, None]("n", result=type(None)).result.declared


async def test_a_value_that_its_schema_refuses_never_reaches_a_handler() -> None:
    loose = enkaku.Request[int, int]("odd", param=int, result=int)
    strict = enkaku.Request[int, int]("odd", param=Checked(int, {"not": {"multipleOf": 2}}))

    class Odd(Serving):
        def __routes__(self) -> tuple[enkaku.Route, ...]:
            return (enkaku.Route.request(strict, self._serve),)

        async def _serve(self, param: int) -> Any:
            raise AssertionError(param)

    async with enkaku.connect_memory(Odd()) as connection:
        with pytest.raises(enkaku.CallError, match="EK08"):
            await connection.request(loose, 2)
        with pytest.raises(EncodeError):
            await connection.request(strict, 2)


def test_missing_validator_is_told_where_it_is_needed() -> None:
    program = (
        "import sys; sys.modules['jsonschema_rs'] = None\n"
        "import enkaku\n"
        "try: enkaku.Checked(int, {})\n"
        "except enkaku.MissingExtra as error: print(isinstance(error, ImportError), error)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert ran.stdout.startswith("True ")
    assert "pip install 'enkaku[exact]'" in ran.stdout


def test_the_validator_is_loaded_when_it_is_first_asked() -> None:
    program = (
        "import sys, enkaku; slot = enkaku.Slot('a', enkaku.Checked(int, {'minimum': 1})); "
        "print('jsonschema_rs' in sys.modules); slot.decode(b'1'); print('jsonschema_rs' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert ran.stdout.split() == ["False", "True"]
    assert importlib.util.find_spec("jsonschema_rs")


@pytest.mark.parametrize("limit", [9223372036854775809, 9223372036854775810, 9223372036854775807])
def test_the_validator_says_the_same_of_a_number_however_it_is_written(limit: int) -> None:
    slot = enkaku.Slot("a", enkaku.Checked(int, {"type": "integer", "maximum": limit}))
    for text in (b"9.223372036854776e+18", b"9223372036854776000", b"9223372036854775807.0"):
        try:
            read = slot.decode(text)
        except enkaku.DecodeError:
            continue
        assert slot.decode(slot.encode(read)) == read
    assert slot.decode(b"9.2e18") == 92 * 10**17
    with pytest.raises(enkaku.DecodeError):
        slot.decode(b"[1e30]")
    listed = enkaku.Slot("b", enkaku.Checked(object, {"not": {"const": "x"}}))
    assert listed.encode(listed.decode(b'{"a":[1e30,1.5,9007199254740993]}')) == (
        b'{"a":[1e+30,1.5,9007199254740993]}'
    )
