"""What random schemas and values are made of: names, texts, numbers, and patterns with texts that match."""

import re
from dataclasses import dataclass, field
from typing import Final

__all__ = [
    "FORMATS",
    "INTEGERS",
    "KEYS",
    "NUMBERS",
    "PATTERNS",
    "TAGS",
    "TEXTS",
    "matches",
    "python_pattern",
]


@dataclass(frozen=True)
class Pattern:
    """A regular expression.

    Attributes:
        text: As in a schema: ECMA-262 with the flag ``u``.
        python: The same for ``re``, where that differs.
        samples: Texts that match, and that are names of members, too.
    """

    text: str
    samples: tuple[str, ...]
    python: str = ""
    compiled: re.Pattern[str] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        source = self.python or self.text
        object.__setattr__(self, "compiled", re.compile(source.replace("$", r"\Z")))


_ALL: Final = (
    Pattern("^[a-z][a-z0-9_]*$", ("a", "name", "x_1", "kind")),
    Pattern(r"^\d{4}-\d{2}-\d{2}$", ("2024-02-30", "0000-00-00"), "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
    Pattern("^[^@ ]+@[^@ ]+$", ("a@b", "💩@é")),
    Pattern("^#[0-9a-fA-F]{6}$", ("#00ffAA",)),
    Pattern("^(?:GET|POST)$", ("GET", "POST")),
    Pattern("^x-", ("x-", "x-1", "x-ray")),
    Pattern("_id$", ("_id", "user_id")),
    Pattern("b", ("b", "abc", "tab")),
    Pattern("^.{1,3}$", ("a", "ab", "💩é1")),
    Pattern("^.{2}$", ("ab", "💩💩")),
    Pattern(r"^\D+$", ("a", "٣", "x-y"), "^[^0-9]+$"),
    Pattern(r"^\d+$", ("0", "42"), "^[0-9]+$"),
    Pattern(r"\w", ("a", "_", "é_"), "[A-Za-z0-9_]"),
    Pattern(r"^[\w.-]+$", ("a.b", "x-y_z"), "^[A-Za-z0-9_.-]+$"),
    Pattern("^(?!a)", ("b", "", "ba")),
    Pattern("(?<=a)b", ("ab", "cab")),
    Pattern("^(a|b)+$", ("a", "abba")),
    Pattern(r"^(.)\1$", ("aa", "💩💩")),
    Pattern(r"^\p{Lu}", ("A", "É"), "^[A-ZÉ]"),
    Pattern("^[A-Z]", ("A", "Kind")),
    Pattern("^$", ("",)),
    Pattern("", ("", "a")),
    Pattern("^é$", ("é",)),
    Pattern("^[^a]$", ("b", "💩", "\n")),
    Pattern("a|^c$", ("a", "ba", "c")),
    Pattern(r"\.json$", (".json", "a.json")),
    Pattern(r"^[a-z]+\n$", ("a\n",)),
    Pattern(r"^\S+ \S+$", ("a b",)),
    Pattern("^a", ("a", "ab", "a-b")),
)
PATTERNS: Final = {each.text: each for each in _ALL}
"""By their text in a schema."""


def matches(pattern: str, text: str) -> bool:
    return PATTERNS[pattern].compiled.search(text) is not None


def python_pattern(pattern: str) -> str:
    return PATTERNS[pattern].compiled.pattern if pattern in PATTERNS else pattern


# Such as they are in real protocols; some that Python or pydantic would like for itself; some for no one.
KEYS: Final = (
    *("id", "name", "kind", "type", "value", "count", "tags", "data", "next", "left", "items"),
    *("createdAt", "updated_at", "x-extra", "x-1", "user_id", "é", "Kinds", "Z", "b", "a"),
    *("class", "self", "cls", "copy", "json", "str", "list", "float", "None", "true", "_private"),
    *("model_config", "model_fields", "model_post_init", "Field", "Model", "__init__", "__slots__"),
    *("", " ", "0", "42", "$ref", "a b", "a.json", "💩", "日本", "*", "+1", "ﬁ", "µ", "\u202e"),
    *("\x00", "\n", "__dict__"),
)
TAGS: Final = ("type", "kind", "name", "value")
TEXTS: Final = (
    *(
        "",
        "a",
        "b",
        "A",
        "ab",
        "abc",
        "name",
        "GET",
        "x-1",
        "null",
        "true",
        "1",
        "1.0",
        "é",
        "e\u0301",
    ),
    *(
        "💩",
        "💩💩",
        "日本",
        "\x00",
        "\n",
        "a\n",
        " ",
        "a b",
        "\\",
        '"',
        "'",
        "{{ 1 }}",
        "2024-01-31",
    ),
    *("2024-01-31T12:00:00Z", "127.0.0.1", "a@b", "https://a.b/c", "12", "٣", "\u2028", "\ufeff"),
)
INTEGERS: Final = (
    *(0, 1, -1, 2, 3, 5, 10, 100, 255, 256, -128, 65535, 2**31 - 1, 2**31, -(2**31)),
    *(2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**30, -(10**30)),
)
NUMBERS: Final = (
    *INTEGERS,
    *(
        0.5,
        -0.5,
        1.0,
        1.5,
        0.1,
        0.3,
        2.5,
        -1.5,
        99.9,
        1e-7,
        5e-324,
        1e15,
        1e22,
        1e23,
        1e300,
        -1e300,
    ),
    *(0.0, -0.0, 3.0, 100.0, 2.0**53, 2.0**63),
)
FORMATS: Final = (
    "date-time",
    "date",
    "uuid",
    "email",
    "uri",
    "ipv4",
    "regex",
    "byte",
    "int32",
    "made-up",
)
