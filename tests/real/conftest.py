"""Each package is made once for all tests of real schemas."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from enkaku_codegen.reading.definition import read_protocol
from generated.packages import imported
from real.collection import PROTOCOLS, Collection, extended, has_examples, read

MANY = 200
"""How many definitions are so many that a request for each of them takes too long to generate."""


def backwards(file: dict[str, Any]) -> dict[str, Any]:
    """Give a protocol file that says the same in another order."""
    turned = {key: dict(reversed(file[key].items())) for key in ("procedures", "$defs")}
    return {**dict(reversed(file.items())), **turned}


@contextmanager
def generated_again(file: dict[str, Any], directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Let the command generate a package, with another order and seed, while this goes on."""
    directory.mkdir()
    (directory / "protocol.json").write_text(json.dumps(backwards(file)), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "enkaku_codegen",
        "generate",
        "protocol.json",
        "--out",
        "again",
    ]
    seeded = {**os.environ, "PYTHONHASHSEED": "17"}
    with subprocess.Popen(command, cwd=directory, env=seeded, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], Collection]]:
    """Make each package once, and keep it."""
    known: dict[Path, Collection] = {}
    with ExitStack() as stack:

        def make(path: Path) -> Collection:
            if path not in known:
                directory, file = tmp_path_factory.mktemp(path.stem), read(path)
                if len(file["$defs"]) < MANY:
                    file = extended(file)
                again = stack.enter_context(generated_again(file, directory / "other"))
                (directory / "protocol.json").write_text(json.dumps(file), encoding="utf-8")
                protocol = read_protocol(directory / "protocol.json")
                package = stack.enter_context(imported(protocol, directory))
                known[path] = Collection(path.stem, file, protocol, package, again)
            return known[path]

        yield make


@pytest.fixture(scope="session", params=PROTOCOLS, ids=lambda path: path.stem)
def collection(request: pytest.FixtureRequest, made: Callable[[Path], Collection]) -> Collection:
    return made(request.param)


@pytest.fixture(
    scope="session",
    params=[path for path in PROTOCOLS if has_examples(path.stem)],
    ids=lambda path: path.stem,
)
def exemplified(request: pytest.FixtureRequest, made: Callable[[Path], Collection]) -> Collection:
    """Give the collections that have examples."""
    return made(request.param)
