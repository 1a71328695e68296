"""Which slots are proved: their type alone enforces the schema. Whether the proofs are right, the fuzz judges."""

import random
from collections.abc import Mapping
from typing import Any

import pytest
from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.planning.planner import make_plan
from enkaku_codegen.proving import candidates, prove
from enkaku_codegen.proving.ambiguous import ambiguous_unions
from enkaku_codegen.proving.checks import make_checks
from generated.packages import an_error, make_protocol, one_param

OBJECT = {"type": "object"}
A = {"type": "object", "properties": {"kind": {"const": "a"}}, "required": ["kind"]}
B = {"type": "object", "properties": {"kind": {"const": "b"}}, "required": ["kind"]}
DEFINITIONS = {
    "A": A,
    "B": B,
    "Tree": {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}},
        "additionalProperties": False,
    },
    "OddTree": {
        "type": "object",
        "properties": {
            "children": {"type": "array", "items": {"$ref": "#/$defs/OddTree"}, "uniqueItems": True}
        },
    },
    "Even": {"anyOf": [{"type": "null"}, {"type": "array", "items": {"$ref": "#/$defs/Odd"}}]},
    "Odd": {"type": "array", "items": {"$ref": "#/$defs/Even"}, "minItems": 1},
}


def reasons(schema: Any, definitions: Mapping[str, Any] = DEFINITIONS) -> list[str]:
    protocol = one_param(schema, definitions)
    checks = make_checks(make_plan(protocol), protocol)
    assert checks.proved + len(checks.slots) == 1
    return [str(reason) for check in checks.slots.values() for reason in check.reasons]


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        {"description": "Anything.", "format": "date", "default": 1},
        {"type": "integer", "minimum": 0.5, "exclusiveMaximum": 10, "multipleOf": 2},
        {"type": "number", "minimum": -1.5, "maximum": 7},
        {"type": "string", "minLength": 1, "maxLength": 3.0, "pattern": r"^\w+$"},
        {"type": ["string", "null"], "pattern": r"\S"},
        {"enum": ["a", 1, True, None]},
        {"const": "a", "minLength": 1, "pattern": "^[a-z]$"},
        {"type": "boolean", "enum": [True, False]},
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 4},
        {"type": "array", "items": True, "maxItems": 1, "uniqueItems": True},
        {"type": "array", "prefixItems": [{"type": "string"}, {}], "minItems": 2, "items": False},
        {"type": "array", "contains": {"type": "string"}, "minContains": 0},
        {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1},
        {"type": "object", "patternProperties": {"^a": {}}, "additionalProperties": False},
        {"type": "object", "propertyNames": {"enum": ["a", "b"]}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "b"]},
        {"type": "object", "properties": {"a": {}, "b": {}}, "additionalProperties": False, "maxProperties": 2},
        {"properties": {"a": {"type": "string"}}},
        {"properties": {"a": {"$ref": "#/$defs/Tree"}}, "dependentRequired": {"a": []}},
        {"$ref": "#/$defs/Tree"},
        {"$ref": "#/$defs/Even"},
        {"allOf": [{"$ref": "#/$defs/A"}, {"properties": {"x": {"type": "integer"}}}]},
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        {"oneOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}, {"type": "null"}]},
        {"oneOf": [{"const": "a"}, {"const": "b"}]},
        {"oneOf": [{"type": "integer", "maximum": 0}, {"type": "integer", "exclusiveMinimum": 0}]},
        {"type": "string", "not": {"type": "number"}},
        {"if": {"type": "string"}, "then": {"type": "string"}, "else": True},
        {
            "allOf": [
                {"type": "object", "properties": {"a": {"type": "string"}}},
                {"properties": {"b": {"type": "integer"}}},
            ],
            "unevaluatedProperties": False,
        },
    ],
)  # fmt: skip
def test_prove_type_enforces_schema(schema: Any) -> None:
    assert reasons(schema) == []


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        (False, ""),
        ({"type": "number", "multipleOf": 0.01}, "/multipleOf"),
        ({"minimum": 1}, "/minimum"),
        ({"type": "integer", "minimum": 2**60}, "/minimum"),
        ({"type": "string", "pattern": "(?=a)"}, "/pattern"),
        ({"enum": [1.5]}, "/enum"),
        ({"const": {"a": 1}}, "/const"),
        ({"type": "array", "uniqueItems": True}, "/uniqueItems"),
        ({"type": "array", "contains": {"type": "string"}}, "/contains"),
        ({"type": "array", "prefixItems": [{"type": "string"}]}, "/prefixItems/0/type"),
        ({"type": "array", "unevaluatedItems": False}, "/unevaluatedItems"),
        (OBJECT | {"properties": {"a": {}}, "minProperties": 1}, "/minProperties"),
        (OBJECT | {"properties": {"a": {}}, "additionalProperties": False, "minProperties": 1}, "/minProperties"),
        (OBJECT | {"properties": {"a": {}}, "additionalProperties": {"type": "null"}}, "/additionalProperties/type"),
        (OBJECT | {"properties": {"a": {}}, "patternProperties": {"b": False}}, "/patternProperties/b"),
        (OBJECT | {"properties": {"a": {}}, "propertyNames": {"maxLength": 1}}, "/propertyNames/maxLength"),
        (OBJECT | {"properties": {"a": {}, "b": {}}, "dependentRequired": {"a": ["b"]}}, "/dependentRequired"),
        (OBJECT | {"dependentSchemas": {"a": {"required": ["b"]}}}, "/dependentSchemas/a/required"),
        (OBJECT | {"properties": {"a": False}}, "/properties/a"),
        ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}], **OBJECT, "properties": {"a": {}, "b": {}}}, "/anyOf"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "/oneOf"),
        ({"oneOf": [A, {**A, "title": "Again"}]}, "/oneOf"),
        ({"oneOf": [True, True]}, "/oneOf"),
        ({"type": "string", "not": {"const": "a"}}, "/not"),
        ({"type": "string", "if": {"const": "a"}, "then": False}, "/if"),
        ({"allOf": [A], "anyOf": [{}], "unevaluatedProperties": False}, "/unevaluatedProperties"),
    ],
)  # fmt: skip
def test_prove_unproved_schema_reports_reason_and_location(schema: Any, pointer: str) -> None:
    assert f"/echo/param{pointer}" in {each.partition(": ")[0] for each in reasons(schema)}


