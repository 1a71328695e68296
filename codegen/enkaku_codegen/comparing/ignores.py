"""Exceptions to rules, each with a reason: ``--allow`` of a run, and ``ignore`` of a project."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from enkaku_codegen.json_values import Json, Tokens, tokens
from enkaku_codegen.settings import SettingsReader

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
    return _Reader(file, directory).settings(value)


class _Reader(SettingsReader):
    def __init__(self, file: Path, directory: Path) -> None:
        super().__init__(file, "breaking")
        self._directory = directory

    def settings(self, value: Json) -> Settings:
        table = self.table(value, self.start, _OF_SETTINGS)
        wanted = table.get("level", LEVELS[0]), table.get("first", FIRST[0])
        level: Level | None = next((each for each in LEVELS if each == wanted[0]), None)
        first: First | None = next((each for each in FIRST if each == wanted[1]), None)
        if level is None:
            raise self.error((*self.start, "level"), f"expected {' or '.join(LEVELS)}")
        if first is None:
            raise self.error((*self.start, "first"), f"expected {', '.join(FIRST)}")
        ignores = self.ignores(table.get("ignore", []), _OF_IGNORE)
        return Settings(level, first, tuple(self._made(path, texts) for path, texts in ignores))

    def _made(self, path: Tokens, texts: Mapping[str, str]) -> Ignore:
        if message := no_such_rule(texts["rule"]):
            raise self.error((*path, "rule"), message)
        where = texts.get("pointer", "")
        if where and not where.startswith("/"):
            raise self.error((*path, "pointer"), "expected a JSON pointer, such as /procedures/a")
        file = texts.get("file")
        return Ignore(
            rule=texts["rule"],
            pointer=where,
            reason=texts["reason"],
            until=self._date(texts["until"], (*path, "until")) if "until" in texts else None,
            file=None if file is None else self._directory / file,
            path=path,
        )

    def _date(self, text: str, path: Tokens) -> date:
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise self.error(path, "expected a date, such as 2030-12-31") from None
