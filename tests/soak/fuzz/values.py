"""Edge cases of JSON values, and a JSON tree that keeps duplicate properties and invalid literals."""

import json
from collections.abc import Callable
from random import Random
from typing import Any, Final

__all__ = ["Members", "Text", "odd_text", "parse", "places", "write"]

_DEEP: Final = 5_000


class Text(str):
    """JSON text that is written unchanged, even if it is invalid."""

    __slots__ = ()


class Members(list[tuple[str, Any]]):
    """The properties of an object in order, duplicates included."""


def parse(text: str) -> Any:
    """Parse JSON to a tree whose objects are ``Members``.

    Raises:
        ValueError: It is not JSON.
    """
    return json.loads(text, object_pairs_hook=Members)


def write(value: Any) -> str:
    """Encode a tree; ``Text`` is written unchanged."""
    if isinstance(value, Text):
        return value
    if isinstance(value, Members):
        return f"{{{','.join(f'{json.dumps(name)}:{write(each)}' for name, each in value)}}}"
    if isinstance(value, dict):
        return write(Members(value.items()))
    if isinstance(value, list):
        return f"[{','.join(map(write, value))}]"
    return json.dumps(value, ensure_ascii=False)


def places(value: Any) -> list[Members | list[Any]]:
    """Return every object and array of a tree, outermost first."""
    if isinstance(value, Members):
        return [value, *(place for _, each in value for place in places(each))]
    if isinstance(value, list):
        return [value, *(place for each in value for place in places(each))]
    return []


_ODD: Final = (
    *("null", "true", "false", "0", "-0", "1", "-1", "1.0", "0.5", "-1.5", "1e3", "1E400", "1e999"),
    *("-1e999", "NaN", "Infinity", "-Infinity", "5e-324", "2147483648", "9007199254740993"),
    *("18446744073709551616", "-9223372036854775809", "01", "+1", ".5", "1.", "0x10", "1_000"),
    *('""', '"0"', '"1"', '"Close"', '"__proto__"', '"constructor"', '"\\u0000"', '"\\ud800"'),
    *('"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\u2028"', '"\ufeff"', '"\\x"', '"\t"', '"'),
    *("[]", "{}", "[[]]", "[{}]", '{"":""}', '{"a":1,"a":2}', '{"__proto__":{}}', "[1,]", "{,}"),
    *("", "undefined", "/**/1", "'a'"),
)
_LONG: Final[tuple[Callable[[Random], str], ...]] = (
    lambda random: "9" * random.choice((20, 400, 5_000)),
    lambda random: "0." + "3" * random.choice((20, 400, 5_000)),
    lambda random: "1e" + "9" * random.choice((3, 20, 400)),
    lambda random: '"%s"' % ("x" * random.choice((127, 128, 129, 1023, 1025, 4097, 70_000))),
    lambda random: '"%s"' % ("\\u0041" * random.choice((128, 129, 3000))),
    lambda random: '"%s"' % ("é" * random.choice((64, 129, 3000))),
    lambda random: "[" * _DEEP + "]" * _DEEP,
    lambda random: "[" * random.choice((30, 1_000, _DEEP)),
    lambda random: '{"a":' * _DEEP + "1" + "}" * _DEEP,
    lambda random: write({f"m{place}": place for place in range(100)}),
)


def odd_text(random: Random) -> Text:
    """Return a random edge case."""
    if random.random() < 0.9:
        return Text(random.choice(_ODD))
    return Text(random.choice(_LONG)(random))
