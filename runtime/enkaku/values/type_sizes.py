"""Sizes of types: how many classes a type consists of, counted without building it.

Annotations may be strings, which name classes that do not exist yet. They are not evaluated: their words are looked up in
the module of their class.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Final, ForwardRef, cast, get_args

from pydantic import BaseModel

__all__ = ["TypeSizes"]

_WORD: Final = re.compile(r"[A-Za-z_]\w*")


class TypeSizes:
    """Counts the classes of types; it reads the annotations of each class once."""

    def __init__(self) -> None:
        self._parts: dict[type[BaseModel], list[object]] = {}

    def count(self, type_form: object) -> int:
        """Return how many models a type consists of: itself, its parts and their parts."""
        seen: dict[int, object] = {}
        waiting = [type_form]
        count = 0
        while waiting:
            part = waiting.pop()
            if id(part) in seen:
                continue
            seen[id(part)] = part  # which keeps its identity
            if not _is_model(part):
                waiting += _of_form(part, str(getattr(part, "__module__", "")))
                continue
            count += 1
            model = cast(type[BaseModel], part)
            if model not in self._parts:
                self._parts[model] = [*_of_class(model)]
            waiting += self._parts[model]
        return count


def _of_class(model: type[BaseModel]) -> Iterator[object]:
    for each in model.__mro__:
        if issubclass(each, BaseModel) and each.__module__.partition(".")[0] != "pydantic":
            # Not vars(): that would complete a deferred class.
            attributes = cast(Mapping[str, object], type.__getattribute__(each, "__dict__"))
            annotations = cast(Mapping[str, object], attributes.get("__annotations__", {}))
            for annotation in annotations.values():
                yield from _of_form(annotation, each.__module__)


def _of_form(form: object, module: str) -> Iterator[object]:
    """Yield the classes and aliases that a type names, or is made of."""
    waiting = [form]
    while waiting:
        part = waiting.pop()
        if isinstance(part, ForwardRef):
            part = part.__forward_arg__
        if isinstance(part, str):
            names: Mapping[str, object] = vars(sys.modules[module]) if module in sys.modules else {}
            found = (names.get(word) for word in _WORD.findall(part))
            yield from (each for each in found if _is_model(each) or _parts(each))
        elif _is_model(part):
            yield part
        else:
            waiting += _parts(part)


def _parts(form: object) -> tuple[object, ...]:
    value: object = getattr(form, "__value__", None)  # of a type alias
    return get_args(form) if value is None else (value,)


def _is_model(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)
