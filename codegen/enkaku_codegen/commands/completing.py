"""Completion of command lines: what can stand at the cursor, by the parsers of the commands.

Nothing is listed twice: commands are those of ``main``, options and choices those of argparse. What an argument takes is known by
its metavar: ``ADDRESS``, ``PROCEDURE``, and ``FILE``, ``DIR`` or ``PROTOCOL`` for a path. Neither the runtime nor the generator is
imported, and no code of the project is run.
"""

import argparse
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple, cast

from enkaku_codegen.errors import CodegenError
from enkaku_codegen.project import find_project

from .main import COMMANDS, load_command

__all__ = ["Candidate", "complete"]

_SCHEMES: Final = ("unix:", "tcp:", "tls:", "http://", "https://", "ws://", "wss://")
_PATHS: Final = re.compile("(FILE|DIR|PATH|PROTOCOL)([^A-Z].*)?")
_ENTRIES: Final = 10_000  # of a directory
_NOTHING: Final = argparse.ArgumentParser(add_help=False)
_APPENDING: Final = type(_NOTHING.add_argument("--again", action="append", help=argparse.SUPPRESS))
_SIZE: Final = 4 * 1024 * 1024  # bytes of a protocol file


class Candidate(NamedTuple):
    """Something that can stand at the cursor."""

    text: str
    description: str = ""


def complete(words: Sequence[str]) -> list[Candidate] | None:
    """Return what can stand at the cursor; None if that is the path of a file.

    Args:
        words: The command line up to the cursor: the program, and the words after it; the last is the one at the cursor, and may
            be empty.
    """
    *before, current = words[1:] or [""]
    if before:
        entry = next((each for each in COMMANDS if each.name == before[0]), None)
        found = None if entry is None else _Line(load_command(entry)[1], before[1:]).at(current)
        if entry is not None and found is None:
            return None
    else:
        listed = [Candidate(each.name, each.summary) for each in COMMANDS]
        options = [Candidate("--help", "print this help"), Candidate("--version")]
        found = options if current.startswith("-") else listed
    fitting = {each.text: each for each in found or () if each.text.startswith(current)}
    return [each for each in fitting.values() if f"{each.text}{each.description}".isprintable()]


@dataclass
class _Line:
    """A command line up to the word at the cursor.

    Attributes:
        parser: The parser of the command.
        words: The words after the command, before that at the cursor.
        values: What was given, by the names of the arguments.
        pending: The option whose value comes next.
        literal: Whether no further word is an option.
    """

    parser: argparse.ArgumentParser
    words: Sequence[str]
    values: dict[str, str] = field(default_factory=dict[str, str])
    pending: argparse.Action | None = None
    literal: bool = False

    def at(self, current: str) -> list[Candidate] | None:
        """Return what can stand at the cursor; None if that is the path of a file."""
        self._read()
        if self.pending is not None:
            return self._values_of(self.pending, current)
        name, equals, value = current.partition("=")
        if current.startswith("-") and not self.literal:
            if not equals:
                return list(self._options())
            action = self._option(name)
            found = [] if action is None else self._values_of(action, value)
            return found and [Candidate(f"{name}={each.text}", *each[1:]) for each in found]
        positional = next(iter(self._positionals()), None)
        return [] if positional is None else self._values_of(positional, current)

    def _read(self) -> None:
        words = iter(self.words)
        for word in words:
            if self.pending is not None:
                self.values[self.pending.dest], self.pending = word, None
            elif word == "--" and not self.literal:
                self.literal = True
            elif word.startswith("-") and len(word) > 1 and not self.literal:
                name, equals, value = word.partition("=")
                action = self._option(name)
                if action is not None and equals:
                    self.values[action.dest] = value
                elif action is not None:
                    self.values[action.dest] = ""
                    self.pending = action if action.nargs != 0 else None
            else:
                action = next(iter(self._positionals()), None)
                if action is None:
                    continue
                self.values[action.dest] = word
                if action.nargs == argparse.PARSER:  # commands of the command
                    parsers = cast("dict[str, argparse.ArgumentParser]", action.choices)
                    self.parser, self.values = parsers.get(word, _NOTHING), {}

    def _actions(self) -> Iterable[argparse.Action]:
        shown = self.parser._actions  # noqa: SLF001 # argparse has no other way to list them
        return [each for each in shown if each.help != argparse.SUPPRESS]

    def _option(self, name: str) -> argparse.Action | None:
        return next((each for each in self._actions() if name in each.option_strings), None)

    def _options(self) -> Iterator[Candidate]:
        for action in self._actions():
            if action.dest not in self.values or isinstance(action, _APPENDING):
                text = (action.help or "").replace("%%", "%")
                yield from (Candidate(name, text) for name in action.option_strings)

    def _positionals(self) -> Iterable[argparse.Action]:
        """Return the positional arguments that are not given yet; one that takes several is never complete."""
        return [
            each
            for each in self._actions()
            if not each.option_strings
            and (each.dest not in self.values or each.nargs in ("*", "+", "..."))
        ]

    def _values_of(self, action: argparse.Action, current: str) -> list[Candidate] | None:
        if action.choices is not None:
            return [Candidate(str(each)) for each in action.choices]
        name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
        if name == "ADDRESS":
            return [Candidate(each) for each in _addresses(current)]
        if name == "PROCEDURE":
            return [Candidate(each) for each in sorted(_procedures(self.values))]
        return None if action.type is Path or _PATHS.fullmatch(name) else []


