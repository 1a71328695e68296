"""Exceptions to rules, each with a reason: ``--allow`` of a run, and ``ignore`` of a project."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from enkaku_codegen.errors import Issue, ProtocolError
from enkaku_codegen.json_values import Json, Tokens, pointer, tokens

from .rules import FIRST, LEVELS, RULES, First, Level
from .wire import Change

__all__ = ["Ignore", "Settings", "apply", "no_such_rule", "read_settings"]

_OF_SETTINGS: Final = ("level", "first", "ignore")
_OF_IGNORE: Final = ("rule", "pointer", "file", "reason", "until")
_NEVER: Final = frozenset({"unused-ignore", "expired-ignore"})


@dataclass(frozen=True, slots=True)
class Ignore:
    """An exception: findings of a rule become notes.

    Attributes:
        rule: The rule.
        pointer: Only findings at this location or below it; empty for all.
        reason: Why they are no problem.
        until: The last day on which it applies; None for all days.
        file: Only findings in this protocol file; None for all.
        path: Its location in the project's file; None if it was given on the command line.
    """

    rule: str
    pointer: str
    reason: str
    until: date | None = None
    file: Path | None = None
    path: Tokens | None = None

    def covers(self, change: Change) -> bool:
        """Return whether the exception is for a change."""
        wanted = tokens(self.pointer)
        given = (each for each in (change.old, change.new) if each is not None)
        return self.rule == change.rule and any(
            tokens(each)[: len(wanted)] == wanted for each in given
        )

    def __str__(self) -> str:
        return f"{self.rule}:{self.pointer}" if self.pointer else self.rule


@dataclass(frozen=True, slots=True)
class Settings:
    """What a project says about comparisons: ``[tool.enkaku.breaking]``."""

    level: Level = LEVELS[0]
    first: First = FIRST[0]
    ignores: tuple[Ignore, ...] = ()


def apply(changes: Iterable[Change], ignores: Iterable[Ignore]) -> tuple[list[Change], set[Ignore]]:
    """Return the changes, those with an exception as notes; and the exceptions that were needed."""
    ignores = [*ignores]
    used: set[Ignore] = set()
    found: list[Change] = []
    for each in changes:
        ignore = next((ignore for ignore in ignores if ignore.covers(each)), None)
        if each.severity == "note" or ignore is None:
            found.append(each)
            continue
        used.add(ignore)
        message = f"{each.message}; allowed: {ignore.reason}"
        details = {**each.details, "allowed": ignore.reason}
        found.append(replace(each, severity="note", message=message, details=details))
    return found, used


def no_such_rule(rule: str) -> str:
    """Return an error message for a rule that there is not, or that has no exceptions; empty for others."""
    if rule in RULES and rule not in _NEVER:
        return ""
    near = get_close_matches(rule, RULES, n=1)
    return f"no rule {rule!r}" + (f"; did you mean {near[0]}?" if near else "")


def read_settings(value: Json, file: Path, directory: Path) -> Settings:
    """Return the settings of a project.

    Args:
        value: The table ``breaking``.
        file: The project's file, for errors.
        directory: The directory that its paths are relative to.

    Raises:
        ProtocolError: The table has errors.
    """
    path = ("tool", "enkaku", "breaking") if file.name == "pyproject.toml" else ("breaking",)
    return _Reader(file, directory).settings(value, path)


class _Reader:
    def __init__(self, file: Path, directory: Path) -> None:
        self._file = file
        self._directory = directory

    def settings(self, value: Json, path: Tokens) -> Settings:
        table = self._table(value, path, _OF_SETTINGS)
        wanted = table.get("level", LEVELS[0]), table.get("first", FIRST[0])
        level: Level | None = next((each for each in LEVELS if each == wanted[0]), None)
        first: First | None = next((each for each in FIRST if each == wanted[1]), None)
        if level is None:
            raise self._error((*path, "level"), f"expected {' or '.join(LEVELS)}")
        if first is None:
            raise self._error((*path, "first"), f"expected {', '.join(FIRST)}")
        listed = table.get("ignore", [])
        if not isinstance(listed, list):
            raise self._error((*path, "ignore"), "expected an array of tables")
        ignores = (
            self._ignore(each, (*path, "ignore", str(index))) for index, each in enumerate(listed)
        )
        return Settings(level, first, tuple(ignores))

    def _ignore(self, value: Json, path: Tokens) -> Ignore:
        table = self._table(value, path, _OF_IGNORE)
        for key in ("rule", "reason"):
            if key not in table:
                raise self._error(path, f'expected "{key}"')
        texts = dict(self._texts(table, path))
        if message := no_such_rule(texts["rule"]):
            raise self._error((*path, "rule"), message)
        where = texts.get("pointer", "")
        if where and not where.startswith("/"):
            raise self._error((*path, "pointer"), "expected a JSON pointer, such as /procedures/a")
        file = texts.get("file")
        return Ignore(
            rule=texts["rule"],
            pointer=where,
            reason=texts["reason"],
            until=self._date(table.get("until"), (*path, "until")),
            file=None if file is None else self._directory / file,
            path=path,
        )

    def _texts(self, table: Mapping[str, Json], path: Tokens) -> Iterator[tuple[str, str]]:
        for key, value in table.items():
            if key == "until":
                continue
            if not isinstance(value, str) or not value.strip():
                raise self._error((*path, key), "expected a string with at least one character")
            yield key, value

    def _date(self, value: Json, path: Tokens) -> date | None:
        if value is None:
            return None
        try:
            return date.fromisoformat(value if isinstance(value, str) else "")
        except ValueError:
            raise self._error(path, "expected a date, such as 2030-12-31") from None

    def _table(self, value: Json, path: Tokens, known: tuple[str, ...]) -> dict[str, Json]:
        if not isinstance(value, dict):
            raise self._error(path, "expected a table")
        for name in sorted(value.keys() - {*known}):
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"expected {', '.join(known)}"
            raise self._error((*path, name), f"unknown key; {hint}")
        return value

    def _error(self, path: Tokens, message: str) -> ProtocolError:
        return ProtocolError([Issue(str(self._file), None, pointer(path), message)])
