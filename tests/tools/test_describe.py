"""``enkaku list`` and ``enkaku describe``: of files, packages and servers."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import trustme
from commands import enkaku

from .lab_client import PROTOCOL, lab_server

pytestmark = pytest.mark.xdist_group("call")


@pytest.fixture(scope="module")
def lab(
    tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA
) -> Iterator[Mapping[str, str]]:
    directory = tmp_path_factory.mktemp("lab")
    with lab_server(directory, authority) as addresses:
        yield {**addresses, "directory": str(directory)}


def test_list_prints_one_procedure_a_line(tmp_path: Path) -> None:
    done = enkaku("list", "--protocol", PROTOCOL, cwd=tmp_path)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "brief        channel"
    assert "math/divide  request  Divide two numbers." in lines
    assert len(lines) == len(json.loads(PROTOCOL.read_text())["procedures"])


def test_list_as_json_has_whole_descriptions(tmp_path: Path) -> None:
    done = enkaku("list", "--protocol", PROTOCOL, "--json", cwd=tmp_path)
    found = {each["name"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert found["math/divide"] == {
        "name": "math/divide",
        "kind": "request",
        "description": "Divide two numbers.\nThe second must not be 0.",
    }


def test_describe_shows_schemas_and_errors(tmp_path: Path) -> None:
    done = enkaku("describe", "--protocol", PROTOCOL, "math/divide", cwd=tmp_path)
    assert done.stdout == """math/divide: request (idempotent)
Divide two numbers.
The second must not be 0.

param
  {
    "type": "object",
    "properties": {"a": {"type": "number", "examples": [6]}, "b": {"$ref": "#/$defs/Divisor"}},
    "required": ["a", "b"],
    "additionalProperties": false
  }

result
  {"type": "number"}

error DIVISION_BY_ZERO: The divisor is 0.
  {
    "type": "object",
    "properties": {"dividend": {"type": "number"}},
    "required": ["dividend"]
  }

#/$defs/Divisor
  {"type": "number", "default": 2, "description": "What to divide by."}
"""


def test_describe_as_json_is_document(tmp_path: Path) -> None:
    done = enkaku("describe", "--protocol", PROTOCOL, "math/divide", "--json", cwd=tmp_path)
    found, file = json.loads(done.stdout), json.loads(PROTOCOL.read_text())
    assert found["name"] == "math/divide"
    assert found["param"] == file["procedures"]["math/divide"]["param"]
    assert found["$defs"] == file["$defs"]
    done = enkaku("describe", "--protocol", PROTOCOL, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["procedures"].keys() == file["procedures"].keys()


def test_description_is_escaped(tmp_path: Path) -> None:
    protocol = tmp_path / "p.json"
    protocol.write_text(json.dumps({"a\x1b[2J": {"type": "event", "description": "b\x9bc\rd"}}))
    for arguments in (("list",), ("describe",), ("list", "--json"), ("describe", "--json")):
        done = enkaku(*arguments, "--protocol", protocol, cwd=tmp_path)
        assert done.returncode == 0
        assert "2J" in done.stdout
        assert all(line.isprintable() for line in done.stdout.splitlines())


def test_server_is_listed_and_described(lab: Mapping[str, str], tmp_path: Path) -> None:
    done = enkaku("list", lab["unix"], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (
        0,
        enkaku("list", "--protocol", PROTOCOL, cwd=tmp_path).stdout,
    )
    arguments = ("math/divide", "--json")
    done = enkaku("describe", lab["unix"], *arguments, cwd=tmp_path)
    expected = enkaku("describe", "--protocol", PROTOCOL, *arguments, cwd=tmp_path)
    assert json.loads(done.stdout) == json.loads(expected.stdout)


def test_package_is_listed(lab: Mapping[str, str], tmp_path: Path) -> None:
    done = enkaku("list", "--package", "lab_package", cwd=Path(lab["directory"]))
    assert done.stdout == enkaku("list", "--protocol", PROTOCOL, cwd=tmp_path).stdout


def test_project_is_listed_and_described(tmp_path: Path) -> None:
    (tmp_path / "enkaku.toml").write_text(f'[[protocol]]\nfile = "{PROTOCOL}"\n')
    expected = enkaku("list", "--protocol", PROTOCOL, cwd=Path("/")).stdout
    assert enkaku("list", cwd=tmp_path).stdout == expected
    assert enkaku("describe", "sum", cwd=tmp_path).stdout.startswith(
        "sum: channel\nAdd numbers up.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("list",), 2, "expected ADDRESS, --protocol FILE or --package MODULE"),
        (("list", "unix:/missing"), 3, "No such file"),
        (("list", "unix:/missing", "--protocol", "p.json"), 2, "ADDRESS asks the server"),
        (("list", "--protocol", "missing.json"), 2, "missing.json: no such file"),
        (
            ("describe", "--protocol", str(PROTOCOL), "sun"),
            2,
            'no procedure "sun": did you mean sum?',
        ),
        (("describe", "sum"), 2, "expected ADDRESS"),
    ],
)
def test_wrong_arguments_are_rejected(
    tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "p.json").write_text('{"a": {"type": "event"}}')
    done = enkaku(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr


def test_server_without_description_is_told(lab: Mapping[str, str], tmp_path: Path) -> None:
    for transport in ("tcp", "signed"):  # unknown to the one, and not allowed by the other
        done = enkaku("list", lab[transport], "--errors", "json", cwd=tmp_path)
        assert done.returncode == 2
        message = "the server does not describe the procedures to this client: give --protocol"
        assert json.loads(done.stderr)["message"].startswith(message)


def test_reading_protocol_needs_no_generator() -> None:
    code = (
        "import sys; from enkaku_codegen.commands.main import run; run(sys.argv[1:]); "
        "heavy = {'black', 'datamodel_code_generator', 'jinja2', 'enkaku'} & sys.modules.keys(); assert not heavy, heavy"
    )
    arguments = ["list", "--protocol", str(PROTOCOL)]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)
