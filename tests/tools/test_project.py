"""``[tool.enkaku]``: what a project lists, and what the commands do with it."""

import json
import os
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
        (
            "[[protocol]]\nfile = 'p'\nout = \"a\\u0000b\"",
            "/protocol/0/out: a null character is in no",
        ),
        (
            "[[protocol]]\nfile = 'p'\nimports = { '' = 'm' }",
            "/protocol/0/imports/: expected the path of a protocol file",
        ),
        ("[[protocol]]\nfile = 'p'\nname = ' '", "/protocol/0/name: expected a string with"),
        (
            "[[protocol]]\nfile = 'p'\n[lint]\nsince = [{ day = 2026-11-30T10:00:00 }]",
            "/lint/since/0/day: expected no time",
        ),
        ("a = " + "[" * 5000, "not TOML: "),
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


def test_project_paths_are_relative_to_its_file(project: Path) -> None:
    common = {"$defs": {"Money": {"type": "object", "properties": {"cents": {"type": "integer"}}}}}
    (project / "schemas").mkdir()
    (project / "schemas" / "common.json").write_text(json.dumps(common))
    data = {"$ref": "schemas/common.json#/$defs/Money"}
    (project / "one.json").write_text(json.dumps({"ping": {"type": "event", "data": data}}))
    (project / "templates").mkdir()
    (project / "templates" / "server.py.jinja").write_text('{% include "header.jinja" %}\n"own"\n')
    (project / "pyproject.toml").write_text(
        '[[tool.enkaku.protocol]]\nfile = "one.json"\nout = "src/one"\ntemplates = "templates"\n'
        'sync = true\nimports = { "schemas/common.json" = "app.common" }\n'
    )
    below = project / "deep" / "er"
    below.mkdir(parents=True)
    ran = enkaku("generate", cwd=below)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert '"own"' in (project / "src/one/server.py").read_text()
    assert "from app.common import Money" in (project / "src/one/client.py").read_text()
    assert (project / "src/one/sync_client.py").exists()
    ran = enkaku("generate", cwd=project)
    assert ran.stdout == "src/one: up to date\n", "the same from another directory"


def test_package_inside_another_is_left_alone(project: Path) -> None:
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(text.replace("src/two", "src/one/two"))
    assert enkaku("generate", cwd=project).returncode == 0
    (project / "one.json").write_text('{"pong": {"type": "event"}}')
    ran = enkaku("generate", cwd=project)
    assert ran.stdout == "src/one: 5 written\nsrc/one/two: up to date\n"


def test_project_reached_through_link_to_its_directory(project: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(project)
    assert enkaku("generate", tmp_path / "link" / "two.json", cwd=project).returncode == 0
    assert (project / "src" / "two" / "client.py").exists()


def test_project_directories_that_are_one_are_rejected(project: Path) -> None:
    (project / "src").mkdir()
    (project / "src" / "two").symlink_to("one")
    ran = enkaku("generate", cwd=project)
    assert ran.returncode == 1
    assert "the directory of /tool/enkaku/protocol/0, too" in ran.stderr


def test_project_missing_protocol_file_is_named(project: Path) -> None:
    (project / "two.json").unlink()
    ran = enkaku("generate", cwd=project)
    assert (ran.returncode, ran.stdout) == (1, "src/one: 7 written\n")
    assert ran.stderr == "two.json: no such file\n"


@pytest.mark.parametrize("arguments", [("generate",), ("generate", "one.json")])
def test_project_without_out_has_no_package(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "enkaku.toml").write_text('[[protocol]]\nfile = "one.json"\n')
    ran = enkaku(*arguments, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert 'enkaku.toml: no package: expected "out", the directory of one' in ran.stderr


@pytest.mark.parametrize(
    ("protocol", "code", "error"),
    [
        (EVENT, 0, ""),
        ("{}", 1, "one.json:1: no procedures: expected one or more\n"),
        ('{"ping": {"type": "event", "data": {"$ref": "no.json"}}}', 1, "one.json:1: "),
    ],
)
def test_check_reads_protocol_without_package(
    protocol: str, code: int, error: str, tmp_path: Path
) -> None:
    (tmp_path / "one.json").write_text(protocol)
    (tmp_path / "two.json").write_text(EVENT)
    listed = '[[protocol]]\nfile = "one.json"\n'
    (tmp_path / "enkaku.toml").write_text(listed)
    ran = enkaku("check", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert ran.stderr.startswith(error)
    (tmp_path / "enkaku.toml").write_text(f'{listed}[[protocol]]\nfile = "two.json"\nout = "two"\n')
    assert enkaku("generate", cwd=tmp_path).stdout == "two: 7 written\n"
    assert enkaku("check", cwd=tmp_path).returncode == code


def test_project_of_another_repository_is_not_used(project: Path) -> None:
    (project / "vendored" / "src").mkdir(parents=True)
    found = find_project(project / "vendored" / "src")
    assert found is not None
    (project / "vendored" / ".git").write_text("gitdir: elsewhere\n")
    assert find_project(project / "vendored" / "src") is None
    (project / "vendored" / "enkaku.toml").write_text('[[protocol]]\nfile = "p.json"\n')
    found = find_project(project / "vendored" / "src")
    assert found is not None
    assert found.file.name == "enkaku.toml"


def test_project_of_another_user_is_used_only_in_its_directory(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "below").mkdir()
    real = Path.stat

    def stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        found = real(path, follow_symlinks=follow_symlinks)
        if path.name != "pyproject.toml":
            return found
        return os.stat_result([*found[:4], 12345, *found[5:]])

    monkeypatch.setattr(Path, "stat", stat)
    assert find_project(project / "below") is None
    assert find_project(project) is not None


def test_project_in_deleted_directory_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ProtocolError, match="the current directory can't be read"):
        find_project(Path())
