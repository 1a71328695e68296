"""Access rules, compared with a plain reading of them."""

from typing import Any

import pytest
from enkaku import UsageError
from enkaku.identity.access import AccessRules
from hypothesis import given, settings
from hypothesis import strategies as st


def ask(*_: object) -> bool:
    return True


def allows(rules: dict[str, Any], procedure: str, *identities: str) -> Any:
    made: AccessRules[Any] = AccessRules(rules)
    return made.allows(procedure, identities)


def test_allows_no_rules_allow_all() -> None:
    assert allows({}, "echo") is True
    assert allows({}, "enkaku:login") is True


def test_allows_procedure_without_rule_is_denied() -> None:
    assert allows({"math/*": "everybody"}, "echo", "alice") is False


@pytest.mark.parametrize(
    ("rule", "identities", "allowed"),
    [
        ("everybody", [], True),
        ("identified", [], False),
        ("identified", ["alice"], True),
        ({"alice"}, ["alice"], True),
        (["alice"], ["bob", "alice"], True),
        ({"alice"}, ["bob"], False),
        ({"alice"}, [], False),
        (set(), ["alice"], False),
        (ask, ["alice"], None),
    ],
)
def test_allows_each_kind_of_rule(rule: Any, identities: list[str], *, allowed: Any) -> None:
    assert allows({"*": rule}, "echo", *identities) is allowed


def test_predicate_of_is_that_of_the_rule() -> None:
    rules: AccessRules[Any] = AccessRules({"*": ask, "a": "everybody"})
    assert rules.predicate_of("echo") is ask
    assert rules.predicate_of("a") is None
    assert rules.predicate_of("enkaku:login") is None


@pytest.mark.parametrize("names", [["*", "math/*", "math/add"], ["math/add", "math/*", "*"]])
def test_allows_most_specific_pattern_alone_is_asked(names: list[str]) -> None:
    rules = {name: {name} for name in names}
    for procedure, asked in {
        "echo": "*",
        "math": "math/*",
        "math/sub": "math/*",
        "math/add": "math/add",
        "math/add/x": "math/*",
    }.items():
        for name in names:
            assert allows(rules, procedure, name) is (name == asked)


def test_allows_name_is_more_specific_than_its_pattern() -> None:
    for rules in ({"math": {"a"}, "math/*": {"b"}}, {"math/*": {"b"}, "math": {"a"}}):
        assert allows(rules, "math", "a") is True
        assert allows(rules, "math", "b") is False
        assert allows(rules, "math/add", "b") is True


def test_allows_reserved_procedures_need_reserved_patterns() -> None:
    assert allows({"*": "everybody"}, "enkaku:describe") is False
    assert allows({"*": set(), "enkaku:*": "everybody"}, "enkaku:describe") is True
    assert allows({"enkaku:*": "everybody"}, "echo") is False
    rules = {"enkaku:*": "everybody", "enkaku:describe": {"alice"}}
    assert allows(rules, "enkaku:describe") is False
    assert allows(rules, "enkaku:login") is True


def test_rules_later_change_of_a_set_has_no_effect() -> None:
    names = {"alice"}
    rules: AccessRules[Any] = AccessRules({"*": names})
    names.add("bob")
    assert rules.allows("echo", ["bob"]) is False


def test_rules_know_what_is_open() -> None:
    rules: AccessRules[Any] = AccessRules({"*": "identified", "a": "everybody", "b": {"x"}})
    assert rules.open_patterns == ("a",)


@pytest.mark.parametrize(
    "pattern", ["", "a*", "*a", "*/a", "a/*/b", "a/**", "**", "enkaku:", "enkaku:a*", "a*/b"]
)
def test_rules_other_pattern_raises_usage_error(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"access: .*must be the whole last part"):
        AccessRules({pattern: "everybody"})


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ({1: "everybody"}, "access: a pattern must be a string; got 1"),
        (
            {"*": "anybody"},
            "the rule of '\\*' must be 'everybody', 'identified', a set of identities",
        ),
        ({"*": True}, "got True"),
        ({"*": None}, "got None"),
        ({"*": {1}}, "access: the rule of '\\*': an identity must be a string; got 1"),
        ({"*": "unix:0"}, "got 'unix:0': write {'unix:0'}"),
        ([("*", "everybody")], "access must map patterns of procedures to rules; got a list"),
    ],
)
def test_rules_other_rule_raises_usage_error(rules: Any, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        AccessRules(rules)


# A plain reading of a set of rules, part by part.


def _matched(pattern: str, procedure: str) -> bool:
    if pattern.startswith("enkaku:") != procedure.startswith("enkaku:"):
        return False
    parts, names = pattern.replace("enkaku:", "").split("/"), procedure.replace(
        "enkaku:", ""
    ).split("/")
    if parts[-1] != "*":
        return parts == names
    before = parts[:-1]
    return names[: len(before)] == before


def _model(rules: dict[str, Any], procedure: str, identities: set[str]) -> bool:
    if not rules:
        return True
    matching = [pattern for pattern in rules if _matched(pattern, procedure)]
    exact = [pattern for pattern in matching if pattern == procedure]
    longest = sorted(matching, key=lambda pattern: pattern.count("/") + (pattern[-1] != "*"))
    for pattern in exact or longest[-1:]:
        rule = rules[pattern]
        if rule == "everybody":
            return True
        return bool(identities) if rule == "identified" else bool(identities & rule)
    return False


parts = st.lists(st.sampled_from(["a", "b", "ab", "a:b"]), min_size=1, max_size=3).map("/".join)
procedures = st.builds(str.__add__, st.sampled_from(["", "", "enkaku:"]), parts)
patterns = (
    procedures
    | st.builds("{}{}/*".format, st.sampled_from(["", "enkaku:"]), parts)
    | st.sampled_from(["*", "enkaku:*"])
)
identity_sets = st.sets(st.sampled_from(["x", "y", "z"]))
rule_sets = st.dictionaries(
    patterns, st.sampled_from(["everybody", "identified"]) | identity_sets, max_size=6
)


@given(rule_sets, procedures, identity_sets)
@settings(max_examples=1000)
def test_rules_decide_as_a_plain_reading(
    rules: dict[str, Any], procedure: str, identities: set[str]
) -> None:
    assert allows(rules, procedure, *identities) is _model(rules, procedure, identities)
