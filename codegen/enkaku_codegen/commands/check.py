"""``enkaku check``: reports whether the package for a protocol is up to date."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Final

from enkaku_codegen.fingerprint import Request, is_fresh

from . import package
from .command import Command
from .report import Finding, print_findings

__all__ = ["COMMAND"]


def _run(options: argparse.Namespace) -> int:
    # All of them, although one is enough for the exit code: a build shows everything that is out of date.
    selection = package.select(options)
    return package.run_each(selection, options.format, partial(_is_fresh, options.format))


def _is_fresh(format_: str, request: Request, out: Path | None) -> bool:
    """Return whether a package is up to date; print the difference if it is not. A protocol without one is read."""
    if out is None:
        package.require_valid(request)
        return True
    if is_fresh(request, out):
        return True
    changes = package.prepared(request, out, format_).changes
    if not changes:
        return True
    state = "out of date" if changes.directory.is_dir() else "no such directory"
    message = f"{changes.directory}: {state}; run 'enkaku generate' with the same options"
    if format_ == "text":
        sys.stdout.writelines(changes.diff())
        sys.stdout.flush()
        print(message, file=sys.stderr)
    else:
        details = package.details(changes)
        found = Finding("out-of-date", "error", str(request.protocol), None, "", message, details)
        print_findings([found], format_)
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
