"""Decider by search: a value that the writer accepts and the reader rejects.

Values are built from the bottom up. At each place in them, the schemas of both sides that apply there give numbers and
strings at their borders, and arrays and objects that differ from a plain one in one item or property. Of these, few are
kept: some that both sides accept there, and some that only the writer accepts. There is no chance in it.
"""

import time
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import combinations, count, islice
from typing import Final

from enkaku_codegen.json_values import Json, as_json, distinct, identity, kind_of
from enkaku_codegen.reading.simple_schema import SimpleSchema, as_dict, as_list

from .difference import without_promised
from .pair import Pair
from .patterns import samples
from .places import Facet, Place, Places, SideName, kinds
from .scalars import lengths, numbers, strings
from .shrink import shrunk, size
from .validators import Validators

__all__ = ["Counterexample", "find"]

_ROUNDS: Final = 3
_DEEPEST: Final = 60
# Of the values of one place: those that are tried, and those that are kept.
_MOST_CONSTANTS: Final = 2_000
_MOST_TRIED: Final = 600
_MOST_OBJECTS: Final = 5_000
_MOST_BREAKING: Final = 6
_MOST_FITTING: Final = 24
_MOST_BELOW: Final = 12
_MOST_ALIKE: Final = 3
_MOST_HINTS: Final = 12
# Of arrays and objects: their sizes, and the items and properties that are changed.
_MOST_CHARS: Final = 100_000
_MOST_PREFIX: Final = 30
_MOST_DISTINCT: Final = 300
_MOST_CHANGED: Final = 40
_MOST_PAIRED: Final = 8
_MOST_NAMES: Final = 1_000
_FOR_SHRINKING: Final = 0.3


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A value that the writer accepts and the reader rejects, and why."""

    value: Json
    reason: str


@dataclass(slots=True)
class _Values:
    """Values at a place that the writer accepts there.

    Attributes:
        breaking: Those that the reader rejects.
        fitting: The others.
    """

    breaking: list[Json] = field(default_factory=list[Json])
    fitting: list[Json] = field(default_factory=list[Json])

    @property
    def all(self) -> list[Json]:
        """All values, those that the reader rejects first."""
        return [*self.breaking, *self.fitting]

    @property
    def few(self) -> list[Json]:
        """Some values, a plain one first."""
        return [*self.fitting[:1], *self.breaking, *self.fitting[1:_MOST_BELOW]]


class _TimeOver(Exception):
    """The search has taken its time."""


def find(pair: Pair, seconds: float) -> Counterexample | None:
    """Return a value that the writer accepts and the reader rejects, as small as possible; None if none was found.

    Raises:
        ValueError: A schema is none that the validator accepts.
    """
    start = time.process_time()
    writer, reader = (Validators(side).whole for side in (pair.writer, pair.reader))
    # Where nothing is left of the reader's schema, no value can show a difference.
    search = _Search(without_promised(pair), start + seconds * (1 - _FOR_SHRINKING))
    with suppress(_TimeOver, RecursionError):
        search.run()

    def breaks(value: Json) -> bool:
        return writer.accepts(value) and not reader.accepts(value)

    found = min(filter(breaks, search.found), key=size, default=_NOTHING)
    if found is _NOTHING:
        return None
    value = shrunk(found, breaks, start + seconds)
    return Counterexample(value, reader.fault(value))


_NOTHING: Final[list[Json]] = []


class _Search:
    """Builds values for all places of a pair.

    Attributes:
        found: Values of the whole that the writer accepts and the reader rejects.
    """

    def __init__(self, pair: Pair, until: float) -> None:
        self._until = until
        self._places = Places(pair)
        self._validators: Mapping[SideName, Validators] = {
            "writer": Validators(pair.writer),
            "reader": Validators(pair.reader),
        }
        # By the key of the place, which keeps the schemas alive whose identities are the key.
        self._known: dict[object, tuple[Place, _Values]] = {}
        self._before: dict[object, tuple[Place, _Values]] = {}
        self._within: set[object] = set()
        self._is_recursive = False
        self.found: list[Json] = []

    def run(self) -> None:
        """Search in rounds: each has the values of the one before, where schemas refer to themselves."""
        for _ in range(_ROUNDS):
            self.found += self._values(self._places.root, 0).breaking
            if self.found or not self._is_recursive:
                return
            self._before, self._known = self._known, {}

    def _check_time(self) -> None:
        if time.process_time() > self._until:
            raise _TimeOver

    def _values(self, place: Place, depth: int) -> _Values:
        key = place.key
        if key in self._known:
            return self._known[key][1]
        if key in self._within or depth > _DEEPEST:
            self._is_recursive = True
            return self._before[key][1] if key in self._before else _Values()
        self._check_time()
        self._within.add(key)
        try:
            found = self._made(place, depth)
        finally:
            self._within.discard(key)
        self._known[key] = place, found
        return found

    def _made(self, place: Place, depth: int) -> _Values:
        facets = self._places.facets(place)
        branches = self._places.branches(place, facets)
        tried: Iterator[Json]
        if branches:
            tried = (each for branch in branches for each in self._values(branch, depth + 1).all)
        else:
            tried = self._tried(facets, depth)
        if any(each is not True for each in place.reader) or "reader" in dict(place.hints):
            return self._sorted(place, tried)
        # The reader accepts anything here: a few values are enough.
        writer = self._validators["writer"].of(*place.writer)
        return _Values(fitting=[*islice(filter(writer.accepts, tried), _MOST_ALIKE)])

    def _sorted(self, place: Place, tried: Iterator[Json]) -> _Values:
        """Keep a few values, the smallest of each sort."""
        is_whole = place.reader is self._places.root.reader
        writer = self._validators["writer"].of(*place.writer)
        reader = self._validators["reader"].of(*place.reader)
        hints = [self._validators[side].of(each) for side, each in place.hints[:_MOST_HINTS]]
        breaking: list[Json] = []
        fitting: dict[tuple[object, ...], list[Json]] = {}
        seen: set[Hashable] = set()
        for value in tried:
            self._check_time()
            key = identity(value)
            if key in seen or not writer.accepts(value):
                continue
            seen.add(key)
            if not reader.accepts(value):
                breaking.append(value)
                self.found += [value] if is_whole else []
                continue
            sort = (kind_of(value), *(each.accepts(value) for each in hints))
            fitting.setdefault(sort, []).append(value)
        few = [each for same in fitting.values() for each in sorted(same, key=size)[:_MOST_ALIKE]]
        return _Values(
            sorted(breaking, key=size)[:_MOST_BREAKING], sorted(few, key=size)[:_MOST_FITTING]
        )

    def _tried(self, facets: Sequence[Facet], depth: int) -> Iterator[Json]:
        """Yield values to try at a place."""
        schemas = [facet.schema for facet in facets]
        constants = [
            each
            for schema in schemas
            for each in ([schema["const"]] if "const" in schema else as_list(schema.get("enum")))
        ]
        schemas_of = Counter(map(identity, constants))
        # Of many, those first that one schema alone has.
        constants.sort(key=lambda each: schemas_of[identity(each)] > 1)
        yield from constants[:_MOST_CONSTANTS]
        for kind in kinds(facets):
            match kind:
                case "null":
                    yield None
                case "boolean":
                    yield from (False, True)
                case "number":
                    yield from islice(numbers(schemas), _MOST_TRIED)
                case "string":
                    yield from islice(strings(schemas), _MOST_TRIED)
                case "array":
                    yield from islice(self._arrays(facets, schemas, depth), _MOST_TRIED)
                case _:
                    yield from islice(self._objects(facets, schemas, depth), _MOST_OBJECTS)

    def _arrays(
        self, facets: Sequence[Facet], schemas: Sequence[SimpleSchema], depth: int
    ) -> Iterator[Json]:
        yield []
        prefix = max((len(as_list(each.get("prefixItems"))) for each in schemas), default=0)
        prefix = min(prefix, _MOST_PREFIX)
        sizes = lengths(schemas, "minItems", "maxItems", "minContains", "maxContains")
        sizes = sorted({*sizes, prefix, prefix + 1})
        places = [self._places.item(facets, index) for index in range(prefix + 1)]
        items = [self._values(each, depth + 1).few for each in places]
        rest = items[prefix]
        for length in sizes:
            firsts = [each[0] for each in items[:length] if each]
            if len(firsts) < min(length, prefix + 1) or not self._is_small(firsts[-1:], length):
                continue
            whole = firsts + firsts[-1:] * (length - len(firsts))
            yield whole
            if length <= _MOST_DISTINCT:
                yield from self._distinct(places[prefix], firsts[:prefix], rest, length)
            if length <= _MOST_CHANGED:
                for index in range(min(length, prefix + 1)):
                    for value in items[index]:
                        yield [*whole[:index], value, *whole[index + 1 :]]
        for length in sizes:
            for value in rest if prefix == 0 else ():
                if self._is_small([value], length):
                    yield [value] * length

    def _is_small(self, values: list[Json], count: int) -> bool:
        return len(as_json(values)) * count <= _MOST_CHARS

    def _distinct(
        self, place: Place, before: list[Json], values: list[Json], length: int
    ) -> Iterator[Json]:
        """Yield an array of a size whose items all differ, if there are so many."""
        accepts = self._validators["writer"].of(*place.writer).accepts
        others: Iterator[Json] = (
            each for number in range(length) for each in (number, str(number))
        )
        found = distinct([*before, *values, *filter(accepts, others)])
        if len(found) >= length:
            yield found[:length]

    def _objects(
        self, facets: Sequence[Facet], schemas: Sequence[SimpleSchema], depth: int
    ) -> Iterator[Json]:
        yield {}
        required = [
            name
            for facet in facets
            if facet.side == "writer" and facet.certain
            for name in as_list(facet.schema.get("required"))
            if isinstance(name, str)
        ]
        values: dict[str, list[Json]] = {}

        def made(*names: Json) -> dict[str, Json]:
            for name in (*required, *names):
                if isinstance(name, str) and name not in values:
                    place = self._places.property(facets, name)
                    values[name] = self._values(place, depth + 1).few
            return {
                name: values[name][0]
                for name in (*required, *names)
                if isinstance(name, str) and values[name]
            }

        least = made()
        if len(least) < len({*required}):
            return
        yield least
        known = self._names(facets, schemas, depth)
        most = made(*known)
        yield most
        for schema in schemas:
            yield made(*as_list(schema.get("required")))
            for key, names in as_dict(schema.get("dependentRequired")).items():
                yield made(key, *as_list(names))
        for name in known:
            for value in values[name]:
                yield {**least, name: value}
            yield {key: value for key, value in most.items() if key != name or key in required}
        for pair in combinations(
            [name for name in known if name not in required][:_MOST_PAIRED], 2
        ):
            yield made(*pair)
        for name in known if len(known) <= _MOST_CHANGED else ():
            for value in values[name]:
                yield {**most, name: value}
        yield from self._sized(facets, schemas, least, most, depth)

    def _sized(
        self,
        facets: Sequence[Facet],
        schemas: Sequence[SimpleSchema],
        least: dict[str, Json],
        most: dict[str, Json],
        depth: int,
    ) -> Iterator[Json]:
        """Yield objects of the sizes that schemas limit."""
        others = (f"x{number}" for number in range(_MOST_NAMES))
        if not any("minProperties" in each or "maxProperties" in each for each in schemas):
            return
        values = self._values(self._places.property(facets, "x0"), depth + 1).few
        every = {**most, **{name: each for name in others for each in values[:1]}}
        optional = [name for name in every if name not in least]
        for length in lengths(schemas, "minProperties", "maxProperties"):
            if len(least) <= length <= len(every):
                chosen = optional[: length - len(least)]
                yield {**least, **{name: every[name] for name in chosen}}

    def _names(
        self, facets: Sequence[Facet], schemas: Sequence[SimpleSchema], depth: int
    ) -> dict[str, Place]:
        """Return the names of properties to try, those first whose schemas differ."""
        names: dict[Json, None] = {}
        for schema in schemas:
            names |= dict.fromkeys(as_dict(schema.get("properties")))
            names |= dict.fromkeys(
                each for each in as_list(schema.get("required")) if isinstance(each, str)
            )
            for key, others in as_dict(schema.get("dependentRequired")).items():
                names |= dict.fromkeys(
                    [key, *(each for each in as_list(others) if isinstance(each, str))]
                )
            names |= dict.fromkeys(as_dict(schema.get("dependentSchemas")))
            for pattern in as_dict(schema.get("patternProperties")):
                names |= dict.fromkeys(samples(pattern, (), ())[:_MOST_ALIKE])
        if any("propertyNames" in each or "patternProperties" in each for each in schemas):
            texts = self._values(self._places.name(facets), depth + 1).few
            names |= dict.fromkeys(each for each in texts if isinstance(each, str))
        names |= {next(each for each in map("x{}".format, count()) if each not in names): None}
        places = {
            name: self._places.property(facets, name) for name in names if isinstance(name, str)
        }
        return dict(sorted(places.items(), key=lambda item: _is_same(item[1])))


def _is_same(place: Place) -> bool:
    return identity([*place.writer]) == identity([*place.reader])