def test_prove_recursion_with_false_assumption_is_rejected() -> None:
    found = reasons({"$ref": "#/$defs/OddTree"})
    assert found == [
        "/$defs/OddTree/properties/children/uniqueItems: a Python list may contain an item twice"
    ]


def test_prove_too_large_schema_is_not_proved() -> None:
    chain: dict[str, Any] = {
        f"D{index}": {"type": "array", "items": {"$ref": f"#/$defs/D{index + 1}"}}
        for index in range(500)
    }
    chain["D500"] = {"type": "string"}
    assert reasons({"$ref": "#/$defs/D0"}, chain) == [
        "/$defs/D60/items: the schema is too large to prove that the type enforces it"
    ]


def test_prove_includes_error_data() -> None:
    data = {"type": "object", "properties": {"a": {}}, "not": {"required": ["b"]}}
    errors = [an_error("X", data=data), an_error("Y", data={"type": "object"})]
    protocol = make_protocol({"echo": {"type": "request", "errors": errors}})
    checks = make_checks(make_plan(protocol), protocol)
    assert [(each.label, each.constant) for each in checks.slots.values()] == [
        ("EchoX data", "ECHO_X_ERROR")
    ]
    assert checks.proved == 1


def chain(length: int, last: Any) -> dict[str, Any]:
    """Make definitions that refer to the next one, and the last to the first."""
    return {
        f"D{place}": {
            "type": "object",
            "properties": {
                "next": {"$ref": f"#/$defs/D{(place + 1) % length}"},
                "value": last if place == length - 1 else {"type": "integer"},
            },
        }
        for place in range(length)
    }


def test_prove_long_chain_of_definitions_succeeds() -> None:
    assert reasons({"$ref": "#/$defs/D0"}, chain(500, {"type": "string"})) == []


def test_prove_mistake_at_end_of_long_chain_is_found() -> None:
    definitions = chain(100, {"type": "array", "uniqueItems": True})
    assert reasons({"$ref": "#/$defs/D0"}, definitions) == [
        "/$defs/D99/properties/value/uniqueItems: a Python list may contain an item twice"
    ]


def test_prove_discriminated_union_is_decided_without_recursion() -> None:
    definitions = chain(100, {"type": "string"})
    for place, schema in enumerate(definitions.values()):
        schema["properties"]["kind"] = {"const": f"kind{place}"}
        schema["required"] = ["kind"]
    choice = {"oneOf": [{"$ref": f"#/$defs/{name}"} for name in definitions]}
    assert reasons({"type": "array", "items": choice}, definitions) == []


