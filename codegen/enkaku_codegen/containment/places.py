"""Places in values, and the schemas of both sides that apply there."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Literal, TypeAlias

from enkaku_codegen.json_values import Json, Schema, identity
from enkaku_codegen.planning.all_of import type_names
from enkaku_codegen.proving.constants import fits
from enkaku_codegen.proving.value_sets import ANY_KIND
from enkaku_codegen.reading.simple_schema import SimpleSchema, as_dict, as_list, reference_name

from .pair import Pair

__all__ = ["Facet", "Place", "Places", "SideName", "kinds"]

SideName: TypeAlias = Literal["writer", "reader"]

_MOST_FACETS: Final = 300
_MOST_BRANCHES: Final = 24


@dataclass(frozen=True, slots=True)
class Facet:
    """A schema that applies at a place, or that may.

    Attributes:
        certain: Whether it applies to every value there: it is in no ``anyOf``, ``not`` or the like.
    """

    side: SideName
    schema: SimpleSchema
    certain: bool


@dataclass(frozen=True, slots=True)
class Place:
    """A place in values.

    Attributes:
        writer: The writer's schemas that apply to every value there.
        reader: The reader's schemas that apply to every value there.
        hints: Schemas that may apply, and whose they are.
        chosen: The identities of the unions of the writer of which one alternative is in ``writer``.
    """

    writer: tuple[Schema, ...] = ()
    reader: tuple[Schema, ...] = ()
    hints: tuple[tuple[SideName, Schema], ...] = ()
    chosen: frozenset[int] = field(default=frozenset())

    @property
    def key(self) -> tuple[frozenset[int], ...]:
        """A key that is equal for places with the same schemas."""
        return (
            frozenset(map(id, self.writer)),
            frozenset(map(id, self.reader)),
            frozenset(id(schema) for _, schema in self.hints),
            self.chosen,
        )


class Places:
    """The places of the values of a pair."""

    def __init__(self, pair: Pair) -> None:
        self._definitions = {
            "writer": pair.writer.definitions,
            "reader": pair.reader.definitions,
        }
        self.root: Final = Place((pair.writer.schema,), (pair.reader.schema,))

    def facets(self, place: Place) -> list[Facet]:
        """Return the schemas that apply at a place, or may, with those that they apply in place."""
        return [*islice(self._facets(place), _MOST_FACETS)]

    def _facets(self, place: Place) -> Iterator[Facet]:
        waiting: list[tuple[SideName, Json, bool]] = []
        waiting.extend(("writer", each, True) for each in place.writer)
        waiting.extend(("reader", each, True) for each in place.reader)
        waiting.extend((side, each, False) for side, each in place.hints)
        seen: set[tuple[SideName, int]] = set()
        while waiting:
            side, schema, certain = waiting.pop(0)
            if not isinstance(schema, dict) or (side, id(schema)) in seen:
                continue
            seen.add((side, id(schema)))
            yield Facet(side, schema, certain)
            name = reference_name(schema)
            if name is not None:
                waiting.append((side, self._definitions[side].get(name, True), certain))
            waiting.extend((side, each, certain) for each in as_list(schema.get("allOf")))
            others = [*as_list(schema.get("anyOf")), *as_list(schema.get("oneOf"))]
            others += [schema.get(key) for key in ("if", "then", "else", "not")]
            others += as_dict(schema.get("dependentSchemas")).values()
            waiting.extend((side, each, False) for each in others)

    def branches(self, place: Place, facets: Sequence[Facet]) -> list[Place]:
        """Return a place for each alternative of the writer's first union; empty if it has none."""
        for facet in facets:
            if facet.side != "writer" or not facet.certain:
                continue
            for key in ("anyOf", "oneOf"):
                union = facet.schema.get(key)
                if isinstance(union, list) and id(union) not in place.chosen:
                    others = self._alternatives(facets)
                    # Of many, those first that the reader does not have in the same words.
                    ordered = sorted(union, key=lambda each: self._said("writer", each) in others)
                    return [
                        Place(
                            (*place.writer, each),
                            place.reader,
                            place.hints,
                            place.chosen | {id(union)},
                        )
                        for each in ordered[:_MOST_BRANCHES]
                        if isinstance(each, dict | bool)
                    ]
        return []

    def _alternatives(self, facets: Sequence[Facet]) -> set[Hashable]:
        """Return what the alternatives of the reader say."""
        return {
            self._said("reader", each)
            for facet in facets
            if facet.side == "reader"
            for key in ("anyOf", "oneOf")
            for each in as_list(facet.schema.get(key))
        }

    def _said(self, side: SideName, alternative: Json) -> Hashable:
        """Return what an alternative says, as an identity: a reference, with the definition itself."""
        name = reference_name(alternative) if isinstance(alternative, dict) else None
        return identity([alternative, None if name is None else self._definitions[side].get(name)])

    def property(self, facets: Sequence[Facet], name: str) -> Place:
        """Return the place of a property."""
        found = _Found()
        for facet in facets:
            schema = facet.schema
            named = as_dict(schema.get("properties"))
            matching = [
                each
                for pattern, each in as_dict(schema.get("patternProperties")).items()
                if fits(name, "pattern", pattern)
            ]
            if name in named:
                found.add(facet, named[name])
            for each in matching:
                found.add(facet, each)
            if name not in named and not matching:
                found.add(facet, schema.get("additionalProperties", True))
            found.hint(facet, schema.get("unevaluatedProperties", True))
        return found.place()

    def item(self, facets: Sequence[Facet], index: int) -> Place:
        """Return the place of an item."""
        found = _Found()
        for facet in facets:
            schema = facet.schema
            prefix = as_list(schema.get("prefixItems"))
            found.add(facet, prefix[index] if index < len(prefix) else schema.get("items", True))
            found.hint(facet, schema.get("contains", True))
            found.hint(facet, schema.get("unevaluatedItems", True))
        return found.place()

    def name(self, facets: Sequence[Facet]) -> Place:
        """Return the place of the names of properties."""
        found = _Found()
        found.writer.append({"type": "string"})
        for facet in facets:
            found.add(facet, facet.schema.get("propertyNames", True))
            for pattern in as_dict(facet.schema.get("patternProperties")):
                found.hints.append((facet.side, {"pattern": pattern}))
        return found.place()


class _Found:
    def __init__(self) -> None:
        self.writer: list[Schema] = []
        self.reader: list[Schema] = []
        self.hints: list[tuple[SideName, Schema]] = []

    def add(self, facet: Facet, schema: Json) -> None:
        """Add a schema that applies if that of the facet does."""
        if not isinstance(schema, dict | bool) or schema is True:
            return
        if facet.certain:
            (self.writer if facet.side == "writer" else self.reader).append(schema)
        else:
            self.hints.append((facet.side, schema))

    def hint(self, facet: Facet, schema: Json) -> None:
        """Add a schema that may apply."""
        if isinstance(schema, dict):
            self.hints.append((facet.side, schema))

    def place(self) -> Place:
        return Place(tuple(self.writer), tuple(self.reader), tuple(self.hints))


def kinds(facets: Sequence[Facet]) -> list[str]:
    """Return the JSON types that the writer certainly allows."""
    allowed = [*ANY_KIND]
    for facet in facets:
        if facet.side == "writer" and facet.certain and "type" in facet.schema:
            names = type_names(facet.schema["type"])
            names = [*names, *(["number"] if "integer" in names else [])]
            allowed = [each for each in allowed if each in names]
    return allowed
