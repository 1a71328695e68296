"""``enkaku breaking``: what it compares, with a real Git repository; its formats, exceptions and exit codes."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from commands import enkaku
from enkaku_codegen.comparing.rules import table

ROOT = Path(__file__).parent.parent.parent
GIT = {
    **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
}


def git(directory: Path, *arguments: str) -> str:
    ran = subprocess.run(
        ["git", "-C", directory, *arguments], env=GIT, check=True, capture_output=True, text=True
    )
    return ran.stdout


def protocol(least: int = 0, **others: Any) -> str:
    param = {"type": "integer", "minimum": least}
    content = {"procedures": {"set": {"type": "request", "param": param}, **others}}
    return json.dumps(content, indent=1)


def commit(directory: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    git(directory, "add", "-A")
    git(directory, "commit", "-qm", "x")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose branch main has a protocol; the working tree has a change that breaks it."""
    git(tmp_path, "init", "-q", "-b", "main")
    commit(tmp_path, {"p.json": protocol(0)})
    (tmp_path / "p.json").write_text(protocol(1))
    return tmp_path


BROKEN = "old clients send 0, which the new server rejects"


def test_breaking_files_show_lines_and_value(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(protocol(0))
    (tmp_path / "new.json").write_text(protocol(1))
    ran = enkaku("breaking", "old.json", "new.json", cwd=tmp_path)
    assert ran.returncode == 1
    assert ran.stdout.startswith(f"error: new.json:5: /procedures/set/param: {BROKEN}")
    assert ran.stdout.endswith("(before: old.json:5) [param-narrowed]\n")
    assert ran.stderr == "new.json with old.json: 1 breaking change\n"


def test_breaking_nothing_changed_exits_with_0(repository: Path) -> None:
    git(repository, "checkout", "-q", "p.json")
    ran = enkaku("breaking", "p.json", "--against", "main", cwd=repository)
    assert (ran.returncode, ran.stdout) == (0, "")
    assert ran.stderr == "p.json with main:p.json: compatible\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("p.json", "--against", "main"),
        ("main:p.json",),
        ("main:p.json", "p.json"),
        ("main:./p.json", "p.json"),
        ("HEAD~0:p.json",),
    ],
)
def test_breaking_compares_with_revision(arguments: tuple[str, ...], repository: Path) -> None:
    ran = enkaku("breaking", *arguments, cwd=repository)
    assert (ran.returncode, ran.stdout.count(BROKEN)) == (1, 1)
    assert f"(before: {'HEAD~0' if 'HEAD' in arguments[0] else 'main'}:p.json:5)" in ran.stdout
    assert git(repository, "status", "--porcelain") == " M p.json\n"


def test_breaking_in_subdirectory_finds_path_in_repository(repository: Path) -> None:
    commit(repository, {"api/v1/q.json": protocol(0)})
    (repository / "api/v1/q.json").write_text(protocol(1))
    for arguments in (
        ("v1/q.json", "--against", "main"),
        ("main:./v1/q.json",),
        ("main:api/v1/q.json",),
    ):
        ran = enkaku("breaking", *arguments, cwd=repository / "api")
        assert f"{Path('v1/q.json')}:5:" in ran.stdout, ran
        assert "main:api/v1/q.json:5" in ran.stdout


def test_breaking_reads_references_of_revision(repository: Path) -> None:
    whole = {"p": {"type": "event", "data": {"$ref": "../shared/n.json#/$defs/N"}}}
    number = json.dumps({"$defs": {"N": {"type": "integer"}}})
    commit(repository, {"api/p.json": json.dumps(whole), "shared/n.json": number})
    (repository / "shared/n.json").write_text(number.replace("integer", "string"))
    ran = enkaku("breaking", "api/p.json", "--against", "main", cwd=repository)
    assert (ran.returncode, "[data-narrowed]" in ran.stdout) == (1, True)


def test_breaking_follows_link_in_revision(repository: Path) -> None:
    (repository / "real.json").write_text(protocol(0))
    (repository / "link.json").symlink_to("real.json")
    commit(repository, {})
    (repository / "real.json").write_text(protocol(1))
    ran = enkaku("breaking", "link.json", "--against", "main", cwd=repository)
    assert (ran.returncode, BROKEN in ran.stdout) == (1, True)


@pytest.mark.parametrize("target", ["../outside.json", "link.json"])
def test_breaking_link_that_leads_nowhere_is_an_error(target: str, repository: Path) -> None:
    (repository / "link.json").symlink_to(target)
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "x")
    (repository / "link.json").unlink()
    (repository / "link.json").write_text(protocol(0))
    ran = enkaku("breaking", "link.json", "--against", "main", cwd=repository)
    assert ran.returncode == 1
    assert "expected a file, got a link" in ran.stderr


