"""Linter of a protocol: runs the rules, locates what they find, and drops what is suppressed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from enkaku_codegen.errors import Issue, ProtocolError, in_order
from enkaku_codegen.fingerprint import Request
from enkaku_codegen.json_values import Tokens, tokens
from enkaku_codegen.planning.planner import make_plan
from enkaku_codegen.proving.checks import Checks, make_checks
from enkaku_codegen.reading.definition import Protocol, read_protocol
from enkaku_codegen.reading.load import Document, load

from .correctness import correctness, unused
from .documentation import documentation
from .examples import examples
from .ignores import Ignore, Settings, inline_ignores
from .robustness import robustness
from .rules import RULES, Category, Hit
from .subject import Subject, TimeLimit, TooSlow

__all__ = ["Problem", "Report", "lint"]

SECONDS: Final = 20.0
"""The time limit of a protocol by default."""

_MOST_PLANNED: Final = 10_000  # definitions and procedures of which the types are planned
_MOST_SLOTS: Final = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """A broken rule, with its location."""

    rule: str
    issue: Issue


@dataclass(frozen=True, slots=True)
class Report:
    """What the linter found in a protocol.

    Attributes:
        problems: The broken rules, sorted by file and line.
        used: The ignores that suppressed something.
    """

    problems: tuple[Problem, ...]
    used: frozenset[Ignore]


def lint(request: Request, settings: Settings, *, seconds: float = SECONDS) -> Report:
    """Lint a protocol.

    Args:
        request: The protocol, and what its package imports.
        settings: The rules, and what the project suppresses.
        seconds: The time limit. What is not checked within it is reported.
    """
    try:
        document = load(request.protocol)
        protocol = read_protocol(request.protocol, request.name, request.imports)
        found = _Linter(protocol, document, request, settings, TimeLimit(seconds)).problems()
    except ProtocolError as error:
        problems = [Problem("invalid-protocol", each) for each in error.issues]
        return Report(tuple(problems), frozenset())
    except RecursionError:
        message = "the schemas are nested too deeply through their references"
        issue = Issue(str(request.protocol), 1, "", message)
        return Report((Problem("invalid-protocol", issue),), frozenset())
    return _without_ignored(found, document, settings)


def _without_ignored(found: Sequence[Problem], document: Document, settings: Settings) -> Report:
    problems: list[Problem] = []
    inline: list[Ignore] = []
    for each in inline_ignores(document):
        if isinstance(each, Ignore):
            inline.append(each)
        else:
            problems.append(Problem("invalid-protocol", each))
    # By rule: a file may have a hundred thousand problems, and thousands of ignores.
    ignores: dict[str, list[Ignore]] = {}
    for ignore in [*inline, *settings.ignores]:
        ignores.setdefault(ignore.rule, []).append(ignore)
    used: set[Ignore] = set()
    for problem in found:
        matching = [
            each
            for each in ignores.get(problem.rule, ())
            if each.covers(problem.rule, problem.issue)
        ]
        used.update(matching)
        if not matching:
            problems.append(problem)
    if not any(each.rule in {"incomplete", "invalid-protocol"} for each in problems):
        problems += [
            Problem("unused-ignore", each.issue)
            for each in inline
            if each not in used and each.rule in settings.rules
        ]
    order = {issue: at for at, issue in enumerate(in_order(each.issue for each in problems))}
    unique = dict.fromkeys(
        sorted(
            (each for each in problems if each.rule in settings.rules or _is_own(each.rule)),
            key=lambda each: (order[each.issue], each.rule),
        )
    )
    return Report(tuple(unique), frozenset(used))


def _is_own(rule: str) -> bool:
    return rule == "invalid-protocol" or RULES[rule].category == "lint"


class _Linter:
    def __init__(
        self,
        protocol: Protocol,
        document: Document,
        request: Request,
        settings: Settings,
        limit: TimeLimit,
    ) -> None:
        self._protocol = protocol
        self._document = document
        self._python = request.language == "python"
        self._settings = settings
        self._subject = Subject(protocol, document, limit)
        self._problems: list[Problem] = []

    def problems(self) -> list[Problem]:
        """Return all problems, also what is suppressed."""
        self._problems += [Problem("likely-mistake", each) for each in self._protocol.warnings]
        stages: list[tuple[str, Category, Callable[[Subject], Iterator[Hit]]]] = [
            ("names and descriptions", "documentation", documentation),
            ("what clients may send", "robustness", robustness),
            ("definitions", "correctness", unused),
            ("schemas", "correctness", correctness),
            ("types", "cost", self._types),
            ("examples", "correctness", examples),
        ]
        skipped: list[str] = []
        for what, category, stage in stages:
            if not self._is_asked(category):
                continue
            try:
                self._subject.limit.look()
                for hit in stage(self._subject):
                    self._add(hit)
            except TooSlow:
                skipped.append(what)
        if skipped:
            message = (
                f"the time limit has passed; not checked, or not all of them: {', '.join(skipped)}"
            )
            self._add(Hit("incomplete", (), message))
        return self._problems

    def _is_asked(self, category: Category) -> bool:
        # Planning the types also finds narrow formats, slow unions and errors.
        return category == "cost" or any(
            RULES[each].category == category for each in self._settings.rules
        )

    def _add(self, hit: Hit) -> None:
        if hit.rule in self._settings.rules or _is_own(hit.rule):
            issue = self._subject.issue(hit.path, hit.message)
            if hit.rule == "unknown-required" and self._is_reported(issue):
                return
            self._problems.append(Problem(hit.rule, issue))

    def _is_reported(self, issue: Issue) -> bool:
        """Return whether the reader has a warning at the same location."""
        return any(
            (each.file, each.pointer) == (issue.file, issue.pointer)
            for each in self._protocol.warnings
        )

    def _types(self, subject: Subject) -> Iterator[Hit]:
        """Yield what the types of the package cost, and what they do not hold."""
        if not self._python:
            return
        protocol = self._protocol
        if len(protocol.definitions) + len(protocol.both_ways) > _MOST_PLANNED:
            message = f"more than {_MOST_PLANNED} definitions and procedures: their types were not checked"
            yield Hit("incomplete", (), message)
            return
        try:
            checks = make_checks(make_plan(protocol), protocol)
        except ProtocolError as error:
            for each in protocol.located(error).issues:
                if each.file is None:
                    yield Hit("invalid-protocol", tokens(each.pointer), each.message)
                else:
                    self._problems.append(Problem("invalid-protocol", each))
            return
        subject.limit.look()
        yield from _of_checks(checks)
        yield from self._narrow(checks)

    def _narrow(self, checks: Checks) -> Iterator[Hit]:
        paths = {
            f"{each.name} {slot}": (*tokens(each.pointer), slot)
            for each in self._protocol.both_ways
            for slot in each.slots
        }
        for label, rejected in checks.formats.items():
            for text in rejected:
                yield Hit("narrow-format", paths.get(label, ()), f"{label}: {text}")


def _of_checks(checks: Checks) -> Iterator[Hit]:
    for each in checks.ambiguous:
        yield Hit("slow-union", tokens(each.pointer), each.message)
    for location, limit in checks.widened.items():
        yield Hit("untyped", tokens(location), f"{limit}: the type is object")
    for reason in checks.unenforced:
        message = f"{reason.text}; a package of models has no validator"
        yield Hit("needs-validator", reason.path, message)
    yield from _validators(checks)


def _validators(checks: Checks) -> Iterator[Hit]:
    """Yield the reasons why slots need a validator: one hit for each location, with all slots."""
    slots: dict[Tokens, dict[str, None]] = {}
    texts: dict[Tokens, dict[str, None]] = {}
    for check in checks.slots.values():
        for reason in check.reasons:
            slots.setdefault(reason.path, {})[check.label] = None
            texts.setdefault(reason.path, {})[reason.text] = None
    for path, labels in slots.items():
        others = len(labels) - _MOST_SLOTS
        more = f" and {others} other{'s'[:others - 1]}" if others > 0 else ""
        what = f"{', '.join([*labels][:_MOST_SLOTS])}{more}"
        need = "needs" if len(labels) == 1 else "need"
        message = f"{what} {need} a validator at run time: {'; '.join(texts[path])}"
        yield Hit("needs-validator", path, message)
