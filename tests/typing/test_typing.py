"""Users of generated code are told what they do wrong, and nothing else, by both type checkers."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PACKAGES = HERE.parent / "golden" / "packages"
COMMENT = re.compile(r"# told: (?P<pyright>\w+), (?P<mypy>[\w-]+)$")
Mistakes = dict[int, set[str]]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("typing")
    for path in (*PACKAGES.iterdir(), HERE / "correct.py", HERE / "mistakes.py"):
        if path.is_dir():
            shutil.copytree(path, root / path.name)
        else:
            shutil.copy(path, root)
    settings = {"include": ["*.py"], "typeCheckingMode": "strict", "pythonVersion": "3.11"}
    (root / "pyrightconfig.json").write_text(json.dumps(settings))
    return root


def run(project: Path, *command: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert ran.stderr == ""
    return ran.stdout


@pytest.fixture(scope="module")
def pyright(project: Path) -> dict[str, Mistakes]:
    report = json.loads(run(project, "pyright", "--pythonpath", sys.executable, "--outputjson"))
    assert report["summary"]["filesAnalyzed"] == 2
    found: dict[str, Mistakes] = {}
    for each in report["generalDiagnostics"]:
        line = each["range"]["start"]["line"] + 1
        found.setdefault(Path(each["file"]).name, {}).setdefault(line, set()).add(
            each["rule"].removeprefix("report")
        )
    return found


@pytest.fixture(scope="module")
def mypy(project: Path) -> dict[str, Mistakes]:
    options = ["--strict", "--config-file", "", "--cache-dir", "cache", "--no-error-summary"]
    found: dict[str, Mistakes] = {}
    for line in run(project, "mypy", *options, "correct.py", "mistakes.py").splitlines():
        matched = re.fullmatch(r"(\S+?):(\d+): error: .*\[([\w-]+)\]", line)
        if matched is not None:
            name, number, rule = matched.groups()
            found.setdefault(name, {}).setdefault(int(number), set()).add(rule)
        else:
            assert ": note: " in line, line
    return found


@pytest.fixture
def checker(request: pytest.FixtureRequest) -> dict[str, Mistakes]:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("checker", ["pyright", "mypy"], indirect=True)
def test_correct_usage_is_accepted(checker: dict[str, Mistakes]) -> None:
    assert checker.get("correct.py", {}) == {}


@pytest.mark.parametrize("name", ["pyright", "mypy"])
def test_mistakes_are_told(name: str, request: pytest.FixtureRequest) -> None:
    lines = (HERE / "mistakes.py").read_text().splitlines()
    expected = {
        number: matched[name]
        for number, line in enumerate(lines, start=1)
        if (matched := COMMENT.search(line)) and matched[name] != "-"
    }
    found: Mistakes = request.getfixturevalue(name)["mistakes.py"]
    # One mistake may have more than one consequence on its line, but none elsewhere.
    assert found.keys() == expected.keys()
    assert {n: rule for n, rule in expected.items() if rule not in found[n]} == {}
