"""The command line: the one module that prints and writes."""

import argparse
import importlib.metadata
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .errors import CodegenError, OutputError
from .output import Changes, write
from .stamp import Request, is_fresh

if TYPE_CHECKING:
    from enkaku_codegen.proving.checks import Checks

__all__ = ["run"]

_EXAMPLES: Final = """\
examples:
  enkaku generate protocol.yaml --out src/app/protocol
  enkaku generate protocol.json --out bindings --name Dashboard
  enkaku check protocol.yaml --out src/app/protocol      (in a build: exits 1 when out of date)
"""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Those of the command line if None.

    Returns:
        The exit code: 0 for success, 1 for an error that was reported, or a package that is out of date.
    """
    # What a terminal or a pipe can't encode is escaped rather than fatal.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    if not (sys.argv[1:] if arguments is None else arguments):
        parser.print_help(sys.stderr)
        return 2
    options = parser.parse_args(arguments)
    try:
        code = _command(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough. The interpreter flushes once more at its end: into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="enkaku",
        description="Generate a typed Python package from an Enkaku protocol file.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"enkaku {importlib.metadata.version('enkaku')}"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, help_, description in (
        (
            "generate",
            "write the package",
            "Write the package for a protocol: all of it, or nothing.",
        ),
        (
            "check",
            "tell whether the package is up to date",
            "Write nothing; print the difference and exit with 1 if the package is out of date.",
        ),
    ):
        command = commands.add_parser(
            name,
            help=help_,
            description=description,
            epilog=_EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _add_arguments(command)
        if name == "generate":
            command.add_argument(
                "--verbose",
                action="store_true",
                help="say for each slot why its type alone does not enforce its schema",
            )
    return parser


def _add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("protocol", metavar="PROTOCOL", type=_path, help="a JSON or YAML file")
    command.add_argument(
        "--out", metavar="DIR", type=_path, required=True, help="the package's directory"
    )
    command.add_argument(
        "--name",
        type=_name,
        help="what the classes are named after; else the name in the file, else the file's name",
    )
    command.add_argument(
        "--templates",
        metavar="DIR",
        type=_path,
        help="templates that go before the built-in ones",
    )


def _path(text: str) -> Path:
    # Path("") would be the current directory: nobody means that by a variable that is not set.
    if not text:
        raise argparse.ArgumentTypeError("a path has at least one character")
    return Path(text)


def _name(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("a name has at least one character")
    return text


def _command(options: argparse.Namespace) -> int:
    request = Request(options.protocol, options.name, options.templates)
    verbose = options.command == "generate" and options.verbose
    if not verbose and is_fresh(request, options.out):
        if options.command == "generate":
            print(f"{options.out}: up to date")
        return 0

    from .prepare import prepare  # noqa: PLC0415 # see above

    try:
        prepared = prepare(
            options.protocol, name=options.name, out=options.out, templates=options.templates
        )
        if options.command == "check":
            return _check(prepared.changes)
        _generate(prepared.changes)
        _report(prepared.checks, verbose=verbose)
    except CodegenError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _check(todo: Changes) -> int:
    if not todo:
        return 0
    sys.stdout.writelines(todo.diff())
    sys.stdout.flush()
    state = "out of date" if todo.directory.is_dir() else "nothing was generated there yet"
    print(f"{todo.directory}: {state}", file=sys.stderr)
    return 1


def _generate(todo: Changes) -> None:
    if todo:
        write(todo)
        counts = [(len(todo.written), "written"), (len(todo.removed), "removed")]
        done = ", ".join(f"{count} {what}" for count, what in counts if count)
        print(f"{todo.directory}: {done}")
    else:
        with suppress(OutputError):  # what the stamp is good for is done by the next one, too
            write(todo)
        print(f"{todo.directory}: up to date")


def _report(checks: "Checks", *, verbose: bool) -> None:
    """Say which slots a validator checks at run time: it has to be installed there."""
    if checks.slots:
        every = checks.proved + len(checks.slots)
        print(
            f"the types of {checks.proved} of {every} slots are exact; a validator checks the others "
            "at run time, which needs: pip install 'enkaku[exact]'"
        )
    elif verbose:
        print(f"the types of all {checks.proved} slots are exact")
    if verbose:
        for each in checks.slots.values():
            for reason in each.reasons:
                print(f"{each.label}: {reason}")
