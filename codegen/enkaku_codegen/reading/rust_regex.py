r"""Writer of regular expressions for Rust: of ``regex``, which pydantic uses, and ``fancy-regex``, which the validator uses.

The expressions contain no escape that Rust would read in another way than ECMA 262: every set of characters is written out.
``regex`` has no look-around, no backreferences and no reliable ``\B``. ``fancy-regex`` has both; its word boundaries are those of Unicode.
"""

from collections.abc import Mapping
from typing import Final

from .ecma262 import (
    DIGITS,
    SPACES,
    WORD,
    Anchor,
    Backreference,
    Choice,
    Concatenation,
    Group,
    Look,
    Node,
    PatternError,
    Property,
    Range,
    Repeat,
    Set,
    complement,
    parse,
)

__all__ = ["fancy_regex", "plain_regex"]

_WORD: Final = "[A-Za-z0-9_]"
_BEFORE: Final = f"(?<={_WORD})"
_NOT_BEFORE: Final = f"(?<!{_WORD})"
_AFTER: Final = f"(?={_WORD})"
_NOT_AFTER: Final = f"(?!{_WORD})"
_FANCY: Final = {
    "\\b": f"(?:{_BEFORE}{_NOT_AFTER}|{_NOT_BEFORE}{_AFTER})",
    "\\B": f"(?:{_BEFORE}{_AFTER}|{_NOT_BEFORE}{_NOT_AFTER})",
}
_PLAIN: Final = {"\\b": "(?-u:\\b)"}
_ALL: Final = r"\x00-\u{10FFFF}"
_COMPLEMENTS: Final[Mapping[tuple[Range | Property, ...], tuple[Range, ...]]] = {
    complement(each): each for each in (DIGITS, SPACES, WORD)
}

