"""``enkaku check``: reports whether the package for a protocol is up to date."""

import argparse
import sys
from typing import Final

from enkaku_codegen.fingerprint import is_fresh

from . import package
from .command import Command

__all__ = ["COMMAND"]


def _run(options: argparse.Namespace) -> int:
    if is_fresh(package.request(options), options.out):
        return 0
    changes = package.prepared(options).changes
    if not changes:
        return 0
    sys.stdout.writelines(changes.diff())
    sys.stdout.flush()
    state = "out of date" if changes.directory.is_dir() else "no such directory"
    print(
        f"{changes.directory}: {state}; run 'enkaku generate' with the same options",
        file=sys.stderr,
    )
    return 1


COMMAND: Final = Command(
    name="check",
    summary="report whether the package is up to date",
    description="Write nothing; print the difference and exit with 1 if the package is out of date.",
    examples=(
        "enkaku check protocol.yaml --out src/app/protocol      (in a build: exits 1 when out of date)",
    ),
    add_arguments=package.add_arguments,
    run=_run,
)
