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
    """Return strings that probably match a pattern; look-around and backreferences are not considered.

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
    base = len(_text(tree, {}) or "")
    for repeat in _repeats(tree):
        unit = len(_text(repeat.body, {}) or "")
        for length in lengths if unit else ():
            count = repeat.least + max(0, -(-(length - base) // unit))
            count = count if repeat.most is None else min(count, repeat.most)
            found.append(_text(tree, {id(repeat): count}))
    texts = dict.fromkeys(each for each in found if each is not None and len(each) <= _LONGEST)
    return [*texts, *(around for each in [*texts][:4] for around in (f"!{each}", f"{each}!"))]


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
        case Group() | Repeat():
            yield from _nodes(node.body)
        case _:
            pass


def _repeats(tree: Node) -> list[Repeat]:
    return [each for each in _nodes(tree) if isinstance(each, Repeat)]


def _text(node: Node, counts: Mapping[int, int]) -> str | None:
    """Return the first string of a node, with other counts for some repetitions; None if it is too long."""
    match node:
        case Set():
            return next(_chars(node, ()), "")
        case Concatenation(parts):
            texts = [each for each in (_text(part, counts) for part in parts) if each is not None]
            return "".join(texts) if len(texts) == len(parts) else None
        case Choice(parts):
            return _text(parts[0], counts)
        case Group(body):
            return _text(body, counts)
        case Repeat(body, least):
            return _times(_text(body, counts), counts.get(id(node), least))
        case _:
            return ""


def _times(text: str | None, count: int) -> str | None:
    return None if text is None or len(text) * count > _LONGEST else text * count


def _variants(node: Node, chars: Sequence[int]) -> Iterator[str]:
    """Yield strings of a node: the first one, and then those that differ from it in one part."""
    match node:
        case Set():
            yield from _chars(node, chars)
        case Group(body):
            yield from _variants(body, chars)
        case Choice(parts):
            for each in parts:
                yield from _variants(each, chars)
        case Concatenation(parts):
            texts = [each for each in (_text(part, {}) for part in parts) if each is not None]
            if len(texts) == len(parts):
                yield "".join(texts)
                for index, part in enumerate(parts):
                    before, after = "".join(texts[:index]), "".join(texts[index + 1 :])
                    for each in islice(_variants(part, chars), _MOST_CHARS):
                        yield before + each + after
        case Repeat(body, least, most):
            base = _text(body, {})
            for count in dict.fromkeys((least, least + 1, least + 2, least if most is None else most)):
                text = _times(base, count) if most is None or count <= most else None
                if text is not None:
                    yield text
            before = _times(base, max(least - 1, 0))
            if before is not None and most != 0:
                for each in islice(_variants(body, chars), _MOST_CHARS):
                    yield before + each
                    yield each + before
        case _:
            yield ""


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
        case Group(one), _:
            return _includes(one, narrower)
        case _, Group(other):
            return _includes(wider, other)
        case Set(), Set():
            outer, inner = _ranges(wider), _ranges(narrower)
            return (
                outer is not None
                and inner is not None
                and all(
                    any(first <= low and high <= last for first, last in outer)
                    for low, high in inner
                )
            )
        case Concatenation(one), Concatenation(other):
            return len(one) == len(other) and all(map(_includes, one, other))
        case Choice(one), Choice(other):
            return all(any(_includes(each, part) for each in one) for part in other)
        case Choice(one), _:
            return any(_includes(each, narrower) for each in one)
        case Repeat(one, least, most), Repeat(other, above, below):
            bounds = least <= above and (most is None or (below is not None and below <= most))
            return bounds and _includes(one, other)
        case Repeat(one, least, most), _:
            return least <= 1 and (most is None or most >= 1) and _includes(one, narrower)
        case Anchor(one), Anchor(other):
            return one == other
        case _:
            return False


def _ranges(node: Set) -> Sequence[Range] | None:
    """Return the ranges of a set, joined where they touch; None if it has properties."""
    ranges = [each for each in node.items if isinstance(each, tuple)]
    if len(ranges) < len(node.items):
        return None
    outside = complement(ranges)
    return outside if node.negated else complement(outside)
