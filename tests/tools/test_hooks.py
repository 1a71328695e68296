"""The hooks for pre-commit and the GitHub action, both run from this repository's files, without network."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import enkaku
from enkaku_codegen.commands.main import COMMANDS

from .installing import ROOT, copy_repository, offline

HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
PROTOCOL = "# Ticks.\nclock/ticks: { type: stream, receive: { type: integer } }\n"

GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{
        f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    },
}


def run(*command: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**os.environ, **GIT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "protocol.yaml").write_text(PROTOCOL)
    (directory / "pyproject.toml").write_text(
        '[[tool.enkaku.protocol]]\nfile = "protocol.yaml"\nout = "app/clock"\n'
    )
    assert enkaku("generate", cwd=directory).returncode == 0
    return directory


def test_hooks_run_commands_of_their_names() -> None:
    known = {each.name for each in COMMANDS}
    for hook in HOOKS:
        command = hook["id"].removeprefix("enkaku-")
        assert hook["entry"] == f"enkaku {command}"
        assert command in known
        assert not hook["pass_filenames"]  # the project says which protocols there are
        assert re.search(rf"`{hook['id']}`", (ROOT / "docs" / "builds.md").read_text())


def commit(directory: Path) -> str:
    """Make a repository of a directory, and return its revision."""
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "All")):
        done = run("git", *arguments, cwd=directory)
        assert done.returncode == 0, done.stdout
    return run("git", "rev-parse", "HEAD", cwd=directory).stdout.strip()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_pre_commit_hooks_accept_and_reject(project: Path, tmp_path: Path) -> None:
    repository = tmp_path / "enkaku"
    copy_repository(repository)
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", repository)
    arguments = {"enkaku-breaking": ["--against", "HEAD"]}
    hooks = [{"id": each["id"], "args": arguments.get(each["id"], [])} for each in HOOKS]
    configured = {"repo": str(repository), "rev": commit(repository), "hooks": hooks}
    (project / ".pre-commit-config.yaml").write_text(yaml.safe_dump({"repos": [configured]}))
    commit(project)
    environment = {**offline(tmp_path / "packages"), "PRE_COMMIT_HOME": str(tmp_path / "cache")}

    def pre_commit(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = (sys.executable, "-m", "pre_commit", *arguments, "--all-files", "--verbose")
        return run(*command, cwd=project, **environment)

    done = pre_commit("try-repo", repository, "enkaku-check")
    assert (done.returncode, done.stdout.count("Passed")) == (0, 1), done.stdout
    for hook in HOOKS:
        done = pre_commit("run", hook["id"])
        assert (done.returncode, done.stdout.count("Passed")) == (0, 1), done.stdout

    stale = PROTOCOL.replace("integer", "string").replace(": {", ":   {")
    (project / "protocol.yaml").write_text(stale)
    done = pre_commit("run", "enkaku-check")
    assert (done.returncode, "app/clock: out of date" in done.stdout) == (1, True), done.stdout
    done = pre_commit("run", "enkaku-breaking")
    assert (done.returncode, "exit code: 1" in done.stdout) == (1, True), done.stdout
    for name, said in (("format", "1 formatted"), ("generate", "written")):
        done = pre_commit("run", f"enkaku-{name}")
        assert done.returncode == 1, done.stdout
        assert "files were modified by this hook" in done.stdout
        assert said in done.stdout
    assert pre_commit("run", "enkaku-check").returncode == 0


# The action: its steps are run as the runner runs them, each with its variables.


def steps(inputs: dict[str, str]) -> list[tuple[str, dict[str, str]]]:
    """Return the script of each step, and its variables with the inputs in their places."""
    given = {name: str(each["default"]) for name, each in ACTION["inputs"].items()} | inputs

    def filled(text: str) -> str:
        text = re.sub(r"\$\{\{ steps\.[\w.-]+ \|\| '(\w+)' \}\}", r"\1", text)
        return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: given[found[1]], text)

    return [
        (step["run"], {name: filled(each) for name, each in step["env"].items()})
        for step in ACTION["runs"]["steps"]
        if "run" in step
    ]


def run_action(
    project: Path, home: Path, environment: dict[str, str], **inputs: str
) -> subprocess.CompletedProcess[str]:
    for script, variables in steps(inputs):
        path = home / "step.sh"
        path.write_text(script)
        command = ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail", path)
        done = run(*command, cwd=project, **environment, **variables)
        if done.returncode:
            return done
    return done


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_action_installs_and_runs_commands(project: Path, tmp_path: Path) -> None:
    copy_repository(tmp_path / "enkaku")
    environment = {
        **offline(tmp_path / "packages"),
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        "GITHUB_ACTION_PATH": str(tmp_path / "enkaku"),
        "RUNNER_TEMP": str(tmp_path / "temp"),
    }
    done = run_action(project, tmp_path, environment)
    assert done.returncode == 0, done.stdout
    assert "::group::enkaku check\n" in done.stdout

    both = "check\n\n  format --check *\n"
    (project / "protocol.yaml").write_text(PROTOCOL.replace("integer", "string"))
    done = run_action(project, tmp_path, environment, command=both)
    assert done.returncode == 1, done.stdout
    assert "app/clock: out of date" in done.stdout
    # The second command has run as well; its star was not replaced by the names of files.
    assert "::group::enkaku format --check *\n" in done.stdout
    assert "*: expected a file named" in done.stdout


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        ("", "/action path[tools]"),
        ("0.1.0", "enkaku[tools]==0.1.0"),
        (">=0.1,<0.2", "enkaku[tools]>=0.1,<0.2"),
        ("==0.1.0; echo", "enkaku[tools]==0.1.0; echo"),
    ],
)
def test_action_version_selects_requirement(version: str, wanted: str, tmp_path: Path) -> None:
    (tmp_path / "enkaku" / "bin").mkdir(parents=True)
    for path in (tmp_path / "python", tmp_path / "enkaku" / "bin" / "python"):
        path.write_text('#!/bin/sh\nfor each in "$@"; do last=$each; done; echo "$last"\n')
        path.chmod(0o755)
    script, variables = steps({"version": version})[0]
    done = run(
        "bash",
        "-c",
        script,
        cwd=tmp_path,
        **variables,
        PATH=os.pathsep.join((str(tmp_path), os.environ["PATH"])),
        RUNNER_TEMP=str(tmp_path),
        GITHUB_ACTION_PATH="/action path",
    )
    assert done.stdout.splitlines()[-1] == wanted


def test_action_inputs_are_in_variables_alone() -> None:
    """An input within a script would be code of whoever can set it."""
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")


def test_action_inputs_are_documented() -> None:
    table: dict[str, Any] = dict(
        re.findall(
            r"^\| `([\w-]+)` \| .* \| (.*) \|$",
            (ROOT / "docs" / "builds.md").read_text(),
            re.MULTILINE,
        )
    )
    assert {*ACTION["inputs"]} <= {*table}
