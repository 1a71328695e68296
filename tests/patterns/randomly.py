"""Random patterns of ECMA 262, and strings that may match them."""

import random
from typing import Final

__all__ = ["random_pattern", "random_strings"]

CHARS: Final = "aAbB1_-.^$&~ /,:=!<>#%@\"'ßéſ\u212a\u0131İ٣ 　\u2028\ufeffẞ𐐀💩"
STRINGS: Final = [
    *"aAbB1_-.^$&~ /,:[](){}|\\*+?\0\x01\x07\b\t\n\v\f\r\x1f\x7f\x85\xa0",
    *"ßéſ\u212a\u0131İ٣²\u0301\u1680\u180e\u2000\u200b\u200d\u2028\u2029\u202f\u205f\u3000\ufeffωЖ字𐐀💩",
]
SETS: Final = [r"\d", r"\D", r"\s", r"\S", r"\w", r"\W"]
PROPERTIES: Final = [
    *("L", "Lu", "Letter", "gc=Nd", "General_Category=P", "Script=Greek", "sc=Latin", "scx=Han"),
    *("Alphabetic", "White_Space", "ASCII", "Any", "Emoji", "Ll", "punct", "ID_Start", "Zs"),
    *("Nonsense", "l", "Greek", "Script=greek", "Cs"),
]
ESCAPES: Final = [
    *(r"\n", r"\t", r"\r", r"\f", r"\v", r"\0", r"\cA", r"\cj", r"\x41", r"\u0041", r"\u{61}"),
    *(r"\u{1F4A9}", r"\ud83d\udca9", r"\.", r"\^", r"\$", r"\/", r"\[", r"\]", r"\(", r"\\", r"\|"),
    *(r"\u2028", r"\x1F", r"\uFEFF", r"\{", r"\}", r"\*", r"\+", r"\?", r"\)"),
]
WRONG: Final = [
    *(r"\-", r"\_", r"\a", r"\e", r"\A", r"\z", r"\Z", r"\c", r"\c1", r"\01", r"\x4", r"\u12"),
    *(
        r"\u{110000}",
        r"\ud83d",
        r"\8",
        "{",
        "}",
        "]",
        "[",
        "(",
        ")",
        "*",
        "(?>a)",
        "(?i)a",
        "(?#a)",
    ),
    *(r"\p{", r"\pL", r"\k<x>", "(?P<a>b)", "a**", "a{2,1}", "[b-a]", r"[a-\d]", r"[\d-a]", "\\"),
]


class _Patterns:
    def __init__(self, pick: random.Random) -> None:
        self.pick = pick
        self.groups = 0

    def choice(self, depth: int) -> str:
        count = self.pick.choice([1, 1, 1, 2, 3])
        return "|".join(self.sequence(depth) for _ in range(count))

    def sequence(self, depth: int) -> str:
        return "".join(self.term(depth) for _ in range(self.pick.choice([0, 1, 1, 2, 2, 3, 4])))

    def term(self, depth: int) -> str:
        if self.pick.random() < 0.15:
            return self.pick.choice(["^", "$", r"\b", r"\B"])
        atom = self.atom(depth)
        return atom + self.quantifier() if self.pick.random() < 0.35 else atom

    def quantifier(self) -> str:
        kinds = ["*", "+", "?", "{2}", "{0}", "{1,}", "{0,2}", "{1,3}", "{2,}"]
        return self.pick.choice(kinds) + self.pick.choice(["", "", "?"])

    def atom(self, depth: int) -> str:
        kind = self.pick.random()
        if kind < 0.25 and depth:
            return self.group(depth - 1)
        if kind < 0.4:
            return self.pick.choice([".", ".", *SETS])
        if kind < 0.55:
            return self.set()
        if kind < 0.62:
            return self.property()
        if kind < 0.72:
            return self.pick.choice(ESCAPES)
        if kind < 0.78 and self.groups:
            number = self.pick.randint(1, self.groups)
            return self.pick.choice([rf"\{number}", rf"\k<g{number}>"])
        if kind < 0.785:
            return self.pick.choice(WRONG)
        return self.char(CHARS)

    def char(self, chars: str) -> str:
        char = self.pick.choice(chars)
        return f"\\{char}" if char in "^$.*+?()[]{}|\\" else char

    def property(self) -> str:
        return rf"\{self.pick.choice('ppP')}{{{self.pick.choice(PROPERTIES)}}}"

    def group(self, depth: int) -> str:
        opening = self.pick.choice(["(", "(", "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?<g>"])
        if opening in {"(", "(?<g>"}:
            self.groups += 1
            opening = opening.replace("g", f"g{self.groups}")
        return f"{opening}{self.choice(depth)})"

    def set(self) -> str:
        items = [self.item() for _ in range(self.pick.choice([0, 1, 1, 2, 2, 3, 4]))]
        return f"[{self.pick.choice(['', '', '^'])}{''.join(items)}]"

    def item(self) -> str:
        kind = self.pick.random()
        if kind < 0.2:
            return self.pick.choice(SETS)
        if kind < 0.3:
            return self.property()
        if kind < 0.45:
            return self.pick.choice([*ESCAPES, r"\b", r"\-", r"\]"])
        if kind < 0.65:
            return self.pick.choice(
                [
                    "a-z",
                    "A-Z",
                    "0-9",
                    "+--",
                    "\0-\x7f",
                    r"\x00-\x1f",
                    r"\u0080-\u{10FFFF}",
                    "!-~",
                    "%-&",
                    "-",
                ]
            )
        if kind < 0.7:
            return self.pick.choice(["&&", "--", "~~", "||", "[", "(?", "^"])
        return self.pick.choice(CHARS.replace("^", ""))


def random_pattern(pick: random.Random) -> str:
    """Make a pattern. Some are no regular expressions."""
    return _Patterns(pick).choice(3)


def random_strings(pick: random.Random, pattern: str) -> list[str]:
    """Make strings: of any characters, and of those of a pattern."""
    known = [each for each in pattern if not "\ud800" <= each <= "\udfff"] or ["a"]
    strings = [""]
    for _ in range(12):
        chars = pick.choice([STRINGS, known, [*STRINGS[:6], *known]])
        strings.append("".join(pick.choices(chars, k=pick.choice([1, 1, 2, 3, 4, 6]))))
    one = pick.choice(STRINGS)
    return [*strings, one, one * 2, one * 3]
