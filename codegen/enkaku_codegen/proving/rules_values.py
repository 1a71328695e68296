"""Rules for keywords that apply to a single value: its type, its literals, its size."""

import json
from collections.abc import Hashable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from enkaku_codegen.json_values import Json, identity
from enkaku_codegen.planning.all_of import type_names
from enkaku_codegen.planning.pattern import portable
from enkaku_codegen.reading.simple_schema import as_list

from .case import Case, Reason, Rule
from .constants import fits
from .value_sets import Constant, Number, Plain, String, highest, lowest, size

__all__ = ["RULES"]


def _of_value(rule: Rule) -> Rule:
    """Return a rule that asks the validator about a constant, and the given rule about other value sets."""

    def checked(case: Case, value: Json) -> Iterator[Reason]:
        if not isinstance(case.values, Constant):
            yield from rule(case, value)
        elif not fits(case.values.value, case.path[-1], value):
            yield from case.reason(f"{json.dumps(case.values.value)} does not match")

    return checked


def _type(case: Case, value: Json) -> Iterator[Reason]:
    names = type_names(value)
    kind = case.values.kind
    if kind not in names and not (kind == "integer" and "number" in names):
        yield from case.reason(f"the type also accepts any {kind}")


def _values(case: Case, known: AbstractSet[Hashable]) -> Iterator[Reason]:
    match case.values:
        case Constant(value):
            missing = identity(value) not in known
        case Plain("null"):
            missing = identity(None) not in known
        case Plain("boolean"):
            missing = not {identity(value=True), identity(value=False)} <= known
        case _:
            missing = True
    if missing:
        yield from case.reason("no Python type has exactly these values")


def _const(case: Case, value: Json) -> Iterator[Reason]:
    yield from _values(case, {identity(value)})


def _enum(case: Case, value: Json) -> Iterator[Reason]:
    values = as_list(value)
    known = case.proof.listed
    if id(values) not in known:
        known[id(values)] = frozenset(map(identity, values))
    yield from _values(case, known[id(values)])


def _bound(case: Case, _: Json) -> Iterator[Reason]:
    if isinstance(case.values, Number):
        keyword, integer = case.path[-1], case.values.kind == "integer"
        asked = {keyword: case.schema[keyword]}
        if lowest(case.values.simple, integer=integer) < lowest(asked, integer=integer) or (
            highest(case.values.simple, integer=integer) > highest(asked, integer=integer)
        ):
            yield from case.reason("the type does not enforce this bound")


def _multiple(case: Case, value: Json) -> Iterator[Reason]:
    if isinstance(case.values, Number):
        factor = case.values.simple.get("multipleOf", 1 if case.values.kind == "integer" else None)
        if not (isinstance(factor, int) and isinstance(value, int) and factor % value == 0):
            yield from case.reason("the type does not enforce this step")


def _least(kind: str) -> Rule:
    def rule(case: Case, value: Json) -> Iterator[Reason]:
        asked = value if isinstance(value, int | float) else 0
        if case.values.kind == kind and size(case.values)[0] < asked:
            yield from case.reason("the type does not enforce this minimum size")

    return rule


def _most(kind: str) -> Rule:
    def rule(case: Case, value: Json) -> Iterator[Reason]:
        most = size(case.values)[1]
        asked = value if isinstance(value, int | float) else 0
        if case.values.kind == kind and (most is None or most > asked):
            yield from case.reason("the type does not enforce this maximum size")

    return rule


def _pattern(case: Case, value: Json) -> Iterator[Reason]:
    if isinstance(case.values, String):
        text = portable(value) if isinstance(value, str) else None
        if text is None or case.values.simple.get("pattern") != text:
            yield from case.reason(
                "the pattern has no equivalent in the regular expressions of pydantic"
            )


RULES: Final[Mapping[str, Rule]] = {
    "const": _const,
    "enum": _enum,
    "exclusiveMaximum": _of_value(_bound),
    "exclusiveMinimum": _of_value(_bound),
    "maxItems": _most("array"),
    "maxLength": _of_value(_most("string")),
    "maxProperties": _most("object"),
    "maximum": _of_value(_bound),
    "minItems": _least("array"),
    "minLength": _of_value(_least("string")),
    "minProperties": _least("object"),
    "minimum": _of_value(_bound),
    "multipleOf": _of_value(_multiple),
    "pattern": _of_value(_pattern),
    "type": _type,
}
"""The rule for each keyword."""