def test_breaking_file_that_is_new_is_compatible(repository: Path) -> None:
    (repository / "new.json").write_text(protocol())
    ran = enkaku("breaking", "new.json", "--against", "main", cwd=repository)
    assert ran.returncode == 0
    assert "there is no main:new.json: all of it is new" in ran.stdout
    assert "enkaku breaking REF:OLD NEW" in ran.stdout


def test_breaking_renamed_file_is_compared_by_its_old_name(repository: Path) -> None:
    git(repository, "mv", "p.json", "renamed.json")
    ran = enkaku("breaking", "main:p.json", "renamed.json", cwd=repository)
    assert (ran.returncode, BROKEN in ran.stdout) == (1, True)


def test_breaking_bare_repository_compares_revisions(repository: Path, tmp_path: Path) -> None:
    git(repository, "checkout", "-q", "-b", "topic")
    commit(repository, {})
    bare = tmp_path / "bare.git"
    git(repository, "clone", "-q", "--bare", ".", str(bare))
    ran = enkaku("breaking", "main:p.json", "topic:p.json", cwd=bare)
    assert (ran.returncode, ran.stdout.count(BROKEN)) == (1, 1)
    ran = enkaku("breaking", "main:p.json", cwd=bare)
    assert (ran.returncode, "in a bare repository" in ran.stderr) == (2, True)


def test_breaking_shallow_clone_says_what_to_fetch(repository: Path, tmp_path: Path) -> None:
    commit(repository, {})
    clone = tmp_path / "clone"
    git(repository, "clone", "-q", "--depth=1", f"file://{repository}", str(clone))
    ran = enkaku("breaking", "p.json", "--against", "HEAD~1", cwd=clone)
    assert ran.returncode == 2
    assert "the clone is shallow, and lacks older commits: run git fetch --unshallow" in ran.stderr
    git(repository, "branch", "topic/1")
    ran = enkaku("breaking", "p.json", "--against", "origin/topic/1", cwd=clone)
    command = ran.stderr.strip().rpartition("run git ")[2]
    assert command == "fetch origin +refs/heads/topic/1:refs/remotes/origin/topic/1"
    git(clone, *command.split(" "))
    ran = enkaku("breaking", "p.json", "--against", "origin/topic/1", cwd=clone)
    assert ran.returncode == 0
    git(clone, "checkout", "-q", "--detach")
    git(clone, "branch", "-D", "main")
    ran = enkaku("breaking", "p.json", "--against", "main", cwd=clone)
    assert "did you mean origin/main?" in ran.stderr


def test_breaking_in_hook_of_worktree_finds_its_repository(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(repository, {"api/p.json": protocol(0)})
    tree = tmp_path / "tree"
    git(repository, "worktree", "add", "-q", str(tree), "-b", "topic")
    (tree / "api" / "p.json").write_text(protocol(1))
    # A hook there has this in its environment; Git takes the directory that it is asked about for the root.
    monkeypatch.setenv("GIT_DIR", str(repository / ".git" / "worktrees" / "tree"))
    monkeypatch.setenv("GIT_PREFIX", "")
    ran = enkaku("breaking", "api/p.json", "--against", "main", cwd=tree)
    assert (ran.returncode, ran.stdout.count(BROKEN)) == (1, 1)


def test_breaking_submodule_is_compared_in_its_repository(repository: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init", "-q", "-b", "main")
    commit(inner, {"p.json": protocol(0)})
    allowed = ("-c", "protocol.file.allow=always")
    git(repository, *allowed, "submodule", "add", "-q", str(inner), "sub")
    git(repository, "commit", "-qm", "x")
    ran = enkaku("breaking", "main:sub/p.json", "p.json", cwd=repository)
    assert (ran.returncode, "sub is a submodule" in ran.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("p.json", "--against", "nowhere"), "no revision nowhere"),
        (("p.json", "--against=--help"), "expected a revision of Git"),
        (("p.json", "--against", ""), "expected a revision of Git"),
        (("p.json", "--against", "a\nHEAD"), "expected a revision of Git"),
        (("none.json", "--against", "main"), "none.json: no such file"),
        (("main:none.json",), "no such file"),
        (("main:none.json", "p.json"), "main:none.json: no such file in this revision"),
        (
            ("p.json", "--against", "main:none.json"),
            "main:none.json: no such file in this revision",
        ),
        ((":p.json",), "expected REF:PATH"),
        (("p.json",), "expected NEW or --against REF"),
        ((), "expected OLD, or [[tool.enkaku.protocol]]"),
        (("p.json", "p.json", "--against", "main"), "expected NEW or --against, got both"),
        (("main:p.json", "--against", "main"), "--against is for a file"),
        (("nothing.at.all", "p.json"), "no such file, package or module"),
        (("p.json", "--against", "main", "--allow", "kind-changed"), "--allow needs --reason"),
        (("p.json", "--against", "main", "--reason", "x"), "--reason needs --allow"),
        (
            ("p.json", "--against", "main", "--allow", "param-narowed", "--reason", "x"),
            "did you mean param-narrowed?",
        ),
        (
            ("p.json", "--against", "main", "--allow", "kind-changed:a", "--reason", "x"),
            "expected a JSON pointer",
        ),
    ],
)
def test_breaking_wrong_arguments_exit_with_2(
    arguments: tuple[str, ...], message: str, repository: Path
) -> None:
    ran = enkaku("breaking", *arguments, cwd=repository)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert message in ran.stderr


