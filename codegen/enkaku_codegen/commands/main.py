"""Command line: the list of commands, and the dispatch to them.

The help needs the list alone, so that it is printed in a few milliseconds; the module of a command is imported when
the command is run.
"""

import argparse
import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING, Final

from enkaku_codegen.errors import CodegenError, visible

from .command import Command, Entry, ExitCode

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

__all__ = ["COMMANDS", "load_command", "run"]

COMMANDS: Final = (
    Entry("generate", "Packages", "write the packages of protocols", "codegen"),
    Entry("check", "Packages", "report whether packages are up to date", "codegen"),
    Entry("javascript", "Packages", "copy the runtime of clients in a browser", "codegen"),
    Entry("format", "Protocol files", "lay out protocol files, and keep their comments", "codegen"),
    Entry("schema", "Protocol files", "print the JSON Schema of protocol files", "codegen"),
    Entry("lint", "Protocol files", "report likely mistakes, and what values may cost", "codegen"),
    Entry(
        "breaking",
        "Protocol files",
        "report changes that break the peers of an old version",
        "codegen",
    ),
    Entry("call", "Servers", "call a procedure of a server", "tools"),
    Entry("list", "Servers", "list the procedures of a server or a protocol", "tools"),
    Entry("describe", "Servers", "describe them, with their schemas", "tools"),
    Entry("health", "Servers", "ask a server whether it serves", "codegen"),
    Entry(
        "key", "Keys and tokens", "make keys of clients and servers, show their names", "identity"
    ),
    Entry("token", "Keys and tokens", "make, show and verify tokens of delegation", "identity"),
    Entry("completion", "Shell", "print a script that completes command lines", "codegen"),
)
"""Every command, in the order of the help; those of a group stand together."""

_INTERRUPTED: Final = 130
_BROKEN_PIPE: Final = 141
_OF_STREAMS: Final = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
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
    _prepare_streams()
    code: int = ExitCode.FOUND
    try:
        code = _run([*(sys.argv[1:] if arguments is None else arguments)])
    except KeyboardInterrupt:
        _flush()
        return _INTERRUPTED
    except OSError as error:
        failure = _flush()
        if failure is None:
            if error.filename is None and not _has_directory():
                print("enkaku: the current directory does not exist any more", file=sys.stderr)
                return ExitCode.FOUND
            # With PYTHONUNBUFFERED, nothing is left to flush.
            if error.errno not in _OF_STREAMS or error.filename is not None:
                raise
            failure = error
    else:
        failure = _flush()
    if failure is None:
        return code
    if isinstance(failure, BrokenPipeError):
        return _BROKEN_PIPE
    with suppress(OSError):
        print(f"enkaku: the output can't be written: {failure.strerror}", file=sys.stderr)
        sys.stderr.flush()
    return ExitCode.FOUND


def _has_directory() -> bool:
    """Return whether the current directory exists. Another process may have deleted it."""
    try:
        os.getcwd()  # noqa: PTH109 # Path would have to be imported
    except OSError:
        return False
    return True


def _prepare_streams() -> None:
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            # The caller has closed it. The next file that is opened gets its descriptor: it must be none that matters.
            # It stays open for as long as the process. Path would have to be imported.
            null = open(os.devnull, mode)  # noqa: SIM115, PTH123 # see above
            setattr(sys, name, null)
        elif isinstance(stream, io.TextIOWrapper) and mode == "w":
            # Without this, a name that a terminal or a pipe can't encode would end the command with a traceback.
            stream.reconfigure(errors="backslashreplace")


def _flush() -> OSError | None:
    """Write what is buffered. If that fails, return the error and discard the rest."""
    failure: OSError | None = None
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, KeyboardInterrupt) as error:
            # KeyboardInterrupt comes while the stream waits for a reader.
            if isinstance(error, OSError):
                failure = failure or error
            # The interpreter flushes once more at its end: this makes that succeed.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
    return failure


def _run(arguments: Sequence[str]) -> int:
    try:
        if not arguments:
            _parser().print_help(sys.stderr)
            return ExitCode.USAGE
        entry = next((each for each in COMMANDS if each.name == arguments[0]), None)
        if entry is not None:
            return _run_command(entry, arguments[1:])
        parser = _parser()
        if arguments[0].startswith("-"):
            parser.parse_args(arguments)
        parser.error(_unknown(arguments[0]))
    except SystemExit as ended:  # how argparse ends: with a number
        return ended.code if isinstance(ended.code, int) else ExitCode.FOUND


def _unknown(name: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 # only this needs it

    near = get_close_matches(name, [each.name for each in COMMANDS], n=1)
    hint = f"did you mean {near[0]}?" if near else "enkaku --help lists them"
    return f"unknown command {visible(name)}; {hint}"


def _run_command(entry: Entry, arguments: Sequence[str]) -> int:
    try:
        return _parse_and_run(entry, arguments)
    except ModuleNotFoundError as error:
        missing = "" if error.name is None else error.name.partition(".")[0]
        if missing in {"", "enkaku", "enkaku_codegen"}:
            raise
        print(
            f"enkaku {entry.name}: needs {missing}: run pip install 'enkaku[{entry.extra}]'",
            file=sys.stderr,
        )
        return ExitCode.FOUND


class _Parser(argparse.ArgumentParser):
    def print_help(self, file: "SupportsWrite[str] | None" = None) -> None:
        # That of argparse ignores that the output can't be written.
        (sys.stdout if file is None else file).write(self.format_help())


def load_command(entry: Entry) -> tuple[Command, argparse.ArgumentParser]:
    """Import a command, and return it with its parser."""
    module = importlib.import_module(f".{entry.name}", __package__)
    command: Command = module.COMMAND
    parser = _Parser(
        prog=f"enkaku {entry.name}",
        description=command.description,
        epilog="\n  ".join(["examples:", *command.examples]) + "\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    return command, parser


def _parse_and_run(entry: Entry, arguments: Sequence[str]) -> int:
    command, parser = load_command(entry)
    options = parser.parse_args(arguments)
    try:
        return command.run(options)
    except argparse.ArgumentError as error:
        parser.error(str(error))
    except CodegenError as error:
        if getattr(options, "format", "text") == "text":
            print("\n".join(map(visible, str(error).split("\n"))), file=sys.stderr)
        else:
            from .report import print_error  # noqa: PLC0415 # most commands do not need it

            print_error(error, options.format)
        return ExitCode.FOUND


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import importlib.metadata  # noqa: PLC0415 # it takes longer than the rest of the help

        try:
            version = importlib.metadata.version("enkaku")
        except importlib.metadata.PackageNotFoundError:  # the source, without an installation
            version = "(not installed: no version)"
        print(f"enkaku {version}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    width = max(len(each.name) for each in COMMANDS)
    lines: list[str] = []
    for group, entries in groupby(COMMANDS, key=lambda each: each.group):
        lines += ["", f"{group}:", *(f"  {each.name:{width}}  {each.summary}" for each in entries)]
    parser = _Parser(
        prog="enkaku",
        usage="enkaku COMMAND ...",
        description="\n".join(
            ["Typed packages from Enkaku protocol files, and tools for them.", *lines]
        ),
        epilog=f"{_EXAMPLES}\n\nenkaku COMMAND --help describes a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version, and exit")
    return parser
