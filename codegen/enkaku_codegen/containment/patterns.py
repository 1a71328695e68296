"""Strings that match a regular expression, and a test whether all matches of one are matches of another."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final

from enkaku_codegen.reading.ecma262 import (
    Anchor,
    Choice,
    Concatenation,
    Group,
    Look,
    Node,
    PatternError,
    Range,
    Repeat,
    Set,
    complement,
    parse,
)

__all__ = ["includes", "marks", "samples"]

_ALPHABET: Final = "a0 Az_-é中😀\n.!"
_LONGEST: Final = 20_000
_MOST_CHARS: Final = 40
_MOST: Final = 80


def samples(pattern: str, chars: Sequence[int], lengths: Sequence[int]) -> list[str]:
    """Return strings of which most match a pattern.

    What a look-around asks for is written out in its place; what it forbids, and backreferences, are not considered.

    Args:
        pattern: A regular expression of ECMA 262.
        chars: Code points to use where the pattern allows them.
        lengths: Lengths to approximate where the pattern allows any.
    """
    try:
        tree, _ = parse(pattern)
    except PatternError:
        return []
    found = [*islice(_variants(tree, chars), _MOST)]
    base = len(_text(tree, {}))
    for repeat in _repeats(tree):
        unit = len(_text(repeat.body, {}))
        for length in lengths if unit else ():
            count = repeat.least + max(0, -(-(length - base) // unit))
            count = count if repeat.most is None else min(count, repeat.most)
            found.append(_text(tree, {id(repeat): count}))
    texts = [*dict.fromkeys(found)]
    return [*texts, *(around for each in texts[:4] for around in (f"!{each}", f"{each}!"))]


def marks(pattern: str) -> list[int]:
    """Return the code points at which the sets of a pattern begin and end, and those next to them."""
    try:
        tree, _ = parse(pattern)
    except PatternError:
        return []
    found: dict[int, None] = {}
    for each in _nodes(tree):
        if isinstance(each, Set):
            for item in each.items:
                if isinstance(item, tuple):
                    first, last = item
                    found |= dict.fromkeys((first, last, first - 1, last + 1))
    return [code for code in islice(found, _MOST_CHARS) if _is_character(code)]


def _is_character(code: int) -> bool:
    return 0 <= code <= 0x10FFFF and not 0xD800 <= code < 0xE000


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    match node:
        case Concatenation(parts) | Choice(parts):
            for each in parts:
                yield from _nodes(each)
        case Group() | Look() | Repeat():
            yield from _nodes(node.body)
        case _:
            pass


def _repeats(tree: Node) -> list[Repeat]:
    return [each for each in _nodes(tree) if isinstance(each, Repeat)]


def _text(node: Node, counts: Mapping[int, int]) -> str:
    """Return the first string of a node, with other counts for some repetitions; a long one is cut."""
    match node:
        case Set():
            return next(_chars(node, ()), "")
        case Concatenation(parts):
            return "".join(_text(each, counts) for each in parts)[:_LONGEST]
        case Choice(parts):
            return _text(parts[0], counts)
        case Group(body) | Look(body, negated=False):
            return _text(body, counts)
        case Repeat(body, least):
            return _times(_text(body, counts), counts.get(id(node), least))
        case _:
            return ""


def _times(text: str, count: int) -> str:
    return text * min(count, _LONGEST // max(len(text), 1))


def _variants(node: Node, chars: Sequence[int]) -> Iterator[str]:
    """Yield strings of a node: the first one, and then those that differ from it in one part."""
    match node:
        case Set():
            yield from _chars(node, chars)
        case Group(body):
            yield from _variants(body, chars)
        case Look(body, negated=False):
            yield from _variants(body, chars)
            yield ""
        case Choice(parts):
            for part in parts:
                yield from _variants(part, chars)
        case Concatenation(parts):
            yield from _variants_of_parts(parts, chars)
        case Repeat():
            yield from _repeated(node, chars)
        case _:
            yield ""


def _variants_of_parts(parts: Sequence[Node], chars: Sequence[int]) -> Iterator[str]:
    texts = [_text(part, {}) for part in parts]
    yield "".join(texts)[:_LONGEST]
    for index, part in enumerate(parts):
        before, after = "".join(texts[:index]), "".join(texts[index + 1 :])
        for text in islice(_variants(part, chars), _MOST_CHARS):
            yield (before + text + after)[:_LONGEST]


def _repeated(node: Repeat, chars: Sequence[int]) -> Iterator[str]:
    text, least, most = _text(node.body, {}), node.least, node.most
    for count in (least, least + 1, least + 2, least if most is None else most):
        if most is None or count <= most:
            yield _times(text, count)
    if most != 0:
        others = _times(text, least - 1)
        for each in islice(_variants(node.body, chars), _MOST_CHARS):
            yield others + each
            yield each + others


def _chars(node: Set, preferred: Sequence[int]) -> Iterator[str]:
    ranges = [each for each in node.items if isinstance(each, tuple)]
    has_property = len(ranges) < len(node.items)
    ends = [] if node.negated else [code for each in ranges for code in each]
    others = [*map(ord, _ALPHABET), *preferred]
    for code in dict.fromkeys([*ends, *others]):
        inside = any(first <= code <= last for first, last in ranges)
        # Whether a character has a property is left to those who validate the string.
        if _is_character(code) and (inside != node.negated or (has_property and not inside)):
            yield chr(code)


# Inclusion.


@lru_cache(maxsize=1024)
def includes(wider: str, narrower: str) -> bool:
    """Return whether every string that matches one pattern certainly matches another, of the same structure."""
    if wider == narrower:
        return True
    try:
        return _includes(parse(wider)[0], parse(narrower)[0])
    except PatternError:
        return False


def _includes(wider: Node, narrower: Node) -> bool:
    match wider, narrower:
        case Group(body), _:
            found = _includes(body, narrower)
        case _, Group(body):
            found = _includes(wider, body)
        case Set(), Set():
            found = _includes_chars(wider, narrower)
        case Concatenation(parts), Concatenation(others):
            found = len(parts) == len(others) and all(map(_includes, parts, others))
        case _, Choice(others):
            found = all(_includes(wider, other) for other in others)
        case Choice(parts), _:
            found = any(_includes(part, narrower) for part in parts)
        case Repeat(body, least, most), Repeat(other, above, below):
            bounds = least <= above and (most is None or (below is not None and below <= most))
            found = bounds and _includes(body, other)
        case Repeat(body, least, most), _:
            found = least <= 1 and (most is None or most >= 1) and _includes(body, narrower)
        case Anchor(text), Anchor(other):
            found = text == other
        case _:
            found = False
    return found


def _includes_chars(wider: Set, narrower: Set) -> bool:
    outer, inner = _ranges(wider), _ranges(narrower)
    if outer is None or inner is None:
        return False
    return all(any(low <= first and last <= high for low, high in outer) for first, last in inner)


def _ranges(node: Set) -> Sequence[Range] | None:
    """Return the ranges of a set, joined where they touch; None if it has properties."""
    ranges = [each for each in node.items if isinstance(each, tuple)]
    if len(ranges) < len(node.items):
        return None
    outside = complement(ranges)
    return outside if node.negated else complement(outside)
