"""What a person is told about a value that a generated type, or the validator beside it, refuses."""

import json
from collections.abc import Iterator
from typing import Any

import enkaku
import pytest
from generated.packages import imported, make_protocol

pytestmark = pytest.mark.xdist_group("refusals")  # one package for all

CIRCLE = {
    "type": "object",
    "properties": {"kind": {"const": "circle"}, "radius": {"type": "number"}},
    "required": ["kind", "radius"],
}
SQUARE = {
    "type": "object",
    "properties": {"kind": {"const": "square"}, "side": {"type": "integer", "minimum": 1}},
    "required": ["kind", "side"],
    "additionalProperties": False,
}
SCHEMAS: dict[str, Any] = {
    "tagged": {"oneOf": [CIRCLE, SQUARE]},
    "listed": {"type": "array", "items": {"oneOf": [CIRCLE, SQUARE]}},
    "renamed": {
        "oneOf": [
            {"type": "object", "properties": {"theKind": {"const": kind}}, "required": ["theKind"]}
            for kind in ("a", "b")
        ]
    },
    "unique": {"type": "array", "uniqueItems": True},
}


@pytest.fixture(scope="module")
def slots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    procedures = {name: {"type": "request", "param": each} for name, each in SCHEMAS.items()}
    with imported(make_protocol(procedures), tmp_path_factory.mktemp("refusals")) as package:
        yield {name: getattr(package, name.upper()).param for name in SCHEMAS}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("tagged", {}, 'expected property "kind", got empty object'),
        ("tagged", {"kind": "cube"}, '/kind: expected "circle" or "square", got "cube"'),
        ("tagged", {"kind": "square", "side": 0}, "/side: expected integer, 1 or more, got 0"),
        ("tagged", {"kind": "square", "side": 1, "x": 2}, '/x: expected no property "x", got 2'),
        ("tagged", 1, "expected object, got 1"),
        ("listed", [{"kind": "circle", "radius": 1}, {"kind": "cube"}],
         '/1/kind: expected "circle" or "square", got "cube"'),
        ("renamed", {"theKind": "c"}, '/theKind: expected "a" or "b", got "c"'),
        ("unique", [1, 1], "expected unique items, got array with 2 items"),
    ],
)  # fmt: skip
def test_decode_error_names_location_and_reason(
    slots: dict[str, Any], name: str, value: object, said: str
) -> None:
    with pytest.raises(enkaku.DecodeError) as caught:
        slots[name].decode(json.dumps(value).encode())
    assert said in str(caught.value)
    assert "pydantic" not in str(caught.value)


def test_encode_error_names_reason(slots: dict[str, Any]) -> None:
    with pytest.raises(enkaku.EncodeError, match="expected unique items"):
        slots["unique"].encode(["a", "a"])
    with pytest.raises(enkaku.EncodeError, match="expected object, got 1"):
        slots["tagged"].encode(1)
