"""Rules for keywords that apply subschemas to the value itself."""

from collections.abc import Iterator, Mapping
from typing import Final

from enkaku_codegen.json_values import Json
from enkaku_codegen.reading.simple_schema import as_list, reference_name

from .case import Case, Reason, Rule

__all__ = ["RULES"]


def _reference(case: Case, _: Json) -> Iterator[Reason]:
    name = reference_name(case.schema) or ""
    yield from case.proof.reasons_for_definition(case.values, name)


def _dynamic(case: Case, _: Json) -> Iterator[Reason]:
    yield from case.reason(
        "the target depends on the schemas around it, which a Python type cannot express"
    )


def _all_of(case: Case, value: Json) -> Iterator[Reason]:
    for index, schema in enumerate(as_list(value)):
        yield from case.same(schema, str(index))


def _any_of(case: Case, value: Json) -> Iterator[Reason]:
    candidates = case.candidates(as_list(value))
    if not any(case.always_fits(schema) for schema in candidates.values()):
        yield from _no_match(case, _possible(case, value))


def _one_of(case: Case, value: Json) -> Iterator[Reason]:
    possible = _possible(case, value)
    if len(possible) > 1:  # whether one of them always matches would take long to find out
        yield from case.reason("a value may match two of the alternatives")
    elif not any(case.always_fits(schema) for schema in possible.values()):
        yield from _no_match(case, possible)


def _possible(case: Case, value: Json) -> Mapping[int, Json]:
    """Return the alternatives that values of the set may match, by their indices."""
    candidates = case.candidates(as_list(value))
    return {index: each for index, each in candidates.items() if not case.never_fits(each)}


def _no_match(case: Case, possible: Mapping[int, Json]) -> Iterator[Reason]:
    """Yield why no alternative certainly matches: the reasons of the only one that may, if there is one."""
    if len(possible) == 1:
        for index, schema in possible.items():
            yield from case.same(schema, str(index))
    else:
        yield from case.reason("a value of the type may match none of the alternatives")


def _not(case: Case, value: Json) -> Iterator[Reason]:
    if not case.never_fits(value):
        yield from case.reason("'not' cannot be expressed as a Python type")


def _if(case: Case, value: Json) -> Iterator[Reason]:
    then = case.never_fits(value) or case.always_fits(case.schema.get("then", True))
    otherwise = case.always_fits(value) or case.always_fits(case.schema.get("else", True))
    if not (then and otherwise):
        yield from case.reason("'if' cannot be expressed as a Python type")


RULES: Final[Mapping[str, Rule]] = {
    "$dynamicRef": _dynamic,
    "$ref": _reference,
    "allOf": _all_of,
    "anyOf": _any_of,
    "if": _if,
    "not": _not,
    "oneOf": _one_of,
}
"""The rule for each keyword."""
