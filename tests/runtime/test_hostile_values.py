"""Values that a peer makes to cost more than they weigh: each is judged, and refused, in time that fits its size."""

import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any, Literal

import enkaku
import pytest
from enkaku import Checked, DecodeError, Slot

_SECONDS = 5  # many times what they take; what they guard against takes minutes, or forever

EXPRESSION: dict[str, object] = {
    "$defs": {
        "one": {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {"of": {"$ref": "#/$defs/one"}, name: {"type": "integer"}},
                    "required": [name],
                }
                for name in ("p", "q")
            ]
        }
    },
    "$ref": "#/$defs/one",
}


def nest(depth: int, **beside: object) -> dict[str, object]:
    value: dict[str, object] = {"z": 1}
    for _ in range(depth):
        value = {"of": value, **beside}
    return value


def refuse(form: Any, value: object) -> DecodeError:
    """Return the refusal; it came in time, and within a few times the memory that the text takes."""
    slot, text = Slot[Any]("slot", form), json.dumps(value).encode()
    with pytest.raises(DecodeError):
        slot.decode(b"[[]]")  # built
    tracemalloc.start()
    try:
        since = time.thread_time()
        with pytest.raises(DecodeError) as caught:
            slot.decode(text)
        assert time.thread_time() - since < _SECONDS
        assert tracemalloc.get_traced_memory()[1] < 50 * len(text) + 30_000_000
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 5_000
    return caught.value


NESTED = pytest.mark.parametrize(
    ("depth", "beside"),
    [
        (15, {"p": 1}),
        (180, {"p": 1, "q": 1}),
        *(
            pytest.param(depth, beside, marks=pytest.mark.slow)
            for depth, beside in [(15, {}), (180, {}), (180, {"p": 1}), (15, {"p": 1, "q": 1})]
        ),
    ],
)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"propertyNames": {"pattern": "^a"}}, lambda: {f"u{i}": 1 for i in range(20_000)}),
        ({"additionalProperties": False}, lambda: {f"u{i}": 1 for i in range(20_000)}),
        ({"unevaluatedProperties": False}, lambda: {f"u{i}": 1 for i in range(20_000)}),
        ({"items": {"type": "integer"}}, lambda: ["x"] * 50_000),
        ({"uniqueItems": True}, lambda: [1] * 50_000),
        ({"anyOf": [{"items": {"type": "integer"}}, {"maxItems": 1}]}, lambda: ["x"] * 50_000),
    ],
)
def test_large_value_is_rejected_without_one_problem_per_part(
    schema: dict[str, object], value: Callable[[], object]
) -> None:
    kind = "array" if isinstance(value(), list) else "object"
    refuse(Checked(object, {"not": {"const": [[]]}, "type": kind, **schema}), value())


@NESTED
def test_nested_union_schema_reports_few_problems(depth: int, beside: dict[str, object]) -> None:
    form = Checked(object, EXPRESSION)
    told = refuse(form, nest(depth, **beside)).problems[0]
    assert told.expected == "value that fits one of the alternatives"
    assert refuse(form, {"of": {"p": 1}}).problems[0].expected == 'property "p"'


def test_negation_schema_is_not_reported_as_union() -> None:
    form = Checked(object, {"not": {"not": {"anyOf": [{"type": "object"}]}}})
    expected = refuse(form, [0] * 5_000).problems[0].expected
    assert expected == 'value that "not" does not exclude'


