"""Rules of the comparison: one table, which the documentation has as well."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["FIRST", "LEVELS", "RULES", "First", "Level", "Rule", "Severity", "table"]

Severity = Literal["error", "warning", "note"]

Level = Literal["wire", "source"]
"""What is compared: the messages; or the generated Python code, too."""

LEVELS: Final[tuple[Level, ...]] = ("wire", "source")

First = Literal["server", "client", "either"]
"""Which side is upgraded first, and so meets the old version of the other."""

FIRST: Final[tuple[First, ...]] = ("server", "client", "either")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule.

    Attributes:
        id: Its name, in findings and for ``--allow``.
        level: The lowest level that has it.
        new_callee: The severity where an old caller meets a new callee; None where it is not reported.
        new_caller: The severity where a new caller meets an old callee.
        text: What has changed, and why it matters.
    """

    id: str
    level: Level
    new_callee: Severity | None
    new_caller: Severity | None
    text: str


def _values(slot: str, *, of_caller: bool) -> tuple[Rule, Rule]:
    """Return the rules for the values of a slot, which the caller or the callee writes."""
    narrowed = f"the new {slot} rejects a value that the old one accepts"
    widened = f"the new {slot} accepts a value that the old one rejects"
    name = slot.replace(" ", "-")
    on: Severity | None = "error" if of_caller else None
    off: Severity | None = None if of_caller else "error"
    return (
        Rule(f"{name}-narrowed", "wire", on, off, f"{narrowed}, and an old peer may send it"),
        Rule(f"{name}-widened", "wire", off, on, f"{widened}, and a new peer may send it"),
    )


def _source(id_: str, text: str, severity: Severity = "error") -> Rule:
    return Rule(id_, "source", severity, severity, text)


_ALL: Final = (
    Rule(
        "procedure-removed",
        "wire",
        "error",
        "note",
        "a procedure is gone: calls are rejected with `EK08`",
    ),
    Rule(
        "procedure-added",
        "wire",
        "note",
        "error",
        "a procedure is new: an old peer rejects calls with `EK08`",
    ),
    Rule(
        "kind-changed",
        "wire",
        "error",
        "error",
        "a procedure is of another kind: calls are rejected with `EK08`",
    ),
    *_values("data", of_caller=True),
    *_values("param", of_caller=True),
    *_values("send", of_caller=True),
    *_values("receive", of_caller=False),
    *_values("result", of_caller=False),
    *_values("error data", of_caller=False),
    Rule(
        "slot-added",
        "wire",
        "error",
        "error",
        "a slot is new: an old peer sends no value, or rejects one; a note if the reader can do with that",
    ),
    Rule(
        "slot-removed",
        "wire",
        "error",
        "error",
        "a slot is gone: a new peer sends no value, or rejects one; a note if the reader can do with that",
    ),
    Rule(
        "slot-changed",
        "wire",
        "note",
        "note",
        "the schema of a slot is another, and the reader accepts all that is sent",
    ),
    Rule(
        "undecided",
        "wire",
        "error",
        "error",
        "whether the reader accepts all that is sent could not be decided",
    ),
    Rule(
        "absent-ambiguous",
        "wire",
        "warning",
        "warning",
        'TypeScript clients leave out a param of `null`, `false`, `0` or `""`; the new schema accepts several of them',
    ),
    Rule(
        "error-added",
        "wire",
        "warning",
        "note",
        "an error is new: an old peer raises `CallError` with its code",
    ),
    Rule(
        "error-removed",
        "wire",
        "note",
        "warning",
        "an error is gone: a new peer raises `CallError` with its code",
    ),
    Rule(
        "idempotent-removed",
        "wire",
        "error",
        "note",
        "old clients repeat the request after a lost connection, and must not",
    ),
    Rule(
        "idempotent-added",
        "wire",
        "note",
        "error",
        "new clients repeat the request after a lost connection; it was not safe before",
    ),
    Rule("protocol-added", "wire", "note", "note", "the file did not exist: all of it is new"),
    _source("name-removed", "a class, exception, type or constant of the package is gone"),
    _source("name-renamed", "a class, exception, type or constant has another name"),
    _source("method-removed", "the method of a procedure is gone"),
    _source("method-renamed", "the method of a procedure has another name"),
    _source("signature-changed", "the method of a procedure takes, sends or returns another type"),
    _source("type-changed", "a type with a name is another type, or a class no longer"),
    _source("field-removed", "a class has no longer an attribute"),
    _source("field-renamed", "the attribute of a property has another name"),
    _source("field-type-changed", "an attribute has another type"),
    _source("field-required", "a constructor has a new argument that it needs"),
    _source("field-optional", "an attribute may be absent, which it was not"),
    _source("name-added", "a class, exception, type or constant is new", "note"),
    _source("method-added", "a procedure has a new method, which each handler must have", "note"),
    _source("field-added", "a class has a new attribute, which may be absent", "note"),
    Rule(
        "unused-ignore",
        "wire",
        "warning",
        "warning",
        "an exception (`--allow`, `ignore`) applies to no finding",
    ),
    Rule(
        "expired-ignore",
        "wire",
        "warning",
        "warning",
        "an exception is past its `until`, and applies no longer",
    ),
)

RULES: Final[Mapping[str, Rule]] = {each.id: each for each in _ALL}
"""All rules, by id, in the order of the documentation."""


def table() -> str:
    """Return the rules as a table in Markdown."""
    lines = [
        "| rule | level | old caller | new caller | what has changed |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| `{each.id}` | {each.level} | {each.new_callee or ''} | {each.new_caller or ''} | {each.text} |"
        for each in RULES.values()
    ]
    return "\n".join(lines) + "\n"
