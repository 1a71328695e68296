"""Values of slots: exactly what the schema accepts, in exactly JSON's form."""

import copy
import datetime as dt
import json
import math
import pickle
from decimal import Decimal
from typing import Annotated, Any, Literal

import enkaku
import pytest
from enkaku import DecodeError, EncodeError, Slot
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

everything = st.characters(exclude_categories=[])


class Point(enkaku.Model):
    model_config = ConfigDict(extra="forbid")
    x_axis: Annotated[float, Field(alias="xAxis")]
    label: str | None = None


class Tree(enkaku.Model):
    children: tuple["Tree", ...] = ()


ANY: Slot[object] = Slot("any", object)
TEXT: Slot[str] = Slot("text", str)
NUMBER: Slot[float] = Slot("number", float)
TEXTS: Slot[dict[str, list[str]]] = Slot("texts", dict[str, list[str]])
WHOLE: Slot[int] = Slot("whole", int)
POINT: Slot[Point] = Slot("point", Point)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(json_values)
def test_slot_any_json_value_round_trips(value: object) -> None:
    text = ANY.encode(value)
    assert json.loads(text) == value
    assert ANY.decode(text) == value
    assert b"\n" not in text


@given(st.text(everything))
def test_slot_any_string_is_json_and_utf8(value: str) -> None:
    text = TEXT.encode(value)
    text.decode()
    assert json.loads(text) == value
    assert TEXT.decode(text) == value


@given(st.dictionaries(st.text(), st.lists(st.text(everything))))
def test_slot_lone_surrogates_round_trip_in_any_value(value: dict[str, list[str]]) -> None:
    assert TEXTS.decode(TEXTS.encode(value)) == value


class Texts(enkaku.Model):
    short: Annotated[str, Field(max_length=2)] = ""
    texts: tuple[str, ...] = ()
    more: "Texts | None" = None


@pytest.mark.parametrize("name", ["\ud800", "a\udfffb", "\ufffd\ud800", "\uf8ff\ud800"])
def test_slot_lone_surrogate_in_property_name_round_trips(name: str) -> None:
    for slot in (ANY, TEXTS):
        assert slot.decode(slot.encode({name: [name]})) == {name: [name]}
    texts: Slot[Texts] = Slot("texts", Texts)
    written = json.dumps({"texts": [name], "more": {name: [name, {name: name}]}}).encode()
    read = texts.decode(written)
    assert read.texts == (name,)
    assert json.loads(texts.encode(read)) == json.loads(written)


def test_slot_lone_surrogate_counts_as_one_character() -> None:
    texts: Slot[Texts] = Slot("texts", Texts)
    assert texts.decode(b'{"short":"\\ud800a"}').short == "\ud800a"
    assert (
        texts.encode(Texts.model_construct({"short"}, short="\ud800a")) == b'{"short":"\\ud800a"}'
    )
    with pytest.raises(DecodeError, match="at most 2 characters"):
        texts.decode(b'{"short":"\\ud800ab"}')
    with pytest.raises(EncodeError, match="at most 2 characters"):
        texts.encode(Texts.model_construct({"short"}, short="\ud800ab"))


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b"\xff\xfe", b"\x00"])
def test_slot_byte_order_mark_and_utf16_are_rejected(start: bytes) -> None:
    for text in (b'"a"', b'"\\ud800"'):
        with pytest.raises(DecodeError):
            TEXT.decode(start + text)
    with pytest.raises(DecodeError):
        TEXT.decode('"\\ud800"'.encode("utf-16"))


def test_slot_replacement_character_round_trips() -> None:
    value = {"\ufffd": ["\ufffd\ufffd\ufffd", "\ud800"]}
    assert TEXTS.decode(TEXTS.encode(value)) == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_slot_encode_values_without_json_form_are_rejected(value: float) -> None:
    for slot in (ANY, NUMBER):
        with pytest.raises(EncodeError):
            slot.encode(value)
    with pytest.raises(EncodeError):
        ANY.encode({"deep": [value]})


