"""The fuzzer is worth something: it notices each rule of the proofs that is wrong.

A type that is taken for the whole of its schema, though it is not, has no validator beside it: then values are
accepted that the schema refuses.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from enkaku_codegen.proving.case import Case, Reason, Rule
from enkaku_codegen.proving.disjoint import Disjointness
from enkaku_codegen.proving.prove import RULES
from enkaku_codegen.proving.value_sets import Constant, String
from schema.fuzz import cases as fuzz
from schema.fuzz.compare import Tally, compare_cases
from schema.fuzz.report import describe
from schema.fuzz.targets import stepped_cases, targeted_cases
from slow import slow_but

_RULES: dict[str, Rule] = dict(RULES)
_KEYWORDS = sorted(_RULES)
_QUICK = ("enum", "maxLength", "minimum", "oneOf", "properties")
_SEED = "mutations"
_INSTANCES = 50


@cache
def _cases() -> Mapping[str, list[fuzz.Case]]:
    return {
        keyword: [*cases, *stepped_cases(keyword)]
        for keyword, cases in targeted_cases(_SEED, _KEYWORDS, 10).items()
    }


def _tried(*keywords: str) -> Tally:
    return _compared([case for keyword in keywords for case in _cases()[keyword]])


def _compared(cases: Sequence[fuzz.Case]) -> Tally:
    return compare_cases(cases, _SEED, instances=_INSTANCES, formatted=False)


def _accepted(tally: Tally) -> list[str]:
    return [describe(each) for each in tally.disagreements if each.kind == "accepted"]


@pytest.mark.parametrize("start", slow_but([24], range(0, len(_KEYWORDS), 8)))
def test_fuzz_without_mutation_finds_nothing(start: int) -> None:
    tally = _tried(*_KEYWORDS[start : start + 8])
    assert not tally.disagreements, describe(tally.disagreements[0])
    assert tally.instances > 400 * len(_KEYWORDS[start : start + 8])


def _nothing(_case: Case, _value: Any) -> Iterator[Reason]:
    return iter(())


@pytest.mark.parametrize("keyword", slow_but(_QUICK, _KEYWORDS))
def test_fuzz_finds_rule_that_proves_everything(
    keyword: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES, keyword, _nothing)
    assert _accepted(_tried(keyword))


Mistake = Callable[[Case, Any], Iterator[Reason]]
_FEWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_MORE = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


def _off_by_one(keyword: str) -> Mistake:
    rule, step = _RULES[keyword], -1 if keyword in _FEWER else 1

    def mistake(case: Case, value: Any) -> Iterator[Reason]:
        schema = {**case.schema, keyword: value + step}
        return rule(replace(case, schema=schema), value + step)

    return mistake


@pytest.mark.parametrize("keyword", slow_but(_QUICK, [*_FEWER, *_MORE]))
def test_fuzz_finds_rule_off_by_one(keyword: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = stepped_cases(keyword)
    assert not _compared(cases).disagreements
    monkeypatch.setitem(RULES, keyword, _off_by_one(keyword))
    assert _accepted(_compared(cases))


def _equal_in_python(case: Case, value: Any) -> Iterator[Reason]:
    known = isinstance(case.values, Constant) and case.values.value in value
    return iter(()) if known else _RULES["enum"](case, value)


def _any_number(case: Case, value: Any) -> Iterator[Reason]:
    return _RULES["type"](case, "number" if value == "integer" else value)


def _any_pattern(case: Case, value: Any) -> Iterator[Reason]:
    has_one = isinstance(case.values, String) and "pattern" in case.values.simple
    return iter(()) if has_one else _RULES["pattern"](case, value)


def _first_name_only(case: Case, value: Any) -> Iterator[Reason]:
    return _RULES["dependentRequired"](case, dict(list(value.items())[:1]))


def _never_closed(case: Case, value: Any) -> Iterator[Reason]:
    return _RULES["additionalProperties"](case, value) if value else iter(())


def _without_else(case: Case, value: Any) -> Iterator[Reason]:
    schema = {key: each for key, each in case.schema.items() if key != "else"}
    return _RULES["if"](replace(case, schema=schema), value)


@pytest.mark.parametrize(
    ("keyword", "mistake"),
    slow_but(
        _QUICK,
        [
            ("additionalProperties", _never_closed),
            ("dependentRequired", _first_name_only),
            ("enum", _equal_in_python),
            ("if", _without_else),
            ("pattern", _any_pattern),
            ("type", _any_number),
        ],
    ),
)
def test_fuzz_finds_rule_without_a_step(
    keyword: str, mistake: Mistake, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = stepped_cases(keyword)
    assert not _compared(cases).disagreements
    monkeypatch.setitem(RULES, keyword, mistake)
    assert _accepted(_compared(cases))


def _but_one(case: Case, value: Any) -> Iterator[Reason]:
    return _RULES["required"](case, value[1:])


def _but_the_last(case: Case, value: Any) -> Iterator[Reason]:
    return _RULES["properties"](case, dict(list(value.items())[:-1]))


def _overlapping(case: Case, value: Any) -> Iterator[Reason]:
    return _RULES["anyOf"](case, value)


def _not_impossible(case: Case, value: Any) -> Iterator[Reason]:
    return iter(()) if not all(map(case.never_fits, value)) else case.reason("none of them")


def _not_all(case: Case, value: Any) -> Iterator[Reason]:
    return iter(()) if not case.always_fits(value) else case.reason("it always holds")


@pytest.mark.parametrize(
    ("keyword", "mistake"),
    slow_but(
        _QUICK,
        [
            ("required", _but_one),
            ("properties", _but_the_last),
            ("anyOf", _not_impossible),
            ("oneOf", _overlapping),
            ("oneOf", _not_impossible),
            ("not", _not_all),
        ],
    ),
)
def test_fuzz_finds_rule_that_overlooks_keyword(
    keyword: str, mistake: Mistake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES, keyword, mistake)
    assert _accepted(_tried(keyword))


@pytest.mark.slow
def test_fuzz_finds_wrong_disjointness(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Disjointness, "of_values", lambda *_: True)
    assert _accepted(_tried("oneOf", "not"))
