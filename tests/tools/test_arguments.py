"""The values of command lines: ``--param`` and ``-p``."""

import argparse
import json
from pathlib import Path
from typing import Any, cast

import pytest
from enkaku.values.json_schema import Checked
from enkaku.values.slot import Slot
from enkaku_codegen.calling import arguments
from enkaku_codegen.calling.arguments import MISSING, read_assignment, read_param, write
from enkaku_codegen.calling.examples import example
from enkaku_codegen.calling.places import Places
from enkaku_codegen.calling.untyped import procedure_of
from enkaku_codegen.json_values import as_json
from enkaku_codegen.reading.definition import Procedure, Protocol

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "count": {"type": "integer"},
        "ratio": {"type": ["number", "null"]},
        "flag": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
        "name": {"type": "string"},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "constant": {"enum": ["1", 2, None]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "pair": {
            "prefixItems": [{"type": "string"}],
            "items": {"type": "integer"},
            "type": "array",
        },
        "tree": {"$ref": "#/$defs/Tree"},
        "any": {},
        "inner": {"allOf": [{"properties": {"x": {"type": "number"}}}, {"type": "object"}]},
        "1": {"type": "integer"},
        "numbers": {
            "type": "object",
            "patternProperties": {"^n": {"type": "integer"}, "(a+)+$": {}, "[": {}},
            "additionalProperties": {"type": "string"},
        },
    },
}
DEFINITIONS: dict[str, Any] = {
    "Tree": {
        "type": "object",
        "properties": {"value": {"type": "integer"}, "next": {"$ref": "#/$defs/Tree"}},
    },
    "Shape": {
        "oneOf": [
            {"properties": {"kind": {"const": "circle"}, "size": {"type": "number"}}},
            {"properties": {"kind": {"const": "text"}, "size": {"type": "string"}}},
        ]
    },
    "Loop": {"$ref": "#/$defs/Loop"},
    # Read one by one, these would be more than 10**12 schemas.
    **{f"D{n}": {"anyOf": [{"$ref": f"#/$defs/D{n + 1}"}] * 2} for n in range(40)},
    "D40": {},
}


def made(*given: str, schema: Any = SCHEMA, param: str | None = None) -> str:
    """Return the param that arguments make, as JSON."""
    value = MISSING if param is None else read_param(param)
    read = [read_assignment(each) for each in given]
    found = arguments.assign(value, read, schema, Places(DEFINITIONS))
    assert found is not MISSING
    return write(found).decode()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("count=5", '{"count":5}'),
        ("count=1.50", '{"count":1.50}'),
        ("count=1e400", '{"count":1e400}'),
        ("count=five", '{"count":"five"}'),
        ("count=", '{"count":""}'),
        ("count=0x1", '{"count":"0x1"}'),
        ("ratio=1.10", '{"ratio":1.10}'),
        ("ratio=null", '{"ratio":null}'),
        ("flag=true", '{"flag":true}'),
        ("flag=null", '{"flag":null}'),
        ("flag=yes", '{"flag":"yes"}'),
        ("name=5", '{"name":"5"}'),
        ("name=null", '{"name":"null"}'),
        ("name=a=b", '{"name":"a=b"}'),
        ("either=5", '{"either":5}'),
        ("either=five", '{"either":"five"}'),
        ('either:="5"', '{"either":"5"}'),
        ("constant=1", '{"constant":"1"}'),
        ("constant=2", '{"constant":2}'),
        ("constant=null", '{"constant":null}'),
        ("any=5", '{"any":"5"}'),
        ("any:=[1, 2.0]", '{"any":[1,2.0]}'),
        ("unknown=5", '{"unknown":"5"}'),
        ("tags[]=5", '{"tags":["5"]}'),
        ("tags.0=5", '{"tags":["5"]}'),
        ("pair.0=5", '{"pair":["5"]}'),
        ("1=5", '{"1":5}'),
        ("any.0=a", '{"any":{"0":"a"}}'),
        ("inner.x=1", '{"inner":{"x":1}}'),
        ("tree.next.next.value=1", '{"tree":{"next":{"next":{"value":1}}}}'),
        ("numbers.n1=1", '{"numbers":{"n1":1}}'),
        ("numbers.m1=1", '{"numbers":{"m1":"1"}}'),
        (f"numbers.{'a' * 60}m=1", f'{{"numbers":{{"{"a" * 60}m":"1"}}}}'),
        (r"a\.b\=c\\\:=1", '{"a.b=c\\\\:":"1"}'),
        (r"a\[]=1", '{"a[]":"1"}'),
        (r"\.=1", '{".":"1"}'),
        (r":=[1]", "[1]"),
        ("=text", '"text"'),
    ],
)
def test_assignment_has_type_of_schema(given: str, expected: str) -> None:
    assert made(given) == expected


