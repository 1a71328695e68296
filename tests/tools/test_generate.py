"""``enkaku generate`` for projects and builds: several packages, formats, ``--watch``, ``--depfile``, ``--list-outputs``."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from commands import enkaku
from enkaku_codegen import inputs
from enkaku_codegen.commands import watch
from enkaku_codegen.commands.depfile import Rule, write_depfile
from enkaku_codegen.errors import OutputError
from tools.processes import process, running

EVENT = '{"ping": {"type": "event"}}'
FILES = [
    "__init__.py",
    "client.py",
    "description.py",
    "models.py",
    "procedures.py",
    "py.typed",
    "server.py",
    ".enkaku.json",
]
HEAVY = {"black", "datamodel_code_generator", "jinja2"}

pytestmark = pytest.mark.xdist_group("cli")


def event(**data: object) -> str:
    return json.dumps({"ping": {"type": "event", "data": data}})


def reference(to: str) -> str:
    return json.dumps({"ping": {"type": "event", "data": {"$ref": to}}})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with two protocols, and a file that lists them."""
    root = tmp_path / "project"
    root.mkdir()
    for name in ("one", "two"):
        (root / f"{name}.json").write_text(EVENT)
    (root / "pyproject.toml").write_text(
        '[[tool.enkaku.protocol]]\nfile = "one.json"\nout = "src/one"\n'
        '[[tool.enkaku.protocol]]\nfile = "two.json"\nout = "src/two"\n'
    )
    return root


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    (root / "one.json").write_text(EVENT)
    assert enkaku("generate", "one.json", "--out", "one", cwd=root).returncode == 0
    return root


@pytest.fixture
def one(made: Path, tmp_path: Path) -> Path:
    """A directory with one protocol, and its package."""
    return Path(shutil.copytree(made, tmp_path / "one"))


def findings(printed: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed.splitlines()]


# Several packages


def test_generate_broken_protocol_lets_others_be_generated(project: Path) -> None:
    (project / "one.json").write_text('{"ping": {"type": "evnt"}}')
    ran = enkaku("generate", cwd=project)
    assert (ran.returncode, ran.stdout) == (1, "src/two: 7 written\n")
    assert ran.stderr.startswith("one.json:1: /ping/type: ")
    ran = enkaku("check", cwd=project)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("one.json:1: /ping/type: ")


def test_generate_directory_in_the_way_lets_others_be_generated(project: Path) -> None:
    (project / "src").mkdir()
    (project / "src" / "one").write_text("")
    ran = enkaku("generate", cwd=project)
    assert (ran.returncode, ran.stdout) == (1, "src/two: 7 written\n")
    assert ran.stderr == "src/one: not a directory\n"


# Formats


def test_generate_json_has_one_object_for_each_package(project: Path) -> None:
    (project / "two.json").write_text(event(type="array", uniqueItems=True))
    ran = enkaku("generate", "--format", "json", cwd=project)
    assert (ran.returncode, ran.stderr) == (0, "")
    first, second, validator = findings(ran.stdout)
    assert (first["rule"], first["severity"], first["file"]) == ("written", "note", "one.json")
    assert (first["package"], first["removed"]) == ("src/one", [])
    assert first["written"] == FILES[:-1]
    assert second["package"] == "src/two"
    assert [*validator["slots"]] == ["ping data"]
    ran = enkaku("generate", "--format", "json", cwd=project)
    assert [each["rule"] for each in findings(ran.stdout)] == ["up-to-date", "up-to-date"]


def test_generate_json_has_errors_and_warnings(project: Path) -> None:
    (project / "one.json").write_text("{\n")
    (project / "two.json").write_text(event(properties={"max": {}}, required=["maximum"]))
    ran = enkaku("generate", "--format", "json", cwd=project)
    assert (ran.returncode, ran.stderr) == (1, "")
    error, warning, written = findings(ran.stdout)
    assert (error["rule"], error["file"], error["line"]) == ("invalid-protocol", "one.json", 2)
    assert (warning["rule"], warning["severity"]) == ("protocol-warning", "warning")
    assert written["rule"] == "written"


