"""The command line, as a user types it, on real files.

What the operating system has a part in is tested with real processes, the rest within the process of the tests.
"""

import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path

import pytest
from commands import enkaku
from enkaku_codegen import commands, output
from enkaku_codegen.commands.main import COMMANDS
from enkaku_codegen.errors import OutputError
from enkaku_codegen.output import changes, write
from generated.packages import importing

SEED = Path(__file__).parent.parent / "golden" / "protocols" / "dashboard.json"
FILES = [
    ".enkaku.json",
    "__init__.py",
    "client.py",
    "description.py",
    "models.py",
    "procedures.py",
    "py.typed",
    "server.py",
]
ENKAKU = [sys.executable, "-m", "enkaku_codegen"]


pytestmark = pytest.mark.xdist_group("cli")  # one package for many


def process(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ENKAKU, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cli")
    ran = process("generate", SEED, "--out", "new/package", cwd=root)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "new/package: 7 written\n", "")
    return root / "new" / "package"


@pytest.fixture
def copy(package: Path, tmp_path: Path) -> Path:
    directory = tmp_path / "bindings"
    directory.mkdir()
    for name, text in contents(package).items():
        (directory / name).write_bytes(text)
    return directory


def test_generate_new_package_writes_files_and_directories(package: Path) -> None:
    assert sorted(contents(package)) == FILES
    assert (package / "client.py").stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_generate_fresh_package_touches_nothing(copy: Path) -> None:
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in copy.iterdir()}
    ran = enkaku("generate", SEED, "--out", copy, cwd=copy.parent)
    assert (ran.returncode, ran.stdout) == (0, f"{copy}: up to date\n")
    assert {
        path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in copy.iterdir()
    } == before


def test_generate_sync_adds_synchronous_client(copy: Path) -> None:
    root = copy.parent
    same = enkaku("generate", SEED, "--out", copy, "--sync", cwd=root)
    assert same.stdout == f"{copy}: 2 written\n"
    assert sorted(contents(copy)) == sorted([*FILES, "sync_client.py"])
    assert "class DashboardSyncClient:" in (copy / "sync_client.py").read_text()
    assert enkaku("check", SEED, "--out", copy, "--sync", cwd=root).returncode == 0
    stale = enkaku("check", SEED, "--out", copy, cwd=root)
    assert stale.returncode == 1
    assert "--- bindings/sync_client.py" in stale.stdout.replace(f"{root}/", "")
    assert enkaku("generate", SEED, "--out", copy, cwd=root).returncode == 0
    assert sorted(contents(copy)) == FILES


