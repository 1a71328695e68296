"""Small values: one that still shows the same, with less in it."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from enkaku_codegen.json_values import Json, as_json

__all__ = ["shrunk", "size"]

_PLAIN: Final[tuple[Json, ...]] = (None, False, 0, 1, "", "a", [], {})


def size(value: Json) -> int:
    """Return the length of the JSON of a value."""
    return len(as_json(value))


def shrunk(value: Json, shows: Callable[[Json], bool], until: float) -> Json:
    """Return a smaller value of which something is true, too.

    Args:
        value: A value of which it is true.
        shows: Whether it is true.
        until: When to stop, by the time of the processor.
    """
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for each in _smaller(value):
            if time.process_time() > until:
                return value
            if size(each) < size(value) and shows(each):
                value, is_smaller = each, True
                break
    return value


def _smaller(value: Json) -> Iterator[Json]:
    """Yield values with less in them, those with least first."""
    yield from _PLAIN
    match value:
        case str():
            for part in _parts(len(value)):
                yield value[part.stop :] if part.start == 0 else value[: part.start]
        case list():
            for part in _parts(len(value)):
                yield [*value[: part.start], *value[part.stop :]]
            for index, item in enumerate(value[:100]):
                for each in _smaller(item):
                    yield [*value[:index], each, *value[index + 1 :]]
        case dict():
            names = [*value]
            for part in _parts(len(names)):
                kept = [*names[: part.start], *names[part.stop :]]
                yield {name: value[name] for name in kept}
            for name in names[:100]:
                for each in _smaller(value[name]):
                    yield {**value, name: each}
        case _:
            pass


def _parts(length: int) -> Iterator[slice]:
    """Yield parts to leave out: halves, quarters and so on, down to single ones."""
    part = length
    while part > 0:
        part = (part + 1) // 2 if part > 1 else part
        for start in range(0, length, part)[:100]:
            yield slice(start, start + part)
        if part == 1:
            return