def test_project_error_is_printed_in_the_format(project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool.enkaku]\n")
    ran = enkaku("check", "--format", "json", cwd=project)
    assert (ran.returncode, ran.stderr) == (1, "")
    (found,) = findings(ran.stdout)
    assert (found["file"], found["pointer"]) == ("pyproject.toml", "/tool/enkaku/protocol")


def test_github_format_annotates_errors_alone(project: Path) -> None:
    (project / "one.json").write_text("{\n")
    ran = enkaku("generate", "--format", "github", cwd=project)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert ran.stdout.startswith("::error file=one.json,line=2,title=invalid-protocol::")
    assert ran.stdout.count("\n") == 1


@pytest.mark.parametrize("format_", ["json", "github"])
def test_check_names_what_is_out_of_date(format_: str, one: Path) -> None:
    (one / "one.json").write_text(event(type="string"))
    ran = enkaku("check", "one.json", "--out", "one", "--format", format_, cwd=one)
    assert (ran.returncode, ran.stderr) == (1, "")
    message = "one: out of date; run 'enkaku generate' with the same options"
    if format_ == "github":
        assert ran.stdout == f"::error file=one.json,title=out-of-date::{message}\n"
        return
    (found,) = findings(ran.stdout)
    assert (found["rule"], found["severity"], found["message"]) == ("out-of-date", "error", message)
    assert "client.py" in found["written"]


# Files of the package, and what they come from


def test_list_outputs_names_what_generate_writes(project: Path) -> None:
    (project / "one.json").write_text(event(type="array", uniqueItems=True))
    with (project / "pyproject.toml").open("a") as file:
        file.write("sync = true\n")
    listed = enkaku("generate", "--list-outputs", cwd=project)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert not (project / "src").exists()
    enkaku("generate", cwd=project)
    written = {
        str(path.relative_to(project)) for path in (project / "src").rglob("*") if path.is_file()
    }
    assert {"src/one/schemas.py", "src/two/sync_client.py"} <= written
    assert sorted(listed.stdout.splitlines()) == sorted(written)
    assert enkaku("generate", "--list-outputs", cwd=project).stdout == listed.stdout, "up to date"


def test_list_outputs_of_typescript_and_of_models(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"$defs": {"A": {"type": "object"}}}')
    arguments = ("generate", "p.json", "--list-outputs", "--out")
    ran = enkaku(*arguments, "web", "--language", "typescript", cwd=tmp_path)
    assert ran.stdout == "web/client.d.ts\nweb/.enkaku.json\n"
    ran = enkaku(*arguments, "made", cwd=tmp_path)
    assert ran.stdout == "made/__init__.py\nmade/models.py\nmade/py.typed\nmade/.enkaku.json\n"


def test_list_outputs_broken_protocol_exits_with_1(project: Path) -> None:
    (project / "one.json").write_text('{"a/b": {"type": "event"},\n "a-b": {"type": "event"}}')
    ran = enkaku("generate", "--list-outputs", cwd=project)
    assert ran.returncode == 1
    assert ran.stderr.startswith("one.json:1: /a~1b: the client would have two things named a_b")
    assert ran.stdout.splitlines() == [f"src/two/{name}" for name in FILES]


def test_list_outputs_as_json(one: Path) -> None:
    arguments = ("generate", "one.json", "--out", "one", "--list-outputs")
    (found,) = findings(enkaku(*arguments, "--format", "json", cwd=one).stdout)
    assert found["outputs"] == [f"one/{name}" for name in FILES]


@pytest.mark.parametrize("other", ["--watch", "--depfile=x.d"])
def test_list_outputs_goes_with_nothing_that_writes(other: str, project: Path) -> None:
    ran = enkaku("generate", "--list-outputs", other, cwd=project)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "--list-outputs writes nothing" in ran.stderr


