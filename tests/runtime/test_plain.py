"""Values that are written without being read again: none that the schema refuses, whoever made it."""

import copy
import json
import math
import pickle
import sys
import textwrap
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal, cast

import enkaku
import pytest
from enkaku import ABSENT, EncodeError, Slot
from enkaku.values import encoder
from enkaku.values.encoder import make_encoder
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model, field_serializer


class Point(enkaku.Model, extra="forbid"):
    x_axis: Annotated[float, Field(alias="xAxis", ge=0)]
    count: Annotated[int, Field(lt=2**70)] = 5
    label: Annotated[str, Field(max_length=3)] | None = None
    level: Literal["low", "high"] = "low"
    name: Annotated[str, Field(pattern="^[a-z]*$")] | None = None
    step: Annotated[float, Field(multiple_of=0.1)] | None = None


class Shape(enkaku.Model):
    points: Annotated[list[Point], Field(min_length=1)]
    centre: Point | None = None
    tags: Annotated[dict[str, str | int], Field(max_length=2)] | None = None
    note: str | enkaku.Absent | None = ABSENT
    part: Point | list[str] | Literal[1, True] | None = None
    grid: tuple[tuple[float, ...], ...] = ()


class Twin(enkaku.Model, extra="forbid"):
    x_axis: Annotated[float, Field(alias="xAxis", ge=0)]


class Further(Point, extra="allow"):
    more: object = None


class Text(str):
    __slots__ = ()


class Level(StrEnum):
    low = "low"


class Count(IntEnum):
    one = 1


POINT: Slot[Point] = Slot("point", Point)
SHAPE: Slot[Shape] = Slot("shape", Shape)
SLOTS: list[Slot[Any]] = [
    POINT,
    SHAPE,
    *(
        Slot(str(form), form)
        for form in (str, int, float, bool, type(None), list[Point], list[float], str | None)
    ),
]


def written(write: Any, value: object) -> object:
    """Give what is written, or what is said instead."""
    try:
        return write(value)
    except EncodeError as error:
        return str(error)


def agree(slot: Slot[Any], value: object) -> object:
    """Write a value both ways, and check that nothing crosses the wire that its reader refuses."""
    fast = written(slot.encode, value)
    assert fast == written(slot._encode, value)
    if isinstance(fast, bytes):
        slot.decode(fast)
    return fast


def only_plain(slot: Slot[Any]) -> Any:
    def rest(value: object) -> bytes:
        raise AssertionError(value)

    return make_encoder(slot._codec[0], rest)


PLAIN: list[tuple[Slot[Any], bytes]] = [
    (POINT, b'{"xAxis":1}'),
    (POINT, b'{"xAxis":0.0,"count":7,"label":"","level":"high","name":"abc","step":0.3}'),
    (SHAPE, b'{"points":[{"xAxis":1.5},{"xAxis":2}],"tags":{"a":"b","":3},"note":null}'),
    (SHAPE, b'{"points":[{"xAxis":1}],"centre":{"xAxis":2},"part":{"xAxis":3}}'),
    (SHAPE, b'{"points":[{"xAxis":1}],"part":["a","b"],"grid":[[1,2.5],[]]}'),
    (SHAPE, b'{"points":[{"xAxis":1}],"part":true}'),
]


@pytest.mark.parametrize(("slot", "text"), PLAIN)
def test_fast_encode_round_trips_decoded_value(slot: Slot[Any], text: bytes) -> None:
    assert only_plain(slot)(slot.decode(text)) == text
    assert agree(slot, slot.decode(text)) == text


@pytest.mark.parametrize(
    "value", ["", 'é\n"\\\x00\x7f\u2028', 0, -1, 2**64, 0.5, 1e-300, True, None]
)
def test_fast_encode_scalars(value: object) -> None:
    slot: Slot[Any] = Slot("scalar", type(value))
    assert json.loads(only_plain(slot)(value)) == value
    agree(slot, value)


def made(**members: object) -> Point:
    """Make a point whose members nobody has looked at."""
    return Point.model_construct(**{"x_axis": 1.0, **members})


