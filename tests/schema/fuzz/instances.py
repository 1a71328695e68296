"""Instances near the borders of a schema: values that fit it, and the same with one thing changed."""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from random import Random
from typing import Any, Final

from .fitting import Fitter
from .pool import Pool
from .schemas import Draft, Schema
from .words import KEYS, NUMBERS, TEXTS

__all__ = ["InstanceMaker"]

_MOST_NODES: Final = 60
_STRANGE: Final = (
    *(None, True, False, 0, 1, 1.0, -1, 0.5, 2**53 + 1, 10**30, 1e300, "", "a", "1", "null"),
    *([], {}, [None], [[]], {"": None}, {"a": 1}, [1, 1.0], [1, True], [{}]),
)
_Place = tuple[Any, Any]


class InstanceMaker:
    """Makes instances for one schema."""

    def __init__(
        self, pick: Random, draft: Draft, schema: Schema, definitions: Mapping[str, Schema]
    ) -> None:
        self._pick = pick
        self._schema = schema
        self._fitter = Fitter(pick, draft, definitions)
        self._pool = Pool(schema, definitions)

    def instances(self, count: int) -> Iterator[Any]:
        """Make some that should fit, many that nearly do, and a few that can't."""
        for number in range(count):
            if number % 12 == 11:
                yield deepcopy(self._pick.choice(_STRANGE))
                continue
            value = self._fitter.fit(self._schema)
            for _ in range((0, 1, 1, 1, 2)[number % 5]):
                value = self.changed(value)
            yield value

    def changed(self, value: Any) -> Any:
        """Change one thing somewhere in a value, which may be changed itself."""
        box = [value]
        places: list[_Place] = [(box, 0)]
        _places(value, places)
        holder, at = self._pick.choice(places[:_MOST_NODES])
        old = holder[at]
        if self._pick.random() < 0.2:
            holder[at] = self._other(old)
            return box[0]
        match old:
            case None | bool():
                holder[at] = self._pick.choice([0, 1, 0.0, 1.0, "", None, not old, [], {}])
            case int() | float():
                holder[at] = self._other_number(old)
            case str():
                holder[at] = self._other_text(old)
            case list():
                self._pick.choice(_ARRAY_CHANGES)(self, old)
            case _:
                self._pick.choice(_OBJECT_CHANGES)(self, old)
        return box[0]

    def _other(self, old: Any) -> Any:
        kind = self._pick.random()
        if kind < 0.4 and self._pool.schemas:
            return self._fitter.fit(self._pick.choice(self._pool.schemas))
        if kind < 0.6 and self._pool.values:
            return deepcopy(self._pick.choice(self._pool.values))
        if kind < 0.7:
            return [old]
        if kind < 0.75:
            return None
        return deepcopy(self._pick.choice(_STRANGE))

    def _other_number(self, old: float) -> Any:
        edge = self._pick.choice([*self._pool.numbers, old, old])
        return self._pick.choice(
            [
                *(edge, edge + 1, edge - 1, edge + 0.5, edge - 0.5, -old, old, str(old), bool(old)),
                _retyped(old),
                _retyped(edge),
                self._pick.choice(NUMBERS),
            ]
        )

    def _other_text(self, old: str) -> Any:
        at = self._pick.randint(0, len(old))
        extra = self._pick.choice(["a", "A", "1", "é", "💩", "\n", "\x00", " ", "_"])
        return self._pick.choice(
            [
                old[:at] + extra + old[at:],
                old[:at] + old[at + 1 :],
                old[:at] + extra + old[at + 1 :],
                *(old + "\n", old + "💩", "", old.upper(), old.capitalize()),
                self._pick.choice([*self._pool.texts, *self._pool.keys, *TEXTS]),
                self._pick.choice(TEXTS),
                self._pick.choice([None, 1, old.encode().hex()]),
            ]
        )

    # Changes of arrays.

    def drop_item(self, old: list[Any]) -> None:
        if old:
            del old[self._pick.choice([0, -1])]

    def add_item(self, old: list[Any]) -> None:
        old.append(self._other(None))

    def repeat_item(self, old: list[Any]) -> None:
        if old:
            again = deepcopy(self._pick.choice(old))
            if isinstance(again, int | float) and self._pick.random() < 0.3:
                again = _retyped(again)
            old.insert(self._pick.randint(0, len(old)), again)

    def turn_items(self, old: list[Any]) -> None:
        old.reverse()

    def replace_item(self, old: list[Any]) -> None:
        if old:
            old[self._pick.randrange(len(old))] = self._other(None)

    # Changes of objects.

    def drop_member(self, old: dict[str, Any]) -> None:
        if old:
            del old[self._pick.choice(list(old))]

    def add_member(self, old: dict[str, Any]) -> None:
        old[self._key()] = self._other(None)

    def empty_member(self, old: dict[str, Any]) -> None:
        old[self._pick.choice(list(old) or [self._key()])] = None

    def rename_member(self, old: dict[str, Any]) -> None:
        if old:
            value = old.pop(self._pick.choice(list(old)))
            old[self._key()] = value

    def swap_members(self, old: dict[str, Any]) -> None:
        if len(old) > 1:
            one, other = self._pick.sample(list(old), 2)
            old[one], old[other] = old[other], old[one]

    def _key(self) -> str:
        kind = self._pick.random()
        known = self._pick.choice(self._pool.keys or [*KEYS])
        if kind < 0.6:
            return known
        if kind < 0.75:
            return self._pick.choice(
                [known + "x", "x-" + known, known.upper(), known[:-1], "_" + known]
            )
        return self._pick.choice(KEYS)


_ARRAY_CHANGES: Final[list[Callable[[InstanceMaker, list[Any]], None]]] = [
    InstanceMaker.drop_item,
    InstanceMaker.drop_item,
    InstanceMaker.add_item,
    InstanceMaker.add_item,
    InstanceMaker.repeat_item,
    InstanceMaker.repeat_item,
    InstanceMaker.turn_items,
    InstanceMaker.replace_item,
]
_OBJECT_CHANGES: Final[list[Callable[[InstanceMaker, dict[str, Any]], None]]] = [
    InstanceMaker.drop_member,
    InstanceMaker.drop_member,
    InstanceMaker.add_member,
    InstanceMaker.add_member,
    InstanceMaker.add_member,
    InstanceMaker.empty_member,
    InstanceMaker.rename_member,
    InstanceMaker.swap_members,
]


def _places(value: Any, found: list[_Place]) -> None:
    match value:
        case dict():
            steps: list[Any] = list(value)
        case list():
            steps = list(range(len(value)))
        case _:
            return
    for step in steps:
        found.append((value, step))
        _places(value[step], found)


def _retyped(number: float) -> int | float:
    """Give nearly the same number, as the other of Python's two types."""
    if isinstance(number, float):
        return int(number)
    return float(number) if abs(number) < 10**300 else number
