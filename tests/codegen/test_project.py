"""``[tool.enkaku]``: what a project lists, and what the commands do with it."""

from pathlib import Path

import pytest
from commands import enkaku
from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.project import find_project, read_project

EVENT = '{"ping": {"type": "event"}}'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with two protocols, and a file that lists them."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_text(EVENT)
    (tmp_path / "pyproject.toml").write_text(
        '[[tool.enkaku.protocol]]\nfile = "one.json"\nout = "src/one"\n'
        '[[tool.enkaku.protocol]]\nfile = "two.json"\nout = "src/two"\nname = "Second"\n'
    )
    return tmp_path


def test_generate_without_arguments_writes_all_packages(project: Path) -> None:
    ran = enkaku("generate", cwd=project)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "class OneClient" in (project / "src/one/client.py").read_text()
    assert "class SecondClient" in (project / "src/two/client.py").read_text()
    assert enkaku("check", cwd=project).returncode == 0


def test_check_in_subdirectory_finds_project_above(project: Path) -> None:
    enkaku("generate", cwd=project)
    (project / "two.json").write_text('{"pong": {"type": "event"}}')
    ran = enkaku("check", cwd=project / "src")
    assert ran.returncode == 1
    assert "two: out of date" in ran.stderr
    assert "one" not in ran.stderr


def test_generate_listed_protocol_needs_no_out(project: Path) -> None:
    enkaku("generate", "two.json", cwd=project)
    assert [path.name for path in (project / "src").iterdir()] == ["two"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("generate",), "expected PROTOCOL --out DIR, or [[tool.enkaku.protocol]]"),
        (("check", "p.json"), "expected --out DIR, or [[tool.enkaku.protocol]]"),
        (("generate", "--name", "N"), "--name needs PROTOCOL"),
    ],
)
def test_command_without_project_exits_with_2(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    ran = enkaku(*arguments, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert message in ran.stderr


def test_enkaku_toml_has_the_table_at_its_top(tmp_path: Path) -> None:
    (tmp_path / "enkaku.toml").write_text(
        '[[protocol]]\nfile = "p.yaml"\nlanguage = "typescript"\nout = "web"\nline-length = 80\n'
        'templates = "t"\nagainst = "origin/main"\n[protocol.imports]\n"c.yaml" = "../c/client.js"\n'
        "[lint]\nignore = []\n"
    )
    found = find_project(tmp_path)
    assert found is not None
    assert found.settings == {"lint": {"ignore": []}}
    (target,) = found.targets
    assert (target.against, target.request.language) == ("origin/main", "typescript")
    assert (target.request.line_length, len(target.request.imports)) == (80, 1)


def test_pyproject_without_table_is_no_project(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.black]\n")
    assert read_project(tmp_path / "pyproject.toml") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("protocol = 1", "/protocol: expected one or more tables [[protocol]]"),
        ("[[protocol]]\nout = 'x'", '/protocol/0: expected "file", the protocol file'),
        (
            "[[protocol]]\nfile = 1",
            "/protocol/0/file: expected a string with at least one character",
        ),
        (
            "[[protocol]]\nfile = 'p'\nfiel = 'p'",
            "/protocol/0/fiel: unknown key; did you mean file?",
        ),
        ("[lints]\n", "/lints: unknown key; did you mean lint?"),
        (
            "[[protocol]]\nfile = 'p'\nlanguage = 'c'",
            "/protocol/0/language: expected python or typescript",
        ),
        (
            "[[protocol]]\nfile = 'p'\nline-length = true",
            "/protocol/0/line-length: expected 60 to 500 characters",
        ),
        ("[[protocol]]\nfile = 'p'\nsync = 'yes'", "/protocol/0/sync: expected true or false"),
        ("[[protocol]]\nfile = 'p'\nimports = ['c']", "/protocol/0/imports: expected a table"),
        (
            "[[protocol]]\nfile = 'p'\nout = 'o'\n[[protocol]]\nfile = 'q'\nout = './o'",
            "/protocol/1/out: the directory of /protocol/0, too; each package has its own",
        ),
        ("[[protocol]", "not TOML: "),
        ("\0", "not TOML: "),
    ],
)
def test_project_error_names_file_and_location(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "enkaku.toml"
    file.write_text(text)
    with pytest.raises(ProtocolError) as raised:
        read_project(file)
    assert message in str(raised.value)
    assert str(raised.value).startswith(str(file))
