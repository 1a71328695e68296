r"""Parser of the regular expressions of ECMA 262, in the grammar of the flag ``u``, which JSON Schema recommends.

The result is a syntax tree without escapes: ``\d``, ``[0-9]`` and ``.`` are all sets of characters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

from .unicode_names import BINARY, CATEGORIES, SCRIPTS

__all__ = [
    "DIGITS",
    "SPACES",
    "WORD",
    "Anchor",
    "Backreference",
    "Choice",
    "Concatenation",
    "Group",
    "Look",
    "Node",
    "PatternError",
    "Property",
    "Range",
    "Repeat",
    "Set",
    "complement",
    "parse",
]

Range: TypeAlias = tuple[int, int]
"""The first and the last code point."""

_LAST: Final = 0x10FFFF
DIGITS: Final[tuple[Range, ...]] = ((0x30, 0x39),)
WORD: Final[tuple[Range, ...]] = ((0x41, 0x5A), (0x61, 0x7A), *DIGITS, (0x5F, 0x5F))
SPACES: Final[tuple[Range, ...]] = (
    *((0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A)),
    *((0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF)),
)
_LINE_ENDS: Final[tuple[Range, ...]] = (
    (0x0A, 0x0A),
    (0x0D, 0x0D),
    (0x2028, 0x2028),
    (0x2029, 0x2029),
)

_DEEPEST: Final = 100
_SYNTAX: Final = frozenset("^$\\.*+?()[]{}|/")
_CONTROLS: Final = {"f": 0x0C, "n": 0x0A, "r": 0x0D, "t": 0x09, "v": 0x0B}
_ESCAPED_SETS: Final = {"d": DIGITS, "s": SPACES, "w": WORD}
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_DIGITS: Final = frozenset("0123456789")
_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_SURROGATES: Final = range(0xD800, 0xE000)
_BRACE: Final = "a brace that is not a repetition needs a backslash, \\{,"
_NOT_ALONE: Final = {
    **dict.fromkeys("*+?", "nothing to repeat"),
    **dict.fromkeys("{}", _BRACE),
    "]": "a ] without [ needs a backslash, \\],",
}
# Syntax of other languages, by its first characters.
_FOREIGN: Final = {
    "(?P": "(?P...) is Python syntax; write (?<name>...)",
    "(?>": "atomic groups are not supported",
    "(?#": "comments are not supported",
    "(?(": "conditions are not supported",
}
_FOREIGN_ESCAPES: Final = {
    "A": "\\A is not in ECMA 262; write ^ for the start",
    "Z": "\\Z is not in ECMA 262; write $ for the end",
    "z": "\\z is not in ECMA 262; write $ for the end",
}


class PatternError(ValueError):
    """A pattern is not a regular expression of ECMA 262, or has what the engines do not support."""


@dataclass(frozen=True, slots=True)
class Property:
    r"""A property of characters, such as ``L`` in ``\p{L}``."""

    name: str
    negated: bool


@dataclass(frozen=True, slots=True)
class Set:
    """One character: of these, or of all others."""

    items: tuple[Range | Property, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Anchor:
    r"""An assertion without operand: ``^``, ``$``, ``\b`` or ``\B``."""

    text: str


@dataclass(frozen=True, slots=True)
class Look:
    """A lookahead or lookbehind."""

    body: "Node"
    ahead: bool
    negated: bool


@dataclass(frozen=True, slots=True)
class Group:
    """A group, with its number if it captures."""

    body: "Node"
    number: int = 0


@dataclass(frozen=True, slots=True)
class Backreference:
    """A reference to what a group captured: by number, or while the names are not known, by name."""

    number: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A repetition, without upper bound if ``most`` is None."""

    body: "Node"
    least: int
    most: int | None
    lazy: bool


@dataclass(frozen=True, slots=True)
class Concatenation:
    """Parts, one after the other."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Alternatives."""

    parts: tuple["Node", ...]


Node: TypeAlias = Set | Anchor | Look | Group | Backreference | Repeat | Concatenation | Choice


