"""What a reader demands of values beyond what the writer promises in the same words.

Most schemas of two versions are alike but for one place, and the rest may hold what is hard to decide: patterns,
``not``, definitions that refer to themselves. So a keyword is left out of the reader's schema where the writer's schema has it
at the same place: of values that the writer accepts, the rest accepts the same.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from enkaku_codegen.json_values import Json, Schema, identity, tokens
from enkaku_codegen.reading.bundle import needed_definitions
from enkaku_codegen.reading.simple_schema import as_dict, as_list

from .pair import Pair, Side
from .patterns import includes

__all__ = ["without_promised"]

_OBJECTS: Final = ("properties", "patternProperties", "additionalProperties")
_ARRAYS: Final = ("prefixItems", "items")
# What means something only together.
_GROUPS: Final = (("contains", "minContains", "maxContains"), ("if", "then", "else"))
_UNEVALUATED: Final = frozenset({"unevaluatedItems", "unevaluatedProperties"})
_LONGEST_CHAIN: Final = 20
_MOST_PAIRS: Final = 2_000


def without_promised(pair: Pair) -> Pair:
    """Return the pair with a reader that accepts, of the values that the writer accepts, those that it did."""
    difference = _Difference(pair)
    try:
        schema = difference.of(pair.writer.schema, pair.reader.schema)
    except RecursionError:  # a chain of hundreds of definitions
        return pair
    definitions = {**pair.reader.definitions, **difference.made}
    return replace(pair, reader=Side(schema, needed_definitions(schema, definitions)))


class _Difference:
    """Reduces the schemas of one reader.

    Attributes:
        made: New definitions: what is left of a definition of the reader where the writer has a certain schema.
    """

    def __init__(self, pair: Pair) -> None:
        self._writer = pair.writer.definitions
        self._reader = pair.reader.definitions
        self._alike = _alike(self._writer, self._reader)
        self._names: dict[tuple[int, int], str] = {}
        self.made: dict[str, Schema] = {}

    def of(self, writer: Schema, reader: Schema) -> Schema:
        """Return what is left of a schema of the reader for values that a schema of the writer accepts."""
        if writer is False or self._same(writer, reader):
            return True
        if isinstance(reader, dict) and reader.keys() == {"$ref"}:
            return self._referred(writer, reader)
        writer = _target(writer, self._writer)
        if not isinstance(reader, dict) or not isinstance(writer, dict):
            return reader
        return reader if reader.keys() & _UNEVALUATED else self._left(writer, reader)

    def _same(self, one: Json, other: Json) -> bool:
        """Return whether two schemas, or values of a keyword, say the same."""
        return identity(one) == identity(other) and _names_in(one) <= self._alike

    def _referred(self, writer: Schema, reader: dict[str, Json]) -> Schema:
        """Return what is left of a reference; definitions may refer to themselves, so what is left is one, too."""
        writer, target = _target(writer, self._writer), _target(reader, self._reader)
        key = id(writer), id(target)
        if key not in self._names:
            if len(self._names) >= _MOST_PAIRS:
                return reader
            name = f"({len(self._names)})"
            while name in self._reader:
                name = f"({name})"
            self._names[key] = name
            self.made[name] = self.of(writer, target)
        return {"$ref": f"#/$defs/{self._names[key]}"}

    def _left(self, writer: dict[str, Json], reader: dict[str, Json]) -> Schema:
        # As parts of schemas: the text of a reference alone does not say what its definition is.
        promised = {
            key
            for key in reader
            if key in writer and self._same({key: writer[key]}, {key: reader[key]})
        }
        for group in _GROUPS:
            if any(key in writer or key in reader for key in {*group} - promised):
                promised -= {*group}
        promised -= {*_OBJECTS, *_ARRAYS}
        left = {key: value for key, value in reader.items() if key not in promised}
        if _includes_pattern(left.get("pattern"), writer.get("pattern")):
            del left["pattern"]
        if "required" in left:
            names = as_list(writer.get("required"))
            left["required"] = [name for name in as_list(left["required"]) if name not in names]
        if "allOf" in left:
            parts = as_list(writer.get("allOf"))
            left["allOf"] = [
                each
                for each in as_list(left["allOf"])
                if not any(self._same(part, each) for part in parts)
            ]
        if "$ref" in left and "$ref" in writer:
            target = self.of({"$ref": writer["$ref"]}, {"$ref": left.pop("$ref")})
            left |= target if isinstance(target, dict) else {}
        for key in ("allOf", "required"):
            if left.get(key) == []:
                del left[key]
        self._reduce_objects(writer, left)
        self._reduce_arrays(writer, left)
        return left or True

    def _reduce_objects(self, writer: dict[str, Json], left: dict[str, Json]) -> None:
        """Reduce what is demanded of properties."""
        named, patterns = (as_dict(left.get(key)) for key in _OBJECTS[:2])
        given, given_patterns = (as_dict(writer.get(key)) for key in _OBJECTS[:2])
        rest = _schema(writer.get("additionalProperties", True))
        # Other patterns of the writer may match the name, too: what they promise is not used.
        other = True if given_patterns else rest
        named = {
            name: self.of(_schema(given[name]) if name in given else other, _schema(each))
            for name, each in named.items()
        }
        patterns = {
            pattern: self.of(_schema(given_patterns.get(pattern, True)), _schema(each))
            for pattern, each in patterns.items()
        }
        additional = _schema(left.pop("additionalProperties", True))
        if given.keys() <= named.keys() and given_patterns.keys() <= patterns.keys():
            additional = self.of(rest, additional)
        if additional is True:
            # Only next to additionalProperties, a name means something by itself.
            named = {name: each for name, each in named.items() if each is not True}
            patterns = {pattern: each for pattern, each in patterns.items() if each is not True}
        else:
            left["additionalProperties"] = additional
        for key, value in zip(_OBJECTS, (named, patterns), strict=False):
            left.pop(key, None)
            if value:
                left[key] = {**value}

    def _reduce_arrays(self, writer: dict[str, Json], left: dict[str, Json]) -> None:
        """Reduce what is demanded of items."""
        prefix, given = as_list(left.pop("prefixItems", [])), as_list(writer.get("prefixItems"))
        rest = _schema(writer.get("items", True))
        reduced = [
            self.of(_schema(given[index]) if index < len(given) else rest, _schema(each))
            for index, each in enumerate(prefix)
        ]
        items = _schema(left.pop("items", True))
        if len(given) <= len(prefix):
            items = self.of(rest, items)
        if items is not True:
            left["items"] = items
        if reduced and (items is not True or any(each is not True for each in reduced)):
            left["prefixItems"] = [*reduced]


def _includes_pattern(wider: Json, narrower: Json) -> bool:
    return isinstance(wider, str) and isinstance(narrower, str) and includes(wider, narrower)


def _alike(one: Mapping[str, Schema], other: Mapping[str, Schema]) -> frozenset[str]:
    """Return the names of the definitions that mean the same on both sides, with all that they refer to."""
    found = {
        name for name in one.keys() & other.keys() if identity(one[name]) == identity(other[name])
    }
    before = len(found) + 1
    while len(found) < before:
        before = len(found)
        found = {name for name in found if _names_in(one[name]) <= found}
    return frozenset(found)


def _names_in(value: Json) -> set[str]:
    """Return the names that a value refers to, if it consists of schemas; else some text may look like one."""
    match value:
        case dict():
            target = value.get("$ref")
            name = {_name(target)} if isinstance(target, str) else set[str]()
            return name.union(*map(_names_in, value.values()))
        case list():
            return set[str]().union(*map(_names_in, value))
        case _:
            return set()


def _name(target: str) -> str:
    return tokens(target.removeprefix("#/$defs"))[-1] if target.startswith("#/$defs/") else target


def _target(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Return the schema that a reference stands for, if it has no other keywords."""
    for _ in range(_LONGEST_CHAIN):
        if not isinstance(schema, dict) or schema.keys() != {"$ref"}:
            break
        schema = definitions.get(_name(str(schema["$ref"])), schema)
    return schema


def _schema(value: Json) -> Schema:
    return value if isinstance(value, bool | dict) else True
