"""Schemas of one version of a protocol: their texts for comparison, and the definitions that they need."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from jsonschema_rs import Draft202012Validator

from enkaku_codegen.json_values import Json, Schema, Tokens, as_json, exact_numbers, pointer
from enkaku_codegen.reading.bundle import without_annotations
from enkaku_codegen.reading.definition import Protocol
from enkaku_codegen.reading.dialects import DRAFT_2020_12
from enkaku_codegen.reading.options import STRING_KEYWORDS
from enkaku_codegen.reading.schemas import applied, rebuilt
from enkaku_codegen.reading.simple_schema import reference_name

from .strings import has_literal, with_patterns

__all__ = ["Schemas", "Unchanged", "Whole"]

_FALSY: Final[tuple[Json, ...]] = (None, False, 0, "")


@dataclass(frozen=True, eq=False)
class Whole:
    """A schema with all definitions that it needs, as the runtime enforces it.

    Attributes:
        schema: The schema.
        definitions: The definitions.
        dynamic: The schema as it was written, if it has a ``$dynamicRef``; else None.
        formats: Whether the runtime makes values of a type of some strings.
    """

    schema: Schema
    definitions: Mapping[str, Schema]
    dynamic: Schema | None
    formats: bool

    @cached_property
    def text(self) -> str:
        """A text that two schemas share only if they accept the same values, whatever their definitions are called."""
        if self.dynamic is not None:
            return _text(self.dynamic)
        names: dict[str, int] = {}
        texts = [_text(without_annotations(_numbered(self.schema, names)))]
        while len(texts) <= len(names):
            definition = self.definitions[[*names][len(texts) - 1]]
            texts.append(_text(without_annotations(_numbered(definition, names))))
        return "\n".join(texts)

    @cached_property
    def falsy(self) -> list[Json]:
        """The values that it accepts of those that TypeScript clients leave out: null, false, 0 and an empty string."""
        if self.dynamic is not None:
            return []
        whole: dict[str, Json] = {
            "allOf": [without_annotations(self.schema)],
            "$defs": {name: without_annotations(each) for name, each in self.definitions.items()},
        }
        validator = Draft202012Validator(exact_numbers(whole), validate_formats=False)
        return [each for each in _FALSY if validator.is_valid(each)]


class Schemas:
    """The schemas of a protocol.

    Args:
        protocol: The protocol.
    """

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._types = protocol.string_types
        self._definitions: dict[str, Schema] = {}
        self._references: dict[str, list[str]] = {}
        self._wholes: dict[str, Whole] = {}

    def whole(self, schema: Schema, dynamic: Schema | None = None) -> Whole:
        """Return a schema of the protocol with what it needs; the same for references to one definition."""
        name = reference_name(schema) if isinstance(schema, dict) and len(schema) == 1 else None
        if name is not None and dynamic is None and name in self._wholes:
            return self._wholes[name]
        found: dict[str, Schema] = {}
        waiting = _references(schema)
        while waiting:
            each = waiting.pop()
            if each not in found:
                found[each] = self._definition(each)
                waiting += self._references[each]
        formats = bool(self._types) and any(
            map(self._converts, [schema, *(self._protocol.definitions[each] for each in found)])
        )
        whole = Whole(with_patterns(schema, self._types), found, dynamic, formats)
        if name is not None and dynamic is None:
            self._wholes[name] = whole
        return whole

    def lists_strings(self, whole: Whole) -> bool:
        """Return whether a schema lists strings that look as if they had a format that this protocol selects."""
        return any(
            has_literal(each, self._types) for each in (whole.schema, *whole.definitions.values())
        )

    def _definition(self, name: str) -> Schema:
        if name not in self._definitions:
            schema = self._protocol.definitions[name]
            self._definitions[name] = with_patterns(schema, self._types)
            self._references[name] = _references(schema)
        return self._definitions[name]

    def _converts(self, schema: Schema) -> bool:
        """Return whether the runtime makes a value of another type of a string in a schema."""
        return any(
            (keyword, each.get(keyword)) in self._types
            for each in _parts(schema)
            for keyword in STRING_KEYWORDS
        )


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

    def holds(self, old: Schema, new: Schema) -> bool:
        """Return whether a schema is surely the same in both versions."""
        return (
            self._is_possible and _is_same(old, new) and self._changed.isdisjoint(_references(old))
        )


def _is_same(one: Schema | None, other: Schema | None) -> bool:
    if one is None or other is None:
        return False
    # Python has 1 == true, so that a difference proves something, and the opposite does not.
    return one == other and as_json(one) == as_json(other)


def _references(schema: Schema) -> list[str]:
    """Return the definitions that a schema refers to itself."""
    return [name for each in _parts(schema) if (name := reference_name(each)) is not None]


def _parts(schema: Schema) -> Iterator[dict[str, Json]]:
    """Yield a schema and all schemas in it."""
    waiting = [schema]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield each
            waiting += [below for _, below in applied(each, DRAFT_2020_12)]


def _numbered(schema: Schema, names: dict[str, int]) -> Schema:
    """Return a schema whose references are numbers, in the order in which names are met; add new ones."""
    if isinstance(schema, bool):
        return schema
    below = {
        path: _numbered(each, names)
        for path, each in sorted(applied(schema, DRAFT_2020_12), key=_path)
    }
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
