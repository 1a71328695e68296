"""Command line: the list of commands, and the dispatch to them.

The help needs the list alone, so that it is printed in a few milliseconds; the module of a command is imported when
the command is run.
"""

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence
from itertools import groupby
from typing import Final

from enkaku_codegen.errors import CodegenError

from .command import Command, Entry, ExitCode

__all__ = ["COMMANDS", "run"]

COMMANDS: Final = (
    Entry("generate", "Packages", "write the packages of protocols", "codegen"),
    Entry("check", "Packages", "report whether packages are up to date", "codegen"),
    Entry("javascript", "Packages", "copy the runtime of clients in a browser", "codegen"),
    Entry("call", "Servers", "call a procedure of a server", "tools"),
    Entry("list", "Servers", "list the procedures of a server or a protocol", "tools"),
    Entry("describe", "Servers", "describe them, with their schemas", "tools"),
    Entry(
        "key", "Keys and tokens", "make keys of clients and servers, show their names", "identity"
    ),
    Entry("token", "Keys and tokens", "make, show and verify tokens of delegation", "identity"),
)
"""Every command, in the order of the help; those of a group stand together."""

_INTERRUPTED: Final = 130
_BROKEN_PIPE: Final = 141
_EXAMPLES: Final = """examples:
  enkaku generate protocol.yaml --out src/app/protocol
  enkaku check"""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The arguments after the program's name; None takes those of the process.

    Returns:
        The exit code. Each command documents its own; all have 0 for success, 2 for wrong arguments, 130 after
        SIGINT, and 141 if the reader of the standard output has closed it.
    """
    # Without this, a name that a terminal or a pipe can't encode would end the command with a traceback.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    given = [*(sys.argv[1:] if arguments is None else arguments)]
    parser = _parser()
    if not given:
        parser.print_help(sys.stderr)
        return ExitCode.USAGE
    entry = next((each for each in COMMANDS if each.name == given[0]), None)
    if entry is None:
        parser.parse_args(given)
        return 0  # not reached: argparse has exited
    try:
        code = _run(entry, given[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has closed the pipe. The interpreter flushes once more at its end: this makes that succeed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        return _INTERRUPTED
    except ModuleNotFoundError as error:
        missing = "" if error.name is None else error.name.partition(".")[0]
        if missing in {"", "enkaku", "enkaku_codegen"}:
            raise
        print(
            f"enkaku {entry.name}: needs {missing}: run pip install 'enkaku[{entry.extra}]'",
            file=sys.stderr,
        )
        return ExitCode.FOUND
    return code


def _run(entry: Entry, arguments: Sequence[str]) -> int:
    module = importlib.import_module(f".{entry.name}", __package__)
    command: Command = module.COMMAND
    parser = argparse.ArgumentParser(
        prog=f"enkaku {entry.name}",
        description=command.description,
        epilog="\n  ".join(["examples:", *command.examples]) + "\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    try:
        return command.run(parser.parse_args(arguments))
    except argparse.ArgumentError as error:
        parser.error(str(error))
    except CodegenError as error:
        print(error, file=sys.stderr)
        return ExitCode.FOUND


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import importlib.metadata  # noqa: PLC0415 # it takes longer than the rest of the help

        print(f"enkaku {importlib.metadata.version('enkaku')}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    width = max(len(each.name) for each in COMMANDS)
    lines: list[str] = []
    for group, entries in groupby(COMMANDS, key=lambda each: each.group):
        lines += ["", f"{group}:", *(f"  {each.name:{width}}  {each.summary}" for each in entries)]
    parser = argparse.ArgumentParser(
        prog="enkaku",
        usage="enkaku COMMAND ...",
        description="\n".join(
            ["Typed packages from Enkaku protocol files, and tools for them.", *lines]
        ),
        epilog=f"{_EXAMPLES}\n\nenkaku COMMAND --help describes a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "command",
        metavar="COMMAND",
        choices=[each.name for each in COMMANDS],
        help=argparse.SUPPRESS,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version, and exit")
    return parser
