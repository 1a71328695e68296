"""``enkaku schema``, the meta-schema's URI as ``$schema`` of protocol files, and the names that are reserved."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import enkaku
from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.reading.definition import Protocol, read_protocol
from enkaku_codegen.reading.protocol_schema import META_SCHEMA, PROTOCOL_URI, read_meta_schema
from jsonschema import Draft202012Validator

ECHO = "echo: { type: request, param: { type: string } }"
COMMON = "$defs: { Level: { enum: [low, high] } }"
RESERVED = 'the prefix "enkaku:" is reserved for the procedures of Enkaku itself'


def read(directory: Path, text: str, name: str = "main.yaml") -> Protocol:
    path = directory / name
    path.write_text(text)
    return read_protocol(path)


def issues(directory: Path, text: str) -> list[str]:
    with pytest.raises(ProtocolError) as caught:
        read(directory, text)
    return str(caught.value).replace(f"{directory}/", "").split("\n")


def test_schema_prints_meta_schema(tmp_path: Path) -> None:
    ran = enkaku("schema", cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, META_SCHEMA.read_text(), "")
    assert json.loads(ran.stdout)["$id"] == PROTOCOL_URI


def test_schema_out_writes_file(tmp_path: Path) -> None:
    ran = enkaku("schema", "--out", "protocol.schema.json", cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert (tmp_path / "protocol.schema.json").read_text() == META_SCHEMA.read_text()


def test_schema_out_that_cannot_be_written_fails(tmp_path: Path) -> None:
    ran = enkaku("schema", "--out", "missing/protocol.schema.json", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("missing/protocol.schema.json: cannot be written: ")


def test_schema_unknown_argument_is_usage_error(tmp_path: Path) -> None:
    assert enkaku("schema", "protocol.yaml", cwd=tmp_path).returncode == 2


def test_schema_imports_standard_library_alone(tmp_path: Path) -> None:
    code = (
        "import sys; before = {*sys.modules}; from enkaku_codegen.commands.main import run; run(['schema'])\n"
        "found = {each.partition('.')[0] for each in {*sys.modules} - before}\n"
        "sys.exit(repr(found - sys.stdlib_module_names - {'enkaku_codegen'}))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.stderr == "set()\n"
    assert json.loads(ran.stdout) == read_meta_schema()


@pytest.mark.parametrize("rest", [ECHO, f"procedures: {{ {ECHO} }}", f"{COMMON}\nname: Shared"])
def test_protocol_with_uri_of_meta_schema_is_read(rest: str, tmp_path: Path) -> None:
    with_uri = read(tmp_path, f"$schema: {PROTOCOL_URI}\n{rest}")
    assert with_uri == read(tmp_path, rest)


@pytest.mark.parametrize("others", ["", "name: Common", f"procedures: {{ {ECHO} }}"])
def test_referenced_file_with_uri_of_meta_schema_is_read(others: str, tmp_path: Path) -> None:
    main = "p: { type: event, data: { $ref: 'common.yaml#/$defs/Level' } }"
    (tmp_path / "common.yaml").write_text(f"{COMMON}\n{others}")
    without = read(tmp_path, main)
    (tmp_path / "common.yaml").write_text(f"$schema: {PROTOCOL_URI}\n{COMMON}\n{others}")
    assert read(tmp_path, main) == without


def test_protocol_for_other_version_is_rejected(tmp_path: Path) -> None:
    other = "urn:enkaku:protocol:2"
    expected = f'expected {PROTOCOL_URI}, got "{other}": this version of enkaku does not know it'
    assert issues(tmp_path, f"$schema: {other}\n{ECHO}") == [f"main.yaml:1: /$schema: {expected}"]
    (tmp_path / "common.yaml").write_text(f"$schema: {other}\n{COMMON}")
    main = "p: { type: event, data: { $ref: 'common.yaml#/$defs/Level' } }"
    assert issues(tmp_path, main) == [f"common.yaml:1: /$schema: {expected}"]


def test_uri_of_meta_schema_in_schema_is_rejected(tmp_path: Path) -> None:
    text = f"p: {{ type: event, data: {{ $schema: '{PROTOCOL_URI}', type: string }} }}"
    (found,) = issues(tmp_path, text)
    assert "/p/data/$schema: expected draft 2020-12 or draft-07" in found


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ("enkaku:login: { type: request }", "/enkaku:login"),
        ("procedures: { 'enkaku:x': { type: event } }", "/procedures/enkaku:x"),
        (
            f"procedures: {{ {ECHO} }}\ncallbacks: {{ 'enkaku:': {{ type: event }} }}",
            "/callbacks/enkaku:",
        ),
    ],
)
def test_reserved_procedure_name_is_rejected(text: str, pointer: str, tmp_path: Path) -> None:
    (found,) = issues(tmp_path, text)
    assert found.endswith(f": {pointer}: {RESERVED}")


@pytest.mark.parametrize("name", ["enkaku", "enkaku/login", "Enkaku:login", "my/enkaku:login"])
def test_similar_procedure_names_are_free(name: str, tmp_path: Path) -> None:
    protocol = read(tmp_path, json.dumps({name: {"type": "event"}}), "main.json")
    assert [each.name for each in protocol.procedures] == [name]


def test_meta_schema_reserves_prefix_for_editors_too() -> None:
    validator = Draft202012Validator(read_meta_schema())
    event = {"type": "event"}
    assert validator.is_valid({"enkaku/login": event})
    assert not validator.is_valid({"enkaku:login": event})
    assert not validator.is_valid({"procedures": {"enkaku:login": event}})
    assert not validator.is_valid({"procedures": {"p": event}, "callbacks": {"enkaku:a": event}})