def changed(**members: object) -> Point:
    """Make a point, and change it as nobody should."""
    point = Point(x_axis=1.0, label="a")
    for name, value in members.items():
        object.__setattr__(point, name, value)
    return point


WRONG: list[dict[str, object]] = [
    {"x_axis": "1"},
    {"x_axis": -1},
    {"x_axis": -0.5},
    {"x_axis": math.nan},
    {"x_axis": math.inf},
    {"x_axis": True},
    {"x_axis": None},
    {"x_axis": ABSENT},
    {"count": 2**70},
    {"count": 1.5},
    {"count": False},
    {"label": "abcd"},
    {"label": "\ud800bcd"},
    {"label": 1},
    {"level": "middle"},
    {"level": None},
    {"level": []},
    {"name": "A"},
    {"name": "\ud800"},
    {"step": 0.25},
    {"step": [0.1]},
]


@pytest.mark.parametrize("members", WRONG)
def test_fast_encode_rejects_values_bypassing_constructor(members: Any) -> None:
    copied = Point(x_axis=1.0).model_copy(update=members)
    below = Point(x_axis=1.0)
    vars(below).update(members)
    below.__pydantic_fields_set__.update(members)
    pickled = pickle.loads(pickle.dumps(copied))  # noqa: S301 # our own
    for point in (made(**members), changed(**members), copied, below, pickled, copy.copy(copied)):
        if members.keys() <= point.model_fields_set:
            assert isinstance(agree(POINT, point), str)
            assert isinstance(agree(SHAPE, Shape(points=[Point(x_axis=1.0), point])), str)
            inside = Shape.model_construct(points=[Point(x_axis=1.0)], part=point)
            assert isinstance(agree(SHAPE, inside), str)
        else:
            agree(POINT, point)  # what was not given is not written


@pytest.mark.parametrize(
    "members",
    [
        {"x_axis": -0.0},
        {"x_axis": 1e16},
        {"x_axis": 10**5000},
        {"x_axis": Count.one},
        {"label": "\ud800"},
        {"label": Text("a")},
        {"label": None},
        {"label": b"a"},
        {"level": Level.low},
        {"count": Count.one},
        {"count": 2.0},
        {"count": -(2**64)},
    ],
)
def test_fast_encode_unusual_values_agrees_with_slow_path(members: Any) -> None:
    for point in (made(**members), changed(**members)):
        agree(POINT, point)
        agree(SHAPE, Shape.model_construct(points=[point]))


def test_fast_encode_missing_property_agrees_with_slow_path() -> None:
    absent = Point(x_axis=1.0)
    del absent.__dict__["x_axis"]
    forgotten = Point(x_axis=1.0)
    forgotten.__pydantic_fields_set__.clear()
    strange = Point(x_axis=1.0)
    object.__setattr__(strange, "__pydantic_fields_set__", None)
    for point in (
        Point.model_construct(),
        absent,
        forgotten,
        Point.model_construct(set(), x_axis=1),
    ):
        assert "xAxis" in str(agree(POINT, point))
    for point in (strange, Point.__new__(Point)):
        assert isinstance(agree(POINT, point), str)
    for part in (ABSENT, object(), Point):
        assert isinstance(agree(SHAPE, Shape.model_construct(centre=part)), str)


def test_fast_encode_closed_object_omits_additional_properties() -> None:
    point = Point(x_axis=1.0)
    object.__setattr__(point, "__pydantic_extra__", {"more": 1})
    object.__setattr__(point, "more", 1)
    point.__pydantic_fields_set__.add("more")
    assert agree(POINT, point) == b'{"xAxis":1.0}'


def test_fast_encode_checks_additional_properties() -> None:
    shape = SHAPE.decode(b'{"points":[{"xAxis":1}],"more":[1]}')
    assert agree(SHAPE, shape) == b'{"points":[{"xAxis":1}],"more":[1]}'
    assert shape.__pydantic_extra__ is not None
    for wrong in (math.nan, object(), {1: 1}):
        shape.__pydantic_extra__["more"] = [wrong]
        assert isinstance(agree(SHAPE, shape), str)
    shape.__pydantic_extra__.clear()
    assert agree(SHAPE, shape) == b'{"points":[{"xAxis":1}]}'


