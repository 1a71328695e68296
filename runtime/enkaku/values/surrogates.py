"""Lone surrogates: JSON's escapes can express them (RFC 8259, 8.2), UTF-8 cannot, and the fast codecs reject them.

For those codecs they are replaced by characters that occur nowhere else in the string: one for one, so that lengths, equality
and almost every pattern stay the same.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar, cast

from pydantic import BaseModel

from enkaku._json import DEPTH_MAX
from enkaku.errors import Problem

from .pydantic_internals import extra_of, replace_extra

__all__ = ["StandIns", "find_surrogates", "replace", "restore", "rewrite", "stand_in"]

_T = TypeVar("_T")

_LONE: Final = re.compile("[\ud800-\udfff]")
_PRIVATE: Final = re.compile("[\U000f0000-\U0010fffd]")

StandIns = Mapping[int, str]
"""What ``str.translate`` takes."""


def find_surrogates(text: str) -> frozenset[str]:
    """Return the lone surrogates of a text, each once."""
    return frozenset(_LONE.findall(text))


def replace(*texts: str) -> tuple[StandIns, StandIns]:
    """Choose characters of the private planes to stand in for the lone surrogates of these texts.

    Returns:
        The way there and the way back.

    Raises:
        ValueError: The texts use up the private planes.
    """
    lone = {char for text in texts for char in _LONE.findall(text)}
    used = {char for text in texts for char in _PRIVATE.findall(text)}
    free = (char for char in map(chr, range(0x10FFFD, 0xF0000, -1)) if char not in used)
    there = dict(zip(sorted(lone), free, strict=False))
    if len(there) < len(lone):
        raise ValueError("no character is left to stand in for a lone surrogate")
    return (
        {ord(char): stand_in for char, stand_in in there.items()},
        {ord(stand_in): char for char, stand_in in there.items()},
    )


def restore(told: Iterable[Problem], back: StandIns) -> tuple[Problem, ...]:
    """Tell problems with the lone surrogates that something stood in for."""
    texts = ((each.pointer, each.expected, each.found) for each in told)
    return tuple(Problem(*(text.translate(back) for text in each)) for each in texts)


def stand_in(value: _T, *texts: str) -> tuple[_T, StandIns]:
    """Copy a value with characters that stand in for its lone surrogates, and are in none of the texts.

    Returns:
        The copy, and the way back.

    Raises:
        ValueError: It is nested too deep, or holds itself.
    """
    found = list(texts)

    def note(text: str) -> str:
        found.append(text)
        return text

    rewrite(value, note)
    there, back = replace(*found)
    return rewrite(value, lambda text: text.translate(there)), back


def rewrite(value: _T, change: Callable[[str], str], depth: int = DEPTH_MAX) -> _T:
    """Copy a value with every text in it changed.

    Raises:
        ValueError: It is nested too deep, or holds itself.
    """
    return cast(_T, _rewrite(value, change, depth))


def _rewrite(value: object, change: Callable[[str], str], depth: int) -> object:
    if isinstance(value, str):
        return change(value)
    if depth < 0:
        raise ValueError("nested too deep")
    if isinstance(value, list | tuple):
        items = (_rewrite(item, change, depth - 1) for item in cast(Sequence[object], value))
        return list(items) if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        members = cast(dict[object, object], value).items()
        return {
            _rewrite(name, change, 0): _rewrite(each, change, depth - 1) for name, each in members
        }
    return _rewrite_model(value, change, depth) if isinstance(value, BaseModel) else value


def _rewrite_model(value: BaseModel, change: Callable[[str], str], depth: int) -> BaseModel:
    copy = value.model_copy()
    fields, extra = vars(copy), extra_of(copy)
    fields.update({name: _rewrite(each, change, depth - 1) for name, each in fields.items()})
    if extra:
        changed = {change(name): _rewrite(each, change, depth - 1) for name, each in extra.items()}
        given = {name if name in fields else change(name) for name in copy.model_fields_set}
        replace_extra(copy, changed, given)
    return copy