def test_breaking_outside_of_repository_exits_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "p.json").write_text(protocol())
    ran = enkaku("breaking", "p.json", "--against", "main", cwd=tmp_path)
    assert (ran.returncode, "not a git repository" in ran.stderr) == (2, True)


def test_breaking_without_git_exits_with_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "p.json").write_text(protocol())
    ran = enkaku("breaking", "p.json", "--against", "main", cwd=tmp_path)
    assert (ran.returncode, "Git is not installed" in ran.stderr) == (2, True)


def test_breaking_bad_protocol_of_revision_names_its_line(repository: Path) -> None:
    commit(repository, {"bad.json": '{\n"p": {"type": "evnt"}}'})
    (repository / "bad.json").write_text(protocol())
    ran = enkaku("breaking", "bad.json", "--against", "main", cwd=repository)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("main:bad.json:2: /p/type:")


def test_breaking_path_above_repository_is_an_error(repository: Path) -> None:
    whole = {"p": {"type": "event", "data": {"$ref": "../../out.json"}}}
    commit(repository, {"up.json": json.dumps(whole)})
    ran = enkaku("breaking", "main:up.json", "p.json", cwd=repository)
    assert (ran.returncode, "expected a path within the repository" in ran.stderr) == (1, True)


def described(directory: Path, text: str) -> Path:
    """A package with its protocol as one string, that must not be imported."""
    directory.mkdir(parents=True)
    (directory / "__init__.py").write_text("raise RuntimeError\n")
    literal = '"""\\\n' + text + '"""'
    source = f"from typing import Final\n\nPROTOCOL: Final = {literal}\nraise OSError\n"
    (directory / "description.py").write_text(source)
    return directory


def test_breaking_compares_generated_packages(tmp_path: Path) -> None:
    described(tmp_path / "app/old", protocol(0))
    described(tmp_path / "app/new", protocol(1))
    for names in (("app/old", "app/new"), ("app.old", "app.new")):
        ran = enkaku("breaking", *names, cwd=tmp_path)
        assert (ran.returncode, BROKEN in ran.stdout) == (1, True), ran
        assert ran.stdout.startswith("error: app/new/description.py:8: /procedures/set/param")


