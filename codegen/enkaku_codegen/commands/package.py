"""Shared arguments of the commands that work on a generated package, and the package that they ask for."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from enkaku_codegen.errors import OutputError
from enkaku_codegen.fingerprint import LANGUAGES, LINE_LENGTH, Import, Request
from enkaku_codegen.output import require_importable

if TYPE_CHECKING:
    from enkaku_codegen.prepare import Prepared

__all__ = ["add_arguments", "prepared", "request"]

_SHORTEST: Final = 60
_LONGEST: Final = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that say what package is generated, and where."""
    parser.add_argument("protocol", metavar="PROTOCOL", type=_path, help="a JSON or YAML file")
    parser.add_argument(
        "--out", metavar="DIR", type=_path, required=True, help="the package's directory"
    )
    parser.add_argument(
        "--name",
        type=_name,
        help="what the classes are named after; else the name in the file, else the file's name",
    )
    parser.add_argument(
        "--language",
        choices=LANGUAGES,
        default=LANGUAGES[0],
        help=f"the language of the code; by default {LANGUAGES[0]}",
    )
    parser.add_argument(
        "--import",
        metavar="FILE=MODULE",
        dest="imports",
        action="append",
        default=[],
        type=_import,
        help="import the types of another protocol file from its package, such as common.yaml=app.common",
    )
    parser.add_argument(
        "--sync",
        action="store_true",
        help="write a synchronous client, too, for code without asyncio",
    )
    parser.add_argument(
        "--templates",
        metavar="DIR",
        type=_path,
        help="templates that go before the built-in ones",
    )
    parser.add_argument(
        "--line-length",
        metavar="N",
        type=_length,
        default=LINE_LENGTH,
        help=f"the greatest length of a line of code; by default {LINE_LENGTH}",
    )


def _path(text: str) -> Path:
    # Path("") would be the current directory, where a variable of the shell is not set by mistake.
    if not text:
        raise argparse.ArgumentTypeError("a path has at least one character")
    return Path(text)


def _name(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("a name has at least one character")
    return text


def _import(text: str) -> Import:
    file, _, module = text.rpartition("=")
    if not file or not module:
        raise argparse.ArgumentTypeError("expected FILE=MODULE, such as common.yaml=app.common")
    return Import(Path(file), module)


def _length(text: str) -> int:
    if not text.isdecimal() or not _SHORTEST <= int(text) <= _LONGEST:
        raise argparse.ArgumentTypeError(f"expected {_SHORTEST} to {_LONGEST} characters")
    return int(text)


def request(options: argparse.Namespace) -> Request:
    """Return what the arguments ask to generate.

    Raises:
        OutputError: Python could not import the package from its directory, or the language has no synchronous client.
    """
    if options.language == "python":
        require_importable(options.out)
    elif options.sync:
        raise OutputError(f"--sync is for Python; got --language {options.language}")
    return Request(
        options.protocol,
        options.name,
        options.templates,
        options.line_length,
        options.language,
        options.sync,
        tuple(options.imports),
    )


def prepared(options: argparse.Namespace) -> "Prepared":
    """Generate the package, compare it with its directory, and print the warnings.

    Raises:
        CodegenError: The package can't be generated, or the directory can't be read.
    """
    # Imported here: at the top, the generator would be imported even for a package that is up to date.
    from enkaku_codegen.prepare import prepare  # noqa: PLC0415 # see above

    made = prepare(request(options), options.out)
    for each in made.warnings:
        print(f"warning: {each}", file=sys.stderr)
    return made
