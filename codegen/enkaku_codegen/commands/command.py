"""Interface of a command of the command line."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Command"]


@dataclass(frozen=True, slots=True)
class Command:
    """A command of ``enkaku``.

    Attributes:
        name: What the user types after ``enkaku``.
        summary: One line for the list of commands, without a capital or a full stop.
        description: The first paragraph of the command's own help.
        examples: Command lines for the end of the help, one a line.
        add_arguments: Declares the arguments of the command.
        run: Runs the command and returns the exit code. A ``CodegenError`` that it raises is printed, and the
            exit code is 1. It imports the dependencies of the command.
    """

    name: str
    summary: str
    description: str
    examples: tuple[str, ...]
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
