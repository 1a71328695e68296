"""Record of the files that a run reads: for ``--watch`` and ``--depfile``.

Each module that reads such a file calls ``add_input`` before it opens the file. So the record has the state that was
read, or an older one, also of a file that does not exist and of those that a run with errors has read.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

__all__ = ["Inputs", "State", "add_directory", "add_input", "recorded", "state"]

State = tuple[int, ...] | None
"""What changes if a file is written or replaced; None if there is no file."""

Inputs = dict[Path, State]
"""The first known state of each file, and of directories whose list of files matters."""

_inputs: ContextVar[Inputs | None] = ContextVar("inputs", default=None)


def state(path: Path) -> State:
    """Return the state of a file, without opening it."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: a null byte in the path
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def add_input(path: Path) -> None:
    """Record a file, or a directory, that is read next."""
    inputs = _inputs.get()
    if inputs is not None and path not in inputs:
        inputs[path] = state(path)


def add_directory(root: Path) -> None:
    """Record all that is in a directory, and the directories themselves, since a new file counts as well."""
    if _inputs.get() is None:
        return
    add_input(root)
    for directory, directories, files in os.walk(root):
        directories[:] = [name for name in directories if name != "__pycache__"]
        for name in (*directories, *files):
            add_input(Path(directory) / name)


@contextmanager
def recorded() -> Generator[Inputs]:
    """Record the inputs of a block; an outer record has them, too."""
    outer = _inputs.get()
    inputs: Inputs = {}
    token = _inputs.set(inputs)
    try:
        yield inputs
    finally:
        _inputs.reset(token)
        if outer is not None:
            for path, found in inputs.items():
                outer.setdefault(path, found)