def test_assignments_follow_each_other() -> None:
    assert made("tags[]=a", "tags[]=b", "tags.1=c") == '{"tags":["a","c"]}'
    assert made("pair[]=1", "pair[]=2") == '{"pair":["1",2]}'
    assert (
        made("count=2", "name=x", param='{"count": 1, "any": 1e2}')
        == '{"count":2,"any":1e2,"name":"x"}'
    )
    assert made("[].count=1", schema={"items": SCHEMA, "type": "array"}) == '[{"count":1}]'


def test_assignment_to_union_follows_constants() -> None:
    shape = {"$ref": "#/$defs/Shape"}
    assert made("kind=text", "size=5", schema=shape) == '{"kind":"text","size":"5"}'
    assert made("kind=circle", "size=5", schema=shape) == '{"kind":"circle","size":5}'


@pytest.mark.parametrize(
    "schema", [{"$ref": "#/$defs/Loop"}, False, {"anyOf": []}, {"not": {}}, {"$ref": "#/$defs/D0"}]
)
def test_assignment_ends_for_any_schema(schema: Any) -> None:
    assert made("a.b=1", schema=schema) == '{"a":{"b":"1"}}'


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["name=a", "name.b=c"], "expected an object at /name, got string"),
        (["count=1", "count[]=c"], "expected an array at /count, got number"),
        (["=a", "b=c"], "expected an object at the param, got string"),
        (["tags.1=a"], "the next item of the array has the index 0"),
        (["tags[]=a", "tags.b=c"], "expected an index or [], got 'b'"),
        (["tags[]=a", "tags.00=c"], "expected an index or [], got '00'"),
    ],
)
def test_assignment_to_other_place_is_rejected(given: list[str], message: str) -> None:
    with pytest.raises(argparse.ArgumentError) as caught:
        made(*given)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("name", "expected NAME=TEXT or NAME:=JSON"),
        (r"name\=x", "expected NAME=TEXT or NAME:=JSON"),
        ("a..b=c", "an empty name"),
        ("a.=c", "an empty name"),
        (".=c", "an empty name"),
        ("a.[]=c", "an empty name"),
        ("a:=b", """a string has its own quotes, as in '"text"'"""),
        ("a:=NaN", "NaN is not JSON"),
        ('a:={"b": 1, "b": 2}', "a name is repeated in an object"),
        ("a:=" + "[" * 100_000, "nested too deep"),
    ],
)
def test_wrong_assignment_is_rejected(given: str, message: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        read_assignment(given)
    assert message in str(caught.value)


def test_param_is_read_from_file(tmp_path: Path) -> None:
    path = tmp_path / "param.json"
    path.write_bytes(b'\xef\xbb\xbf{\n "a": 1.10,\n "b": "\\ud800"\n}')
    assert made(param=f"@{path}") == '{"a":1.10,"b":"\\ud800"}'
    path.write_bytes(b"\xff")
    for given, message in ((f"@{path}", "not UTF-8"), ("@/missing", "No such file")):
        with pytest.raises(argparse.ArgumentError) as caught:
            read_param(given)
        assert message in str(caught.value)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "integer", "minimum": 3}, "3"),
        ({"type": "number", "exclusiveMaximum": 0}, "-1"),
        ({"type": "integer", "multipleOf": 7}, "7"),
        ({"type": "string", "minLength": 6}, '"textxx"'),
        ({"type": "string", "maxLength": 2}, '"te"'),
        ({"type": "string", "format": "date"}, '"2030-01-31"'),
        ({"type": ["null", "boolean"]}, "true"),
        ({"enum": [{"a": 1.5}, 2]}, '{"a": 1.5}'),
        ({"default": 5, "examples": [6]}, "6"),
        ({"anyOf": [{"type": "null"}, {"const": "x"}]}, '"x"'),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, "[1, 1]"),
        ({"prefixItems": [{"const": "a"}], "items": False, "type": "array"}, '["a"]'),
        (
            {"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]},
            '{"a": 1, "b": 2}',
        ),
        ({"properties": {"a": {"const": 1}, "b": False}, "required": ["a"]}, '{"a": 1}'),
        ({"$ref": "#/$defs/Loop"}, "null"),
        ({"$ref": "#/$defs/D0"}, "null"),
    ],
)
def test_example_fits_schema(schema: Any, expected: str) -> None:
    protocol = Protocol("test", "", (), DEFINITIONS)
    slot = Slot[Any]("test", Checked(object, schema, DEFINITIONS))

    class Validating:
        def encode(self, value: bytes) -> bytes:
            slot.encode(json.loads(value))
            return value

    assert as_json(example(protocol, schema, cast("Any", Validating()))) == expected


def test_example_that_does_not_fit_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    schema: Any = {"type": "string", "pattern": "^[0-9]$"}
    procedure = Procedure("a", "event", "", {"data": schema}, (), "")
    protocol = Protocol("test", "", (procedure,), {})
    slot: Any = vars(procedure_of(protocol, procedure))["data"]
    assert example(protocol, schema, slot) == "text"
    assert (
        "the example does not fit its schema: expected string that matches"
        in capsys.readouterr().err
    )
