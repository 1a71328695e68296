"""Patterns mean the same to pydantic, once translated, as to the validator."""

import pytest
from enkaku_codegen.planning.pattern import portable
from jsonschema_rs import Draft202012Validator
from pydantic_core import SchemaValidator, ValidationError, core_schema

SPACE = r"[\s--\x85]\uFEFF"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^[a-z0-9-]+$", "^[a-z0-9-]+$"),
        (r"^v\d+(\.\d+){0,2}$", r"^v[0-9]+(\.[0-9]+){0,2}$"),
        ("^(?:a|b)?[^/]*$", "^(?:a|b)?[^/]*$"),
        (r"a\w+@", "a[A-Za-z0-9_]+@"),
        (r"[^\d]", "[^0-9]"),
        (r"[\D]", "[[^0-9]]"),
        (r"\D", "[^0-9]"),
        (r"^\S+$", f"^[^{SPACE}]+$"),
        (r"[\s,]", f"[{SPACE},]"),
        (r"^.+\.[.]$", r"^[^\n\r\u2028\u2029]+\.[.]$"),
        ("^é[à-ü]💩$", "^é[à-ü]💩$"),
    ],
)
def test_pattern_portable_is_translated(pattern: str, text: str) -> None:
    assert portable(pattern) == text


@pytest.mark.parametrize(
    "pattern",
    [
        "(?=a)",
        "(?<!a)b",
        "(?x)^ a [ b] $",
        "(?i)a",
        r"(a)\1",
        r"\bword\b",
        "[a&&b]",
        "[a--b]",
        "[[a]]",
        r"\p{L}",
        "(",
        "a{1000}{1000}{1000}",
        "(?:" * 5000 + "\n",
        "\ud800",
    ],
)
def test_pattern_not_portable_is_left_to_validator(pattern: str) -> None:
    assert portable(pattern) is None


@pytest.mark.parametrize(
    "pattern",
    [
        ".",
        "[.]",
        "[^.]",
        r"\.",
        r"\d",
        r"\D",
        r"\w",
        r"\W",
        r"\s",
        r"\S",
        r"[\w-]",
        r"[^\w]",
        r"[^\s,]",
        r"[\S]",
        "[^a]",
        "[^\\d]",
    ],
)
def test_pattern_accepts_same_characters_as_validator(pattern: str) -> None:
    validator = Draft202012Validator({"pattern": f"^{pattern}$"})
    ours = SchemaValidator(core_schema.str_schema(pattern=portable(f"^{pattern}$")))

    def fits(text: str) -> bool:
        try:
            ours.validate_python(text)
        except ValidationError:
            return False
        return True

    characters = map(chr, [*range(0xD800), *range(0xE000, 0x11000)])
    assert [each for each in characters if validator.is_valid(each) != fits(each)] == []