def test_generate_sync_in_typescript_is_rejected(tmp_path: Path) -> None:
    out = ("--out", "web", "--language", "typescript")
    ran = enkaku("generate", SEED, *out, "--sync", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (1, "--sync is for Python; got --language typescript\n")


def test_generate_name_option_overrides_protocol_name(tmp_path: Path) -> None:
    ran = enkaku("generate", SEED, "--out", "out", "--name", "my-board", cwd=tmp_path)
    assert ran.returncode == 0
    assert "class MyBoardClient:" in (tmp_path / "out" / "client.py").read_text()


def test_check_fresh_package_prints_nothing(copy: Path) -> None:
    ran = enkaku("check", SEED, "--out", copy, cwd=copy.parent)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_check_stale_package_shows_diff_and_writes_nothing(copy: Path) -> None:
    marker = (copy / "models.py").read_text().splitlines()[0]
    (copy / "client.py").write_text(
        (copy / "client.py").read_text().replace("def echo", "def ohce")
    )
    (copy / "models.py").unlink()
    (copy / "old.py").write_text(f"{marker}\nx = 1\n")
    before = contents(copy)
    ran = enkaku("check", SEED, "--out", "bindings", cwd=copy.parent)
    assert (ran.returncode, ran.stderr) == (
        1,
        "bindings: out of date; run 'enkaku generate' with the same options\n",
    )
    lines = ran.stdout.splitlines()
    assert "--- bindings/client.py" in lines
    assert "-    async def ohce(" in lines
    assert "+    async def echo(" in lines
    assert lines[lines.index("--- /dev/null") :][:2] == ["--- /dev/null", "+++ bindings/models.py"]
    assert lines[lines.index("--- bindings/old.py") :][:2] == [
        "--- bindings/old.py",
        "+++ /dev/null",
    ]
    assert contents(copy) == before


def test_cli_without_command_shows_help(tmp_path: Path) -> None:
    ran = enkaku(cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "enkaku generate protocol.yaml --out" in ran.stderr


@pytest.mark.parametrize(
    "arguments", [("generate", "", "--out", "a"), ("generate", SEED, "--out", "")]
)
def test_cli_empty_path_is_rejected(arguments: tuple[str, ...], tmp_path: Path) -> None:
    ran = enkaku(*arguments, cwd=tmp_path)
    assert (ran.returncode, contents(tmp_path)) == (2, {})
    assert "a path has at least one character" in ran.stderr


def test_generate_out_dangling_symlink_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    ran = enkaku("generate", SEED, "--out", "link", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (
        1,
        "link: a symbolic link to a directory that does not exist\n",
    )


def test_check_missing_package_fails(tmp_path: Path) -> None:
    ran = process("check", SEED, "--out", "none", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (
        1,
        "none: no such directory; run 'enkaku generate' with the same options\n",
    )
    assert "+class DashboardClient:" in ran.stdout
    assert "new, and empty: none/py.typed" in ran.stdout
    assert not (tmp_path / "none").exists()


def test_generate_removes_stale_files_and_keeps_foreign_files(copy: Path) -> None:
    marker = (copy / "models.py").read_text().splitlines()[0]
    (copy / "old.py").write_text(f"{marker}\nx = 1\n")
    (copy / "mine.py").write_text("x = 1\n")
    (copy / "mine.txt").write_text(f"{marker}\n")
    ran = enkaku("generate", SEED, "--out", copy, cwd=copy.parent)
    assert (ran.returncode, ran.stdout) == (0, f"{copy}: 1 removed\n")
    assert sorted(contents(copy)) == sorted([*FILES, "mine.py", "mine.txt"])


@pytest.mark.parametrize("command", ["generate", "check"])
def test_cli_foreign_file_is_not_overwritten(command: str, copy: Path) -> None:
    (copy / "client.py").write_text("my = 'own'\n")
    (copy / "models.py").unlink()
    before = contents(copy)
    ran = enkaku(command, SEED, "--out", copy, cwd=copy.parent)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"{copy}/client.py: this file was not generated by enkaku")
    assert contents(copy) == before


def test_generate_empty_file_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "__init__.py").touch()
    ran = enkaku("generate", SEED, "--out", "out", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, "out: 7 written\n")


def test_generate_symlink_or_directory_is_not_overwritten(copy: Path) -> None:
    elsewhere = copy.parent / "elsewhere.py"
    (copy / "client.py").rename(elsewhere)
    (copy / "client.py").symlink_to(elsewhere)
    (copy / "models.py").unlink()
    (copy / "models.py").mkdir()
    ran = enkaku("generate", SEED, "--out", copy, cwd=copy.parent)
    assert ran.returncode == 1
    assert [line.split(": ")[0] for line in ran.stderr.splitlines()] == [
        f"{copy}/client.py",
        f"{copy}/models.py",
    ]
    assert (copy / "client.py").is_symlink()


def test_check_pipe_instead_of_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / "client.py")
    ran = enkaku("check", SEED, "--out", "out", cwd=tmp_path)
    assert ran.returncode == 1
    assert "out/client.py: this file was not generated by enkaku" in ran.stderr


def test_generate_out_is_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    ran = enkaku("generate", SEED, "--out", "out", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (1, "out: not a directory\n")


PROBLEMS = {
    "missing.json": (None, "missing.json"),
    "empty.json": ("", "empty.json"),
    "broken.json": ('{"a": ', "broken.json:1"),
    "unknown.json": ('{"a": {"type": "rquest"}}', "/a"),
    "collision.json": (
        '{"a/b": {"type": "event"},\n "a-b": {"type": "event"}}',
        "collision.json:1: /a~1b: the client would have two things named a_b",
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_generate_invalid_protocol_reports_and_writes_nothing(name: str, tmp_path: Path) -> None:
    text, told = PROBLEMS[name]
    if text is not None:
        (tmp_path / name).write_text(text)
    ran = enkaku("generate", name, "--out", "out", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "out").exists()


def test_generate_invalid_template_leaves_package_unchanged(copy: Path) -> None:
    templates = copy.parent / "templates"
    templates.mkdir()
    (templates / "server.py.jinja").write_text("{{ nonsense }}")
    before = contents(copy)
    ran = enkaku("generate", SEED, "--out", copy, "--templates", templates, cwd=copy.parent)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "server.py.jinja:1: 'nonsense' is undefined" in ran.stderr
    assert contents(copy) == before


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("generate",),
        ("generate", "x.json"),
        ("nonsense",),
        ("generate", "x.json", "--out", "o", "--name", " "),
        ("generate", "x.json", "--out", "o", "--nonsense"),
    ],
)
def test_cli_invalid_usage_exits_with_2(arguments: tuple[str, ...], tmp_path: Path) -> None:
    ran = enkaku(*arguments, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("usage: enkaku")


def test_cli_help_has_examples_and_version_matches_package(tmp_path: Path) -> None:
    assert (
        "enkaku generate protocol.yaml --out src/app/protocol"
        in enkaku("--help", cwd=tmp_path).stdout
    )
    assert "--templates DIR" in enkaku("generate", "--help", cwd=tmp_path).stdout
    assert enkaku("--version", cwd=tmp_path).stdout == f"enkaku {version('enkaku')}\n"


def test_commands_match_modules_that_define_one() -> None:
    modules = Path(commands.__path__[0]).glob("*.py")
    defining = {path.stem for path in modules if "\nCOMMAND: Final" in path.read_text()}
    assert {each.name for each in COMMANDS} == defining


UNIQUE = {"type": "array", "uniqueItems": True}
INSTALL = "a JSON Schema validator at run time: pip install 'enkaku[exact]'"


@pytest.mark.parametrize(
    ("data", "arguments", "report"),
    [
        ([{}], [], ""),
        ([{}], ["--verbose"], "0 of 1 slots need a JSON Schema validator at run time\n"),
        (
            [{}, UNIQUE],
            [],
            f"1 of 2 slots needs {INSTALL} (reasons: --verbose)\n",
        ),
        (
            [UNIQUE, UNIQUE],
            ["--verbose"],
            (
                f"2 of 2 slots need {INSTALL}\n"
                "p0 data: /p0/data/uniqueItems: a Python list may contain an item twice\n"
                "p1 data: /p1/data/uniqueItems: a Python list may contain an item twice\n"
            ),
        ),
    ],
)
def test_generate_reports_slots_that_need_a_validator(
    data: list[object], arguments: list[str], report: str, tmp_path: Path
) -> None:
    protocol = {f"p{index}": {"type": "event", "data": each} for index, each in enumerate(data)}
    (tmp_path / "p.json").write_text(json.dumps(protocol))
    ran = enkaku("generate", "p.json", "--out", "out", *arguments, cwd=tmp_path)
    assert (ran.returncode, ran.stdout.partition("written\n")[2]) == (0, report)


def test_generate_models_warns_of_unenforced_keywords(tmp_path: Path) -> None:
    definitions: dict[str, object] = {
        "Tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "Named": {"type": "object", "properties": {"tags": {"$ref": "#/$defs/Tags"}}},
        "Fine": {"type": "string", "minLength": 2},
    }
    (tmp_path / "p.json").write_text(json.dumps({"$defs": definitions}, indent=1))
    ran = enkaku("generate", "p.json", "--out", "out", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (
        0,
        (
            "warning: p.json:8: /$defs/Tags/uniqueItems: a Python list may contain an item twice; "
            "a package of models has no validator\n"
        ),
    )
    procedures = {"p": {"type": "event", "data": {"$ref": "#/$defs/Tags"}}}
    (tmp_path / "p.json").write_text(json.dumps({"$defs": definitions, "procedures": procedures}))
    assert enkaku("generate", "p.json", "--out", "out", cwd=tmp_path).stderr == ""


def test_generate_reports_formats_that_types_do_not_hold(tmp_path: Path) -> None:
    data = {"type": "string", "format": "duration"}
    protocol = {
        "formats": {"duration": "timedelta"},
        "procedures": {"p": {"type": "event", "data": data}, "q": {"type": "event", "data": {}}},
    }
    (tmp_path / "p.json").write_text(json.dumps(protocol))
    line = "1 of 2 slots rejects strings of a format that Python cannot hold"
    ran = enkaku("generate", "p.json", "--out", "out", cwd=tmp_path)
    assert ran.stdout.partition("written\n")[2] == f"{line} (which: --verbose)\n"
    ran = enkaku("generate", "p.json", "--out", "out", "--verbose", cwd=tmp_path)
    assert ran.stdout.endswith(
        f"{line}\np data: a timedelta has no years and months, and at most 999999999 days\n"
    )


DEPENDENCIES = (
    "jinja2",
    "black",
    "datamodel_code_generator",
    "jsonschema",
    "jsonschema_rs",
    "yaml",
)


def without(missing: Collection[str], directory: Path) -> dict[str, str]:
    """Return the environment of a process that finds none of some packages."""
    (directory / "sitecustomize.py").write_text(
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {(*missing,)!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
    )
    return {"PYTHONPATH": str(directory)}


@pytest.mark.parametrize("missing", DEPENDENCIES)
def test_cli_missing_dependency_prints_pip_install_command(missing: str, tmp_path: Path) -> None:
    environment = without([missing], tmp_path)
    ran = process("generate", SEED, "--out", "out", cwd=tmp_path, **environment)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert re.fullmatch(
        r"enkaku generate: needs .*: run pip install 'enkaku\[codegen\]'\n", ran.stderr
    )


def test_cli_version_works_without_dependencies(tmp_path: Path) -> None:
    ran = process("--version", cwd=tmp_path, **without(DEPENDENCIES, tmp_path))
    assert (ran.returncode, ran.stdout) == (0, f"enkaku {version('enkaku')}\n")


def test_check_closed_stdout_is_no_error(tmp_path: Path) -> None:
    source, sink = os.pipe()
    os.close(source)
    ran = subprocess.run(
        [*ENKAKU, "check", str(SEED), "--out", "none"],
        cwd=tmp_path,
        stdout=sink,
        stderr=subprocess.PIPE,
        timeout=50,
        check=False,
    )
    os.close(sink)
    assert (ran.returncode, ran.stderr) == (141, b"")


def test_cli_interrupt_prints_nothing(tmp_path: Path) -> None:
    pipe = tmp_path / "protocol.json"
    os.mkfifo(pipe)
    code = "import os, signal, enkaku_codegen.prepare as p; p.read_protocol = lambda *_: os.kill(os.getpid(), signal.SIGINT)"
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{code}\nfrom enkaku_codegen.__main__ import main\nraise SystemExit(main())",
            "generate",
            "x.json",
            "--out",
            "out",
        ],
        cwd=tmp_path,
        capture_output=True,
        timeout=50,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (128 + signal.SIGINT, b"")


def test_check_unprintable_names_are_escaped(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps({"größe": {"type": "event"}}))
    ran = process("check", "p.json", "--out", "out", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert ran.returncode == 1
    assert "gr\\xf6\\xdfe" in ran.stdout


MARKER = "# ours"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in ("a.py", "b.py", "stale.py"):
        (tmp_path / name).write_text(f"{MARKER}\n{name}\n")
    return tmp_path


NEW = {"a.py": f"{MARKER}\nnew a\n", "b.py": f"{MARKER}\nnew b\n", "c.py": f"{MARKER}\nnew c\n"}


@pytest.mark.parametrize("failing", range(1, 7))
def test_write_failing_midway_is_rolled_back(
    failing: int, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(directory)
    calls = 0
    original = os.replace

    def replace(source: Path, target: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError(28, "No space left on device", str(target))
        original(source, target)

    monkeypatch.setattr(output.os, "replace", replace)
    with pytest.raises(OutputError, match="No space left on device: nothing is written"):
        write(changes(NEW, directory, MARKER))
    assert contents(directory) == before


def test_write_interrupted_is_rolled_back(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(directory)
    original = os.replace

    def replace(source: Path, target: Path) -> None:
        if target.name == "b.py":
            monkeypatch.setattr(output.os, "replace", original)
            raise KeyboardInterrupt
        original(source, target)

    monkeypatch.setattr(output.os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        write(changes(NEW, directory, MARKER))
    assert contents(directory) == before


def test_write_failing_in_new_directory_removes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, _: bytes) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OutputError, match="No space left"):
        write(changes(NEW, tmp_path / "x" / "y", MARKER))
    assert list(tmp_path.iterdir()) == []


def test_write_leaves_no_temporary_files(directory: Path) -> None:
    todo = changes(NEW, directory, MARKER)
    assert (sorted(todo.written), todo.removed) == (["a.py", "b.py", "c.py"], ("stale.py",))
    write(todo)
    assert contents(directory) == {name: text.encode() for name, text in NEW.items()}
    assert not changes(NEW, directory, MARKER)


@pytest.mark.parametrize(
    ("out", "problem", "other"),
    [
        ("class", "not a name that Python can import", "class_"),
        ("1abc", "not a name that Python can import", "x1abc"),
        ("a.b", "not a name that Python can import", "a_b"),
        ("src/my-protocol", "not a name that Python can import", "my_protocol"),
        ("ﬁ", "not a name that Python can import", "fi"),
        ("/", "not a name that Python can import", "protocol"),
        ("enkaku", "the package would shadow enkaku, which other modules", "enkaku_protocol"),
        ("src/pydantic", "the package would shadow pydantic, which", "pydantic_protocol"),
        ("typing", "the package would shadow typing, which", "typing_protocol"),
        ("asyncio", "the package would shadow asyncio, which", "asyncio_protocol"),
        ("msgspec", "the package would shadow msgspec, which", "msgspec_protocol"),
    ],
)
@pytest.mark.parametrize("command", ["generate", "check"])
def test_out_that_is_not_importable_writes_nothing(
    command: str,
    out: str,
    problem: str,
    other: str,
    tmp_path: Path,
) -> None:
    ran = enkaku(command, SEED, "--out", out, cwd=tmp_path)
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"{out}: {problem}")
    assert ran.stderr.endswith(f": nothing is written; {other} would do\n")
    assert list(tmp_path.iterdir()) == []


def test_out_within_package_may_have_name_of_runtime(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").touch()
    (tmp_path / "enkaku").mkdir()
    assert enkaku("generate", SEED, "--out", ".", cwd=tmp_path / "enkaku").returncode == 0


def test_generator_in_zip_archive_generates(tmp_path: Path, package: Path) -> None:
    root = Path(__file__).parents[2]
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for source in ("codegen", "runtime", "templates"):
            for path in (root / source).rglob("*"):
                if path.is_file() and path.suffix != ".pyc":
                    archive.write(path, path.relative_to(root / source))
    ran = process(
        "generate", SEED, "--out", "made", cwd=tmp_path, PYTHONPATH=str(tmp_path / "all.zip")
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    made = contents(tmp_path / "made")
    # The archive has no files whose digests could be taken.
    assert made == {k: v for k, v in contents(package).items() if k != ".enkaku.json"}


def test_warning_names_ambiguous_recursive_union(tmp_path: Path) -> None:
    part = {"$ref": "#/$defs/T"}
    objects = [{"type": "object", "properties": {"a": part, "k": {"const": n}}} for n in (1, 2)]
    document = {
        "$defs": {"T": {"anyOf": [*objects, {"type": "integer"}]}},
        "procedures": {"a": {"type": "event", "data": part}},
    }
    (tmp_path / "p.json").write_text(json.dumps(document))
    ran = enkaku("generate", "p.json", "--out", "made", cwd=tmp_path)
    expected = (
        "warning: p.json:1: /$defs/T: a recursive union whose alternatives may accept the same"
    )
    assert ran.returncode == 0
    assert ran.stderr.startswith(expected)
    assert ran.stderr.count("\n") == 1


def test_warning_is_printed_once_and_changes_no_exit_code(tmp_path: Path) -> None:
    schema = {"properties": {"max": {}}, "required": ["maximum"]}
    definition = {"$ref": "#/$defs/A"}
    procedures = {name: {"type": "event", "data": definition} for name in ("b", "c")}
    document = {"$defs": {"A": schema}, "procedures": procedures}
    (tmp_path / "p.json").write_text(json.dumps(document))
    ran = enkaku("generate", "p.json", "--out", "made", cwd=tmp_path)
    warning = 'required, but no property (did you mean "max"?)'
    assert (ran.returncode, ran.stderr) == (
        0,
        f"warning: p.json:1: /$defs/A/required/0: {warning}\n",
    )
    (tmp_path / "made" / ".enkaku.json").unlink()
    ran = enkaku("check", "p.json", "--out", "made", cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr[:9]) == (0, "", "warning: ")


def test_collision_in_referenced_file_names_that_file(tmp_path: Path) -> None:
    options = {"type": "object", "properties": {"exit-code": {}, "exitCode": {}}}
    other = {"definitions": {"options": options}}
    (tmp_path / "other.json").write_text(json.dumps(other, indent=1))
    data = {"$ref": "other.json#/definitions/options"}
    (tmp_path / "p.json").write_text(json.dumps({"p": {"type": "event", "data": data}}))
    ran = enkaku("generate", "p.json", "--out", "made", cwd=tmp_path)
    where = "other.json:7: /definitions/options/properties/exitCode"
    assert ran.stderr.startswith(f"{where}: Options would have two things named exit_code: ")


def test_definitions_alone_give_package_of_models(tmp_path: Path) -> None:
    point = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}
    document = {
        "$defs": {"Point": point, "Line": {"type": "array", "items": {"$ref": "#/$defs/Point"}}}
    }
    (tmp_path / "shared.json").write_text(json.dumps(document))
    ran = enkaku("generate", "shared.json", "--out", "models_alone", cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "models_alone: 3 written\n", "")
    made = contents(tmp_path / "models_alone")
    assert sorted(made) == [".enkaku.json", "__init__.py", "models.py", "py.typed"]
    assert enkaku("check", "shared.json", "--out", "models_alone", cwd=tmp_path).returncode == 0
    with importing("models_alone", tmp_path) as package:
        assert package.__all__ == ["Line", "Point"]
        assert package.Point(x=1).x == 1
    (tmp_path / "p.json").write_text(
        json.dumps({"p": {"type": "event", "data": {"$ref": "shared.json#/$defs/Point"}}})
    )
    assert enkaku("generate", "p.json", "--out", "made", cwd=tmp_path).returncode == 0
    # A package that had procedures loses the files for them.
    ran = enkaku("generate", "shared.json", "--out", "made", cwd=tmp_path)
    assert ran.stdout == "made: 2 written, 4 removed\n"


@pytest.mark.parametrize("length", [60, 79, 140])
def test_line_length_bounds_lines_of_code(length: int, tmp_path: Path) -> None:
    option = ("--line-length", length)
    (tmp_path / "p.json").write_text(
        json.dumps({"p": {"type": "event", "description": "many words " * 60}})
    )
    enkaku("generate", "p.json", "--out", "made", *option, cwd=tmp_path)
    lines = (tmp_path / "made" / "client.py").read_text().splitlines()
    longest = max(map(len, lines))
    assert length - 20 < longest <= length
    assert enkaku("check", "p.json", "--out", "made", *option, cwd=tmp_path).returncode == 0
    assert enkaku("check", "p.json", "--out", "made", cwd=tmp_path).returncode == 1


@pytest.mark.parametrize("length", ["59", "501", "ten", "-1"])
def test_line_length_out_of_range_is_rejected(length: str, tmp_path: Path) -> None:
    ran = enkaku("generate", SEED, "--out", "made", f"--line-length={length}", cwd=tmp_path)
    assert (ran.returncode, "expected 60 to 500 characters" in ran.stderr) == (2, True)
