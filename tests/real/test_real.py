"""Real schemas generate, nothing of them is lost, and they satisfy both type checkers at their strictest."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from enkaku_codegen.planning.names import constant_name
from real.collection import PROTOCOLS, Collection

pytestmark = pytest.mark.timeout(600)

COUNTS = {
    "acp": (25, 178),
    "cyclonedx": (2, 117),
    "debug": (61, 187),
    "github": (66, 344),
    "mcp": (31, 145),
    "metamask": (55, 77),
}
"""How many procedures and definitions the files have."""


def test_nothing_is_lost(collection: Collection) -> None:
    procedures, definitions = COUNTS[collection.name]
    assert len(collection.file["$defs"]) == definitions
    added = [name for name in collection.file["procedures"] if name.startswith("definition/")]
    assert len(added) in {0, definitions}
    assert len(collection.file["procedures"]) == procedures + len(added)
    assert len(collection.protocol.procedures) == procedures + len(added)
    assert collection.protocol.definitions.keys() >= collection.file["$defs"].keys()
    for name, procedure in collection.file["procedures"].items():
        held = getattr(collection.package, constant_name(name))
        assert (held.name, held.kind) == (name, procedure["type"])


def test_neither_order_nor_seed_matters(collection: Collection) -> None:
    _, errors = collection.again.communicate(timeout=500)
    assert (collection.again.returncode, errors) == (0, b"")
    assert contents(collection.directory.parent / "other" / "again") == contents(
        collection.directory
    )


def contents(directory: Path) -> dict[str, str]:
    """Give the files of a package, without what the command notes for itself."""
    files = [path for path in directory.iterdir() if path.is_file() and path.name[0] != "."]
    return {path.name: path.read_text(encoding="utf-8") for path in files}


def test_both_type_checkers_find_nothing(
    made: Callable[[Path], Collection], tmp_path: Path
) -> None:
    for path in PROTOCOLS:
        shutil.copytree(made(path).directory, tmp_path / "packages" / path.stem)
    settings = {"include": ["packages"], "typeCheckingMode": "strict", "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    pyright = ["pyright", "--pythonpath", sys.executable, "--outputjson", "--project", "."]
    mypy = ["mypy", "--strict", "--config-file", "", "--cache-dir", "cache"]
    mypy += [f"packages/{path.stem}" for path in PROTOCOLS]
    with run(pyright, tmp_path) as one, run(mypy, tmp_path) as other:
        report = json.loads(one.communicate(timeout=500)[0])
        said = other.communicate(timeout=500)
    files = len([*tmp_path.glob("packages/*/*.py")])
    assert report["generalDiagnostics"] == []
    assert report["summary"]["filesAnalyzed"] == files
    assert said == (f"Success: no issues found in {files} source files\n", "")


def run(command: list[str], directory: Path) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-m", *command], cwd=directory, text=True, **pipes)
