"""Patterns of JSON Schema: whether they bound the length of a string, and whether backtracking engines need exponential time."""

from functools import lru_cache
from itertools import combinations

from enkaku_codegen.reading.ecma262 import (
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

__all__ = ["is_bounding", "is_exponential"]

_MANY = 10  # repetitions that are as bad as any number


@lru_cache(maxsize=4096)
def is_bounding(pattern: str) -> bool:
    """Return whether the strings that match a pattern have a greatest length: it has both ends, and no ``*`` or ``+``."""
    tree = _tree(pattern)
    match tree:
        case Concatenation((Anchor("^"), *inner, Anchor("$"))):
            return not any(map(_is_endless, inner))
        case _:
            return False


@lru_cache(maxsize=4096)
def is_exponential(pattern: str) -> bool:
    """Return whether a repetition certainly can match a string in exponentially many ways, such as ``(a+)+``."""
    tree = _tree(pattern)
    return tree is not None and _explodes(tree)


def _tree(pattern: str) -> Node | None:
    try:
        return parse(pattern)[0]
    except PatternError:
        return None


def _inner(node: Node) -> tuple[Node, ...]:
    match node:
        case Concatenation(parts) | Choice(parts):
            return parts
        case Group() | Repeat() | Look():
            return (node.body,)
        case _:
            return ()


def _is_endless(node: Node) -> bool:
    if isinstance(node, Backreference) or (isinstance(node, Repeat) and node.most is None):
        return True
    return not isinstance(node, Look) and any(map(_is_endless, _inner(node)))


def _explodes(node: Node) -> bool:
    if isinstance(node, Repeat) and _is_long(node) and _is_ambiguous(node.body):
        return True
    return any(map(_explodes, _inner(node)))


def _is_long(node: Repeat) -> bool:
    return node.most is None or node.most >= _MANY


def _is_ambiguous(node: Node) -> bool:
    """Return whether repetitions of a node certainly match some string in several ways."""
    match node:
        case Group(body):
            return _is_ambiguous(body)
        case Repeat():
            return _is_long(node) and not _may_be_empty(node.body)
        case Concatenation(parts):
            # As in (a+b?)+: what surrounds the inner repetition may be empty.
            return any(
                _is_ambiguous(each)
                and all(_may_be_empty(other) for other in parts if other is not each)
                for each in parts
            )
        case Choice(parts):
            sets = [each for each in parts if isinstance(each, Set)]
            overlap = any(_overlap(one, other) for one, other in combinations(sets, 2))
            return overlap or any(map(_is_ambiguous, parts))
        case _:
            return False


def _may_be_empty(node: Node) -> bool:
    match node:
        case Set():
            return False
        case Group(body):
            return _may_be_empty(body)
        case Repeat(body, least):
            return least == 0 or _may_be_empty(body)
        case Concatenation(parts):
            return all(map(_may_be_empty, parts))
        case Choice(parts):
            return any(map(_may_be_empty, parts))
        case _:
            # An assertion: it may also tell the repetitions apart.
            return False


def _overlap(one: Set, other: Set) -> bool:
    first, second = _ranges(one), _ranges(other)
    return any(a <= d and c <= b for a, b in first for c, d in second)


def _ranges(characters: Set) -> tuple[Range, ...]:
    """Return the characters of a set; none if some of them are given by a property."""
    ranges: list[Range] = []
    for each in characters.items:
        if isinstance(each, Property):
            return ()
        ranges.append(each)
    return complement(ranges) if characters.negated else tuple(ranges)