def test_unique_items_of_long_numbers_are_checked_fast() -> None:
    slot = Slot[object]("slot", Checked(object, {"uniqueItems": True}))
    same_hash = [i * (2**61 - 1) for i in range(20_000)]
    for numbers in (same_hash, [2**70 + i for i in range(20_000)]):
        for items in (numbers, [[number] for number in numbers]):
            since = time.thread_time()
            assert slot.decode(json.dumps(items).encode()) == items
            assert time.thread_time() - since < _SECONDS
            with pytest.raises(DecodeError, match="expected unique items"):
                slot.decode(json.dumps([*items, items[7]]).encode())


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        (b'[1,true,"1",[1],[true],{"a":1},{"a":true},null]', True),
        (b"[0,false]", True),
        (b"[1,1.0]", False),
        (b"[[1],[1.0]]", False),
        (b'[{"a":1,"b":2},{"b":2.0,"a":1}]', False),
        (b"[1e23,100000000000000000000000]", False),
        (b"[9007199254740993,9007199254740992.0]", True),
        (b'["\\u0031",1]', True),
        (b'["a","\\u0061"]', False),
        (b"[0.0,-0.0]", False),
    ],
)
def test_unique_items_compare_as_json(text: bytes, accepted: bool) -> None:
    slot = Slot[object]("slot", Checked(object, {"uniqueItems": True}))
    if accepted:
        slot.decode(text)
    else:
        with pytest.raises(DecodeError, match="expected unique items"):
            slot.decode(text)


def test_closed_model_with_many_unknown_properties_is_fast() -> None:
    class Closed(enkaku.Model, extra="forbid"):
        a: int | None = None

    refuse(Closed, {f"u{i}": 1 for i in range(20_000)})


class Plus(enkaku.Model, extra="forbid"):
    of: "Plus | Times | Unit | None" = None
    all: "list[Plus | Times] | None" = None
    p: int


class Times(enkaku.Model, extra="forbid"):
    of: "Plus | Times | Unit | None" = None
    all: "list[Plus | Times] | None" = None
    q: int


class Unit(enkaku.Model, extra="forbid"):
    of: "Plus | Times | Unit | None" = None
    kind: Literal[1, "unit"]
    unit: Literal["m", "s"]


class Whole(enkaku.Model):
    of: "Whole | Named | None" = None
    x: int | None = None


class Named(enkaku.Model):
    of: "Whole | Named | None" = None
    x: str | None = None


TERM = Slot[Plus | Times | Unit]("term", Plus | Times | Unit)


@pytest.mark.parametrize("depth", [1, 15, 180])
def test_recursive_union_is_decoded_in_linear_time(depth: int) -> None:
    value: dict[str, object] = {"p": 1}
    for index in range(depth):
        value = {"of": value, **[{"q": 2}, {"p": 3}, {"kind": 1, "unit": "m"}][index % 3]}
    since = time.thread_time()
    read = TERM.decode(json.dumps(value).encode())
    assert json.loads(TERM.encode(read)) == value
    assert time.thread_time() - since < _SECONDS


@NESTED
def test_nested_union_type_reports_few_problems(depth: int, beside: dict[str, object]) -> None:
    refuse(Plus | Times | Unit, nest(depth, **beside))
    refuse(list[Plus | Times | Unit], [nest(depth, **beside)] * 10)


@pytest.mark.parametrize("depth", [8, pytest.param(60, marks=pytest.mark.slow), 180])
def test_undiscriminated_union_is_decoded_in_linear_time(depth: int) -> None:
    slot, text = Slot[object]("slot", Whole | Named), json.dumps(nest(depth)).encode()
    assert isinstance(slot.decode(b'{"of":{"x":"a"},"x":1}'), Whole)
    refuse(Whole | Named, nest(depth, x=[]))
    since = time.thread_time()
    assert slot.encode(slot.decode(text)) == text.replace(b" ", b"")
    assert time.thread_time() - since < _SECONDS


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b'{"of":{"q":true},"p":1}', "/of/q: expected integer, got true"),
        (b'{"of":1,"kind":1.0,"unit":"m"}', "/of: expected object, got 1"),
        (b"1", "expected object, got 1"),
    ],
)
def test_recursive_union_reports_mistake(text: bytes, told: str) -> None:
    with pytest.raises(DecodeError) as caught:
        TERM.decode(text)
    assert str(caught.value) == f"term: {told}"
