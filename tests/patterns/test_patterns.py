"""Random patterns match what they match in Node, in types and in the validator, or are rejected."""

import random

import pytest
from enkaku_codegen.planning.pattern import portable
from enkaku_codegen.reading.regexes import pattern_fault
from enkaku_codegen.reading.unicode_names import BINARY, CATEGORIES, SCRIPTS
from patterns.compare import differences, node_matches
from patterns.randomly import random_pattern, random_strings
from slow import slow_but

_BATCHES = 10
_PATTERNS = 3000


@pytest.mark.parametrize("seed", slow_but([0], range(_BATCHES)))
def test_random_pattern_agrees_with_node_or_is_rejected(seed: int) -> None:
    pick = random.Random(seed)
    patterns = [random_pattern(pick) for _ in range(_PATTERNS if seed else _PATTERNS // 10)]
    cases = [(each, random_strings(pick, each)) for each in patterns]
    supported = [each for each in patterns if not pattern_fault(each)]
    typed = [each for each in supported if portable(each) is not None]
    assert len(supported) > len(patterns) / 2
    assert len(typed) > len(patterns) / 3
    assert [*differences(cases)] == []


def test_unicode_properties_agree_with_node() -> None:
    names = sorted(BINARY | CATEGORIES)
    names += [f"{key}={each}" for key in ("gc", "General_Category") for each in sorted(CATEGORIES)]
    names += [
        f"{key}={each}"
        for key in ("sc", "scx", "Script", "Script_Extensions")
        for each in sorted(SCRIPTS)
    ]
    patterns = [rf"^\p{{{each}}}$" for each in names]
    # Of characters that all engines know: they may have other versions of Unicode.
    strings = [*"aA1_ -é\u0301ßωЖ字💩\u2028\u200d", ""]
    assert [each for each in patterns if pattern_fault(each) or portable(each) is None] == []
    assert None not in node_matches([(each, strings) for each in patterns])
    assert [*differences([(each, strings) for each in patterns])] == []
