"""Names of generic types in words: what generators of schemas for TypeScript name definitions.

``Def<(number|null)>`` is ``Def number or null``, and ``Def<number[]>`` is ``Def number array``. A recursive-descent
parser reads the name. Nested arguments follow ``of``; in a union, they are last, so that it is seen where they end::

    Def<Value<(string|null|Ref)>>      Def Value of string or null or Ref
    Def<(Value<(string|null)>|Ref)>    Def Ref or Value of string or null
"""

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["in_words"]

_TOKEN: Final = re.compile(
    r"""\s*("[^"]*"|'[^']*'|\[\]|[<>(),|&]|[^\s<>()\[\],|&"'][^<>()\[\],|&"']*)"""
)
_OPERATORS: Final = frozenset({"[]", *"<>(),|&"})
_DEEPEST: Final = 30


class _NoType(Exception):
    """The name is not that of a generic type."""


@dataclass(frozen=True, slots=True)
class _Words:
    """A type in words.

    Attributes:
        is_open: Whether words that follow could be part of it.
    """

    text: str
    is_open: bool = False


def in_words(name: str) -> str:
    """Return the name of a generic type in words; any other name as it is."""
    if not name.endswith(">") or name.count("<") + name.count("(") > _DEEPEST:
        return name
    tokens = [*_TOKEN.finditer(name)]
    if sum(len(each[0]) for each in tokens) < len(name):
        return name
    try:
        return _Parser([each[1] for each in tokens]).name()
    except _NoType:
        return name


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self._parts = [*tokens, ""]
        self._at = 0

    def name(self) -> str:
        head, arguments = self._word(), self._arguments(" and ")
        if self._current:
            raise _NoType
        return f"{head} {arguments}"

    @property
    def _current(self) -> str:
        return self._parts[self._at]

    def _next(self, *expected: str) -> str:
        part = self._current
        if expected and part not in expected:
            raise _NoType
        self._at += 1
        return part

    def _word(self) -> str:
        part = self._next()
        word = part.strip("\"' ")
        if part in _OPERATORS or not word:
            raise _NoType
        return word

    def _arguments(self, separator: str) -> str:
        self._next("<")
        found = [self._union().text]
        while self._next(",", ">") == ",":
            found.append(self._union().text)
        return separator.join(found)

    def _union(self) -> _Words:
        return self._joined("|", " or ")

    def _joined(self, operator: str, word: str) -> _Words:
        def part() -> _Words:
            return self._joined("&", " plus ") if operator == "|" else self._array()

        parts = [part()]
        while self._current == operator:
            self._next()
            parts.append(part())
        if len(parts) == 1:
            return parts[0]
        parts.sort(key=lambda each: each.is_open)
        return _Words(word.join(each.text for each in parts), is_open=True)

    def _array(self) -> _Words:
        if self._current == "(":
            self._next()
            type_ = self._union()
            self._next(")")
        else:
            type_ = _Words(self._word())
            if self._current == "<":
                type_ = _Words(f"{type_.text} of {self._arguments(' with ')}", is_open=True)
        while self._current == "[]":
            self._next()
            if type_.is_open:
                type_ = _Words(f"array of {type_.text}", is_open=True)
            else:
                type_ = _Words(f"{type_.text} array")
        return type_
