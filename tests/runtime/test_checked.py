"""Slots whose type is wider than their schema: the schema is asked as well."""

import gc
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


def test_checked_requires_type_and_schema() -> None:
    assert EVENS.decode(b"[2,4.0]") == [2, 4]
    for text in (b"[2,2]", b"[3]", b"[-2]", b'["a"]', b"[2.5]", b"2", b"[2"):
        with pytest.raises(DecodeError):
            EVENS.decode(text)
    assert EVENS.encode([2, 4]) == b"[2,4]"
    for value in ([2, 2], [3], ["a"], None):
        with pytest.raises(EncodeError):
            EVENS.encode(value)  # type: ignore[arg-type] # that is the mistake


def test_checked_model_is_validated_as_its_json() -> None:
    assert PAIRS.encode(Pair(low=1, high=2)) == b'{"low":1,"high":2}'
    assert PAIRS.decode(b'{"low":1,"high":2}') == Pair(low=1, high=2)
    with pytest.raises(EncodeError, match='property "high"'):
        PAIRS.encode(Pair(low=1))
    with pytest.raises(DecodeError, match='property "high"'):
        PAIRS.decode(b'{"low":1}')


def test_slot_exposes_type_and_schema() -> None:
    assert EVENS.schema is EVEN
    assert EVENS.type_form == list[int]
    assert Slot[int]("whole", int).schema is None
    assert anything(False).schema is False
    assert EVENS.declared


def test_checked_boolean_schemas() -> None:
    assert anything(True).decode(b"[1]") == [1]
    with pytest.raises(DecodeError):
        anything(False).decode(b"1")


def test_checked_draft_is_newest_unless_schema_names_it() -> None:
    pair: dict[str, object] = {"prefixItems": [{"type": "string"}]}
    with pytest.raises(DecodeError):
        anything(pair).decode(b"[1]")
    assert anything({"$schema": DRAFT_7, **pair}).decode(b"[1]") == [1]
    old: dict[str, object] = {"$schema": DRAFT_7, "items": [{"type": "string"}]}
    with pytest.raises(DecodeError):
        anything(old).decode(b"[1]")


def test_checked_draft_7_uses_shared_definitions() -> None:
    schema: dict[str, object] = {"$schema": DRAFT_7, "$ref": "#/$defs/even"}
    slot: Slot[object] = Slot("even", Checked(object, schema, DEFINITIONS))
    assert slot.decode(b"2") == 2
    with pytest.raises(DecodeError):
        slot.decode(b"3")


def test_checked_own_definitions_take_precedence() -> None:
    schema: dict[str, object] = {"$ref": "#/$defs/even", "$defs": {"even": {"const": 1}}}
    slot: Slot[object] = Slot("own", Checked(object, schema, DEFINITIONS))
    assert slot.decode(b"1") == 1
    with pytest.raises(DecodeError):
        slot.decode(b"2")


def test_checked_formats_are_not_validated() -> None:
    assert anything({"format": "date"}).decode(b'"never"') == "never"


@pytest.mark.parametrize(
    "schema", [{"$ref": "http://localhost/schema"}, {"$ref": "#/$defs/no"}, {"type": "strange"}]
)
def test_checked_unusable_schema_raises_and_fetches_nothing(
    schema: dict[str, object],
) -> None:
    with pytest.raises(UsageError, match="anything: jsonschema-rs rejects the schema"):
        anything(schema).decode(b"1")


def test_checked_numbers_are_compared_exactly() -> None:
    slot = anything({"maximum": 10**40})
    assert slot.decode(str(10**40).encode()) == 10**40
    with pytest.raises(DecodeError):
        slot.decode(str(10**40 + 1).encode())
    assert anything({"const": 1}).decode(b"1.0") == 1
    with pytest.raises(DecodeError):
        anything({"const": 1}).decode(b"true")


@pytest.mark.parametrize("pattern", [r"^(a|aa)+$", r"^(?=(a+)+$)a+$", r"^(?=(a|aa)+b)\1$"])
def test_checked_pattern_with_backtracking_is_rejected(pattern: str) -> None:
    slot = anything({"pattern": pattern})
    with pytest.raises(DecodeError, match="expected string that"):
        slot.decode(b'"%bb"' % (b"a" * 60))


@pytest.mark.parametrize(
    ("schema", "accepted", "refused"),
    [
        ({"minLength": 2}, ["\ud800a", "\ud800\ud800"], ["\ud800"]),
        ({"maxLength": 1}, ["\udfff"], ["\udfffa"]),
        ({"pattern": "^a.b$"}, ["a\ud800b"], ["\ud800ab"]),
        ({"pattern": r"^[\x00-\uFFFF]$"}, ["\ud800", "\uf8ff"], ["\U00010000"]),
        ({"pattern": r"^[\u{10000}-\u{10FFFF}]$"}, ["\U0010fffd"], ["\ud800", "\uf8ff"]),
        ({"const": "\ud800\uf8ff"}, ["\ud800\uf8ff"], ["\uf8ff\uf8ff", "\ud801\uf8ff"]),
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
def test_checked_lone_surrogates_count_as_characters(
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
def test_checked_empty_schema_accepts_everything(value: object) -> None:
    slot = anything({})
    assert same(slot.decode(text_of(value)), value)
    assert same(json.loads(slot.encode(value)), value)


@given(st.text(everything, max_size=4), st.text(everything, max_size=4))
def test_checked_constant_accepts_only_itself(constant: str, value: str) -> None:
    slot = anything({"const": constant})
    try:
        assert slot.decode(text_of(value)) == constant
    except DecodeError:
        assert value != constant


def test_checked_deep_values_are_rejected() -> None:
    for depth in (1000, 100_000):
        with pytest.raises(DecodeError):
            anything({"type": "array"}).decode(b"[" * depth + b"]" * depth)


class Refused(
    enkaku.DeclaredDataError[dict[str, int]],
    code="REFUSED",
    data=Checked(dict[str, int], {"minProperties": 1}),
):
    """A declared error whose data has a schema."""


def test_checked_every_slot_of_procedure() -> None:
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


def test_slots_undeclared_have_declared_false() -> None:
    request = enkaku.Request[None, str]("r", result=str)
    assert not request.param.declared
    assert request.param.schema is None
    assert request.param.decode(b"null") is None
    assert request.result.declared
    assert request.result.decode(b'"a"') == "a"
    assert not enkaku.Event[None]("e").data.declared
    assert enkaku.Request[None, None]("n", result=type(None)).result.declared


async def test_checked_invalid_value_never_reaches_handler() -> None:
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


def test_checked_missing_validator_raises_missing_extra() -> None:
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


def test_checked_validator_is_loaded_at_first_use() -> None:
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
def test_checked_number_notation_does_not_matter(limit: int) -> None:
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


def test_rejection_of_large_value_leaves_no_cycle() -> None:
    schema = {"type": "array", "contains": {"const": 1}}
    slot = Slot("large", enkaku.Checked(list[object], schema))
    data = json.dumps(["x"] * 5_000).encode()

    def reject() -> None:
        try:
            slot.decode(data)
        except enkaku.DecodeError:
            return
        raise AssertionError("it was accepted")

    reject()
    gc.collect()
    gc.disable()
    try:
        reject()
        assert gc.collect() == 0
    finally:
        gc.enable()
