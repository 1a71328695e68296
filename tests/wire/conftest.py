"""Fixtures: the package generated from the recordings' protocol, and the recordings as parameters."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from enkaku import Handler
from wire.transcript import FOLDER, Recording, load_recordings


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """Generate and import the package ``recorded``."""
    folder = tmp_path_factory.mktemp("generated")
    subprocess.run(
        [
            *(sys.executable, "-m", "enkaku_codegen", "generate", FOLDER / "protocol.json"),
            *("--out", folder / "recorded", "--name", "Recorded"),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("recorded")
    finally:
        sys.path.remove(str(folder))


@pytest.fixture
def handler(recorded: ModuleType) -> Handler:
    """The module with the recorded handlers."""
    made: Handler = importlib.import_module("wire.handler").Recorder()
    return made


@pytest.fixture(params=["unix", "memory"])
def link(request: pytest.FixtureRequest) -> str:
    """The transport: a Unix socket with the recorded packets, or memory with pieces of seven bytes."""
    return str(request.param)


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    """A path for a Unix socket, short enough for every operating system."""
    return tmp_path / "s"


@pytest.fixture(params=load_recordings().values(), ids=lambda recording: recording.name)
def recording(request: pytest.FixtureRequest) -> Recording:
    """Every recording."""
    found: Recording = request.param
    return found
