"""``enkaku format``: lays out protocol files."""

import argparse
import sys
from pathlib import Path
from typing import Final

from enkaku_codegen.errors import Issue, ProtocolError, visible
from enkaku_codegen.fingerprint import LINE_LENGTH

from . import package
from .command import Command, ExitCode

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "protocols",
        metavar="PROTOCOL",
        nargs="*",
        type=package.path,
        help="JSON or YAML files; by default, all of [tool.enkaku] in pyproject.toml",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; print the files that would change, and exit with 1 if there are any",
    )
    parser.add_argument(
        "--line-length",
        metavar="N",
        type=package.length,
        default=LINE_LENGTH,
        help=f"the greatest length of a line that could be several; by default {LINE_LENGTH}",
    )


def _run(options: argparse.Namespace) -> int:
    from enkaku_codegen.formatting.files import (  # noqa: PLC0415 # it imports the parser of YAML
        Formatted,
        format_file,
        replace,
    )

    given: list[Path] = options.protocols
    files = given or [each.request.protocol for each in package.targets(None)]
    found: list[Formatted] = []
    issues: list[Issue] = []
    for file in {each.resolve(): each for each in reversed(files)}.values():
        try:
            found.append(format_file(file, options.line_length))
        except ProtocolError as error:
            issues += error.issues
    if issues:  # nothing is written
        raise ProtocolError(issues)
    changed = sorted((each for each in found if each.changed), key=lambda each: each.path)
    for each in changed:
        if not options.check:
            replace(each)
        print(visible(str(each.path)))
    _report(len(changed), len(found) - len(changed), check=options.check)
    return ExitCode.FOUND if changed and options.check else ExitCode.SUCCESS


def _report(changed: int, unchanged: int, *, check: bool) -> None:
    done = "would be formatted" if check else "formatted"
    counts = [(changed, done), (unchanged, "unchanged")]
    print(", ".join(f"{count} {what}" for count, what in counts if count), file=sys.stderr)


COMMAND: Final = Command(
    description="Lay out protocol files. Values, comments and the order of keys stay.",
    examples=(
        "enkaku format                              (all protocol files that pyproject.toml lists)",
        "enkaku format protocol.yaml common.json",
        "enkaku format --check                      (in a build: exits 1 if a file would change)",
    ),
    add_arguments=_add_arguments,
    run=_run,
)
