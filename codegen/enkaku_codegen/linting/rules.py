"""Rules of the linter: the table of all, with category and severity."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Literal, get_args

from enkaku_codegen.json_values import Tokens

__all__ = [
    "BY_DEFAULT",
    "CATEGORIES",
    "RULES",
    "SEVERITIES",
    "Category",
    "Hit",
    "Rule",
    "Severity",
    "selected",
    "unknown_rule",
]

Category = Literal["correctness", "robustness", "cost", "documentation", "lint"]
Severity = Literal["error", "warning", "note"]

CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)
"""The categories of rules; ``lint`` is about the linter itself."""

SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
"""All severities, the worst first."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the linter.

    Attributes:
        id: Its id.
        category: What it is good for.
        severity: How bad it is to break it, unless the project says otherwise.
        summary: What it reports; the docs have the same text.
        by_default: Whether it applies unless it is selected.
    """

    id: str
    category: Category
    severity: Severity
    summary: str
    by_default: bool = True


@dataclass(frozen=True, slots=True)
class Hit:
    """A location in a protocol that breaks a rule.

    Attributes:
        path: The path in the resolved protocol: ``("$defs", NAME, ...)`` with the name of a definition of any file,
            else a path in the protocol file.
    """

    rule: str
    path: Tokens
    message: str


RULES: Final = {
    each.id: each
    for each in (
        Rule(
            "invalid-protocol",
            "correctness",
            "error",
            "the protocol cannot be read, or code cannot be generated for it",
        ),
        Rule(
            "likely-mistake",
            "correctness",
            "warning",
            "what `enkaku generate` warns about: a name that is nearly another one, an ignored keyword",
        ),
        Rule("contradiction", "correctness", "error", "a schema that accepts no value"),
        Rule(
            "dead-alternative",
            "correctness",
            "warning",
            "an alternative of `anyOf` or `oneOf` that accepts no value, or only what another one accepts",
        ),
        Rule(
            "dead-property",
            "correctness",
            "warning",
            "a property or an item that no value can have",
        ),
        Rule(
            "dead-enum-value",
            "correctness",
            "warning",
            "a value in `enum` that the keywords next to it exclude",
        ),
        Rule("duplicate-enum-value", "correctness", "warning", "a value that `enum` has twice"),
        Rule(
            "dead-keyword",
            "correctness",
            "warning",
            "a keyword without effect, such as `maxLength` next to `type: integer`",
        ),
        Rule(
            "unknown-required",
            "correctness",
            "warning",
            "a required name that `properties` does not have",
        ),
        Rule(
            "unused-definition",
            "correctness",
            "warning",
            "a definition that no procedure refers to",
        ),
        Rule(
            "invalid-example",
            "correctness",
            "error",
            "a value in `examples`, or a `default`, that its schema rejects",
        ),
        Rule(
            "ambiguous-union",
            "correctness",
            "warning",
            "objects of a union that no property tells apart",
        ),
        Rule("unknown-format", "correctness", "note", "a `format` that JSON Schema does not have"),
        Rule(
            "unasserted-format",
            "correctness",
            "note",
            "a `format` or `contentEncoding` that nothing checks, since the protocol selects no type for it",
        ),
        Rule(
            "narrow-format",
            "correctness",
            "note",
            "strings of a format that the selected type cannot hold",
        ),
        Rule(
            "unbounded-string",
            "robustness",
            "note",
            "a string without limit in what a client sends",
        ),
        Rule(
            "unbounded-array",
            "robustness",
            "note",
            "an array without limit in what a client sends",
        ),
        Rule(
            "unbounded-map",
            "robustness",
            "note",
            "an object with any number of names in what a client sends",
        ),
        Rule("any-value", "robustness", "note", "a client may send any value there"),
        Rule(
            "slow-pattern",
            "robustness",
            "warning",
            "a pattern for which some validators may need exponential time",
        ),
        Rule(
            "slow-union",
            "robustness",
            "warning",
            "a recursive union whose alternatives may accept the same value",
        ),
        Rule(
            "needs-validator",
            "cost",
            "note",
            "a slot whose type does not enforce its schema, so that a validator runs as well",
        ),
        Rule("untyped", "cost", "warning", "a schema that exceeds a limit and becomes `object`"),
        Rule(
            "undescribed-procedure",
            "documentation",
            "warning",
            "a procedure without `description`",
        ),
        Rule(
            "undescribed-definition",
            "documentation",
            "note",
            "a definition without `description`",
        ),
        Rule(
            "undescribed-property",
            "documentation",
            "note",
            "a property without `description`",
            by_default=False,
        ),
        Rule(
            "procedure-name",
            "documentation",
            "warning",
            "the name of a procedure that is not like `area/verb`, or not like the others",
        ),
        Rule(
            "definition-name",
            "documentation",
            "note",
            "the name of a definition that is not like `LogLevel`",
        ),
        Rule(
            "property-name",
            "documentation",
            "warning",
            "a property in another style than most: `camelCase` or `snake_case`",
        ),
        Rule("unused-ignore", "lint", "warning", "an ignore that suppresses nothing"),
        Rule("incomplete", "lint", "warning", "what was not checked, since it would take too long"),
    )
}
"""All rules by id."""

BY_DEFAULT: Final = frozenset(each.id for each in RULES.values() if each.by_default)
"""The rules that apply by default."""


def selected(names: Iterable[str]) -> frozenset[str]:
    """Return the rules that names of rules and categories, or ``all``, select.

    Raises:
        ValueError: There is no such rule or category.
    """
    found: set[str] = set()
    for name in names:
        rules = {each.id for each in RULES.values() if name in (each.id, each.category, "all")}
        if not rules:
            raise ValueError(unknown_rule(name, categories=True))
        found |= rules
    return frozenset(found)


def unknown_rule(name: str, *, categories: bool = False) -> str:
    """Return the message about a name that is no rule, with the nearest ones."""
    known = [*RULES, *(("all", *CATEGORIES) if categories else ())]
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
    return f'no rule "{name}"; {hint}'
