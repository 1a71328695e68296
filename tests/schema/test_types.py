"""Packages from random protocols satisfy both type checkers at their strictest."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from schema.fuzz.cases import generated, random_cases

_PACKAGES = 2
_CASES = 60


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = tmp_path_factory.mktemp("types")
    for number in range(_PACKAGES):
        cases = random_cases(Random(f"types.{number}"), "draft2020-12", _CASES)
        with generated(cases) as (packages, _):
            largest = max(packages, key=lambda each: len(each.cases))
            assert largest.module.__file__ is not None
            shutil.copytree(Path(largest.module.__file__).parent, project / f"packages/p{number}")
            assert len(largest.cases) > _CASES / 2
    settings = {"include": ["packages"], "typeCheckingMode": "strict", "pythonVersion": "3.11"}
    (project / "pyrightconfig.json").write_text(json.dumps(settings))
    return project


def test_pyright_strict_finds_nothing(project: Path) -> None:
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson"]
    ran = subprocess.run(
        [*command, "--project", str(project)],
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    report = json.loads(ran.stdout)
    assert report["generalDiagnostics"] == []
    assert report["summary"]["filesAnalyzed"] >= 6 * _PACKAGES


def test_mypy_strict_finds_nothing(project: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file",
        "",
        "--cache-dir",
        "cache",
    ]
    ran = subprocess.run(
        [*command, "packages"],
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
        cwd=project,
    )
    assert ran.stdout.startswith("Success: no issues found"), ran.stdout
