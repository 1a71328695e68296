"""Secrets of a protocol: generated types show them in no error, and in no representation."""

import warnings
from pathlib import Path
from typing import Any

import enkaku
import pytest
from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.reading.definition import read_protocol
from generated.packages import an_error, imported, make_protocol, one_param

SECRET = "S3cretPw!"
TEXT = {"type": "string"}
MARKED = {"type": "string", "x-secret": True}
WRITE_ONLY = {"type": "string", "writeOnly": True}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("schema", "data", "pointer"),
    [
        (_object(a=MARKED), '{"a": 12345}', "/a"),
        (_object(a=WRITE_ONLY), '{"a": 12345}', "/a"),
        (_object(a={"$ref": "#/$defs/Code"}), '{"a": 12345}', "/a"),
        (_object(a={"$ref": "#/$defs/Plain", "x-secret": True}), '{"a": 12345}', "/a"),
        (_object(a={"allOf": [{"$ref": "#/$defs/Plain"}, MARKED]}), '{"a": 12345}', "/a"),
        (_object(a={"anyOf": [TEXT, {"$ref": "#/$defs/Code"}]}), '{"a": 12345}', "/a"),
        (_object(a={"type": ["string", "null"], "x-secret": True}), '{"a": 12345}', "/a"),
        (_object(a={"type": "array", "items": MARKED}), '{"a": ["b", 12345]}', "/a"),
        (
            _object(a={"type": "array", "items": {"$ref": "#/$defs/Login"}}),
            '{"a": [{"password": 12345}]}',
            "/a/0/password",
        ),
        (
            _object(a={"type": "object", "additionalProperties": {"$ref": "#/$defs/Login"}}),
            '{"a": {"b": {"password": 12345}}}',
            "/a/b/password",
        ),
        (_object(a=_object(b=_object(c=MARKED))), '{"a": {"b": {"c": 12345}}}', "/a/b/c"),
        ({**_object(a=TEXT), "x-secret": True}, '{"a": 12345}', "/a"),
        (
            {**_object(a=TEXT), "additionalProperties": {"type": "integer", "x-secret": True}},
            '{"b": "12345"}',
            "/b",
        ),
        (
            {
                **_object(a=TEXT),
                "if": {"required": ["a"]},
                "then": _object(b={**MARKED, "maxLength": 2}),
            },
            '{"a": "x", "b": "12345"}',
            "/b",
        ),
        ({"$ref": "#/$defs/Code"}, "12345", ""),
        ({"type": "array", "items": MARKED}, "[12345]", ""),
        ({"type": "object", "additionalProperties": MARKED}, '{"12345": 12345}', ""),
        ({"oneOf": [_object(a=MARKED), {"type": "integer"}]}, '{"a": 12345}', "/a"),
        ({"$ref": "#/$defs/List"}, '{"value": 12345}', "/value"),
        ({"$ref": "#/$defs/List"}, '{"next": {"next": {"value": 12345}}}', "/next/next/value"),
    ],
)
def test_secret_is_not_in_problems(tmp_path: Path, schema: Any, data: str, pointer: str) -> None:
    definitions = {
        "Code": MARKED,
        "Plain": TEXT,
        "Login": _object(user=TEXT, password=MARKED),
        "List": _object(value=WRITE_ONLY, next={"$ref": "#/$defs/List"}),
    }
    with imported(one_param(schema, definitions), tmp_path) as package:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(enkaku.DecodeError) as caught:
                package.ECHO.param.decode(data.encode())
    (problem,) = caught.value.problems
    assert (problem.pointer, problem.found) == (pointer, "secret value")
    assert "12345" not in str(caught.value)


def test_secret_is_not_in_representations(tmp_path: Path) -> None:
    schema = _object(
        user=TEXT,
        password=MARKED,
        keys={"type": "array", "items": MARKED},
        card=_object(number=MARKED),
        many={"type": "array", "items": _object(name=TEXT, key=MARKED)},
    )
    value = {
        "user": "ada",
        "password": SECRET,
        "keys": [SECRET],
        "card": {"number": SECRET},
        "many": [{"name": "a", "key": SECRET}],
        "more": SECRET,
    }
    with imported(one_param(schema), tmp_path) as package:
        read = package.ECHO.param.decode(enkaku.Slot("any", object).encode(value))
        assert read.password == SECRET
        assert repr(read) == (
            "EchoParam(user='ada', card=EchoParamCard(), many=[EchoParamManyItem(name='a')])"
        )


def test_secret_data_of_error_is_not_in_problems(tmp_path: Path) -> None:
    error = an_error("LOCKED", data={"type": "string", "x-secret": True})
    procedures = {"ask": {"type": "request", "errors": [error]}}
    with imported(make_protocol(procedures), tmp_path) as package:
        with pytest.raises(enkaku.EncodeError) as caught:
            package.ASK.encode_error(package.AskLocked("no", 12345))
        assert "12345" not in str(caught.value)


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_secret_keyword_not_boolean_is_rejected(tmp_path: Path, value: Any) -> None:
    shown = {"yes": '"yes"', 1: "1", None: "null"}[value]
    path = tmp_path / "protocol.yaml"
    path.write_text(
        f"procedures: {{a: {{type: event, data: {{type: string, x-secret: {shown}}}}}}}"
    )
    with pytest.raises(ProtocolError) as caught:
        read_protocol(path)
    (issue,) = caught.value.issues
    assert issue.pointer == "/procedures/a/data/x-secret"
    assert issue.message == f"expected true or false, got {shown}"