def test_breaking_package_without_description_exits_with_2(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    ran = enkaku("breaking", "app", "app", cwd=tmp_path)
    assert (ran.returncode, "it has no description.py" in ran.stderr) == (2, True)
    (tmp_path / "app/description.py").write_text("PROTOCOL = open('x').read()\n")
    ran = enkaku("breaking", "app", "app", cwd=tmp_path)
    assert (ran.returncode, "can't be read" in ran.stderr) == (1, True)


# Projects and exceptions


def project(directory: Path, *lines: str) -> None:
    head = '[[tool.enkaku.protocol]]\nfile = "p.json"\nagainst = "main"\n'
    (directory / "pyproject.toml").write_text(head + "\n".join(lines))


def test_breaking_without_arguments_compares_the_project(repository: Path) -> None:
    project(repository, "[[tool.enkaku.protocol]]", 'file = "other.json"', 'out = "x"')
    ran = enkaku("breaking", cwd=repository)
    assert (ran.returncode, ran.stdout.count(BROKEN)) == (1, 1)
    assert enkaku("breaking", "p.json", cwd=repository).returncode == 1


def test_breaking_project_without_against_exits_with_2(repository: Path) -> None:
    (repository / "enkaku.toml").write_text('[[protocol]]\nfile = "p.json"\nout = "x"\n')
    ran = enkaku("breaking", cwd=repository)
    assert (ran.returncode, 'has no "against"' in ran.stderr) == (2, True)
    assert enkaku("breaking", "--against", "main", cwd=repository).returncode == 1


@pytest.mark.parametrize(
    ("allowed", "code"),
    [
        ("param-narrowed", 0),
        ("param-narrowed:/procedures", 0),
        ("param-narrowed:/procedures/set/param", 0),
        ("param-narrowed:/procedures/se", 1),
        ("kind-changed", 1),
    ],
)
def test_breaking_allow_makes_findings_notes(allowed: str, code: int, repository: Path) -> None:
    arguments = ("--against", "main", "--allow", allowed, "--reason", "no clients yet")
    ran = enkaku("breaking", "p.json", *arguments, "--verbose", cwd=repository)
    assert ran.returncode == code
    assert ("allowed: no clients yet" in ran.stdout) is (code == 0)
    assert ("[unused-ignore]" in ran.stdout) is (code == 1)


def test_breaking_ignore_of_project_needs_a_reason(repository: Path) -> None:
    ignore = ("[[tool.enkaku.breaking.ignore]]", 'rule = "param-narrowed"')
    project(repository, *ignore)
    ran = enkaku("breaking", cwd=repository)
    assert (ran.returncode, 'expected "reason"' in ran.stderr) == (1, True)
    project(repository, *ignore, 'reason = "no clients yet"', 'pointer = "/procedures/set"')
    assert enkaku("breaking", cwd=repository).returncode == 0
    git(repository, "checkout", "-q", "p.json")
    ran = enkaku("breaking", cwd=repository)
    assert ran.returncode == 0
    assert (
        "/tool/enkaku/breaking/ignore/0: param-narrowed:/procedures/set: applies to no finding"
        in ran.stdout
    )


def test_breaking_ignore_ends_after_its_last_day(repository: Path) -> None:
    ignore = ("[[tool.enkaku.breaking.ignore]]", 'rule = "param-narrowed"', 'reason = "x"')
    project(repository, *ignore, "until = 2020-01-31")
    ran = enkaku("breaking", cwd=repository)
    assert (ran.returncode, "[expired-ignore]" in ran.stdout) == (1, True)
    project(repository, *ignore, "until = 9999-12-31")
    assert enkaku("breaking", cwd=repository).returncode == 0


def test_breaking_ignore_of_other_file_does_not_apply(repository: Path) -> None:
    other = ("[[tool.enkaku.protocol]]", 'file = "q.json"', 'out = "q"')
    ignore = ("[[tool.enkaku.breaking.ignore]]", 'rule = "param-narrowed"', 'reason = "x"')
    project(repository, *other, *ignore, 'file = "q.json"')
    ran = enkaku("breaking", cwd=repository)
    assert (ran.returncode, "unused" in ran.stdout) == (1, False)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('level = "wires"', "/tool/enkaku/breaking/level: expected wire or source"),
        ('first = "both"', "/tool/enkaku/breaking/first: expected server, client, either"),
        ('ignor = "x"', "unknown key; did you mean ignore?"),
        ('ignore = [{rule = "x", reason = "y"}]', "no rule 'x'"),
        ('ignore = [{rule = "unused-ignore", reason = "y"}]', "no rule 'unused-ignore'"),
        ('ignore = [{rule = "kind-changed", reason = " "}]', "expected a string"),
        ('ignore = [{rule = "kind-changed", reason = "y", pointer = "a"}]', "a JSON pointer"),
        ('ignore = [{rule = "kind-changed", reason = "y", until = "soon"}]', "expected a date"),
    ],
)
def test_breaking_wrong_settings_exit_with_1(line: str, message: str, repository: Path) -> None:
    project(repository, "[tool.enkaku.breaking]", line)
    ran = enkaku("breaking", cwd=repository)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert message in ran.stderr


def test_breaking_settings_select_level_and_first(repository: Path) -> None:
    (repository / "p.json").write_text(protocol(0, more={"type": "event"}))
    project(repository, "[tool.enkaku.breaking]", 'first = "client"')
    assert enkaku("breaking", cwd=repository).returncode == 1
    assert enkaku("breaking", "--first", "server", cwd=repository).returncode == 0


