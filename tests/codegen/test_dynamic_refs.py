"""Schemas with $dynamicRef: they reach the generated package as they were written."""

import json
from pathlib import Path
from typing import Any

import pytest
from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.reading.definition import Protocol, read_protocol
from jsonschema_rs import validator_for

NEW = "https://json-schema.org/draft/2020-12/schema"
LIST = {
    "$id": "list",
    "type": "array",
    "items": {"$dynamicRef": "#item"},
    "$defs": {"any": {"$dynamicAnchor": "item"}},
}
NUMBER = {"$dynamicAnchor": "item", "type": "number"}


def _read(directory: Path, content: object, **files: object) -> Protocol:
    for name, each in {"main": content, **files}.items():
        (directory / f"{name}.json").write_text(json.dumps(each, indent=1))
    return read_protocol(directory / "main.json")


def _issues(directory: Path, content: object, **files: object) -> list[str]:
    with pytest.raises(ProtocolError) as caught:
        _read(directory, content, **files)
    return [issue.replace(f"{directory}/", "") for issue in str(caught.value).split("\n")]


def _accepts(schema: Any, *values: Any) -> list[bool]:
    validator = validator_for(schema, validate_formats=False, offline=True)
    return [validator.is_valid(value) for value in values]


def test_dynamic_ref_self_contained_slot_is_unchanged(tmp_path: Path) -> None:
    param = {"$id": "urn:x:numbers", "$ref": "list", "$defs": {"list": LIST, "number": NUMBER}}
    param = {**param, "$id": "https://example.com/numbers"}
    content = {"p": {"type": "request", "param": param, "result": {"type": "string"}}}
    protocol = _read(tmp_path, content)
    (procedure,) = protocol.procedures
    assert procedure.dynamic_schemas == {"param": {"$schema": NEW, **param}}
    assert _accepts(procedure.dynamic_schemas["param"], [1], ["a"], 1) == [True, False, False]
    assert procedure.slots["param"] == {"$ref": "#/$defs/list"}
    assert protocol.definitions["list"] == {"type": "array", "items": {"$dynamicRef": "#item"}}


def test_dynamic_ref_slot_gets_shared_definitions_it_needs(tmp_path: Path) -> None:
    content = {
        "$defs": {
            "Far": {"$ref": "far.json"},
            "List": LIST,
            "Named": {"properties": {"numbers": {"$ref": "#/$defs/List"}}},
            "Number": NUMBER,
            "Text": {"type": "string"},
        },
        "procedures": {
            "p": {"type": "request", "param": {"$ref": "#/$defs/Named"}, "result": True},
            "q": {"type": "request", "param": {"$ref": "#/$defs/Text"}},
        },
    }
    first, second = _read(tmp_path, content, far={"type": "null"}).procedures
    definitions = {name: content["$defs"][name] for name in ("List", "Named", "Number")}
    assert first.dynamic_schemas == {
        "param": {"$schema": NEW, "$ref": "#/$defs/Named", "$defs": definitions}
    }
    values = ({"numbers": [1]}, {"numbers": ["a"]})
    assert _accepts(first.dynamic_schemas["param"], *values) == [True, False]
    assert second.dynamic_schemas == {}


@pytest.mark.parametrize(
    ("param", "place"),
    [
        ({"$ref": "far.json"}, "far.json:1"),
        ({"$defs": {}, "$ref": "#/$defs/List"}, "main.json:3: /$defs/List"),
        ({"$id": "urn:x", "$ref": "#/$defs/List"}, "main.json:3: /$defs/List"),
        ({"$ref": "#/$defs/List", "not": {"$ref": "other.json"}}, "other.json:1"),
    ],
)
def test_dynamic_ref_slot_with_foreign_reference_is_rejected(
    param: object, place: str, tmp_path: Path
) -> None:
    content = {
        "$defs": {"List": LIST},
        "procedures": {"p": {"type": "request", "param": param}},
    }
    found = _issues(tmp_path, content, far=LIST, other={"type": "null"})
    assert len(found) == 1
    assert "/procedures/p/param" in found[0]
    assert f"since the slot uses $dynamicRef; got {place}" in found[0]


def test_dynamic_ref_to_missing_anchor_is_rejected(tmp_path: Path) -> None:
    assert _issues(tmp_path, {"p": {"type": "event", "data": {"$dynamicRef": "#nope"}}}) == [
        'main.json:5: /p/data/$dynamicRef: "#nope": there is no anchor "nope"'
    ]


def test_dynamic_ref_schema_rejected_by_validator_is_reported(tmp_path: Path) -> None:
    data = {"$dynamicAnchor": "a", "items": {"$dynamicRef": "#a"}, "not": {"$ref": "#/$defs/é"}}
    data["$defs"] = {"é": {"type": "string"}}
    (found,) = _issues(tmp_path, {"p": {"type": "event", "data": data}})
    assert found.startswith("main.json:4: /p/data: the validator rejects this schema: Invalid URI")


def test_dynamic_ref_to_itself_is_accepted(tmp_path: Path) -> None:
    data = {"$dynamicAnchor": "a", "allOf": [{"$dynamicRef": "#a"}]}
    (procedure,) = _read(tmp_path, {"p": {"type": "event", "data": data}}).procedures
    assert _accepts(procedure.dynamic_schemas["data"], 1) == [True]


def test_dynamic_ref_in_error_data_is_rejected(tmp_path: Path) -> None:
    data = {"type": "object", "properties": {"a": {"$ref": "#/$defs/List"}}}
    error = {
        "type": "object",
        "properties": {"code": {"type": "string"}, "message": {"type": "string"}, "data": data},
        "required": ["code", "message"],
        "additionalProperties": False,
    }
    content = {
        "$defs": {"List": LIST, "Bad": error},
        "procedures": {"p": {"type": "request", "error": {"$ref": "#/$defs/Bad"}}},
    }
    (found,) = _issues(tmp_path, content)
    assert "/$defs/Bad/properties/data: $dynamicRef is not supported in the data" in found


def test_dynamic_ref_schemas_too_large_are_rejected(tmp_path: Path) -> None:
    wide = {"allOf": [{}] * 2000, "$ref": "#/$defs/List"}
    content = {
        "$defs": {"List": LIST, "Wide": wide},
        "procedures": {
            f"p{index}": {"type": "event", "data": {"$ref": "#/$defs/Wide"}} for index in range(60)
        },
    }
    (found,) = _issues(tmp_path, content)
    assert "the schemas with $dynamicRef hold more than 100000 schemas" in found
