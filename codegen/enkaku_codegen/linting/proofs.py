"""Proofs about schemas: that one accepts no value, and that properties tell two apart.

They are conservative: what they do not prove may be true nevertheless. A schema is taken apart into *parts*: the objects that
all apply to a value, which are the schema itself, its ``allOf`` and the targets of its references.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from enkaku_codegen.json_values import Json, Tokens, identity, kind_of
from enkaku_codegen.planning.all_of import type_names
from enkaku_codegen.proving.constants import fits
from enkaku_codegen.proving.value_sets import ANY_KIND, highest, lowest
from enkaku_codegen.reading.simple_schema import as_dict, as_list
from enkaku_codegen.reading.validation_text import describe

from .subject import Subject

__all__ = ["LEAVES", "Part", "Proofs", "excluded", "is_closed", "kinds_of", "listed", "parts_of"]

LEAVES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("minLength", "maxLength", "pattern"), "string"),
    **dict.fromkeys(
        ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), "number"
    ),
    **dict.fromkeys(("minItems", "maxItems", "uniqueItems"), "array"),
    **dict.fromkeys(("minProperties", "maxProperties", "required"), "object"),
}
"""The keywords without subschemas that only one type has, with that type."""

_SIZES: Final = {
    "string": ("minLength", "maxLength", "characters"),
    "array": ("minItems", "maxItems", "items"),
    "object": ("minProperties", "maxProperties", "properties"),
}
_MOST_PARTS: Final = 200
_DEEPEST: Final = 12
_EVERY: Final = frozenset(ANY_KIND)


@dataclass(frozen=True, slots=True)
class Part:
    """A schema that applies to a value: itself without what stands in its ``allOf``, and its path."""

    path: Tokens
    schema: dict[str, Json]


def parts_of(subject: Subject, path: Tokens, schema: Json) -> list[Part] | None:
    """Return the parts of a schema; None if one of them is ``false``."""
    found: list[Part] = []
    seen: set[str] = set()
    waiting: list[tuple[Tokens, Json]] = [(path, schema)]
    while waiting and len(found) < _MOST_PARTS:
        subject.limit.step()
        here, each = waiting.pop()
        if each is False:
            return None
        if not isinstance(each, dict):
            continue
        found.append(Part(here, each))
        for index, below in reversed([*enumerate(as_list(each.get("allOf")))]):
            waiting.append(((*here, "allOf", str(index)), below))
        target = subject.target(each)
        if target is not None and target[0] not in seen:
            seen.add(target[0])
            waiting.append((("$defs", target[0]), target[1]))
    return found


def kinds_of(parts: Sequence[Part]) -> frozenset[str]:
    """Return the JSON types of the values that all parts accept; ``number`` includes ``integer``."""
    kinds = _EVERY
    for part in parts:
        schema = part.schema
        if "type" in schema:
            names = type_names(schema["type"])
            kinds &= {"number" if name == "integer" else name for name in names}
        for values in listed(schema):
            kinds &= {_kind(each) for each in values}
    return kinds


def _kind(value: Json) -> str:
    kind = kind_of(value)
    return "number" if kind == "integer" else kind


def listed(schema: Mapping[str, Json]) -> Iterator[list[Json]]:
    """Yield the values of ``const`` and those of ``enum``, if a schema has them."""
    if "const" in schema:
        yield [schema["const"]]
    if "enum" in schema:
        yield as_list(schema["enum"])


class Proofs:
    """Proofs about the schemas of a protocol.

    Args:
        subject: The protocol.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._empty: dict[int, str] = {}
        self._kept: list[Json] = []  # so that no identity is used again

    def why_empty(self, path: Tokens, schema: Json, depth: int = 0) -> str:
        """Return why a schema accepts no value; empty if that is not proved."""
        if schema is False:
            return "it is false"
        if not isinstance(schema, dict) or depth > _DEEPEST:
            return ""
        key = id(schema)
        if key not in self._empty:
            self._kept.append(schema)
            self._empty[key] = (
                ""  # assumed within the proof: a recursive schema proves nothing by itself
            )
            self._empty[key] = self._why_empty(path, schema, depth)
        return self._empty[key]

    def _why_empty(self, path: Tokens, schema: dict[str, Json], depth: int) -> str:
        parts = parts_of(self._subject, path, schema)
        if parts is None:
            return "a part of it is false"
        if reason := self.contradiction(parts):
            return reason
        for part in parts:
            for keyword in ("anyOf", "oneOf"):
                alternatives = as_list(part.schema.get(keyword))
                here = (*part.path, keyword)
                if alternatives and all(
                    self.why_empty((*here, str(index)), each, depth + 1)
                    for index, each in enumerate(alternatives)
                ):
                    return f"no alternative of {keyword} accepts a value"
        if kinds_of(parts) == frozenset({"object"}):
            for name in sorted(_required(parts)):
                for part in parts:
                    below = as_dict(part.schema.get("properties")).get(name)
                    if below is not None and self.why_empty(
                        (*part.path, "properties", name), below, depth + 1
                    ):
                        return f'no value can have the property "{name}", which is required'
        return ""

    def contradiction(self, parts: Sequence[Part]) -> str:
        """Return why the keywords of the parts exclude each other, without subschemas; empty if that is not proved."""
        kinds = kinds_of(parts)
        if not kinds:
            return "its types exclude each other"
        if lists := [each for part in parts for each in listed(part.schema)]:
            others = [{*map(identity, each)} for each in lists[1:]]
            if all(
                any(identity(each) not in other for other in others) or excluded(each, parts)
                for each in lists[0]
            ):
                return "other keywords exclude each value of const or enum"
            return ""
        reasons = [self._within(kind, parts) for kind in sorted(kinds)]
        return reasons[0] if all(reasons) else ""

    def _within(self, kind: str, parts: Sequence[Part]) -> str:
        """Return why no value of a JSON type is accepted."""
        schemas = [part.schema for part in parts]
        if kind == "number":
            return _no_number(schemas)
        if kind not in _SIZES:
            return ""
        low, high, what = _SIZES[kind]
        least = max([*_numbers(schemas, low), 0])
        most = min(_numbers(schemas, high), default=None)
        if most is not None and most < least:
            return f"{low} is {least:g}, {high} is {most:g}"
        required = _required(parts) if kind == "object" else set[str]()
        if most is not None and len(required) > most:
            return f"{len(required)} {what} are required, {high} is {most:g}"
        return _no_property(schemas, required)

    def tells_apart(self, one: Sequence[Part], other: Sequence[Part]) -> bool:
        """Return whether the first level of an object shows that it is not of both schemas."""
        return self._excludes(one, other) or self._excludes(other, one)

    def _excludes(self, one: Sequence[Part], other: Sequence[Part]) -> bool:
        """Return whether a property that one schema requires shows that a value is not of the other."""
        for name in _required(one):
            self._subject.limit.step()
            if any(
                is_closed(part.schema) and name not in as_dict(part.schema.get("properties"))
                for part in other
            ):
                return True
            own, its = (self._property(parts, name) for parts in (one, other))
            if own is None or its is None or self.contradiction([*own, *its]):
                return True
        return False

    def _property(self, parts: Sequence[Part], name: str) -> list[Part] | None:
        found: list[Part] = []
        for part in parts:
            schema = as_dict(part.schema.get("properties")).get(name, True)
            inner = parts_of(self._subject, (*part.path, "properties", name), schema)
            if inner is None:
                return None
            found += inner
        return found

    def alike(self, alternatives: Sequence[tuple[int, Sequence[Part]]]) -> tuple[int, int] | None:
        """Return the first two alternatives that nothing tells apart."""
        for (first, one), (second, other) in combinations(alternatives, 2):
            self._subject.limit.step()
            if not self.tells_apart(one, other):
                return first, second
        return None


