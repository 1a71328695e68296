"""Lone surrogates: JSON's escapes can express them (RFC 8259, 8.2), UTF-8 cannot, and the fast codecs reject them.

For those codecs, placeholders replace them: private-use characters that occur nowhere else in the value. One character
replaces one, so that lengths, equality and almost every pattern give the same result. Those next to the surrogates are
taken first, because a range in a pattern contains both or neither, unless it begins or ends between them.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Final, TypeVar, cast

from pydantic import BaseModel

from enkaku._json import DEPTH_MAX
from enkaku.errors import Problem

from .pydantic_internals import extra_of, replace_extra

__all__ = [
    "Placeholders",
    "choose_placeholders",
    "find_surrogates",
    "map_strings",
    "replace_chars",
    "replace_surrogates",
    "restore_problems",
]

_T = TypeVar("_T")

_LONE: Final = re.compile("[\ud800-\udfff]")
_PRIVATE: Final = re.compile("[\ue000-\uf8ff\U000f0000-\U0010fffd]")
_CANDIDATES: Final = (range(0xF8FF, 0xDFFF, -1), range(0x10FFFD, 0xF0000, -1))

Placeholders = Mapping[str, str]
"""Replacements of characters."""

_FEW: Final = 8  # replacements that are faster one by one


def find_surrogates(text: str) -> frozenset[str]:
    """Return the lone surrogates of a string, each once."""
    return frozenset(_LONE.findall(text))


def choose_placeholders(*texts: str) -> tuple[Placeholders, Placeholders]:
    """Choose a placeholder for each lone surrogate of these strings.

    Returns:
        The placeholders, and the replacements that restore the surrogates.

    Raises:
        ValueError: The strings use every private-use character.
    """
    lone = {char for text in texts for char in _LONE.findall(text)}
    used = {char for text in texts for char in _PRIVATE.findall(text)}
    free = (char for char in map(chr, chain(*_CANDIDATES)) if char not in used)
    chosen = dict(zip(sorted(lone), free, strict=False))
    if len(chosen) < len(lone):
        raise ValueError("no character is left to replace a lone surrogate")
    return chosen, {placeholder: char for char, placeholder in chosen.items()}


def replace_chars(text: str, replacements: Placeholders) -> str:
    """Return a string with some characters replaced: what ``str.translate`` does, for long strings fifty times as fast."""
    if len(replacements) > _FEW:
        pattern = f"[{re.escape(''.join(replacements))}]"
        return re.sub(pattern, lambda found: replacements[found[0]], text)
    for char, replacement in replacements.items():
        text = text.replace(char, replacement)
    return text


def restore_problems(problems: Iterable[Problem], restore: Placeholders) -> tuple[Problem, ...]:
    """Return problems with lone surrogates in place of the placeholders."""
    texts = ((each.pointer, each.expected, each.found) for each in problems)
    return tuple(Problem(*(replace_chars(text, restore) for text in each)) for each in texts)


def replace_surrogates(value: _T, *texts: str) -> tuple[_T, Placeholders]:
    """Copy a value with placeholders for its lone surrogates; no placeholder occurs in the other strings.

    Returns:
        The copy, and the replacements that restore the surrogates.

    Raises:
        ValueError: The value is nested too deep, or contains itself.
    """
    found = list(texts)

    def record(text: str) -> str:
        found.append(text)
        return text

    map_strings(value, record)
    placeholders, restore = choose_placeholders(*found)
    return map_strings(value, lambda text: replace_chars(text, placeholders)), restore


def map_strings(value: _T, change: Callable[[str], str], depth: int = DEPTH_MAX) -> _T:
    """Copy a value with every string in it changed.

    Raises:
        ValueError: The value is nested too deep, or contains itself.
    """
    return cast(_T, _map(value, change, depth))


def _map(value: object, change: Callable[[str], str], depth: int) -> object:
    if isinstance(value, str):
        return change(value)
    if depth < 0:
        raise ValueError("nested too deep")
    if isinstance(value, list | tuple):
        items = (_map(item, change, depth - 1) for item in cast(Sequence[object], value))
        return list(items) if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        properties = cast(dict[object, object], value).items()
        return {_map(name, change, 0): _map(each, change, depth - 1) for name, each in properties}
    return _map_model(value, change, depth) if isinstance(value, BaseModel) else value


def _map_model(value: BaseModel, change: Callable[[str], str], depth: int) -> BaseModel:
    copy = value.model_copy()
    fields, extra = vars(copy), extra_of(copy)
    fields.update({name: _map(each, change, depth - 1) for name, each in fields.items()})
    if extra:
        changed = {change(name): _map(each, change, depth - 1) for name, each in extra.items()}
        given = {name if name in fields else change(name) for name in copy.model_fields_set}
        replace_extra(copy, changed, given)
    return copy
