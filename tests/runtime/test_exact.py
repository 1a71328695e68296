"""Plain annotations accept what their JSON Schemas accept, and what was read is written as it was."""

import json
import re
from typing import Annotated, Any, Literal

import enkaku
import pytest
from enkaku import ABSENT, Absent, DecodeError, EncodeError, Slot
from hypothesis import given, settings
from hypothesis import strategies as st
from json_values import as_written, numbers, same, scalars, text_of, values
from jsonschema_rs import validator_for
from pydantic import Field
from pydantic.dataclasses import dataclass
from typing_extensions import TypeAliasType, TypedDict

Json = TypeAliasType(
    "Json", "bool | int | float | str | list[Json] | dict[str, Json] | Leaf | None"
)


class Leaf(enkaku.Model, extra="forbid"):
    a: Literal[1]
    b: Json


class Open(enkaku.Model):
    x_axis: Annotated[float, Field(alias="xAxis")]
    a: int | None = None
    b: Literal["a", 1] | Absent | None = ABSENT


class Closed(enkaku.Model, extra="forbid"):
    a: Annotated[int | str | None, Field()]
    b: "Closed | Absent | None" = ABSENT
    x: list[float] | None = None
    y: object = None
    z: object = ABSENT


class Typed(TypedDict, total=False):
    a: float
    b: Literal[True]


NULL: dict[str, object] = {"type": "null"}
NUMBER: dict[str, object] = {"type": "number"}
WHOLE: dict[str, object] = {"type": "integer"}
OPEN = {
    "type": "object",
    "properties": {"xAxis": NUMBER, "a": WHOLE, "b": {"enum": ["a", 1, None]}},
    "required": ["xAxis"],
}
CLOSED = {
    "type": "object",
    "properties": {
        "a": {"type": ["integer", "string", "null"]},
        "b": {"anyOf": [{"$ref": "#/$defs/closed"}, NULL]},
        "x": {"type": "array", "items": NUMBER},
        "y": {"not": NULL},
        "z": True,
    },
    "required": ["a"],
    "additionalProperties": False,
}
PAIRS: list[tuple[Any, Any]] = [
    (object, True),
    (Any, True),
    (float, NUMBER),
    (int, WHOLE),
    (bool, {"type": "boolean"}),
    (str, {"type": "string"}),
    (None, NULL),
    (float | None, {"type": ["number", "null"]}),
    (int | str | bool, {"type": ["integer", "string", "boolean"]}),
    (list[float], {"type": "array", "items": NUMBER}),
    (
        dict[str, int | None],
        {"type": "object", "additionalProperties": {"type": ["integer", "null"]}},
    ),
    (
        tuple[float, int],
        {"type": "array", "prefixItems": [NUMBER, WHOLE], "items": False, "minItems": 2},
    ),
    (tuple[object, ...], {"type": "array"}),
    (Literal[1], {"const": 1}),
    (Literal[0, True], {"enum": [0, True]}),
    (Literal[False], {"const": False}),
    (Literal["a", 1, None], {"enum": ["a", 1, None]}),  # noqa: PYI061 # as generated
    (Literal[9007199254740993], {"const": 9007199254740993}),
    (Annotated[float, Field(gt=0.5)], {"type": "number", "exclusiveMinimum": 0.5}),
    (Annotated[float, Field(ge=2**53 + 1)], {"type": "number", "minimum": 2**53 + 1}),
    (Annotated[int, Field(lt=1.5)], {"type": "integer", "exclusiveMaximum": 1.5}),
    (Annotated[float, Field(le=10**400)], {"type": "number"}),
    (Annotated[int, Field(multiple_of=3)], {"type": "integer", "multipleOf": 3}),
    (Annotated[int, Field(multiple_of=2.5)], {"type": "integer", "multipleOf": 2.5}),
    (Annotated[float, Field(multiple_of=0.1)], {"type": "number", "multipleOf": 0.1}),
    (
        Annotated[list[str], Field(min_length=1, max_length=2)],
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
    ),
    (
        Annotated[str, Field(min_length=1, max_length=2)],
        {"type": "string", "minLength": 1, "maxLength": 2},
    ),
    (Json, True),
    (Open, OPEN),
    (Closed, {**CLOSED, "$defs": {"closed": CLOSED}}),
    (
        Leaf | float,
        {
            "anyOf": [
                NUMBER,
                {
                    "type": "object",
                    "properties": {"a": {"const": 1}, "b": True},
                    "required": ["a", "b"],
                    "additionalProperties": False,
                },
            ]
        },
    ),
]
SLOTS: list[tuple[Slot[Any], Any]] = [
    (Slot(str(form), form), validator_for(schema)) for form, schema in PAIRS
]


def agree(slot: Slot[Any], validator: Any, value: object) -> None:
    text = text_of(value)
    try:
        accepted = validator.is_valid(as_written(value))
    except UnicodeEncodeError:  # it takes no lone surrogates
        accepted = None
    if not accepted:
        try:
            read = slot.decode(text)
        except DecodeError as error:
            str(error).encode()
            return
        assert accepted is None
    else:
        read = slot.decode(text)
    written = slot.encode(read)
    assert same(json.loads(written), value)
    assert same(json.loads(slot.encode(slot.decode(written))), value)


