"""What takes long to make, and is made once for all processes that run tests together."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

__all__ = ["made_once", "shared_directory"]


def shared_directory(factory: pytest.TempPathFactory) -> Path:
    """Return a directory that all processes of a test run have in common."""
    own = factory.getbasetemp()
    return (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"


def made_once(directory: Path, make: Callable[[Path], None]) -> Path:
    """Make a directory, or wait until another process has made it.

    Args:
        directory: Where it is then, complete.
        make: Fills an empty directory with its content.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_name(f"{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.exists():
            growing = directory.with_name(f"{directory.name}.part")
            shutil.rmtree(growing, ignore_errors=True)  # of a process that failed
            growing.mkdir()
            make(growing)
            growing.rename(directory)
    return directory