def test_depfile_names_sources_of_each_package(project: Path) -> None:
    (project / "parts").mkdir()
    (project / "parts" / "common.json").write_text('{"$defs": {"A": {"$ref": "../money.json"}}}')
    (project / "money.json").write_text('{"type": "integer"}')
    (project / "one.json").write_text(reference("parts/common.json#/$defs/A"))
    (project / "templates").mkdir()
    (project / "templates" / "client.py.jinja").write_text('{% include "header.jinja" %}\n')
    with (project / "pyproject.toml").open("a") as file:
        file.write('templates = "templates"\n')
    ran = enkaku("generate", "--depfile", "enkaku.d", cwd=project)
    assert ran.returncode == 0
    text = (project / "enkaku.d").read_text()
    first, second, *empty = text.replace("\n\n", "\n").splitlines()
    outputs = " ".join(f"src/one/{name}" for name in FILES)
    assert first == f"{outputs}: money.json one.json parts/common.json pyproject.toml"
    assert second.partition(": ")[2] == "pyproject.toml templates/client.py.jinja two.json"
    assert sorted(empty) == [
        "money.json:",
        "one.json:",
        "parts/common.json:",
        "pyproject.toml:",
        "templates/client.py.jinja:",
        "two.json:",
    ]
    (project / "enkaku.d").unlink()
    ran = enkaku("generate", "--depfile", "enkaku.d", cwd=project)
    assert ran.stdout == "src/one: up to date\nsrc/two: up to date\n"
    assert (project / "enkaku.d").read_text() == text, "the same for packages that are up to date"


def test_depfile_is_not_written_after_an_error(project: Path) -> None:
    (project / "one.json").write_text("{")
    assert enkaku("generate", "--depfile", "enkaku.d", cwd=project).returncode == 1
    assert not (project / "enkaku.d").exists()


def test_depfile_that_cannot_be_written_is_an_error(one: Path) -> None:
    ran = enkaku("generate", "one.json", "--out", "one", "--depfile", "no/x.d", cwd=one)
    assert (ran.returncode, ran.stderr) == (
        1,
        "no/x.d: can't be written: No such file or directory\n",
    )