_META: Final = frozenset("^$\\.*+?()[]{}|")
_META_IN_CLASS: Final = frozenset("^\\[]")
_OPERATORS: Final = frozenset("&~")  # doubled in a class, they are operators
_NAMED: Final = {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r"}
# Characters that are written as escapes because they cannot be seen.
_HIDDEN: Final = (
    *(
        range(0x20),
        range(0x7F, 0xA1),
        range(0xAD, 0xAE),
        range(0x1680, 0x1681),
        range(0x2000, 0x2010),
    ),
    *(range(0x2028, 0x2030), range(0x205F, 0x2065), range(0x3000, 0x3001), range(0xE000, 0xF900)),
    *(range(0xFEFF, 0xFF00), range(0xFFF0, 0x10000), range(0xE0000, 0x110000)),
)


def plain_regex(pattern: str) -> str | None:
    """Return the expression for ``regex`` that matches the same strings; None if there is none.

    Raises:
        PatternError: The pattern is not supported at all.
    """
    tree, _ = parse(pattern)
    # regex may miss (?-u:\\B) next to characters beyond ASCII.
    return None if _looks_around(tree, "\\B") else _Writer(_PLAIN).write(tree)


def fancy_regex(pattern: str) -> str:
    """Return the expression for ``fancy-regex`` that matches the same strings.

    Raises:
        PatternError: The pattern is not supported.
    """
    tree, names = parse(pattern)
    captures = _Captures(names)
    captures.after(tree, frozenset())
    # fancy-regex may lose the end of a repeated group that captures within a lookbehind.
    captured = captures.used if _looks_around(tree, *_FANCY) else None
    return _Writer(_FANCY, names, captured).write(tree)


def _looks_around(node: Node, *anchors: str) -> bool:
    """Return whether a pattern has look-around, backreferences, or one of these anchors."""
    match node:
        case Look() | Backreference():
            return True
        case Anchor(text):
            return text in anchors
        case Concatenation(parts) | Choice(parts):
            return any(_looks_around(each, *anchors) for each in parts)
        case Group() | Repeat():
            return _looks_around(node.body, *anchors)
        case _:
            return False


class _Captures:
    """Checks that a backreference always finds what its group has captured.

    The engines differ where it does not: in ECMA 262 the reference matches the empty string, and each iteration
    of a repetition forgets what groups in it captured.

    Attributes:
        used: The numbers of the groups that are referred to.
    """

    def __init__(self, names: Mapping[str, int]) -> None:
        self._names = names
        self._lookbehinds = 0
        self.used: set[int] = set()

    def after(self, node: Node, before: frozenset[int]) -> frozenset[int]:
        """Return the groups that have captured something after a node, given those before it."""
        match node:
            case Backreference(number, name):
                number = self._names[name] if name else number
                if self._lookbehinds:
                    # It is matched from its end: a reference comes before a group to the left of it.
                    raise PatternError("a backreference within a lookbehind is not supported")
                if number not in before:
                    raise PatternError(
                        f"the backreference \\{number} may be reached before group {number} has captured anything"
                    )
                self.used.add(number)
            case Concatenation(parts):
                for each in parts:
                    before = self.after(each, before)
            case Choice(parts):
                first, *others = [self.after(each, before) for each in parts]
                return first.intersection(*others)
            case Group(body, number):
                return self.after(body, before) | ({number} if number else frozenset[int]())
            case Repeat(body):
                self.after(body, before)
            case Look(body, ahead=ahead, negated=negated):
                self._lookbehinds += not ahead
                within = self.after(body, before)
                self._lookbehinds -= not ahead
                return within if ahead and not negated else before
            case _:
                pass
        return before


class _Writer:
    """Writes a syntax tree.

    Args:
        anchors: The expressions for anchors that are written in another way.
        names: The numbers of groups by name.
        captured: The numbers of the groups that capture; None for all.
    """

    def __init__(
        self,
        anchors: Mapping[str, str],
        names: Mapping[str, int] | None = None,
        captured: set[int] | None = None,
    ) -> None:
        self._anchors = anchors
        self._names = names or {}
        self._captured = captured
        self._numbers: dict[int, int] = {}

    def write(self, node: Node) -> str:
        match node:
            case Set():
                return _set(node)
            case Anchor(text):
                return self._anchors.get(text, text)
            case Concatenation(parts):
                return "".join(map(self.write, parts))
            case Choice(parts):
                return "|".join(map(self.write, parts))
            case Group(body, number):
                return f"{self._opening(number)}{self.write(body)})"
            case Look(body, ahead=ahead, negated=negated):
                return f"(?{'' if ahead else '<'}{'!' if negated else '='}{self.write(body)})"
            case Backreference(number, name):
                number = self._names[name] if name else number
                return f"(?:\\{self._numbers[number]})"
            case Repeat():
                return self._repeat(node)

    def _opening(self, number: int) -> str:
        if not number or (self._captured is not None and number not in self._captured):
            return "(?:"
        self._numbers[number] = len(self._numbers) + 1
        return "("

    def _repeat(self, node: Repeat) -> str:
        if _has_no_width(node.body):
            # fancy-regex does not repeat what has no width. Repeated, it matches the same as once.
            return self.write(node.body) if node.least else ""
        match node.least, node.most:
            case 0, None:
                count = "*"
            case 1, None:
                count = "+"
            case 0, 1:
                count = "?"
            case least, None:
                count = f"{{{least},}}"
            case least, most:
                count = f"{{{least}}}" if least == most else f"{{{least},{most}}}"
        return f"{self.write(node.body)}{count}{'?' if node.lazy else ''}"


def _has_no_width(node: Node) -> bool:
    match node:
        case Anchor() | Look():
            return True
        case Concatenation(parts) | Choice(parts):
            return all(map(_has_no_width, parts))
        case Group(body):
            return _has_no_width(body)
        case Repeat(body, _, most):
            return most == 0 or _has_no_width(body)
        case _:
            return False


def _set(node: Set) -> str:
    match node.items:
        case ((int() as first, int() as last),) if first == last and not node.negated:
            return _char(first, _META)
        case (Property() as one,) if not node.negated:
            return _property(one)
        case ():
            return f"[{'' if node.negated else '^'}{_ALL}]"
        case items if items in _COMPLEMENTS:
            return f"[{'' if node.negated else '^'}{_items(_COMPLEMENTS[items])}]"
        case items:
            return f"[{'^' if node.negated else ''}{_items(items)}]"


def _items(items: tuple[Range | Property, ...]) -> str:
    written = ""
    for index, item in enumerate(items):
        if isinstance(item, Property):
            written += _property(item)
            continue
        first, last = item
        text = _char(first, _META_IN_CLASS)
        if first == last:
            is_last = index == len(items) - 1
            if text == "-" and not is_last:
                text = "\\-"
        else:
            text = f"{_end(text)}-{_end(_char(last, _META_IN_CLASS))}"
        if text[0] in _OPERATORS and written.endswith(text[0]):
            text = f"\\{text}"
        written += text
    return written


def _end(text: str) -> str:
    return "\\-" if text == "-" else text


def _property(item: Property) -> str:
    return f"\\{'P' if item.negated else 'p'}{{{item.name}}}"


def _char(code: int, special: frozenset[str]) -> str:
    if code in _NAMED:
        return _NAMED[code]
    if any(code in each for each in _HIDDEN) and code != 0x20:
        if code < 0x80:
            return f"\\x{code:02X}"
        return f"\\u{code:04X}" if code < 0x10000 else f"\\u{{{code:X}}}"
    return f"\\{chr(code)}" if chr(code) in special else chr(code)