def _addresses(current: str) -> Iterator[str]:
    scheme = "unix:" if current.startswith("unix:") else ""
    path = current.removeprefix(scheme)
    if not scheme and not path.startswith("/"):
        yield from _SCHEMES
        return
    directory, _, name = path.rpartition("/")
    try:
        with os.scandir(f"{directory}/" if "/" in path else ".") as entries:
            for entry in islice(entries, _ENTRIES):
                hidden = entry.name.startswith(".") and not name.startswith(".")
                if entry.name.startswith(name) and not hidden:
                    found = path[: len(path) - len(name)] + entry.name
                    if entry.is_dir():
                        yield f"{scheme}{found}/"
                    elif stat.S_ISSOCK(entry.stat().st_mode):
                        yield f"{scheme}{found}"
    except OSError:
        return


def _procedures(values: dict[str, str]) -> set[str]:
    """Return the names of procedures: of ``--protocol`` or ``--package``, else of the project."""
    if "protocol" in values:
        return _names_in(Path(values["protocol"]))
    if "package" in values:
        return _names_of_package(values["package"])
    try:
        project = find_project(Path())
    except CodegenError:
        project = None
    targets = () if project is None else project.targets
    return {name for each in targets for name in _names_in(each.request.protocol)}


def _names_in(file: Path) -> set[str]:
    """Return the names of the procedures of a protocol file; none if it has errors."""
    from enkaku_codegen.reading.names_only import procedure_names  # noqa: PLC0415 # rarely needed

    content = _content(file)
    return set() if content is None else procedure_names(file, content)


def _content(file: Path) -> str | None:
    try:
        if not file.is_file() or file.stat().st_size > _SIZE:
            return None
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def _names_of_package(package: str) -> set[str]:
    """Return the names of the procedures of a generated package, which is read, and not imported."""
    import ast  # noqa: PLC0415 # rarely needed

    *folders, name = package.split(".")
    for base in (Path(), Path("src"), *map(Path, sys.path)):
        content = _content(base.joinpath(*folders, name, "procedures.py"))
        if content is not None:
            break
    else:
        return set()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    made = (each.value for each in tree.body if isinstance(each, ast.AnnAssign))
    first = (each.args[0] for each in made if isinstance(each, ast.Call) and each.args)
    return {
        each.value
        for each in first
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    }