def test_depfile_names_are_read_by_make(tmp_path: Path) -> None:
    names = ["a b.json", "$(c).json", "#d.json", "e\\ f.json", "g:h.json", "ü.json"]
    for name in names:
        (tmp_path / name).write_text("")
    target = tmp_path / "the out" / "x$y.py"
    write_depfile(
        tmp_path / "x.d",
        [Rule([target.relative_to(tmp_path)], map(Path, [*names, "gone.json"]))],
    )
    # $< and $^ would not tell a space in a name from one between names.
    (tmp_path / "Makefile").write_text(
        "the\\ out/x$$y.py:\n\tmkdir -p 'the out'; touch 'the out/x$$y.py'; echo built\ninclude x.d\n"
    )

    def make() -> str:
        ran = subprocess.run(
            ["make", "-s", "the out/x$y.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    assert make() == "built\n", "gone.json has an empty rule"
    (tmp_path / "x.d").write_text((tmp_path / "x.d").read_text().replace("gone.json", "Makefile"))
    os.utime(target, (2e9, 2e9))
    assert make() == ""
    for name in names:
        os.utime(tmp_path / name, (3e9, 3e9))
        assert make() == "built\n", name
        os.utime(tmp_path / name, (1e9, 1e9))
        os.utime(target, (2e9, 2e9))


@pytest.mark.parametrize("name", ["a\nb.json", "a;b.json", "a*.json", "a=b.json"])
def test_depfile_name_that_make_cannot_hold_is_rejected(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="a depfile can't hold this name"):
        write_depfile(tmp_path / "x.d", [Rule([Path("x")], [Path(name)])])
    assert not (tmp_path / "x.d").exists()


# Modules that are loaded


@pytest.mark.parametrize(
    "arguments",
    [("generate",), ("check",), ("generate", "--list-outputs"), ("generate", "--depfile", "x.d")],
    ids=" ".join,
)
def test_fresh_package_loads_no_generator(arguments: tuple[str, ...], one: Path) -> None:
    loaded = modules((*arguments, "one.json", "--out", "one"), one)
    assert not (HEAVY | {"jsonschema", "yaml", "pydantic", "enkaku_codegen.reading"}) & loaded


def test_list_outputs_of_stale_package_loads_no_generator(one: Path) -> None:
    (one / "one.json").write_text(event(type="string"))
    loaded = modules(("generate", "--list-outputs", "one.json", "--out", "one"), one)
    assert "enkaku_codegen.reading.definition" in loaded
    assert not HEAVY & loaded


def modules(arguments: tuple[str, ...], directory: Path) -> set[str]:
    """Run the command, and return the modules that it has loaded."""
    code = (
        "import sys; from enkaku_codegen.__main__ import main; code = main(); "
        "print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return {*ran.stderr.split()}


# Two runs at once, and directories that can't be written


def test_generate_waits_for_another_run_in_the_directory(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(EVENT)
    with ExitStack() as other:
        descriptor = os.open(tmp_path, os.O_RDONLY)
        other.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with running("generate", "one.json", "--out", "made", cwd=tmp_path) as command:
            assert command.expect("\n") == "made: waiting for another run\n"
            assert not (tmp_path / "made").exists()
            other.close()
            command.expect("made: 7 written")


@pytest.mark.parametrize(
    ("error", "text"), [(28, "No space left on device"), (13, "Permission denied")]
)
def test_generate_failed_write_names_the_directory(
    error: int, text: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, _: bytes) -> int:
        raise OSError(error, text, *([str(path)] if error == 13 else []))

    monkeypatch.setattr(Path, "write_bytes", fail)
    ran = enkaku("generate", "one.json", cwd=project)
    assert (ran.returncode, ran.stderr) == (1, f"src/one: {text}: nothing is written\n")
    assert not (project / "src").exists()


# --watch


def test_watch_generates_again_upon_a_change(project: Path) -> None:
    with running("generate", "--watch", cwd=project) as command:
        seen = command.expect("watching for changes")
        assert seen.startswith("src/one: 7 written\nsrc/two: 7 written\n")
        (project / "two.json").write_text(event(type="string"))
        assert "src/one: up to date\n" in command.expect("src/two: ")
        assert command.interrupt() == (130, "")


def test_watch_survives_a_broken_protocol(project: Path) -> None:
    with running("generate", "--watch", cwd=project) as command:
        command.expect("watching")
        before = (project / "src" / "one" / "client.py").read_text()
        (project / "one.json").write_text('{"ping": ')
        command.expect("one.json:1: ")
        assert (project / "src" / "one" / "client.py").read_text() == before
        (project / "one.json").write_text('{"pong": {"type": "event"}}')
        command.expect(" written")
        assert command.interrupt()[0] == 130


def test_watch_notices_new_references(project: Path) -> None:
    with running("generate", "one.json", "--watch", cwd=project) as command:
        command.expect("watching")
        (project / "one.json").write_text(reference("new.json"))
        command.expect("new.json: no such file")
        (project / "new.json").write_text('{"type": "string"}')
        command.expect(" written")
        (project / "new.json").write_text('{"type": "integer"}')
        command.expect(" written")


def test_watch_notices_replaced_and_deleted_files(project: Path) -> None:
    with running("generate", "one.json", "--watch", cwd=project) as command:
        command.expect("watching")
        (project / "one.json~").write_text(event(type="string"))
        (project / "one.json~").replace(project / "one.json")
        command.expect(" written")
        (project / "one.json").unlink()
        command.expect("one.json: no such file")
        (project / "one.json").write_text(event(type="string"))
        command.expect("src/one: up to date")


def test_watch_begins_with_a_broken_protocol(project: Path) -> None:
    (project / "one.json").unlink()
    with running("generate", "one.json", "--watch", cwd=project) as command:
        assert "one.json: no such file" in command.expect("watching")
        (project / "one.json").write_text(EVENT)
        command.expect("src/one: 7 written")


def test_watch_notices_templates(project: Path) -> None:
    (project / "templates").mkdir()
    with (project / "pyproject.toml").open("a") as file:
        file.write('templates = "templates"\n')
    with running("generate", "--watch", cwd=project) as command:
        assert "templates: no template there" in command.expect("watching")
        template = project / "templates" / "client.py.jinja"
        template.write_text('{% include "header.jinja" %}\n"first"\n')
        command.expect("src/two: 7 written")
        template.write_text('{% include "header.jinja" %}\n{{ nonsense }}\n')
        command.expect("client.py.jinja:2: 'nonsense' is undefined")
        template.write_text('{% include "header.jinja" %}\n"second"\n')
        command.expect("src/two: 1 written")


def test_watch_notices_the_project_file(project: Path) -> None:
    file = project / "pyproject.toml"
    text = file.read_text()
    foreign = '[[tool.enkaku.protocol]]\nfile = "project/one.json"\nout = "foreign"\n'
    (project.parent / "pyproject.toml").write_text(foreign)
    with running("generate", "--watch", cwd=project) as command:
        command.expect("watching")
        file.write_text(text.replace("src/two", "src/other"))
        command.expect("src/other: 7 written")
        file.unlink()
        command.expect("pyproject.toml: can't be read: No such file or directory")
        file.write_text("[tool.other]\n")
        command.expect("expected PROTOCOL --out DIR, or [[tool.enkaku.protocol]]")
        file.write_text("[tool.enkaku\n")
        command.expect("pyproject.toml: not TOML")
        file.write_text(text)
        command.expect("src/two: up to date")
    assert not (project.parent / "foreign").exists()


def test_watch_notices_that_a_foreign_file_is_gone(project: Path) -> None:
    (project / "src" / "one").mkdir(parents=True)
    (project / "src" / "one" / "client.py").write_text("mine = 1\n")
    with running("generate", "one.json", "--watch", cwd=project) as command:
        assert "was not generated by enkaku" in command.expect("watching")
        (project / "src" / "one" / "client.py").unlink()
        command.expect("src/one: 7 written")


def test_watch_writes_json_lines_and_the_depfile(one: Path) -> None:
    arguments = ("generate", "one.json", "--out", "one", "--watch", "--format", "json")
    with running(*arguments, "--depfile", "x.d", cwd=one) as command:
        assert json.loads(command.expect("\n"))["rule"] == "up-to-date"
        command.expect("watching")
        (one / "other.json").write_text("true")
        (one / "one.json").write_text(reference("other.json"))
        assert json.loads(command.expect("written"))["package"] == "one"
        (one / "one.json").write_text("{")
        assert json.loads(command.expect("invalid-protocol"))["file"] == "one.json"
        assert "other.json" in (one / "x.d").read_text()


def test_watch_wrong_arguments_exit_with_2(tmp_path: Path) -> None:
    ran = process("generate", "--watch", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "expected PROTOCOL --out DIR" in ran.stderr


class _Ends(Exception):
    """Ends a loop that has no end."""


def watching(
    file: Path, changes: list[Callable[[], object] | None], monkeypatch: pytest.MonkeyPatch
) -> tuple[int, list[float]]:
    """Watch a file that is changed while the loop sleeps; return the number of runs, and how long each sleep was."""
    runs, slept, waiting = 0, list[float](), iter(changes)

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        try:
            change = next(waiting)
        except StopIteration:
            raise _Ends from None
        if change is not None:
            change()

    def run() -> None:
        nonlocal runs
        runs += 1
        inputs.add_input(file)

    monkeypatch.setattr("enkaku_codegen.commands.watch.time.sleep", sleep)
    with pytest.raises(_Ends):
        watch.watch(run)
    return runs, slept


def test_watch_polls_by_stat_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "p.json"
    file.mkdir()  # which could not be read
    assert watching(file, [None, None], monkeypatch) == (1, [0.3, 0.3, 0.3])


def test_watch_waits_until_a_file_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "p.json"

    def append() -> None:
        with file.open("a") as opened:
            opened.write("more")

    runs, slept = watching(file, [append, append, append, None, None], monkeypatch)
    assert (runs, slept) == (2, [0.3, 0.05, 0.05, 0.05, 0.3, 0.3])


def test_watch_notices_a_change_during_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "p.json"
    file.write_text("a")
    real = inputs.state

    def state(path: Path) -> inputs.State:
        found = real(path)
        monkeypatch.setattr(inputs, "state", real)
        path.write_text("changed after its state was taken")
        return found

    monkeypatch.setattr(inputs, "state", state)
    assert watching(file, [None], monkeypatch)[0] == 2