@pytest.mark.parametrize(
    "other",
    [
        Twin(x_axis=1.0),
        Further(x_axis=1.0),
        Further.model_validate({"xAxis": 1.0, "another": math.nan}),
        {"xAxis": 1.0},
        {"x_axis": 1.0},
        create_model("Point", x_axis=(float, Field(alias="xAxis")))(xAxis=-1.0),
    ],
)
def test_fast_encode_lookalike_objects_agrees_with_slow_path(other: Any) -> None:
    agree(POINT, other)
    agree(SHAPE, Shape.model_construct(points=[other], part=other))


def test_fast_encode_exchanged_class_is_rejected() -> None:
    point = Point(x_axis=1.0)
    object.__setattr__(point, "__class__", Twin)
    assert isinstance(agree(POINT, point), str)


def test_fast_encode_checks_mutated_lists_and_maps() -> None:
    shape = SHAPE.decode(b'{"points":[{"xAxis":1}],"tags":{"a":"b"},"part":["a"]}')
    assert isinstance(agree(SHAPE, shape), bytes)
    assert shape.tags is not None
    assert isinstance(shape.part, list)
    mistakes: list[tuple[Any, Any]] = [
        (shape.part, 1),
        (shape.part, None),
        (
            shape.points,
            Further.model_validate({"xAxis": 1.0, "more": 1}).model_copy(update={"x_axis": -1}),
        ),
        (shape.points, {"xAxis": -1}),
        (shape.points, made(label=1)),
    ]
    for items, wrong in mistakes:
        items.append(wrong)
        assert isinstance(agree(SHAPE, shape), str)
        items.pop()
        assert isinstance(agree(SHAPE, shape), bytes)
    for name, tag in [(1, "b"), (None, "b"), ("a", 1.5), ("a", None), ("\ud800", []), ("a", [])]:
        tags: dict[Any, Any] = shape.tags
        tags[name] = tag
        agree(SHAPE, shape)
        tags.clear()
        tags["a"] = "b"
    for extent in range(4):
        shape.tags.update({str(number): number for number in range(extent)})
        assert isinstance(agree(SHAPE, shape), bytes) == (len(shape.tags) <= 2)
    shape.tags.clear()
    shape.points.clear()
    assert isinstance(agree(SHAPE, shape), str)


def test_fast_encode_lone_surrogates_as_escapes() -> None:
    shape = Shape.model_construct(points=[made(label="\ud800")], tags={"\udfff": "\ufffd\udbff"})
    text = b'{"points":[{"xAxis":1.0,"label":"\\ud800"}],"tags":{"\\udfff":"\xef\xbf\xbd\\udbff"}}'
    assert agree(SHAPE, shape) == text


def test_fast_encode_numbers_too_long_to_decode_are_rejected() -> None:
    whole: Slot[int] = Slot("whole", int)
    numbers: Slot[list[float]] = Slot("numbers", list[float])
    limit = sys.get_int_max_str_digits()
    try:
        for digits in (limit, 0, 10_000):
            sys.set_int_max_str_digits(digits)
            assert agree(whole, 10**4299) == b"1" + b"0" * 4299
            assert isinstance(agree(whole, 10**4300), str)
            assert isinstance(agree(numbers, [1, -(10**4300)]), str)
    finally:
        sys.set_int_max_str_digits(limit)


class Own(enkaku.Model):
    value: str

    @field_serializer("value")
    def _write(self, value: str) -> object:
        return {"1": 1}.get(value, value)


class Plain(BaseModel):
    value: int


class Tree(enkaku.Model):
    children: tuple["Tree", ...] = ()


class Quoted(enkaku.Model):
    value: Annotated[int, Field(alias='a"b')]


def test_fast_encode_custom_serializers_are_used() -> None:
    assert isinstance(agree(Slot("own", Own), Own(value="1")), str)
    assert agree(Slot("own", Own), Own(value="2")) == b'{"value":"2"}'
    assert agree(Slot("plain", Plain), Plain(value=1)) == b'{"value":1}'
    assert agree(Slot("tree", Tree), Tree(children=(Tree(),))) == b'{"children":[{}]}'
    assert agree(Slot("quoted", Quoted), Quoted(value=1)) == b'{"a\\"b":1}'


