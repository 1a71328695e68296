"""``enkaku check``: reports whether the package for a protocol is up to date."""

import argparse
import sys
from pathlib import Path
from typing import Final

from enkaku_codegen.fingerprint import Request, is_fresh

from . import package
from .command import Command, ExitCode

__all__ = ["COMMAND"]


def _run(options: argparse.Namespace) -> int:
    # All of them, although one is enough for the exit code: a build shows everything that is out of date.
    return (
        ExitCode.FOUND
        if sum(not _is_fresh(*each) for each in package.packages(options))
        else ExitCode.SUCCESS
    )


def _is_fresh(request: Request, out: Path) -> bool:
    """Return whether a package is up to date; print the difference if it is not."""
    if is_fresh(request, out):
        return True
    changes = package.prepared(request, out).changes
    if not changes:
        return True
    sys.stdout.writelines(changes.diff())
    sys.stdout.flush()
    state = "out of date" if changes.directory.is_dir() else "no such directory"
    print(
        f"{changes.directory}: {state}; run 'enkaku generate' with the same options",
        file=sys.stderr,
    )
    return False


COMMAND: Final = Command(
    description="Write nothing; print the difference and exit with 1 if a package is out of date.",
    examples=(
        "enkaku check                                           (all packages that pyproject.toml lists)",
        "enkaku check protocol.yaml --out src/app/protocol      (in a build: exits 1 when out of date)",
    ),
    add_arguments=package.add_arguments,
    run=_run,
)
