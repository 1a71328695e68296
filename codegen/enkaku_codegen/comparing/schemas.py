"""Schemas of one version of a protocol: their texts for comparison, and which of them are surely unchanged."""

from collections.abc import Iterator
from functools import cached_property
from typing import Final

from jsonschema_rs import Draft202012Validator

from enkaku_codegen.containment.formats import with_patterns
from enkaku_codegen.containment.pair import Pair, Side, make_side
from enkaku_codegen.json_values import Json, Schema, Tokens, as_json, exact_numbers, pointer
from enkaku_codegen.reading.definition import Protocol
from enkaku_codegen.reading.dialects import DRAFT_2020_12
from enkaku_codegen.reading.schemas import applied, rebuilt
from enkaku_codegen.reading.simple_schema import reference_name

__all__ = ["Schemas", "Unchanged", "Whole"]

_FALSY: Final[tuple[Json, ...]] = (None, False, 0, "")


class Whole:
    """The schema of a slot, with all that it refers to.

    Args:
        schema: The schema.
        protocol: The version of the protocol.
        dynamic: The schema as it was written, if it has a ``$dynamicRef``.
    """

    def __init__(self, schema: Schema, protocol: Protocol, dynamic: Schema | None = None) -> None:
        self.protocol: Final = protocol
        self.schema: Final = schema if dynamic is None else dynamic
        self._is_dynamic = dynamic is not None

    @cached_property
    def text(self) -> str:
        """A text that two schemas share only if they accept the same values, whatever their definitions are called."""
        if self._is_dynamic:
            return _text(self.schema)
        names: dict[str, int] = {}
        texts = [_text(_numbered(self._side.schema, names))]
        while len(texts) <= len(names):
            definition = self._side.definitions[[*names][len(texts) - 1]]
            texts.append(_text(_numbered(definition, names)))
        return "\n".join(texts)

    @cached_property
    def falsy(self) -> list[Json]:
        """The values that it accepts of those that TypeScript clients leave out: null, false, 0 and an empty string."""
        if self._is_dynamic:
            return []
        document = with_patterns(Pair(self._side, self._side)).reader.document
        validator = Draft202012Validator(exact_numbers(document), validate_formats=False)
        return [each for each in _FALSY if validator.is_valid(each)]

    @cached_property
    def _side(self) -> Side:
        return make_side(self.schema, self.protocol.definitions, self.protocol.string_types)


class Schemas:
    """The schemas of one version, each made once.

    Args:
        protocol: The version of the protocol.
    """

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._definitions: dict[str, Whole] = {}

    def whole(self, schema: Schema, dynamic: Schema | None = None) -> Whole:
        """Return a schema with all that it refers to."""
        name = reference_name(schema) if isinstance(schema, dict) and len(schema) == 1 else None
        if name is None or dynamic is not None:
            return Whole(schema, self._protocol, dynamic)
        if name not in self._definitions:
            self._definitions[name] = Whole(schema, self._protocol)
        return self._definitions[name]


class Unchanged:
    """Finds schemas that are the same in both versions, with all that they refer to: most are, and need no comparison.

    Args:
        old: The old version.
        new: The new version.
    """

    def __init__(self, old: Protocol, new: Protocol) -> None:
        changed = {
            name
            for name in old.definitions.keys() | new.definitions.keys()
            if not _is_same(old.definitions.get(name), new.definitions.get(name))
        }
        users: dict[str, list[str]] = {}
        for name, schema in old.definitions.items() if changed else ():
            for each in _references(schema):
                users.setdefault(each, []).append(name)
        waiting = [*changed]
        while waiting:
            more = [each for each in users.get(waiting.pop(), ()) if each not in changed]
            changed.update(more)
            waiting += more
        self._changed: Final = changed
        self._is_possible: Final = old.string_types == new.string_types

    def holds(self, old: Schema | None, new: Schema | None) -> bool:
        """Return whether a schema is in both versions, and surely the same."""
        return (
            old is not None
            and self._is_possible
            and _is_same(old, new)
            and self._changed.isdisjoint(_references(old))
        )


def _is_same(one: Schema | None, other: Schema | None) -> bool:
    if one is None or other is None:
        return False
    # Python has 1 == true, so that a difference proves something, and the opposite does not.
    return one == other and as_json(one) == as_json(other)


def _references(schema: Schema) -> Iterator[str]:
    """Yield the definitions that a schema refers to itself."""
    waiting = [schema]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            name = reference_name(each)
            if name is not None:
                yield name
            waiting += [below for _, below in applied(each, DRAFT_2020_12)]


def _numbered(schema: Schema, names: dict[str, int]) -> Schema:
    """Return a schema whose references are numbers, in the order in which names are met; add new ones."""
    if isinstance(schema, bool):
        return schema
    parts = sorted(applied(schema, DRAFT_2020_12), key=_path)
    below = {path: _numbered(each, names) for path, each in parts}
    new = rebuilt(schema, DRAFT_2020_12, lambda path, _: below[path])
    name = reference_name(schema)
    if name is not None:
        new["$ref"] = "#" + pointer(("$defs", str(names.setdefault(name, len(names)))))
    return new


def _path(part: tuple[Tokens, Schema]) -> Tokens:
    return part[0]


def _text(value: Json) -> str:
    return as_json(_sorted(value))


def _sorted(value: Json) -> Json:
    match value:
        case dict():
            return {key: _sorted(value[key]) for key in sorted(value)}
        case list():
            return [_sorted(each) for each in value]
        case _:
            return value
