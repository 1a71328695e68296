"""Real schemas generate, and nothing of them is lost. That type checkers accept the packages: test_typecheck."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from enkaku_codegen.planning.names import constant_name
from enkaku_codegen.reading.definition import read_protocol
from real.collection import Collection

pytestmark = pytest.mark.timeout(600)

COUNTS = {
    "acp": (25, 178),
    "cdp": (565, 328),
    "cyclonedx": (2, 117),
    "debug": (61, 187),
    "github": (66, 344),
    "lsp": (91, 396),
    "mcp": (31, 145),
    "metamask": (55, 77),
    "obs": (148, 63),
}
"""How many procedures and definitions the files have."""


def test_real_schemas_lose_no_definition(collection: Collection) -> None:
    procedures, definitions = COUNTS[collection.name]
    assert len(collection.file["$defs"]) == definitions
    added = [name for name in collection.file["procedures"] if name.startswith("definition/")]
    assert len(added) in {0, definitions}
    assert len(collection.file["procedures"]) == procedures + len(added)
    protocol = read_protocol(collection.protocol)
    assert len(protocol.procedures) == procedures + len(added)
    assert protocol.definitions.keys() >= collection.file["$defs"].keys()
    for name, procedure in collection.file["procedures"].items():
        held = getattr(collection.package, constant_name(name))
        assert (held.name, held.kind) == (name, procedure["type"])


def test_generate_is_independent_of_order_and_hash_seed(
    collection: Collection, tmp_path: Path
) -> None:
    """The command generates the same package from a file in another order, with another seed of hashes."""
    (tmp_path / "protocol.json").write_text(json.dumps(backwards(collection.file)))
    command = ["-m", "enkaku_codegen", "generate", "protocol.json", "--out", "again"]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": "17"},
        stderr=subprocess.PIPE,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0
    # What is said of ambiguous unions is no error.
    assert all(b"a recursive union" in line for line in done.stderr.splitlines())
    assert contents(tmp_path / "again") == contents(collection.directory)


def backwards(file: dict[str, Any]) -> dict[str, Any]:
    """Give a protocol file that says the same in another order."""
    turned = {key: dict(reversed(file[key].items())) for key in ("procedures", "$defs")}
    return {**dict(reversed(file.items())), **turned}


def contents(directory: Path) -> dict[str, str]:
    """Give the files of a package, without what the command notes for itself."""
    files = [path for path in directory.iterdir() if path.is_file() and path.name[0] != "."]
    return {path.name: path.read_text(encoding="utf-8") for path in files}
