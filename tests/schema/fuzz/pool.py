"""What a schema mentions: where the borders between its values and others are."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from .schemas import Schema
from .words import PATTERNS

__all__ = ["Pool"]

_NAMED: Final = ("properties", "patternProperties", "dependentSchemas", "dependencies")
_VALUES: Final = ("const", "enum", "default", "examples", "dependentRequired", "$defs", "x-own")


class Pool:
    """What a schema and all that it refers to mention.

    Attributes:
        numbers: Bounds, sizes, and constants.
        texts: Constants, and what patterns match.
        keys: Names of members, whichever object they belong to.
        values: Constants.
    """

    def __init__(self, schema: Schema, definitions: Mapping[str, Schema]) -> None:
        self.numbers: list[int | float] = []
        self.texts: list[str] = []
        self.keys: list[str] = []
        self.values: list[Any] = []
        self.schemas: list[Schema] = []
        followed: set[str] = set()
        waiting: list[Any] = [schema]
        while waiting:
            each = waiting.pop()
            if not isinstance(each, dict):
                continue
            self._take(each)
            waiting += _below(each)
            name = each.get("$ref", each.get("$dynamicRef", "")).removeprefix("#/$defs/")
            if name not in followed:
                followed.add(name)
                waiting.append(definitions.get(name, True))

    def _take(self, schema: dict[str, Any]) -> None:
        self.schemas.append(schema)
        self.numbers += [each for each in schema.values() if _is_number(each)]
        self.keys += [*schema.get("properties", ()), *schema.get("required", ())]
        for pattern in schema.get("patternProperties", ()):
            self.keys += PATTERNS[pattern].samples
        for word in ("dependentRequired", "dependentSchemas", "dependencies"):
            for key, value in schema.get(word, {}).items():
                self.keys += [key, *(value if isinstance(value, list) else ())]
        if "pattern" in schema:
            self.texts += PATTERNS[schema["pattern"]].samples
        constants = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else ())]
        self.values += constants
        self.numbers += filter(_is_number, constants)
        self.texts += [each for each in constants if isinstance(each, str)]
        self.keys += [key for each in constants if isinstance(each, dict) for key in each]


def _below(schema: dict[str, Any]) -> Iterator[Any]:
    for word, value in schema.items():
        if word in _VALUES:
            continue
        if word in _NAMED:
            yield from value.values()
        elif isinstance(value, list):
            yield from value
        else:
            yield value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
