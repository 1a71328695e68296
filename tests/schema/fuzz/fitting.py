"""Values that fit a schema, as far as that can be had without trying: most do, some don't."""

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from random import Random
from typing import Any, Final

from schema.values import same

from .schemas import Draft, Schema
from .words import KEYS, NUMBERS, PATTERNS, TEXTS, matches

__all__ = ["Fitter"]

_DEEPEST: Final = 9
_END: Final = 20
_LARGEST: Final = 150
_TYPES: Final = ("null", "boolean", "integer", "number", "string", "array", "object")
# What tells the type of the values that a schema without a type is about.
_HINTS: Final = {
    "properties": "object",
    "required": "object",
    "additionalProperties": "object",
    "patternProperties": "object",
    "propertyNames": "object",
    "minProperties": "object",
    "unevaluatedProperties": "object",
    "items": "array",
    "prefixItems": "array",
    "contains": "array",
    "minItems": "array",
    "pattern": "string",
    "minLength": "string",
    "maxLength": "string",
    "minimum": "number",
    "maximum": "number",
    "multipleOf": "number",
}
_Facets = list[dict[str, Any]]


class Fitter:
    """Makes values that fit.

    Args:
        definitions: What ``#/$defs/NAME`` means.
    """

    def __init__(self, pick: Random, draft: Draft, definitions: Mapping[str, Schema]) -> None:
        self._pick = pick
        self._old = draft == "draft7"
        self._definitions = definitions
        self._size = 0

    def fit(self, *schemas: Schema, depth: int = 0) -> Any:
        """Make a value for all of some schemas together; one that grows too large soon ends."""
        self._size = self._size + 1 if depth else 0
        if self._size > _LARGEST:
            depth += _DEEPEST
        if depth > _END:  # no value that ends fits
            return None
        facets: _Facets = []
        for each in schemas:
            self._flatten(each, facets, depth)
        given = self._given(facets)
        if given:
            return deepcopy(self._pick.choice(given))
        match self._type(facets, depth):
            case "null":
                return None
            case "boolean":
                return self._chance(0.5)
            case "integer" | "number" as kind:
                return self._number(facets, whole=kind == "integer")
            case "string":
                return self._text(facets)
            case "array":
                return self._array(facets, depth + 1)
            case _:
                return self._object(facets, depth + 1)

    def _chance(self, share: float) -> bool:
        return self._pick.random() < share

    def _flatten(self, schema: Schema, facets: _Facets, depth: int) -> None:
        """Gather everything that applies to the same value; where there is a choice, choose."""
        if isinstance(schema, bool) or len(facets) > 40:
            return
        reference = schema.get("$ref", schema.get("$dynamicRef"))
        if reference is not None:
            target = self._definitions.get(reference.removeprefix("#/$defs/"), True)
            self._flatten(target, facets, depth)
            if self._old:
                return
        facets.append(schema)
        for each in schema.get("allOf", ()):
            self._flatten(each, facets, depth)
        for word in ("anyOf", "oneOf"):
            if word in schema:
                self._flatten(self._branch(schema[word], depth), facets, depth)
        if "if" in schema:
            holds = self._chance(0.5)
            if holds:
                self._flatten(schema["if"], facets, depth)
            self._flatten(schema.get("then" if holds else "else", True), facets, depth)
        dependent = {**schema.get("dependentSchemas", {}), **schema.get("dependencies", {})}
        for key, each in dependent.items():
            if isinstance(each, list):
                facets.append({"dependentRequired": {key: each}})
            elif self._chance(0.5):
                facets.append({"required": [key]})
                self._flatten(each, facets, depth)

    def _branch(self, branches: Sequence[Schema], depth: int) -> Schema:
        if depth > _DEEPEST:  # one that ends soon
            return min(branches, key=lambda each: len(str(each)) + 500 * ("$ref" in str(each)))
        return self._pick.choice(branches)

    def _given(self, facets: _Facets) -> list[Any]:
        """Give the values among which the schemas leave a choice, if they name them."""
        lists = [each["enum"] for each in facets if "enum" in each]
        lists += [[each["const"]] for each in facets if "const" in each]
        if not lists:
            return []
        types = self._types(facets)
        fitting = [
            value
            for value in lists[0]
            if all(any(same(value, other) for other in others) for others in lists[1:])
            and (types is None or _type_names(value) & types)
        ]
        return fitting or lists[0]

    def _types(self, facets: _Facets) -> set[str] | None:
        types: set[str] | None = None
        for facet in facets:
            if "type" in facet:
                named = {facet["type"]} if isinstance(facet["type"], str) else set(facet["type"])
                if "number" in named:
                    named.add("integer")
                types = named if types is None else types & named
        return types

    def _type(self, facets: _Facets, depth: int) -> str:
        types = self._types(facets)
        if types is None:
            hinted = [_HINTS[word] for facet in facets for word in facet if word in _HINTS]
            likely = hinted if hinted and self._chance(0.8) else list(_TYPES)
        else:
            likely = sorted(types) or list(_TYPES)
        if depth > _DEEPEST:
            likely = [each for each in likely if each not in ("array", "object")] or likely
        return self._pick.choice(likely)

    # Scalars.

    def _number(self, facets: _Facets, *, whole: bool) -> int | float:
        low = max((each["minimum"] for each in facets if "minimum" in each), default=-math.inf)
        high = min((each["maximum"] for each in facets if "maximum" in each), default=math.inf)
        over = max((each.get("exclusiveMinimum", -math.inf) for each in facets), default=low)
        under = min((each.get("exclusiveMaximum", math.inf) for each in facets), default=high)
        step = next((each["multipleOf"] for each in facets if "multipleOf" in each), None)
        around = [each for each in (low, high, over, under) if abs(each) != math.inf]
        near = [edge + by for edge in around for by in (0, 1, -1, 0.5, -0.5)] or [*NUMBERS]
        if step is not None:
            near = [_multiple(each, step, by) for each in near for by in (0, 1, -1)]
        if whole:
            near = [_whole(each) for each in near]
        inside = [each for each in near if low <= each <= high and over < each < under]
        number = self._pick.choice(inside or near)
        if isinstance(number, float) and number.is_integer() and whole and self._chance(0.8):
            return int(number)
        if isinstance(number, int) and abs(number) < 2**53 and self._chance(0.08):
            return float(number)
        return number

    def _text(self, facets: _Facets) -> str:
        patterns = [each["pattern"] for each in facets if "pattern" in each]
        least = max((each["minLength"] for each in facets if "minLength" in each), default=0)
        most = min((each["maxLength"] for each in facets if "maxLength" in each), default=math.inf)
        if patterns:
            samples = [text for each in patterns for text in PATTERNS[each].samples]
            samples += [text + "b" * int(least - len(text)) for text in samples]
            samples += [text * int(least) for text in samples]
        else:
            samples = [*self._pick.sample(TEXTS, 6), *("a💩é日"[at % 4] * at for at in range(6))]
            samples += ["💩" * int(least), "é" * int(least if most == math.inf else most)]
        fitting = [
            text
            for text in samples
            if least <= len(text) <= most and all(matches(each, text) for each in patterns)
        ]
        return self._pick.choice(fitting or samples)

    # Arrays.

    def _array(self, facets: _Facets, depth: int) -> list[Any]:
        least = int(max((each.get("minItems", 0) for each in facets), default=0))
        most = min((each["maxItems"] for each in facets if "maxItems" in each), default=math.inf)
        firsts = [self._first_items(each) for each in facets]
        if any(rest is False for _, rest in firsts):
            most = min([most, *(len(first) for first, rest in firsts if rest is False)])
        usual = max((len(first) for first, _ in firsts), default=0)
        wanted = max(least, self._pick.choice([usual, usual, 0, 1, 2, 3, usual + 1]))
        if depth > _DEEPEST:
            wanted = least
        wanted = int(min(wanted, most))
        value = [
            self.fit(
                *(first[at] if at < len(first) else rest for first, rest in firsts), depth=depth
            )
            for at in range(wanted)
        ]
        for facet in facets:
            if "contains" in facet:
                self._put_in(facet, value, most, depth)
        if any(each.get("uniqueItems") for each in facets):
            value = [each for at, each in enumerate(value) if each not in value[:at]]
        return value

    def _first_items(self, facet: dict[str, Any]) -> tuple[list[Schema], Schema]:
        if self._old:
            items = facet.get("items", True)
            if isinstance(items, list):
                return items, facet.get("additionalItems", True)
            return [], items
        rest = facet.get("items", facet.get("unevaluatedItems", True))
        return facet.get("prefixItems", []), rest

    def _put_in(self, facet: dict[str, Any], value: list[Any], most: float, depth: int) -> None:
        for _ in range(facet.get("minContains", 1)):
            made = self.fit(facet["contains"], depth=depth)
            if value and len(value) >= most:
                value[self._pick.randrange(len(value))] = made
            else:
                value.insert(self._pick.randint(0, len(value)), made)

    # Objects.

    def _object(self, facets: _Facets, depth: int) -> dict[str, Any]:
        share = 0.0 if depth > _DEEPEST else self._pick.choice([0.3, 0.6, 1.0])
        wanted = [key for each in facets for key in each.get("required", ())]
        offered = [key for each in facets for key in each.get("properties", {})]
        wanted += [key for key in offered if self._chance(share)]
        wanted += self._more_keys(facets, depth)
        least = max((each.get("minProperties", 0) for each in facets), default=0)
        most = min((each.get("maxProperties", math.inf) for each in facets), default=math.inf)
        spare = self._pick.sample(KEYS, 6) + offered
        wanted = list(dict.fromkeys(wanted))
        wanted += [key for key in spare if key not in wanted][: max(0, int(least - len(wanted)))]
        if most < len(wanted):
            wanted = wanted[: int(most)]
        value: dict[str, Any] = {}
        for key in self._with_dependents(wanted, facets):
            schemas = [each for facet in facets for each in member_schemas(facet, key)]
            if False not in schemas or key in wanted[:1]:
                value[key] = self.fit(*schemas, depth=depth)
        return value

    def _more_keys(self, facets: _Facets, depth: int) -> list[str]:
        if depth > _DEEPEST:
            return []
        keys: list[str] = []
        names = [each["propertyNames"] for each in facets if "propertyNames" in each]
        patterns = [each for facet in facets for each in facet.get("patternProperties", ())]
        drawn = [each for each in patterns if self._chance(0.6)]
        keys += [self._pick.choice(PATTERNS[each].samples) for each in drawn]
        has_map = any(isinstance(each.get("additionalProperties"), dict) for each in facets)
        closed = any(each.get("additionalProperties") is False for each in facets)
        if self._chance(0.8 if has_map else 0.0 if closed else 0.15):
            keys += self._pick.sample(KEYS, self._pick.choice([1, 1, 2]))
        if names:
            made = [self.fit(*names, {"type": "string"}, depth=depth) for _ in range(2)]
            keys = [each for each in made if isinstance(each, str)]
        return keys

    def _with_dependents(self, keys: list[str], facets: _Facets) -> list[str]:
        known = dict.fromkeys(keys)
        waiting = list(keys)
        while waiting:
            key = waiting.pop()
            for facet in facets:
                more = facet.get("dependentRequired", {}).get(key, ())
                waiting += [each for each in more if each not in known]
                known |= dict.fromkeys(more)
        return list(known)


def member_schemas(facet: Mapping[str, Any], key: str) -> list[Schema]:
    """Give the schemas that an object's schema has for the member of a name."""
    found = [facet["properties"][key]] if key in facet.get("properties", {}) else []
    for pattern, each in facet.get("patternProperties", {}).items():
        if pattern in PATTERNS and matches(pattern, key):
            found.append(each)
    return found or [facet.get("additionalProperties", True)]


def _type_names(value: Any) -> set[str]:
    match value:
        case None:
            return {"null"}
        case bool():
            return {"boolean"}
        case int():
            return {"integer", "number"}
        case float():
            return {"integer", "number"} if value.is_integer() else {"number"}
        case str():
            return {"string"}
        case list():
            return {"array"}
        case _:
            return {"object"}


def _whole(number: float) -> int | float:
    return number if isinstance(number, int) or abs(number) > 1e16 else round(number)


def _multiple(number: float, step: float, by: int) -> int | float:
    if isinstance(number, int) and isinstance(step, int):
        return (number // step + by) * step
    if abs(number) > 1e15:
        return number
    return round((round(number / step) + by) * step, 6)