@pytest.mark.parametrize("text", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"nan"])
def test_slot_decode_nan_and_infinity_are_rejected(text: bytes) -> None:
    with pytest.raises(DecodeError):
        NUMBER.decode(text)


def test_slot_string_like_nan_is_string() -> None:
    for value in ("NaN", "-0.0", "Infinity", ["NaN", 1.5, 10**30, "é"]):
        assert json.loads(ANY.encode(value)) == value


@pytest.mark.parametrize("value", [2**63, -(2**70), 10**400, 10**4000])
def test_slot_big_integers_keep_every_digit(value: int) -> None:
    text = WHOLE.encode(value)
    assert text == str(value).encode()
    assert WHOLE.decode(text) == value


def test_slot_decode_too_long_number_is_rejected() -> None:
    with pytest.raises(DecodeError):
        WHOLE.decode(b"9" * 100_000)


@pytest.mark.parametrize("depth", [50, 150])
def test_slot_moderate_nesting_round_trips(depth: int) -> None:
    value: object = 1
    for _ in range(depth):
        value = [value]
    assert ANY.decode(ANY.encode(value)) == value


@pytest.mark.parametrize("depth", [1000, 100_000])
@pytest.mark.parametrize("inside", [b"", b'"\\ud800"'])
def test_slot_decode_deep_nesting_is_rejected(depth: int, inside: bytes) -> None:
    text = b"[" * depth + inside + b"]" * depth
    for slot in (ANY, TEXT, WHOLE):
        with pytest.raises(DecodeError):
            slot.decode(text)
    with pytest.raises(DecodeError):
        Slot[Tree]("tree", Tree).decode(b'{"children":[' * depth + b"]}" * depth)


@pytest.mark.parametrize("depth", [5000, 100_000])
def test_slot_encode_deep_nesting_is_rejected(depth: int) -> None:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    try:
        with pytest.raises(EncodeError):
            ANY.encode(value)
    finally:
        while value:  # or freeing it would be as deep
            value = value[0]


def test_slot_encode_cyclic_value_is_rejected() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(EncodeError):
        ANY.encode(loop)
    with pytest.raises(EncodeError):
        ANY.encode({"loop": loop, "text": "\ud800"})


def test_slot_can_be_copied_before_and_after_use() -> None:
    request = enkaku.Request[Point, None]("point", param=Point)
    for _ in range(2):
        pickled = pickle.loads(pickle.dumps(request))  # noqa: S301 # our own
        for copied in (pickled, copy.deepcopy(request)):
            assert copied.param.encode(copied.param.decode(b'{"xAxis":1}')) == b'{"xAxis":1}'
            assert not copied.result.declared
        request.param.encode(request.param.decode(b'{"xAxis":1}'))


class Inside(enkaku.Model):
    anything: object = None


NOT_JSON = [object(), {1, 2}, b"bytes", 1j, {1: 2}, {None: 1}, dt.date.max, Decimal(1), Ellipsis]


@pytest.mark.parametrize("value", NOT_JSON)
def test_slot_encode_non_json_object_is_rejected(value: object) -> None:
    inside: Slot[Inside] = Slot("inside", Inside)
    further = Inside.model_validate({"more": [value]})
    for attempt in (Inside(anything=value), Inside(anything=[{"a": value}]), further):
        with pytest.raises(EncodeError):
            inside.encode(attempt)
    for wrapped in (value, [value], {"a": (value,)}, Inside(anything=value)):
        with pytest.raises(EncodeError):
            ANY.encode(wrapped)


def test_slot_object_accepts_tuples_and_models() -> None:
    assert ANY.encode((1, [(2,)])) == b"[1,[[2]]]"
    assert ANY.encode([Point(x_axis=1), Tree()]) == b'[{"xAxis":1},{}]'
    with pytest.raises(EncodeError):
        ANY.encode(Point.model_construct(x_axis=math.inf))
    with pytest.raises(EncodeError):
        ANY.encode(PlainModel(x=1))


class PlainModel(BaseModel):
    x: int