def parse(pattern: str) -> tuple[Node, dict[str, int]]:
    """Parse a pattern.

    Returns:
        The syntax tree; and the numbers of its groups by name.

    Raises:
        PatternError: ECMA 262 does not allow the pattern, or it has what no engine supports here.
    """
    parser = _Parser(pattern)
    return parser.parse(), parser.names


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._depth = 0
        self._groups = 0
        self._references: list[Backreference] = []
        self.names: dict[str, int] = {}

    def parse(self) -> Node:
        tree = self._choice()
        if self._at < len(self._text):
            self._fail("a ) without (")
        for each in self._references:
            if each.name and each.name not in self.names:
                raise PatternError(f"there is no group named {each.name}")
            if each.number > self._groups:
                raise PatternError(f"there is no group {each.number}")
        return tree

    def _fail(self, reason: str, at: int | None = None) -> NoReturn:
        raise PatternError(f"{reason} at position {self._at if at is None else at}")

    def _peek(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _take(self, text: str) -> bool:
        if not self._peek(text):
            return False
        self._at += len(text)
        return True

    def _next(self, what: str) -> str:
        if self._at >= len(self._text):
            self._fail(f"expected {what}")
        self._at += 1
        return self._text[self._at - 1]

    def _choice(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise PatternError(f"it is nested too deeply; at most {_DEEPEST} levels are supported")
        parts = [self._sequence()]
        while self._take("|"):
            parts.append(self._sequence())
        self._depth -= 1
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            start = self._at
            part = self._term()
            parts.append(self._repeated(part, start))
        return parts[0] if len(parts) == 1 else Concatenation(tuple(parts))

    def _repeated(self, part: Node, start: int) -> Node:
        at = self._at
        bounds = self._quantifier()
        if bounds is None:
            return part
        if isinstance(part, Anchor | Look):
            self._fail("a lookaround or an anchor cannot be repeated", start)
        lazy = self._take("?")
        after = self._at
        if self._quantifier() is not None:
            self._fail("multiple repeat", after)
        least, most = bounds
        if most is not None and most < least:
            self._fail("the numbers of a repetition are out of order", at)
        return Repeat(part, least, most, lazy)

    def _quantifier(self) -> tuple[int, int | None] | None:
        for mark, bounds in {"*": (0, None), "+": (1, None), "?": (0, 1)}.items():
            if self._take(mark):
                return bounds
        start = self._at
        if not self._take("{"):
            return None
        least = self._digits()
        most = least
        if least and self._take(","):
            most = self._digits()
        if not least or not self._take("}"):
            self._fail(_NOT_ALONE["{"], start)
        return int(least), int(most) if most else None

    def _digits(self) -> str:
        start = self._at
        while self._at < len(self._text) and self._text[self._at] in _DIGITS:
            self._at += 1
        if self._at - start > 9:
            self._fail("a number that is too large", start)
        return self._text[start : self._at]

    def _term(self) -> Node:
        char = self._next("a character")
        if char in _NOT_ALONE:
            self._fail(_NOT_ALONE[char], self._at - 1)
        match char:
            case "^" | "$":
                return Anchor(char)
            case ".":
                return Set(_LINE_ENDS, negated=True)
            case "(":
                return self._group()
            case "[":
                return self._class()
            case "\\":
                return self._escape()
            case _:
                return _one(self._plain(char))

    def _plain(self, char: str) -> int:
        if ord(char) in _SURROGATES:
            self._fail(_NO_SURROGATES, self._at - 1)
        return ord(char)

    def _group(self) -> Node:
        start = self._at - 1
        number = 0
        look: tuple[bool, bool] | None = None
        if not self._peek("?"):
            self._groups += 1
            number = self._groups
        elif self._take("?:"):
            pass
        elif self._take("?=") or self._peek("?!"):
            look = True, self._take("?!")
        elif self._take("?<=") or self._peek("?<!"):
            look = False, self._take("?<!")
        elif self._take("?<"):
            self._groups += 1
            number = self._groups
            name = self._name()
            if name in self.names:
                self._fail(f"two groups named {name}", start)
            self.names[name] = number
        else:
            self._unknown_group(start)
        body = self._choice()
        if not self._take(")"):
            self._fail("missing ), unterminated subpattern", start)
        if look is not None:
            return Look(body, *look)
        return Group(body, number)

    def _unknown_group(self, start: int) -> NoReturn:
        for text, reason in _FOREIGN.items():
            if self._text.startswith(text, start):
                raise PatternError(reason)
        self._fail("flags within a pattern are not supported", start)

    def _name(self) -> str:
        start = self._at
        while not self._take(">"):
            self._next("> after the name of a group")
        name = self._text[start : self._at - 1]
        if not name.replace("$", "_").isidentifier():
            self._fail("expected the name of a group", start)
        return name

    def _escape(self) -> Node:
        start = self._at - 1
        char = self._next("a character after \\")
        if char in "bB":
            return Anchor(f"\\{char}")
        if char == "k":
            if not self._take("<"):
                self._fail("\\k without the name of a group", start)
            return self._reference(Backreference(0, self._name()))
        if char in _DIGITS and char != "0":
            self._at -= 1
            return self._reference(Backreference(int(self._digits())))
        items = self._set_escape(char)
        return _one(self._code_point(char, start)) if items is None else Set(items)

    def _reference(self, reference: Backreference) -> Backreference:
        self._references.append(reference)
        return reference

    def _set_escape(self, char: str) -> tuple[Range | Property, ...] | None:
        r"""Return the characters of an escape such as ``\d``; None for another escape."""
        ranges = _ESCAPED_SETS.get(char.lower())
        if ranges is not None:
            return ranges if char.islower() else complement(ranges)
        if char in "pP":
            return (self._property(negated=char == "P"),)
        return None

    def _property(self, *, negated: bool) -> Property:
        start = self._at - 2
        if not self._take("{"):
            self._fail("expected a property in braces, as in \\p{L},", start)
        end = self._text.find("}", self._at)
        text = self._text[self._at : end] if end >= 0 else ""
        key, is_pair, value = text.partition("=")
        known = {
            **dict.fromkeys(("General_Category", "gc"), CATEGORIES),
            **dict.fromkeys(("Script", "sc", "Script_Extensions", "scx"), SCRIPTS),
        }
        is_known = value in known.get(key, ()) if is_pair else text in BINARY | CATEGORIES
        if not is_known:
            self._fail(f"{self._text[start : start + 2]}{{{text[:40]}}}: unknown property", start)
        self._at = end + 1
        return Property(text, negated)

    def _code_point(self, char: str, start: int, *, in_class: bool = False) -> int:
        """Return the character of an escape."""
        if char in _SYNTAX or (in_class and char == "-"):
            return ord(char)
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char == "b" and in_class:
            return 0x08
        if char == "0" and self._text[self._at : self._at + 1] not in _DIGITS:
            return 0
        if char == "c":
            letter = self._text[self._at : self._at + 1]
            if letter not in _LETTERS:
                self._fail("\\c without a letter", start)
            self._at += 1
            return ord(letter) % 32
        if char == "x":
            return self._hex(2, start)
        if char == "u":
            return self._unicode(start)
        if char in _FOREIGN_ESCAPES:
            raise PatternError(_FOREIGN_ESCAPES[char])
        return self._fail(f"\\{char} is no escape of ECMA 262 there (flag u)", start)

    def _hex(self, length: int, start: int) -> int:
        digits = self._text[self._at : self._at + length]
        if len(digits) < length or not _HEX.issuperset(digits):
            self._fail(f"expected {length} hexadecimal digits", start)
        self._at += length
        return int(digits, 16)

    def _unicode(self, start: int) -> int:
        if self._take("{"):
            end = self._text.find("}", self._at)
            digits = self._text[self._at : end] if end >= 0 else ""
            if not digits or not _HEX.issuperset(digits) or int(digits, 16) > _LAST:
                self._fail("expected a code point, as in \\u{1F600},", start)
            self._at = end + 1
            code = int(digits, 16)
        else:
            code = self._hex(4, start)
            if code < 0xDC00 and code in _SURROGATES and self._take("\\u"):
                low = self._hex(4, start) if not self._peek("{") else 0
                if low in range(0xDC00, 0xE000):
                    return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
        if code in _SURROGATES:
            self._fail(_NO_SURROGATES, start)
        return code

    def _class(self) -> Node:
        start = self._at - 1
        negated = self._take("^")
        items: list[Range | Property] = []
        while not self._take("]"):
            if self._at >= len(self._text):
                self._fail("unterminated character set", start)
            at = self._at
            first = self._class_atom()
            if not (self._peek("-") and self._text[self._at + 1 : self._at + 2] not in {"]", ""}):
                items.extend([(first, first)] if isinstance(first, int) else first)
                continue
            self._at += 1
            last = self._class_atom()
            text = self._text[at : self._at]
            if not isinstance(first, int) or not isinstance(last, int):
                self._fail(f"{text}: a set of characters cannot begin or end a range", at)
            if last < first:
                self._fail(f"bad character range {text}", at)
            items.append((first, last))
        return Set(tuple(items), negated)

    def _class_atom(self) -> int | tuple[Range | Property, ...]:
        start = self._at
        char = self._next("]")
        if char != "\\":
            return self._plain(char)
        char = self._next("a character after \\")
        items = self._set_escape(char)
        return self._code_point(char, start, in_class=True) if items is None else items


_NO_SURROGATES: Final = "half of a surrogate pair, which no engine supports,"


def _one(code: int) -> Set:
    return Set(((code, code),))


def complement(ranges: Sequence[Range]) -> tuple[Range, ...]:
    """Return all other characters."""
    others: list[Range] = []
    start = 0
    for first, last in sorted(ranges):
        if start < first:
            others.append((start, first - 1))
        start = max(start, last + 1)
    return (*others, (start, _LAST)) if start <= _LAST else tuple(others)