def _no_number(schemas: Sequence[dict[str, Json]]) -> str:
    """Return why no number is within the bounds of schemas."""
    typed = [type_names(each["type"]) for each in schemas if "type" in each]
    integer = any("number" not in names for names in typed)
    bounds = [(lowest(each, integer=integer), highest(each, integer=integer)) for each in schemas]
    if bounds and max(least for least, _ in bounds) >= min(most for _, most in bounds):
        return "its bounds leave no number"
    return ""


def _no_property(schemas: Sequence[dict[str, Json]], required: set[str]) -> str:
    """Return why no object has all required properties."""
    for name in sorted(required):
        for schema in schemas:
            known = as_dict(schema.get("properties"))
            if is_closed(schema) and name not in known:
                return f"{describe(name)} is required, and additionalProperties is false"
            if known.get(name) is False:
                return f"{describe(name)} is required, and its schema is false"
    return ""


def is_closed(schema: Mapping[str, Json]) -> bool:
    """Return whether an object has no other properties than its schema names."""
    return schema.get("additionalProperties") is False and not schema.get("patternProperties")


def excluded(value: Json, parts: Sequence[Part]) -> str:
    """Return a keyword that excludes a value, of those without subschemas; empty if none does."""
    for part in parts:
        for keyword, asked in part.schema.items():
            if (keyword == "type" or keyword in LEAVES) and not fits(value, keyword, asked):
                return keyword
    return ""


def _required(parts: Sequence[Part]) -> set[str]:
    return {
        name
        for part in parts
        for name in as_list(part.schema.get("required"))
        if isinstance(name, str)
    }


def _numbers(schemas: Sequence[Mapping[str, Json]], keyword: str) -> list[float]:
    return [_number(each[keyword]) for each in schemas if keyword in each]


def _number(value: Json) -> float:
    return value if isinstance(value, int | float) else 0
