"""The callbacks of a protocol: how they are read, named and generated, and what is said of those that are wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from commands import enkaku
from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.generate import generate
from enkaku_codegen.planning.planner import make_plan
from enkaku_codegen.reading.definition import Protocol, read_protocol

EVENT = {"type": "event"}


def read(directory: Path, **content: Any) -> Protocol:
    path = directory / "farm.json"
    path.write_text(json.dumps(content))
    return read_protocol(path)


def issues(directory: Path, **content: Any) -> list[str]:
    with pytest.raises(ProtocolError) as caught:
        make_plan(read(directory, **content))
    return [f"{each.pointer}: {each.message}" for each in caught.value.issues]


def test_callbacks_are_read_as_procedures_are(tmp_path: Path) -> None:
    both = {
        "z": {"type": "stream", "receive": {"$ref": "#/$defs/A"}, "param": {"type": "string"}},
        "a/b": {**EVENT, "data": {"type": "integer"}, "x-python-name": "back"},
    }
    protocol = read(tmp_path, procedures={"p": EVENT}, callbacks=both, **{"$defs": {"A": True}})
    one, other = protocol.callbacks
    assert [each.name for each in protocol.procedures] == ["p"]
    assert (one.name, one.kind, one.pointer, one.python_name) == (
        "a/b",
        "event",
        "/callbacks/a~1b",
        "back",
    )
    assert other.slots == {"param": {"type": "string"}, "receive": {"$ref": "#/$defs/A"}}


def test_errors_of_document_are_not_those_of_callbacks(tmp_path: Path) -> None:
    error = {
        "type": "object",
        "properties": {"code": {"type": "string", "const": "NO"}, "message": {"type": "string"}},
        "required": ["code", "message"],
        "additionalProperties": False,
    }
    request = {"type": "request"}
    protocol = read(tmp_path, errors=error, procedures={"p": request}, callbacks={"c": request})
    assert [error.code for error in protocol.procedures[0].errors] == ["NO"]
    assert protocol.callbacks[0].errors == ()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"callbacks": {"a": EVENT}, "name": "X"}, '"procedures" is missing'),
        ({"callbacks": {}, "procedures": {"p": EVENT}}, "/callbacks: "),
        ({"callbacks": [], "procedures": {"p": EVENT}}, "/callbacks: expected an object"),
        ({"callbacks": {"a": EVENT}, "p": EVENT}, '/callbacks: this option needs the key "procedures"'),
        ({"callbacks": {"a": {"type": "evnt"}}, "procedures": {"p": EVENT}}, "/callbacks/a/type: "),
        (
            {"callbacks": {"a": {**EVENT, "param": {}}}, "procedures": {"p": EVENT}},
            '/callbacks/a/param: unknown key "param"',
        ),
        (
            {"callbacks": {"a": {**EVENT, "data": {"type": "x"}}}, "procedures": {"p": EVENT}},
            "/callbacks/a/data/type: ",
        ),
        (
            {"callbacks": {"a": {**EVENT, "data": {"minimun": 1}}}, "procedures": {"p": EVENT}},
            '/callbacks/a/data/minimun: unknown keyword "minimun"',
        ),
        ({"callback": {"a": EVENT}, "procedures": {"p": EVENT}}, '/callback: unknown key "callback" (did you mean "callbacks"?)'),
    ],
)  # fmt: skip
def test_wrong_callbacks_are_reported(tmp_path: Path, content: Any, told: str) -> None:
    found = issues(tmp_path, **content)
    assert any(told in each for each in found), found


def test_procedure_named_callbacks_stays_a_procedure(tmp_path: Path) -> None:
    protocol = read(tmp_path, callbacks=EVENT, other=EVENT)
    assert [each.name for each in protocol.procedures] == ["callbacks", "other"]
    assert protocol.callbacks == ()


def test_one_name_in_both_directions_is_reported(tmp_path: Path) -> None:
    content: dict[str, Any] = {"procedures": {"ping": EVENT}, "callbacks": {"ping": EVENT}}
    (told,) = issues(tmp_path, **content)
    assert told == (
        '/callbacks/ping: the package would have two things named PING: the callback "ping", and '
        'the procedure "ping" at /procedures/ping; rename one of them'
    )
    content["callbacks"]["ping"] = {**EVENT, "x-python-name": "ping_client"}
    plan = make_plan(read(tmp_path, **content))
    assert [each.constant for each in plan.both_ways] == ["PING", "PING_CLIENT"]
    assert {each.procedure.name for each in plan.both_ways} == {"ping"}


@pytest.mark.parametrize("name", ["FarmCallbacksClient", "FarmCallbacksHandler"])
def test_definition_named_like_class_of_callbacks_is_reported(tmp_path: Path, name: str) -> None:
    content = {"procedures": {"p": EVENT}, "$defs": {name: {"type": "string"}}}
    make_plan(read(tmp_path, **content))
    (told,) = issues(tmp_path, **content, name="farm", callbacks={"c": EVENT})
    assert f"two things named {name}" in told


def test_package_without_callbacks_has_no_module_for_them(tmp_path: Path) -> None:
    files = generate(read(tmp_path, procedures={"p": EVENT}), source="farm.json")
    assert "callbacks.py" not in files
    assert not any("allback" in text for text in files.values())


def test_check_notices_callbacks_that_were_added_and_removed(tmp_path: Path) -> None:
    content: dict[str, Any] = {"procedures": {"p": EVENT}}
    arguments = ("farm.json", "--out", "farm")
    for changed in ({**content, "callbacks": {"c": EVENT}}, content):
        read(tmp_path, **content)
        assert enkaku("generate", *arguments, cwd=tmp_path).returncode == 0
        read(tmp_path, **changed)
        assert enkaku("check", *arguments, cwd=tmp_path).returncode == 1
        assert enkaku("generate", *arguments, cwd=tmp_path).returncode == 0
        assert (tmp_path / "farm" / "callbacks.py").exists() == ("callbacks" in changed)
        content = {**content, "callbacks": {"c": EVENT}}


def test_protocol_ts_leaves_out_callbacks(tmp_path: Path) -> None:
    data = {"type": "object", "properties": {"a": {"type": "string"}}}
    read(tmp_path, procedures={"p": EVENT}, callbacks={"c": {**EVENT, "data": data}})
    options = ("--out", "web", "--language", "typescript")
    done = enkaku("generate", "farm.json", *options, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    files = {path.name: path.read_text() for path in (tmp_path / "web").iterdir()}
    assert "readonly c: (data: CData, " in files["client.d.ts"]
    assert "  c:" not in files["protocol.ts"]
