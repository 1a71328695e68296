"""Generated packages are what they were, and what they were satisfies both type checkers at their strictest."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from golden.refresh import PACKAGES, PROTOCOLS, generated

MODULES = len([*PACKAGES.glob("*/*.py")])


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda path: path.stem)
def test_a_package_is_as_it_was(protocol: Path) -> None:
    directory = PACKAGES / protocol.stem
    there = {path.name: path.read_text(encoding="utf-8") for path in directory.iterdir() if path.is_file()}
    assert generated(protocol) == there, "if that is right: python tests/golden/refresh.py"


def test_there_is_one_package_for_each_protocol() -> None:
    assert {path.name for path in PACKAGES.iterdir()} == {path.stem for path in PROTOCOLS}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(PACKAGES, tmp_path / "packages")
    settings = {"include": ["packages"], "typeCheckingMode": "strict", "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    return tmp_path


def test_pyright_strict_finds_nothing(project: Path) -> None:
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson"]
    ran = subprocess.run([*command, "--project", str(project)], capture_output=True, text=True, timeout=55, check=False)
    report = json.loads(ran.stdout)
    assert report["generalDiagnostics"] == []
    assert report["summary"]["filesAnalyzed"] == MODULES


def test_mypy_strict_finds_nothing(project: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--cache-dir", "cache"]
    packages = [f"packages/{path.stem}" for path in PROTOCOLS]
    ran = subprocess.run([*command, *packages], capture_output=True, text=True, timeout=55, check=False, cwd=project)
    assert (ran.stdout.strip(), ran.stderr) == (
        f"Success: no issues found in {MODULES} source files",
        "",
    )
