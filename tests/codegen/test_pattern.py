"""Patterns mean the same to pydantic and to the validator, once translated, as they do in ECMA 262."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from enkaku_codegen.planning.pattern import portable
from enkaku_codegen.reading.definition import read_protocol
from enkaku_codegen.reading.regexes import pattern_fault, validator_pattern
from generated.packages import accepts, imported, one_param
from jsonschema_rs import Draft202012Validator
from pydantic_core import SchemaValidator, core_schema

SPACE = r"\t-\r \u00A0\u1680\u2000-\u200A\u2028-\u2029\u202F\u205F\u3000\uFEFF"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^[a-z0-9-]+$", "^[a-z0-9-]+$"),
        (r"^v\d+(\.\d+){0,2}$", r"^v[0-9]+(\.[0-9]+){0,2}$"),
        ("^(?:a|b)?[^/]*$", "^(?:a|b)?[^/]*$"),
        (r"a\w+@", "a[A-Za-z0-9_]+@"),
        (r"[^\d]", "[^0-9]"),
        (r"[\D]", "[^0-9]"),
        (r"[\D1]", r"[\x00-/:-\u{10FFFF}1]"),
        (r"\D", "[^0-9]"),
        (r"^\S+$", f"^[^{SPACE}]+$"),
        (r"[\s,]", f"[{SPACE},]"),
        (r"^.+\.[.]$", r"^[^\n\r\u2028\u2029]+\.\.$"),
        ("^é[à-ü]💩$", "^é[à-ü]💩$"),
        ("[a&&b]", r"[a&\&b]"),
        ("[a-]|[-a]", r"[a-]|[\-a]"),
        (r"[\b]\0\cA\x41\u0042\u{43}\ud83d\udca9", r"\x08\x00\x01ABC💩"),
        ("[]|[^]", r"[^\x00-\u{10FFFF}]|[\x00-\u{10FFFF}]"),
        (r"\bword\b", r"(?-u:\b)word(?-u:\b)"),
        (r"\p{Script=Greek}\P{L}", r"\p{Script=Greek}\P{L}"),
        (r"(?<year>\d{4})a{2}?", "([0-9]{4})a{2}?"),
    ],
)
def test_pattern_portable_is_translated(pattern: str, text: str) -> None:
    assert portable(pattern) == text


@pytest.mark.parametrize(
    "pattern",
    ["(?=a)", "(?<!a)b", r"(a)\1", r"\Ba", "a{1000}{1000}{1000}", "(a{1000}){1000}", "(", "\ud800"],
)
def test_pattern_not_portable_is_left_to_validator(pattern: str) -> None:
    assert portable(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^(?!a)\d", "^(?!a)[0-9]"),
        (r"(a)(?<b>b)\k<b>1\k<b>", r"(?:a)(b)(?:\1)1(?:\1)"),
        (r"(?:(?=a))*a(?:(?=b))+", "a(?:(?=b))"),
        ("^[a-z]+$", "^[a-z]+$"),
    ],
)
def test_pattern_for_validator_is_translated(pattern: str, text: str) -> None:
    assert validator_pattern(pattern) == text


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"a\-b", r"\- is no escape of ECMA 262 there (flag u) at position 1"),
        (r"\01", r"\0 is no escape"),
        (r"\c1", r"\c without a letter"),
        (r"\x4", "expected 2 hexadecimal digits"),
        (r"\u{110000}", "expected a code point"),
        (r"\ud800", "half of a surrogate pair"),
        ("\ud800", "half of a surrogate pair"),
        (r"\pL", r"expected a property in braces, as in \p{L}"),
        (r"\p{Greek}", r"\p{Greek}: unknown property"),
        (r"[\d-a]", r"\d-a: a set of characters cannot begin or end a range at position 1"),
        ("]", r"needs a backslash, \]"),
        ("a{2,1}", "out of order"),
        ("a{1000000000}", "a number that is too large"),
        ("(?=a)*", "a lookaround or an anchor cannot be repeated at position 0"),
        ("^*", "cannot be repeated"),
        ("+", "nothing to repeat at position 0"),
        (")", "a ) without ( at position 0"),
        ("(?i)a", "flags within a pattern are not supported"),
        ("(?i:a)", "flags within a pattern are not supported"),
        (r"(a)\2", "there is no group 2"),
        (r"\k<b>", "there is no group named b"),
        (r"\k", r"\k without the name of a group"),
        ("(?<a>b)(?<a>c)", "two groups named a"),
        ("(?<1>b)", "expected the name of a group"),
        (r"(a)|\1", "may be reached before group 1 has captured"),
        (r"\1(a)", "may be reached before group 1 has captured"),
        (r"(a\1)", "may be reached before group 1 has captured"),
        (r"(a)*\1", "may be reached before group 1 has captured"),
        (r"(?!(a))\1", "may be reached before group 1 has captured"),
        (r"(a)(?<=\1)", "a backreference within a lookbehind is not supported"),
        (r"(?<!(.)\1)", "a backreference within a lookbehind is not supported"),
        ("\\", r"expected a character after \ at position 1"),
    ],
)
def test_pattern_unsupported_is_explained(pattern: str, reason: str) -> None:
    assert reason in pattern_fault(pattern)


CHARACTERS = [*map(chr, [*range(0xD800), *range(0xE000, 0x11000)])]


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        (".", lambda char: char not in "\n\r\u2028\u2029"),
        (r"\d", lambda char: char in "0123456789"),
        (r"\w", lambda char: char.isascii() and (char.isalnum() or char == "_")),
        (
            r"\s",
            lambda char: (char.isspace() and char not in "\x1c\x1d\x1e\x1f\x85")
            or char == "\ufeff",
        ),
        ("[^]", lambda char: True),
        ("[]", lambda char: False),
        (r"\cJ", lambda char: char == "\n"),
        (r"[\w-]", lambda char: char in "-_" or (char.isascii() and char.isalnum())),
        (r"[\D]", lambda char: char not in "0123456789"),
        ("[+--]", lambda char: char in "+,-"),
        ("[[a]", lambda char: char in "[a"),
    ],
)
@pytest.mark.parametrize("look", ["", "(?!no)"], ids=["alone", "after a lookahead"])
def test_pattern_matches_characters_of_ecma_262(pattern: str, matched: Any, look: str) -> None:
    whole = f"^{look}(?:{pattern})$"
    validator = Draft202012Validator({"pattern": validator_pattern(whole)}).is_valid
    assert [each for each in CHARACTERS if validator(each) != matched(each)] == []
    typed = portable(whole)
    assert (typed is None) == bool(look)
    if typed is not None:
        fits = SchemaValidator(core_schema.str_schema(pattern=typed)).isinstance_python
        assert [each for each in CHARACTERS if fits(each) != matched(each)] == []


VALUES: dict[str, tuple[dict[str, Any], list[Any], list[Any]]] = {
    "typed": ({"type": "string", "pattern": "^.$"}, ["a"], ["\r", "\u2028", "\u2029", "\n"]),
    "typed boundary": ({"type": "string", "pattern": r"a\b"}, ["aé", "a"], ["ab"]),
    "validated": ({"pattern": "^(?!b).$"}, ["a", 1], ["\r", "\u2028", "b"]),
    "validated boundary": ({"pattern": r"^(?!b).*a\b"}, ["aé"], ["ab", "ba"]),
    "keys of a map": (
        {"type": "object", "patternProperties": {"^.$": {}}, "additionalProperties": False},
        [{"a": 1}],
        [{"\r": 1}, {"\u2028": 1}],
    ),
    "keys of a class": (
        {
            "type": "object",
            "properties": {"id": {}},
            "patternProperties": {r"^x\b": {"type": "string"}, "^.$": {"type": "string"}},
        },
        [{"xé": "a", "\r": 1, "xa": 1}],
        [{"xé": 1}, {"y": 1}],
    ),
    "two patterns that are translated alike": (
        {"patternProperties": {r"\d": {"minLength": 2}, "[0-9]": {"maxLength": 2}}},
        [{"1": "ab"}],
        [{"1": "a"}, {"1": "abc"}],
    ),
    "constant": ({"const": "aé", "pattern": r"a\b"}, ["aé"], ["a"]),
}


@pytest.mark.parametrize("name", VALUES)
def test_pattern_in_package_means_ecma_262(name: str, tmp_path: Path) -> None:
    schema, valid, invalid = VALUES[name]
    with imported(one_param(schema), tmp_path) as package:
        slot = package.ECHO.param
        assert [each for each in valid if not accepts(slot, each)] == []
        assert [each for each in invalid if accepts(slot, each)] == []


def test_pattern_next_to_dynamic_ref_means_ecma_262(tmp_path: Path) -> None:
    schema = {
        "$id": "https://example.com/a",
        "$defs": {"t": {"$dynamicAnchor": "T", "type": "string", "pattern": r"^[^]\b"}},
        "type": ["array", "object"],
        "items": {"$dynamicRef": "#T"},
        "patternProperties": {"[^]": {"pattern": "^.$"}},
        "allOf": [{"pattern": r"\cA"}],
    }
    path = tmp_path / "protocol.json"
    path.write_text(json.dumps({"echo": {"type": "event", "data": schema}}))
    with imported(read_protocol(path), tmp_path) as package:
        slot = package.ECHO.data
        assert all(accepts(slot, each) for each in (["aé"], {"x": "é"}))
        assert not any(accepts(slot, each) for each in (["é"], ["ab"], {"x": "\r"}))


def test_default_is_checked_by_pattern_of_ecma_262(tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "default": "aé", "pattern": r"^(?!b)a\b"}},
    }
    with imported(replace(one_param(schema), defaults=True), tmp_path) as package:
        assert package.ECHO.param.decode(b"{}").a == "aé"
