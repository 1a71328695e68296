"""``enkaku generate``: writes the package for a protocol."""

import argparse
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from enkaku_codegen.errors import OutputError
from enkaku_codegen.fingerprint import Request, is_fresh
from enkaku_codegen.output import Changes, write

from . import package
from .command import Command, ExitCode

if TYPE_CHECKING:
    from enkaku_codegen.proving.checks import Checks

__all__ = ["COMMAND"]

_MOST_POINTERS: Final = 3


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    package.add_arguments(parser)
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="print for each slot why its type alone does not enforce its schema",
    )


def _run(options: argparse.Namespace) -> int:
    for request, out in package.packages(options):
        _generate(request, out, verbose=options.verbose)
    return ExitCode.SUCCESS


def _generate(request: Request, out: Path, *, verbose: bool) -> None:
    if not verbose and is_fresh(request, out):
        print(f"{out}: up to date")
        return
    prepared = package.prepared(request, out)
    _write(prepared.changes)
    _report(prepared.checks, verbose=verbose)


def _write(changes: Changes) -> None:
    if changes:
        write(changes)
        counts = [(len(changes.written), "written"), (len(changes.removed), "removed")]
        done = ", ".join(f"{count} {what}" for count, what in counts if count)
        print(f"{changes.directory}: {done}")
    else:
        # Only the fingerprint is left to write. Without it, the next run generates the package again.
        with suppress(OutputError):
            write(changes)
        print(f"{changes.directory}: up to date")


def _report(checks: "Checks", *, verbose: bool) -> None:
    """Print how many slots need a validator at run time, what formats reject, and which schemas became object."""
    count = len(checks.slots)
    every = checks.proved + count
    if count:
        need = "needs" if count == 1 else "need"
        hint = "" if verbose else " (reasons: --verbose)"
        print(
            f"{count} of {every} slots {need} a JSON Schema validator at run time: "
            f"pip install 'enkaku[exact]'{hint}"
        )
    elif verbose and every:
        print(f"0 of {every} slots need a JSON Schema validator at run time")
    if checks.formats:
        reject = "rejects" if len(checks.formats) == 1 else "reject"
        hint = "" if verbose else " (which: --verbose)"
        print(
            f"{len(checks.formats)} of {every} slots {reject} strings of a format "
            f"that Python cannot hold{hint}"
        )
    if checks.widened:
        schemas = (
            "1 schema exceeds"
            if len(checks.widened) == 1
            else f"{len(checks.widened)} schemas exceed"
        )
        hint = "" if verbose else f": {_first(checks.widened)} (reasons: --verbose)"
        print(f"{schemas} a limit of the generator and became object{hint}")
    if verbose:
        for pointer, limit in checks.widened.items():
            print(f"{pointer}: {limit}")
        for each in checks.slots.values():
            for reason in each.reasons:
                print(f"{each.label}: {reason}")
        for label, formats in checks.formats.items():
            for rejected in formats:
                print(f"{label}: {rejected}")


def _first(pointers: Collection[str]) -> str:
    """Return the first pointers, and how many others there are."""
    others = len(pointers) - _MOST_POINTERS
    more = f" and {others} other{'s'[:others - 1]}" if others > 0 else ""
    return ", ".join([*pointers][:_MOST_POINTERS]) + more


COMMAND: Final = Command(
    description="Write the package for a protocol, or for each of a project: all of it, or nothing.",
    examples=(
        "enkaku generate                                        (all packages that pyproject.toml lists)",
        "enkaku generate protocol.yaml --out src/app/protocol",
        "enkaku generate protocol.json --out bindings --name Dashboard",
        "enkaku generate protocol.yaml --out web --language typescript",
    ),
    add_arguments=_add_arguments,
    run=_run,
)