def test_errors_whose_schemas_share_a_name_are_rejected() -> None:
    data = {"type": "object", "properties": {"a": {"not": {"const": 1}}}}
    declared = [
        an_error(code, definition=name, data=data, pointer=f"/$defs/{name}")
        for code, name in (("A", "HTTPGone"), ("B", "HttpGone"))
    ]
    protocol = make_protocol({"read": {"type": "request", "errors": declared}})
    with pytest.raises(ProtocolError, match=r"HTTP_GONE_ERROR.*HttpGone data, and HTTPGone data"):
        make_checks(make_plan(protocol), protocol)


def random_alternative(chance: random.Random) -> Any:
    properties = {
        name: chance.choice(
            [{"const": chance.choice("abc")}, {"enum": ["a", 1]}, {"type": "integer"}]
        )
        for name in chance.sample("klm", chance.randrange(3))
    }
    made: dict[str, Any] = {"type": "object", "properties": properties}
    made["required"] = chance.sample("klm", chance.randrange(3))
    if chance.random() < 0.3:
        made["additionalProperties"] = False
    if chance.random() < 0.1:
        return chance.choice(
            [{"type": "integer"}, {"type": ["null", "string"]}, {"const": "a"}, {}]
        )
    return {"$ref": f"#/$defs/{chance.choice('AB')}"} if chance.random() < 0.1 else made


@pytest.mark.parametrize("seed", range(20))
def test_candidates_leave_out_only_disjoint_alternatives(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    for keyword in ("anyOf", "oneOf"):
        for count in (2, 3, 10):
            schema = {keyword: [random_alternative(chance) for _ in range(count)]}
            found: list[list[str]] = []
            for few in (0, 1_000):
                monkeypatch.setattr(candidates, "_FEW", few)
                found.append(reasons(schema))
            assert found[0] == found[1], schema


def test_prove_shares_comparisons_of_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    def overlapping(index: int) -> Any:
        names = [f"p{(index * 7 + offset) % 97}" for offset in range(20)]
        properties: dict[str, Any] = {key: {"$ref": "#/$defs/U"} for key in names[:10]}
        properties |= {key: {"type": "string"} for key in names[10:]}
        return {"type": "object", "properties": properties, "required": names[:3]}

    definitions = {f"C{index}": overlapping(index) for index in range(5)}
    definitions["U"] = {"oneOf": [{"$ref": f"#/$defs/{name}"} for name in definitions]}
    monkeypatch.setattr(prove, "_MOST_STEPS_OF_ALL", 150_000)
    assert reasons({"$ref": "#/$defs/U"}, definitions) == [
        "/$defs/U/oneOf: a value may match two of the alternatives"
    ]


SELF = {"$ref": "#/$defs/T"}


def an_object(properties: dict[str, Any], required: str = "", *, closed: bool = False) -> Any:
    made = {"type": "object", "properties": {"of": SELF, **properties}, "required": [*required]}
    return {**made, "additionalProperties": False} if closed else made


@pytest.mark.parametrize(
    ("alternatives", "ambiguous"),
    [
        ([an_object({"k": {"const": 1}}, "k"), an_object({"k": {"const": 2}}, "k")], False),
        ([an_object({"k": {"const": 1}}, "k"), an_object({"k": {"const": 2}})], False),
        ([an_object({"k": {"const": 1}}), an_object({"k": {"const": 2}})], True),
        ([an_object({"k": {"const": 1}}, "k"), an_object({"k": {"type": "integer"}}, "k")], True),
        ([an_object({"k": {"type": "string"}}, "k"), an_object({"k": {"type": "null"}})], False),
        ([an_object({"k": {}}, "k"), an_object({"m": {}}, "m")], True),
        ([an_object({"k": {}}, "k"), an_object({"m": {}}, "m", closed=True)], False),
        ([{"type": "array", "items": SELF}, {"type": "array", "items": {"const": 1}}], True),
        ([{"type": "array", "items": SELF}, an_object({})], False),
        ([{"type": "object", "additionalProperties": SELF}, an_object({})], True),
        ([{"type": "object", "title": "P"}, {"type": "object", "properties": {"a": {}}}], False),
    ],
)
def test_ambiguous_recursive_union_is_found(alternatives: Any, ambiguous: bool) -> None:
    definitions = {"T": {"anyOf": [*alternatives, {"type": "integer"}]}}
    found = [*ambiguous_unions(make_plan(one_param(SELF, definitions)))]
    assert found == ([("$defs", "T")] if ambiguous else [])


def test_ambiguous_union_of_slot_is_found_there() -> None:
    one = {"type": "object", "properties": {"of": {"$ref": "#/$defs/R"}}}
    definitions = {"R": {"type": "object", "properties": {"of": {"$ref": "#/$defs/R"}}}}
    schema = {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/R"}, one]}}
    assert [*ambiguous_unions(make_plan(one_param(schema, definitions)))] == [("echo", "param")]
