"""Interface of a command of the command line: its entry in the list, and what its module defines."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from enkaku_codegen.exit_codes import ExitCode

__all__ = ["Command", "Entry", "ExitCode"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the list of commands. The module of a command is imported only when it is run.

    Attributes:
        name: What the user types after ``enkaku``; the module has the same name.
        group: The heading under which the help lists it.
        summary: One line for the list of commands, without a capital or a full stop.
        extra: The extra that installs what the command imports.
    """

    name: str
    group: str
    summary: str
    extra: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command of ``enkaku``, which its module defines as ``COMMAND``.

    Attributes:
        description: The first paragraph of the command's own help.
        examples: Command lines for the end of the help, one a line.
        add_arguments: Declares the arguments of the command.
        run: Runs the command and returns the exit code. A ``CodegenError`` that it raises is printed, and the
            exit code is 1. An ``argparse.ArgumentError`` is printed with the usage, and the exit code is 2.
            It imports the dependencies of the command.
    """

    description: str
    examples: tuple[str, ...]
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