@pytest.mark.parametrize("depth", [90, 95, 110, 190, 198, 203, 210, 254, 260])
def test_slot_encoded_depth_can_be_decoded(depth: int) -> None:
    value: Any = []
    tree = Tree()
    for _ in range(depth):
        value = [value]
        tree = Tree.model_construct({"children"}, children=(tree,))
    attempts: list[tuple[Slot[Any], Any]] = [(ANY, value), (Slot("tree", Tree), tree)]
    for slot, deep in attempts:
        if depth * (1 if slot is ANY else 2) > 202:
            with pytest.raises(EncodeError, match="levels"):
                slot.encode(deep)
        elif depth < 200:
            assert slot.encode(slot.decode(slot.encode(deep))) == slot.encode(deep)


def test_slot_encode_endlessly_nested_models_is_rejected() -> None:
    for depth in (1000, 20_000):
        tree = Tree()
        for _ in range(depth):
            tree = Tree.model_construct({"children"}, children=(tree,))
        with pytest.raises(EncodeError, match="levels"):
            Slot[Tree]("tree", Tree).encode(tree)
        below: Any = tree
        while below.children:  # or freeing it would be as deep
            below = below.children[0]


@pytest.mark.parametrize(
    ("slot", "text"),
    [
        (WHOLE, b"1.5"),
        (WHOLE, b'"1"'),
        (WHOLE, b"true"),
        (WHOLE, b"null"),
        (NUMBER, b'"1"'),
        (NUMBER, b"true"),
        (TEXT, b"1"),
        (TEXT, b"null"),
        (POINT, b"null"),
        (POINT, b"[]"),
        (POINT, b"{}"),
        (POINT, b'{"x_axis":1}'),
        (POINT, b'{"xAxis":"1"}'),
        (POINT, b'{"xAxis":1,"more":1}'),
        (POINT, b'{"xAxis":1'),
        (POINT, b""),
        (POINT, b"\xff"),
        (TEXT, b'"\xff"'),
        (TEXT, b'"\xed\xa0\x80"'),
        (TEXT, b'"a\nb"'),
        (WHOLE, b"01"),
        (WHOLE, b"1 2"),
    ],
)
def test_slot_decode_does_not_coerce(slot: Slot[Any], text: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        slot.decode(text)
    assert caught.value.problems
    assert slot.label in str(caught.value)


@pytest.mark.parametrize("value", [1, None, {"xAxis": 1.0}, Point.model_construct(x_axis="1")])
def test_slot_encode_wrong_type_is_rejected(value: Any) -> None:
    with pytest.raises(EncodeError, match="point"):
        POINT.encode(value)


def test_slot_uses_protocol_property_names() -> None:
    assert POINT.encode(Point(x_axis=1.5)) == b'{"xAxis":1.5}'
    assert POINT.decode(b'{"xAxis":1.5,"label":"a"}') == Point(x_axis=1.5, label="a")


@pytest.mark.parametrize(
    ("type_form", "expected"),
    [
        (int, 0),
        (str, ""),
        (bool, False),
        (type(None), None),
        (str | None, DecodeError),
        (object, DecodeError),
        (Point, DecodeError),
        (float, 0.0),
        (int | str, DecodeError),
        (Annotated[int, Field(gt=0)], DecodeError),
        (Point | None, None),
        (Literal["", "x"], ""),
        (list[int], DecodeError),
    ],
)
def test_slot_decode_absent_gives_only_falsy_value(type_form: Any, expected: Any) -> None:
    slot: Slot[Any] = Slot("slot", type_form)
    if expected is DecodeError:
        with pytest.raises(DecodeError):
            slot.decode_absent()
    else:
        assert slot.decode_absent() == expected


@given(
    st.one_of(
        st.binary(), st.text(everything).map(lambda text: text.encode("utf-8", "surrogatepass"))
    )
)
def test_slot_decode_any_bytes_raises_only_decode_error(data: bytes) -> None:
    for slot in (ANY, TEXT, WHOLE, POINT):
        try:
            slot.decode(data)
        except DecodeError:
            continue
