"""Command line: the parser and the dispatch to the commands."""

import argparse
import importlib.metadata
import io
import os
import sys
from collections.abc import Sequence
from typing import Final

from enkaku_codegen.errors import CodegenError

from . import check, generate, javascript, key, token
from .command import Command

__all__ = ["COMMANDS", "run"]

COMMANDS: Final = (
    generate.COMMAND,
    check.COMMAND,
    javascript.COMMAND,
    key.COMMAND,
    token.COMMAND,
)
"""Every command, in the order of the help."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The arguments after the program's name; None takes those of the process.

    Returns:
        The exit code: 0 for success, 1 for an error that was reported, or a package that is out of date.
    """
    # Without this, a name that a terminal or a pipe can't encode would end the command with a traceback.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    if not (sys.argv[1:] if arguments is None else arguments):
        parser.print_help(sys.stderr)
        return 2
    options = parser.parse_args(arguments)
    command = next(each for each in COMMANDS if each.name == options.command)
    try:
        code = _run(command, options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has closed the pipe. The interpreter flushes once more at its end: this makes that succeed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _run(command: Command, options: argparse.Namespace) -> int:
    try:
        return command.run(options)
    except CodegenError as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="enkaku",
        description="Generate typed packages from Enkaku protocol files; make keys and tokens.",
        epilog=_examples(COMMANDS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"enkaku {importlib.metadata.version('enkaku')}"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for each in COMMANDS:
        command = commands.add_parser(
            each.name,
            help=each.summary,
            description=each.description,
            epilog=_examples([each]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        each.add_arguments(command)
    return parser


def _examples(commands: Sequence[Command]) -> str:
    lines = [line for each in commands for line in each.examples]
    return "\n  ".join(["examples:", *lines]) + "\n"
