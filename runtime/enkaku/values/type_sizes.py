"""Sizes of types: how many classes a type consists of, counted without building it.

Classes that refer to each other are built together, as a cycle (a strongly connected component). pydantic generates schemas
depth first, in the order of the fields. Where it finds a class that is built, it takes the schemas of all classes below from
there, which is ten times as fast as generating them.

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
        self._parts: dict[int, tuple[object, list[object]]] = (
            {}
        )  # with the part, to keep its identity

    def count(self, type_form: object) -> int:
        """Return how many models a type consists of: itself, its parts and their parts."""
        return sum(map(_is_model, self._walk(type_form, {})))

    def inner_classes(self, type_form: object, most: int) -> list[type[BaseModel]]:
        """Return classes within a type. Once they are built, any other class needs at most ``most`` schemas to be generated."""
        chosen: list[type[BaseModel]] = []
        built: dict[int, object] = {}
        if _is_model(type_form):
            built[id(type_form)] = type_form  # the type itself is built anyway
        for cycle in self._cycles(type_form):
            inside = {id(each) for each in cycle}
            for model in filter(_is_model, reversed(cycle)):  # as they were found
                last, count = None, 0
                for part in self._walk(model, built):
                    if id(part) in built and id(part) in inside:
                        break  # which has the schemas of the whole cycle
                    count += _is_model(part)
                    last = part if _is_model(part) and id(part) in inside else last
                    if count > most:
                        built[id(last)] = last
                        chosen.append(cast(type[BaseModel], last))
                        break
        return chosen

    def _walk(self, type_form: object, leaves: Mapping[int, object]) -> Iterator[object]:
        """Yield what a type consists of, depth first, each part once; do not look into some of them."""
        seen: set[int] = set()
        waiting = [type_form]
        while waiting:
            part = waiting.pop()
            if id(part) not in seen:
                seen.add(id(part))
                yield part
                if id(part) not in leaves:
                    waiting += reversed(self._parts_of(part))

    def _cycles(self, root: object) -> Iterator[list[object]]:
        """Yield the strongly connected components of what a type consists of, inner ones first (Tarjan's algorithm)."""
        numbers: dict[int, int] = {id(root): 0}
        lowest: dict[int, int] = {id(root): 0}
        open_parts: list[object] = [root]
        done: set[int] = set()
        path = [(root, iter(self._parts_of(root)))]
        while path:
            part, others = path[-1]
            other = next(others, None)
            if other is None:
                path.pop()
                if path:
                    outer = id(path[-1][0])
                    lowest[outer] = min(lowest[outer], lowest[id(part)])
                if lowest[id(part)] == numbers[id(part)]:
                    cycle = [open_parts.pop()]
                    while cycle[-1] is not part:
                        cycle.append(open_parts.pop())
                    done |= {id(each) for each in cycle}
                    yield cycle
            elif id(other) not in numbers:
                numbers[id(other)] = lowest[id(other)] = len(numbers)
                open_parts.append(other)
                path.append((other, iter(self._parts_of(other))))
            elif id(other) not in done:
                lowest[id(part)] = min(lowest[id(part)], numbers[id(other)])

    def _parts_of(self, part: object) -> list[object]:
        """Return the classes and aliases that a class or another type refers to; read its annotations once."""
        known = self._parts.get(id(part))
        if known is None:
            if _is_model(part):
                found = _of_class(cast(type[BaseModel], part))
            else:
                found = _of_form(part, str(getattr(part, "__module__", "")))
            known = self._parts[id(part)] = part, [*found]
        return known[1]


def _of_class(model: type[BaseModel]) -> Iterator[object]:
    for each in reversed(model.__mro__):
        if issubclass(each, BaseModel) and each.__module__.partition(".")[0] != "pydantic":
            # Not vars(): that would complete a deferred class.
            attributes = cast(Mapping[str, object], type.__getattribute__(each, "__dict__"))
            annotations = cast(Mapping[str, object], attributes.get("__annotations__", {}))
            for annotation in annotations.values():
                yield from _of_form(annotation, each.__module__)


def _of_form(form: object, module: str) -> Iterator[object]:
    """Yield the classes and aliases that a type names, or is made of, in their order."""
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
            waiting += reversed(_parts(part))


def _parts(form: object) -> tuple[object, ...]:
    value: object = getattr(form, "__value__", None)  # of a type alias
    return get_args(form) if value is None else (value,)


def _is_model(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)
