"""What is linted: a protocol, every schema in it with its path, and a time limit."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from enkaku_codegen.errors import Issue
from enkaku_codegen.json_values import Json, Schema, Tokens, find, tokens
from enkaku_codegen.reading.bundle import needed_definitions
from enkaku_codegen.reading.definition import Protocol, SlotName
from enkaku_codegen.reading.dialects import DRAFT_2020_12, IN_PLACE
from enkaku_codegen.reading.load import Document
from enkaku_codegen.reading.locations import Location
from enkaku_codegen.reading.schemas import applied
from enkaku_codegen.reading.simple_schema import reference_name

__all__ = ["Subject", "TimeLimit", "TooSlow", "Visited"]

_FROM_CLIENT: Final[frozenset[SlotName]] = frozenset({"data", "param", "send"})
_FROM_SERVER: Final[frozenset[SlotName]] = frozenset({"receive", "result"})
_STEPS: Final = 64  # between two looks at the clock


class TooSlow(Exception):
    """The time limit has passed."""


class TimeLimit:
    """Time limit for the checks of a protocol.

    Args:
        seconds: The limit.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._steps = 0

    def step(self) -> None:
        """Raise an exception if the limit has passed.

        Raises:
            TooSlow: It has.
        """
        self._steps += 1
        if self._steps % _STEPS == 0:
            self.look()

    @property
    def left(self) -> float:
        """The seconds that are left; at least 0."""
        return max(self._end - time.monotonic(), 0)

    def look(self) -> None:
        """Do the same, with a look at the clock in any case: before a step that may take long."""
        if time.monotonic() > self._end:
            raise TooSlow


@dataclass(frozen=True, slots=True, eq=False)
class Visited:
    """A schema in the protocol.

    Attributes:
        path: Its path, as ``Hit`` has it.
        schema: The schema.
        outer: The outermost schema around it that applies to the same value; None if it is that schema itself.
        negated: Whether it is in ``not`` or ``if``, so that values need not match it.
    """

    path: Tokens
    schema: dict[str, Json]
    outer: "Visited | None"
    negated: bool

    @property
    def key(self) -> str:
        """The keyword that the schema belongs to, or a name or an index; empty for a whole slot."""
        return self.path[-1]


class Subject:
    """A protocol to lint.

    Args:
        protocol: The protocol.
        document: Its own file.
        limit: The time limit.

    Attributes:
        protocol: The protocol.
        document: Its own file.
        limit: The time limit.
        definitions: The definitions of the protocol, without those of other packages, which are linted there.
    """

    def __init__(self, protocol: Protocol, document: Document, limit: TimeLimit) -> None:
        self.protocol = protocol
        self.document = document
        self.limit = limit
        self.definitions: Mapping[str, Schema] = {
            name: schema
            for name, schema in protocol.definitions.items()
            if name not in protocol.imported
        }

    @cached_property
    def visited(self) -> tuple[Visited, ...]:
        """Every schema that is an object: of slots, of the data of errors, of definitions, and all in these."""
        roots = [
            *((path, schema) for path, schema, _ in self.slots),
            *((("$defs", name), schema) for name, schema in self.definitions.items()),
        ]
        return tuple(each for path, schema in roots for each in self._in(path, schema))

    def _in(self, path: Tokens, schema: Schema) -> Iterator[Visited]:
        if isinstance(schema, bool):
            return
        waiting = [Visited(path, schema, None, negated=False)]
        while waiting:
            self.limit.step()
            around = waiting.pop()
            yield around
            for below, each in reversed([*applied(around.schema, DRAFT_2020_12)]):
                if isinstance(each, bool):
                    continue
                outer = (around.outer or around) if below[0] in IN_PLACE else None
                negated = around.negated or below[0] in {"not", "if"}
                waiting.append(Visited(around.path + below, each, outer, negated))

    @cached_property
    def slots(self) -> tuple[tuple[Tokens, Schema, bool], ...]:
        """The path and the schema of each slot, and of the data of each error, and whether clients send it."""
        found: dict[Tokens, tuple[Schema, bool]] = {}
        for procedures, sent in (
            (self.protocol.procedures, _FROM_CLIENT),
            (self.protocol.callbacks, _FROM_SERVER),
        ):
            for each in procedures:
                start = tokens(each.pointer)
                for slot, schema in each.slots.items():
                    found[(*start, slot)] = schema, slot in sent
                for error in each.errors:
                    if error.data is not None:
                        path = self._data_path(tokens(error.pointer))
                        found[path] = error.data, sent is _FROM_SERVER
        return tuple((path, *each) for path, each in found.items())

    def _data_path(self, declared: Tokens) -> Tokens:
        """Return the path of the data of an error, which may be a reference to a definition."""
        path = (*declared, "properties", "data")
        try:
            find(self.document.value, path)
        except KeyError:
            return declared
        return path

    @cached_property
    def from_client(self) -> frozenset[str]:
        """The definitions of what clients send."""
        schemas: list[Json] = [schema for _, schema, sent in self.slots if sent]
        return frozenset(needed_definitions({"allOf": schemas}, self.protocol.definitions))

    @cached_property
    def used(self) -> frozenset[str]:
        """The definitions that slots, or the data of errors, refer to."""
        schemas: list[Json] = [schema for _, schema, _ in self.slots]
        return frozenset(needed_definitions({"allOf": schemas}, self.protocol.definitions))

    def is_sent(self, path: Tokens) -> bool:
        """Return whether clients send values of the schema at a path."""
        if path[0] == "$defs":
            return path[1] in self.from_client
        return any(
            sent and path[: len(start)] == start for start, sent in self._starts.get(path[:2], ())
        )

    @cached_property
    def _starts(self) -> Mapping[Tokens, list[tuple[Tokens, bool]]]:
        starts: dict[Tokens, list[tuple[Tokens, bool]]] = {}
        for path, _, sent in self.slots:
            starts.setdefault(path[:2], []).append((path, sent))
        return starts

    @cached_property
    def combined(self) -> frozenset[str]:
        """The definitions that are a part of another schema for the same value, which may have more properties."""
        return frozenset(
            name
            for each in self.visited
            if (name := reference_name(each.schema)) is not None
            and (each.outer is not None or len(each.schema) > 1)
        )

    def target(self, schema: Mapping[str, Json]) -> tuple[str, Schema] | None:
        """Return the name and the schema of the definition that a schema refers to."""
        name = reference_name(schema)
        known = self.protocol.definitions
        return None if name is None or name not in known else (name, known[name])

    def issue(self, path: Tokens, message: str) -> Issue:
        """Return an issue at a path, with file, line and the pointer there; the nearest location that the file has."""
        location = Location(self.document, path)
        if path[:1] == ("$defs",) and len(path) > 1 and path[1] in self.protocol.origins:
            location = self.protocol.origins[path[1]].below(path[2:])
        existing = location.path
        while True:
            try:
                find(location.document.value, existing)
            except KeyError:
                existing = existing[:-1]
            else:
                return location.document.issue(existing, message)