def test_breaking_level_source_compares_the_code(repository: Path) -> None:
    git(repository, "checkout", "-q", "p.json")
    renamed = protocol().replace('"type": "request"', '"type": "request", "x-python-name": "put"')
    (repository / "p.json").write_text(renamed)
    assert enkaku("breaking", "p.json", "--against", "main", cwd=repository).returncode == 0
    ran = enkaku("breaking", "p.json", "--against", "main", "--level", "source", cwd=repository)
    assert (
        ran.returncode,
        "the method put was set [method-renamed]"
        in ran.stdout.replace(" (before: main:p.json:3)", ""),
    ) == (1, True)


# Formats


def test_breaking_formats_have_the_same_finding(repository: Path) -> None:
    def printed(format_: str) -> str:
        ran = enkaku("breaking", "main:p.json", "--format", format_, cwd=repository)
        assert (ran.returncode, ran.stderr if format_ != "text" else "") == (1, "")
        return ran.stdout

    (found,) = map(json.loads, printed("json").splitlines())
    assert (found["rule"], found["value"], found["slot"]) == ("param-narrowed", 0, "param")
    assert found["old"] == {"file": "main:p.json", "line": 5, "pointer": "/procedures/set/param"}
    assert found["new"]["file"] == "p.json"
    assert printed("github").startswith("::error file=p.json,line=5,title=param-narrowed::")
    assert 'tests="1" failures="1"' in printed("junit")
    assert "| error | `param-narrowed` | p.json:5" in printed("markdown")


def test_breaking_bad_protocol_is_a_finding_for_machines(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    ran = enkaku("breaking", "a.json", "a.json", "--format", "json", cwd=tmp_path)
    assert ran.returncode == 1
    assert json.loads(ran.stdout)["rule"] == "invalid-protocol"


def test_breaking_long_value_is_shortened(tmp_path: Path) -> None:
    for name, least in (("old", 0), ("new", 1000)):
        schema = {"type": "string", "minLength": 999, "maxLength": 999 + least}
        content = {"p": {"type": "request", "result": schema}}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    ran = enkaku("breaking", "old.json", "new.json", cwd=tmp_path)
    assert ran.returncode == 1
    assert "characters)" in ran.stdout
    assert len(ran.stdout) < 600


def test_breaking_process_imports_neither_black_nor_models(repository: Path) -> None:
    program = (
        "import sys\nfrom enkaku_codegen.commands.main import run\n"
        "code = run(['breaking', 'main:p.json', '--level', 'source'])\n"
        "print(sorted({'black', 'datamodel_code_generator', 'jinja2'} & sys.modules.keys()), code)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=repository,
        capture_output=True,
        text=True,
        env=GIT,
        check=False,
    )
    assert ran.stdout.splitlines()[-1] == "[] 1", ran.stderr


def test_breaking_process_exits_with_its_codes(repository: Path) -> None:
    def run(*arguments: str) -> int:
        command = [sys.executable, "-m", "enkaku_codegen", "breaking", *arguments]
        ran = subprocess.run(command, cwd=repository, capture_output=True, env=GIT, check=False)
        return ran.returncode

    assert run("p.json", "p.json") == 0
    assert run("p.json", "--against", "main") == 1
    assert run("p.json", "--against", "nowhere") == 2


def test_breaking_documentation_has_the_table_of_rules() -> None:
    assert table() in (ROOT / "docs" / "breaking.md").read_text()


def test_breaking_project_with_imports_compares_revisions(repository: Path) -> None:
    money = {"type": "object", "properties": {"amount": {"type": "integer"}}}
    event = {"type": "event", "data": {"type": "object", "properties": {"n": {"type": "integer"}}}}
    commit(
        repository,
        {
            "api/money.json": json.dumps({"$defs": {"Money": money}}),
            "api/q.json": json.dumps({"name": "Q", "procedures": {"e": event}}),
        },
    )
    # Only the new version refers to the file that is imported.
    event["data"]["properties"] |= {"price": {"$ref": "money.json#/$defs/Money"}}
    (repository / "api/q.json").write_text(json.dumps({"name": "Q", "procedures": {"e": event}}))
    (repository / "pyproject.toml").write_text(
        '[[tool.enkaku.protocol]]\nfile = "api/q.json"\nout = "q"\nagainst = "main"\n'
        'imports = { "api/money.json" = "app.money" }\n'
    )
    ran = enkaku("breaking", "--level", "source", "--verbose", cwd=repository)
    assert "EData.price is new [field-added]" in ran.stdout.replace(
        " (before: main:api/q.json:1)", ""
    )
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "x")
    ran = enkaku("breaking", "--level", "source", "--verbose", cwd=repository)
    assert (ran.returncode, ran.stdout) == (0, "")
