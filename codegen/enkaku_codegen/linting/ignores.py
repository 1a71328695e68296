"""Suppression of findings: ``[[tool.enkaku.lint.ignore]]`` of the project, and ``x-lint`` in a protocol file.

Each has a reason. An ignore that suppresses nothing is reported, so that none outlives its reason.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import repeat
from pathlib import Path
from typing import Final

from enkaku_codegen.errors import Issue
from enkaku_codegen.json_values import Json, Tokens, pointer
from enkaku_codegen.reading.load import Document
from enkaku_codegen.settings import SettingsReader

from .rules import BY_DEFAULT, RULES, SEVERITIES, Severity, selected, unknown_rule

__all__ = ["INLINE", "Ignore", "Settings", "inline_ignores", "read_settings"]

INLINE: Final = "x-lint"
"""The keyword that suppresses rules for a value in a protocol file, and all in it: reasons by rule."""

_KEYS: Final = ("select", "severity", "ignore")
_OF_IGNORE: Final = ("rule", "file", "pointer", "reason")
_ALWAYS: Final = frozenset({"invalid-protocol", "incomplete", "unused-ignore"})
# Values that are data, in which the keyword means nothing.
_DATA: Final = frozenset({"const", "default", "enum", "examples"})
_HEADER: Final = re.compile(r"\s*\[\[\s*(?:tool\s*\.\s*enkaku\s*\.\s*)?lint\s*\.\s*ignore\s*\]\]")


@dataclass(frozen=True, slots=True)
class Ignore:
    """What is suppressed, and where.

    Attributes:
        rule: The rule.
        reason: Why.
        file: A glob for the protocol file, as the finding has it; None for any.
        pointer: A glob for the JSON pointer; ``*`` matches any characters, the slash among them. None for any.
        issue: Where it is, with the message for the case that it suppresses nothing.
        path: For an ignore in a protocol file, the path of the value that it is for.
    """

    rule: str
    reason: str
    file: str | None
    pointer: str | None
    issue: Issue
    path: Tokens | None = None

    def covers(self, rule: str, issue: Issue) -> bool:
        """Return whether it suppresses a rule at a location."""
        if rule != self.rule:
            return False
        if self.path is not None:
            start = pointer(self.path)
            inside = issue.pointer == start or issue.pointer.startswith(f"{start}/")
            return issue.file == self.file and inside
        return (
            self.file is None
            or (issue.file is not None and fnmatchcase(Path(issue.file).as_posix(), self.file))
        ) and (self.pointer is None or fnmatchcase(issue.pointer, self.pointer))


@dataclass(frozen=True, slots=True)
class Settings:
    """What the linter reports.

    Attributes:
        rules: The rules that apply.
        severities: The severities that differ from those of the rules.
        ignores: What the project suppresses.
    """

    rules: frozenset[str] = BY_DEFAULT
    severities: Mapping[str, Severity] = field(default_factory=dict[str, Severity])
    ignores: tuple[Ignore, ...] = ()

    def severity(self, rule: str) -> Severity:
        """Return the severity of a rule."""
        return self.severities.get(rule, RULES[rule].severity)


def read_settings(file: Path, table: Json) -> Settings:
    """Return the settings in the table ``lint`` of a project.

    Args:
        file: The file of the project.
        table: The table.

    Raises:
        ProtocolError: The table has errors.
    """
    return _Reader(file).settings(table)


class _Reader(SettingsReader):
    def __init__(self, file: Path) -> None:
        super().__init__(file, "lint")

    def settings(self, value: Json) -> Settings:
        table = self.table(value, self.start, _KEYS)
        rules = BY_DEFAULT
        if "select" in table:
            rules = self._selected(table["select"])
        severities = self._severities(table.get("severity", {}), (*self.start, "severity"))
        ignores = self.ignores(table.get("ignore", []), _OF_IGNORE)
        lines = [*self._lines(), *repeat(1, len(ignores))]
        made = (self._made(*each, line) for each, line in zip(ignores, lines, strict=False))
        return Settings(rules, severities, tuple(made))

    def _severities(self, value: Json, path: Tokens) -> dict[str, Severity]:
        severities: dict[str, Severity] = {}
        for rule, name in self.table(value, path, None).items():
            if rule not in RULES:
                raise self.error((*path, rule), unknown_rule(rule))
            if name not in SEVERITIES:
                raise self.error((*path, rule), f"expected one of {', '.join(SEVERITIES)}")
            severities[rule] = name
        return severities

    def _selected(self, value: Json) -> frozenset[str]:
        names = [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
        if not isinstance(value, list) or len(names) < len(value):
            raise self.error((*self.start, "select"), "expected an array of rules and categories")
        try:
            return selected(names)
        except ValueError as error:
            raise self.error((*self.start, "select"), str(error)) from None

    def _made(self, path: Tokens, texts: Mapping[str, str], line: int) -> Ignore:
        if texts["rule"] not in RULES:
            raise self.error((*path, "rule"), unknown_rule(texts["rule"]))
        if texts["rule"] in _ALWAYS:
            raise self.error((*path, "rule"), f"{texts['rule']} cannot be ignored")
        where = " ".join(f"{key} {texts[key]}" for key in ("file", "pointer") if key in texts)
        message = (
            f"ignores {texts['rule']}{where and ' at '}{where}, and nothing breaks that rule there"
        )
        issue = Issue(str(self._file), line, pointer(path), message)
        return Ignore(
            texts["rule"], texts["reason"], texts.get("file"), texts.get("pointer"), issue
        )

    def _lines(self) -> list[int]:
        """Return the lines of the headers of ignores; TOML itself does not give them."""
        lines = self._file.read_text(encoding="utf-8").splitlines()
        return [number for number, line in enumerate(lines, start=1) if _HEADER.match(line)]


def inline_ignores(document: Document) -> Iterator[Ignore | Issue]:
    """Yield the ignores in a protocol file, and what is wrong with them.

    Raises nothing: a mistake is an issue.
    """
    waiting: list[tuple[Tokens, Json]] = [((), document.value)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            if INLINE in value:
                yield from _inline(document, path, value[INLINE])
            waiting += [((*path, key), each) for key, each in value.items() if key not in _DATA]
        elif isinstance(value, list):
            waiting += [((*path, str(index)), each) for index, each in enumerate(value)]


def _inline(document: Document, path: Tokens, value: Json) -> Iterable[Ignore | Issue]:
    here = (*path, INLINE)
    if not isinstance(value, dict):
        return [document.issue(here, 'expected reasons by rule, such as {"any-value": "a reason"}')]
    found: list[Ignore | Issue] = []
    for rule, reason in value.items():
        if rule not in RULES or rule in _ALWAYS:
            known = f"{rule} cannot be ignored" if rule in _ALWAYS else unknown_rule(rule)
            found.append(document.issue((*here, rule), known))
        elif not isinstance(reason, str) or not reason.strip():
            found.append(document.issue((*here, rule), "expected the reason, as a string"))
        else:
            issue = document.issue(
                (*here, rule), f"ignores {rule}, and nothing here breaks that rule"
            )
            found.append(Ignore(rule, reason, str(document.path), None, issue, path))
    return found
