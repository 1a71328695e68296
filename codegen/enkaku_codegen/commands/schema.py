"""``enkaku schema``: prints the JSON Schema of protocol files, for editors and validators."""

import argparse
import sys
from pathlib import Path
from typing import Final

from enkaku_codegen.errors import OutputError
from enkaku_codegen.reading.protocol_schema import META_SCHEMA

from .command import Command, ExitCode

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help="write it to a file; by default, to the standard output",
    )


def _run(options: argparse.Namespace) -> int:
    text = META_SCHEMA.read_text(encoding="utf-8")
    out: Path | None = options.out
    if out is None:
        sys.stdout.write(text)
        return ExitCode.SUCCESS
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{out}: cannot be written: {error.strerror}") from error
    return ExitCode.SUCCESS


COMMAND: Final = Command(
    description="Print the JSON Schema of protocol files, which editors complete and check them with.",
    examples=(
        "enkaku schema --out protocol.schema.json",
        "# yaml-language-server: $schema=protocol.schema.json    (the first line of a protocol.yaml)",
    ),
    add_arguments=_add_arguments,
    run=_run,
)