def test_fast_encode_property_names_are_not_code() -> None:
    names = ["{0}", "'] or 1 #", "\\", "v", "fail", "\u2028", "é", "class", "__class__"]
    for name in names:
        fields: Any = {"member": (int, Field(alias=name))}
        model = create_model("Named", __base__=enkaku.Model, **fields)
        slot: Slot[Any] = Slot("named", model)
        text = json.dumps({name: 1}, ensure_ascii=False, separators=(",", ":")).encode()
        assert agree(slot, slot.decode(text)) == text
        assert isinstance(agree(slot, model.model_construct(member="1")), str)


LIMITS: list[Any] = [
    0,
    1.5,
    -2.5,
    2**53,
    2**53 + 1,
    2.0**53,
    10**16 - 1,
    1e16,
    1e23,
    10**23,
    -(2**63),
    10**400,
]


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("kind", ["ge", "gt", "le", "lt"])
def test_fast_encode_bounds_are_exact(limit: Any, kind: str) -> None:
    near: list[Any] = [limit, math.floor(limit) - 1, math.ceil(limit), math.floor(limit) + 1]
    if abs(limit) < 1e300:
        real = float(limit)
        near += [real, math.nextafter(real, math.inf), math.nextafter(real, -math.inf), -real]
    for form in (float, int):
        slot: Slot[Any] = Slot("bound", Annotated[form, Field(**{kind: limit})])
        for value in near:
            agree(slot, value)


CHECKED: Slot[Point] = Slot(
    "checked",
    enkaku.Checked(Point, {"not": {"properties": {"xAxis": {"const": 7}}, "required": ["label"]}}),
)


@pytest.mark.parametrize(
    "members", [*WRONG, {}, {"label": "a"}, {"x_axis": 7}, {"x_axis": 7, "label": "a"}]
)
def test_fast_encode_with_schema_is_validated(members: Any) -> None:
    agree(CHECKED, made(**members))
    refused = {"x_axis": 7, "label": "a"}
    assert isinstance(agree(CHECKED, made(**refused)), str)


def test_fast_encode_too_deep_type_agrees_with_slow_path() -> None:
    form: Any = int
    value: object = 1
    for _ in range(220):
        form, value = list[form], [value]
    assert "levels" in str(agree(Slot("deep", form), value))


parts: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(exclude_categories=[]), max_size=4),
    st.sampled_from(["low", "high", "abc", 0.3, 2**70, -0.0, 1e16, ABSENT, Count.one, Level.low]),
)
anything: st.SearchStrategy[Any] = st.recursive(
    parts,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=2), st.integers()), inner, max_size=3),
        st.dictionaries(st.sampled_from(sorted(Point.model_fields)), inner).map(
            lambda members: Point.model_construct(**members)
        ),
        st.dictionaries(st.sampled_from(sorted(Point.model_fields)), inner).map(
            lambda members: made(**members)
        ),
        st.dictionaries(st.sampled_from(sorted(Shape.model_fields)), inner).map(
            lambda members: Shape.model_construct(**members)
        ),
        inner.map(lambda each: Shape.model_construct(points=[Point(x_axis=1.0)], part=each)),
        st.lists(inner, min_size=1).map(lambda items: Shape.model_construct(points=items)),
    ),
    max_leaves=8,
)


@given(anything)
def test_fast_encode_any_value_agrees_with_slow_path(value: object) -> None:
    for slot in SLOTS:
        agree(slot, value)


def test_encoder_docstring_shows_generated_code() -> None:
    class Point(enkaku.Model, extra="forbid"):
        x: Annotated[int, Field(alias="xAxis", ge=0)]
        label: str | None = None

    slot: Slot[Point] = Slot("point", Point)
    source, scope = encoder._Generator(cast(Any, slot._codec[0])).generate(slot._encode)
    assert textwrap.indent(source, "    ") in cast(str, encoder.__doc__)
    assert (scope["c5"], scope["c6"]) == (Point, {"x"})
    write = cast(Any, encoder._compile(source, scope))
    assert write(Point(x=1)) == slot.encode(Point(x=1)) == b'{"xAxis":1}'
