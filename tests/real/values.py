"""Makes values that fit a schema, most of the time, and others that differ from a value in one place."""

import copy
import json
import re._parser as regex
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any
from urllib.parse import unquote

ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    1.0,
    1.5,
    2**53 + 1,
    1e300,
    "",
    "x",
    "é",
    [],
    {},
    [None],
    {"x": 1},
)
"""What stands anywhere, and fits hardly anywhere."""


class Maker:
    """Makes values for the schemas of one protocol file."""

    def __init__(self, definitions: Mapping[str, Any], random: Random) -> None:
        self._definitions = definitions
        self._random = random

    def value(self, schema: Any, depth: int = 0) -> Any:
        """Make a value that has a good chance to fit a schema."""
        if not isinstance(schema, dict):
            return self._random.choice(ODD)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._random.choice(schema["enum"])
        parts = [self._part(schema, depth)]
        if "$ref" in schema:
            parts.append(self.value(self._target(schema["$ref"]), depth + 1))
        choices = [schema[key] for key in ("anyOf", "oneOf") if key in schema]
        parts += [self.value(self._branch(each, depth), depth + 1) for each in choices]
        parts += [self.value(each, depth + 1) for each in schema.get("allOf", ())]
        known = [part for part in parts if part is not ...]
        if known and all(isinstance(part, dict) for part in known):
            return {key: value for part in known for key, value in part.items()}
        return known[-1] if known else self._random.choice(ODD)

    def _target(self, reference: str) -> Any:
        found: Any = self._definitions
        for name in reference.removeprefix("#/$defs/").split("/"):
            found = found[unquote(name).replace("~1", "/").replace("~0", "~")]
        return found

    def _branch(self, branches: list[Any], depth: int) -> Any:
        if depth > 12:  # something has to end a tree
            return min(branches, key=lambda branch: len(json.dumps(branch)))
        return self._random.choice(branches)

    def _part(self, schema: dict[str, Any], depth: int) -> Any:
        """Make what the schema says itself: ``...`` if it is nothing."""
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = self._random.choice(kind)
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "items" in schema else None
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return self._string(schema)
            case "integer" | "number":
                return self._number(schema, kind)
            case "boolean":
                return self._random.choice([True, False])
            case "null":
                return None
            case _:
                return ...

    def _object(self, schema: dict[str, Any], depth: int) -> Any:
        required = schema.get("required", ())
        chance = 0.6 / (depth + 1)
        made = {
            key: self.value(each, depth + 1)
            for key, each in schema.get("properties", {}).items()
            if key in required or self._random.random() < chance
        }
        rest = schema.get("additionalProperties")
        if isinstance(rest, dict) and self._random.random() < 0.7:
            made["más"] = self.value(rest, depth + 1)
        return made

    def _array(self, schema: dict[str, Any], depth: int) -> Any:
        items = schema.get("items", True)
        first = items if isinstance(items, list) else schema.get("prefixItems", [])
        made = [self.value(each, depth + 1) for each in first]
        least = max(
            schema.get("minItems", 0), 0 if depth > 8 else self._random.choice([0, 1, 1, 2])
        )
        while len(made) < min(least, schema.get("maxItems", least)) and not isinstance(items, list):
            made.append(self.value(items, depth + 1))
        return made

    def _string(self, schema: dict[str, Any]) -> str:
        if "pattern" in schema:
            return "".join(self._matching(regex.parse(schema["pattern"])))
        made = self._random.choice(["", "x", "é💩", "2024-02-30", "https://example.org/?a=b#c"])
        made = made.ljust(schema.get("minLength", 0), "x")
        return made[: schema.get("maxLength", len(made))]

    def _number(self, schema: dict[str, Any], kind: str) -> float:
        low = schema.get("minimum", schema.get("exclusiveMinimum", -2))
        high = schema.get("maximum", schema.get("exclusiveMaximum", max(low, 0) + 2**40))
        choices: list[float] = [low, high, (low + high) // 2, low + 1]
        return self._random.choice(
            [*choices, float(low)] if kind == "integer" else [*choices, low + 0.5]
        )

    def _matching(self, pattern: Any) -> Iterator[str]:
        for operation, argument in pattern:
            match str(operation), argument:
                case "LITERAL", code:
                    yield chr(code)
                case "IN", [*choices]:
                    yield self._character(self._random.choice(choices))
                case ("MAX_REPEAT" | "MIN_REPEAT"), (least, most, inner):
                    for _ in range(self._random.randint(least, min(most, least + 2))):
                        yield from self._matching(inner)
                case "SUBPATTERN", (*_, inner):
                    yield from self._matching(inner)
                case "BRANCH", (_, branches):
                    yield from self._matching(self._random.choice(branches))
                case "ANY", _:
                    yield "a"
                case _:
                    pass

    def _character(self, choice: Any) -> str:
        match str(choice[0]), choice[1]:
            case "LITERAL", code:
                return chr(code)
            case "RANGE", (low, high):
                return chr(self._random.randint(low, high))
            case _:
                return {"CATEGORY_DIGIT": "7", "CATEGORY_SPACE": " "}.get(str(choice[1]), "w")


def changed(value: Any, random: Random) -> Any:
    """Give a copy of a value that differs from it in one place."""
    new = [copy.deepcopy(value)]
    places = list(_places(new, 0))
    holder, key = random.choice(places)
    here = holder[key]
    match random.choice(["odd", "odd", "drop", "drop", "null", "add", "add", "like"]):
        case "drop" if isinstance(here, dict | list) and here:
            here.pop(random.choice(list(here) if isinstance(here, dict) else range(len(here))))
        case "add" if isinstance(here, dict):
            names = [each for within, each in places if isinstance(within, dict)]
            here[random.choice([*names, "another"])] = random.choice(ODD)
        case "add" if isinstance(here, list):
            here.append(random.choice([*here, *ODD]))
        case "null":
            holder[key] = None
        case "like":
            holder[key] = _alike(here)
        case _:
            holder[key] = random.choice(ODD)
    return new[0]


def _alike(value: Any) -> Any:
    """Give what is nearly the same: equal in Python, but not in JSON, or the other way round."""
    match value:
        case bool():
            return int(value)
        case int() if abs(value) < 2**53:
            return float(value)
        case float() if value.is_integer():
            return int(value)
        case str():
            return f"{value} "
        case list():
            return {str(index): each for index, each in enumerate(value)}
        case dict():
            return [[key, each] for key, each in value.items()]
        case _:
            return False


def _places(holder: Any, key: Any) -> Iterator[tuple[Any, Any]]:
    yield holder, key
    match holder[key]:
        case dict() as within:
            for each in within:
                yield from _places(within, each)
        case list() as within:
            for index in range(len(within)):
                yield from _places(within, index)
        case _:
            pass