each_slot = pytest.mark.parametrize(
    ("slot", "validator"), SLOTS, ids=[str(form) for form, _ in PAIRS]
)


@each_slot
@settings(max_examples=30)
@given(value=values | scalars | numbers)
def test_slot_decodes_exactly_what_schema_accepts(
    slot: Slot[Any], validator: Any, value: object
) -> None:
    agree(slot, validator, value)


@pytest.mark.slow
@each_slot
@settings(max_examples=200)
@given(value=values | scalars | numbers)
def test_slot_decodes_listed_values_as_schema_says(
    slot: Slot[Any], validator: Any, value: object
) -> None:
    agree(slot, validator, value)


members = st.fixed_dictionaries(
    {},
    optional={
        name: scalars | st.lists(numbers, max_size=2)
        for name in ("a", "b", "x", "y", "z", "xAxis", "x_axis")
    },
)


@given(members)
def test_slot_decodes_exactly_objects_that_schema_accepts(value: object) -> None:
    for slot, validator in SLOTS:
        if slot.type_form in {Open, Closed}:
            agree(slot, validator, value)
            agree(slot, validator, {"a": 1, "b": value})
            agree(slot, validator, {"xAxis": 1, "a": 1.0, "z": value})


@given(values)
def test_slot_encoded_value_can_be_decoded(value: Any) -> None:
    for slot, _ in SLOTS:
        try:
            text = slot.encode(value)
        except EncodeError:
            continue
        assert same(json.loads(text), json.loads(text_of(value)))
        slot.decode(text)


def test_foreign_models_with_enkaku_fields_are_exact() -> None:
    slot: Slot[Typed] = Slot("typed", Typed)
    assert slot.encode(slot.decode(b'{"a":42,"b":true}')) == b'{"a":42,"b":true}'
    with pytest.raises(DecodeError):
        slot.decode(b'{"b":1}')


def test_foreign_types_keep_pydantic_meaning() -> None:
    @dataclass
    class Point:
        x: float

    slot: Slot[Point] = Slot("point", Point)
    assert slot.decode(b'{"x":1}') == Point(x=1.0)


class Run(enkaku.Model, extra="forbid"):
    kind: "Annotated[Literal['run'], Field(alias='$kind')]" = Field(default="run", frozen=True)
    version: Literal[1] = Field(default=1, frozen=True)
    nothing: None = Field(default=None, frozen=True)
    pace: float


class Walk(enkaku.Model, extra="forbid"):
    kind: Annotated[Literal["walk"], Field(alias="$kind")] = Field(default="walk", frozen=True)


RUN: Slot[Run] = Slot("run", Run)
ON_WIRE = {"$kind": "run", "version": 1, "nothing": None, "pace": 2}


def test_constant_is_filled_in_by_constructor_and_written() -> None:
    for run in (Run(pace=2), Run(**{"$kind": "run"}, pace=2), Run(kind="run", version=1, pace=2)):
        assert (run.kind, run.version, run.nothing) == ("run", 1, None)
        assert json.loads(RUN.encode(run)) == ON_WIRE
    with pytest.raises(ValueError, match="Input should be 'run'"):
        Run(kind="walk", pace=2)  # type: ignore[arg-type] # that is the mistake


@pytest.mark.parametrize("key", ["$kind", "version", "nothing"])
def test_constant_is_required_when_decoding(key: str) -> None:
    assert RUN.decode(json.dumps(ON_WIRE).encode()) == Run(pace=2)
    with pytest.raises(DecodeError, match=f'expected property "{re.escape(key)}"'):
        RUN.decode(json.dumps({k: v for k, v in ON_WIRE.items() if k != key}).encode())
    with pytest.raises(DecodeError):
        RUN.decode(json.dumps({**ON_WIRE, key: "other"}).encode())


def test_constant_stays_discriminator_of_union() -> None:
    union = Annotated[Run | Walk, Field(discriminator="kind")]
    slot: Slot[Run | Walk] = Slot("either", union)
    assert slot.decode(b'{"$kind":"walk"}') == Walk()
    assert slot.encode(Walk()) == b'{"$kind":"walk"}'
    with pytest.raises(DecodeError, match="kind"):
        slot.decode(b"{}")


def test_constant_is_inherited_unless_overridden() -> None:
    class Fast(Run, extra="forbid"):
        version: Literal[2] = Field(default=2, frozen=True)  # type: ignore[assignment] # narrower
        nothing: str  # type: ignore[assignment] # no constant any more

    class Both(Walk, Open):
        pass

    fast = Fast(pace=2, nothing="a")
    assert json.loads(Slot("fast", Fast).encode(fast)) == {
        **ON_WIRE,
        "version": 2,
        "nothing": "a",
    }
    with pytest.raises(ValueError, match="nothing"):
        Fast(pace=2)  # type: ignore[call-arg] # that is the mistake
    assert Both(x_axis=1).kind == "walk"
