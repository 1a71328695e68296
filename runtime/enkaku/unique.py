"""Whether all items of an array are different, as JSON has it: 1 and 1.0 are equal, 1 and true are not.

Above it: checked. jsonschema-rs compares every two whole numbers from 2**64 on, which takes hours for a message's worth.
"""

import json
from collections.abc import Hashable, Mapping
from typing import Any, Final, cast

from .number import whole_of

__all__ = ["UniqueItems"]

_SMALL: Final = 2**53  # whole numbers below it are told apart by their hashes


class UniqueItems:
    """The keyword ``uniqueItems``, as jsonschema-rs wants its keywords."""

    def __init__(self, parent: Mapping[str, object], value: object, path: list[object]) -> None:
        del parent, path
        self._wanted = value is True

    def validate(self, instance: object) -> None:
        """Raise ValueError if an array holds an item twice."""
        if self._wanted and isinstance(instance, list):
            items = cast(list[object], instance)
            if len({_identity(item) for item in items}) < len(items):
                raise ValueError("an item is there twice")


def _identity(value: object) -> Hashable:
    """Return what equal values have in common, and others have not.

    Long numbers and containers become text: a peer could choose numbers whose hashes are all the same.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return (value,)
    if isinstance(value, int | float):
        number = _plain(value)
        return number if -_SMALL < number < _SMALL else (str(number),)
    return ("", json.dumps(_plain(value), sort_keys=True))


def _plain(value: Any) -> Any:  # noqa: ANN401 # any JSON value
    if isinstance(value, float) and value.is_integer():
        return whole_of(value)
    if isinstance(value, list):
        return [_plain(item) for item in cast(list[object], value)]
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in cast(dict[str, object], value).items()}
    return value
