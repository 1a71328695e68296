"""Places in a value: what a schema says of a property or an item, and which types it allows there.

It is for arguments of command lines, whose texts have no types. It need not be exact: the whole value is validated later.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from enkaku_codegen.json_values import Json, Schema, as_text, kind_of
from enkaku_codegen.reading.simple_schema import reference_name

__all__ = ["Places"]

_ALL: Final = frozenset({"array", "boolean", "null", "number", "object", "string"})
_DEEPEST: Final = 40  # references and alternatives in each other
_MOST: Final = (
    100_000  # schemas that are read: a server may describe itself by references that multiply
)


class Places:
    """Finds the schemas of places.

    Args:
        definitions: The schemas to which ``$ref`` leads: ``#/$defs/NAME``.

    Attributes:
        all_types: What ``types`` returns where every type is allowed. An integer is a number.
    """

    all_types = _ALL

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions
        self._read = 0

    def _stops(self, depth: int) -> bool:
        """Count a schema that is read; return whether it is one too many, of which nothing is said."""
        self._read += 1
        return depth > _DEEPEST or self._read > _MOST

    def target(self, schema: Mapping[str, Json]) -> Schema | None:
        """Return the schema to which the ``$ref`` of a schema leads; None if it has none."""
        name = reference_name(schema)
        return None if name is None else self._definitions.get(name, True)

    def types(self, schema: Schema, depth: int = 0) -> frozenset[str]:
        """Return the JSON types that a schema allows."""
        if isinstance(schema, bool) or self._stops(depth):
            return _ALL if schema else frozenset()
        found = _own_types(schema)
        for each in self._conjuncts(schema):
            found &= self.types(each, depth + 1)
        for alternatives in _unions(schema):
            found &= frozenset[str]().union(*(self.types(each, depth + 1) for each in alternatives))
        return found

    def constants(self, schema: Schema, depth: int = 0) -> frozenset[str]:
        """Return the strings that a schema has as constants, in any of its alternatives."""
        if isinstance(schema, bool) or self._stops(depth):
            return frozenset()
        found = {each for each in _values(schema) if isinstance(each, str)}
        inner = [*self._conjuncts(schema), *(each for some in _unions(schema) for each in some)]
        return frozenset(found).union(*(self.constants(each, depth + 1) for each in inner))

    def below(self, schema: Schema, token: str | int, value: Json, depth: int = 0) -> Schema:
        """Return the schema of a property, or of an item.

        Args:
            schema: The schema of the object or array.
            token: The name of the property, or the index of the item.
            value: What is known of the object; alternatives with other constants are left out.
            depth: How many schemas are around it.
        """
        if isinstance(schema, bool):
            return schema
        if self._stops(depth):
            return True
        if ("array" if isinstance(token, int) else "object") not in _own_types(schema):
            return False
        found = [_own(schema, token)]
        found += (self.below(each, token, value, depth + 1) for each in self._conjuncts(schema))
        for alternatives in _unions(schema):
            fitting = [each for each in alternatives if not self._differs(each, value)]
            found.append({"anyOf": [self.below(each, token, value, depth + 1) for each in fitting]})
        telling = [each for each in found if each is not True]
        return telling[0] if len(telling) == 1 else {"allOf": [*telling]}

    def _conjuncts(self, schema: Mapping[str, Json]) -> Iterator[Schema]:
        target = self.target(schema)
        if target is not None:
            yield target
        yield from _schemas(schema.get("allOf"))

    def _differs(self, schema: Schema, value: Json, depth: int = 0) -> bool:
        """Return whether an object has another constant than a schema demands."""
        if isinstance(schema, bool) or not isinstance(value, dict) or self._stops(depth):
            return schema is False
        properties = schema.get("properties")
        for name, inner in properties.items() if isinstance(properties, dict) else ():
            given = value.get(name)
            if isinstance(given, str | bool) and isinstance(inner, dict):
                constants = _values(inner)
                if constants and not any(given is each or given == each for each in constants):
                    return True
        return any(self._differs(each, value, depth + 1) for each in self._conjuncts(schema))


def _own_types(schema: Mapping[str, Json]) -> frozenset[str]:
    given = schema.get("type")
    names = given if isinstance(given, list) else [given]
    found = _ALL if given is None else frozenset(as_text(each) for each in names)
    if "integer" in found:
        found = (found - {"integer"}) | {"number"}
    constants = _values(schema)
    if constants:
        kinds = {kind_of(each) for each in constants}
        found &= frozenset("number" if each == "integer" else each for each in kinds)
    return found


def _values(schema: Mapping[str, Json]) -> list[Json]:
    """Return the constants that a schema names; none if it has neither ``const`` nor ``enum``."""
    if "const" in schema:
        return [schema["const"]]
    named = schema.get("enum")
    return named if isinstance(named, list) else []


def _schemas(value: Json) -> list[Schema]:
    return (
        [each for each in value if isinstance(each, dict | bool)] if isinstance(value, list) else []
    )


def _unions(schema: Mapping[str, Json]) -> Iterator[list[Schema]]:
    for key in ("anyOf", "oneOf"):
        if alternatives := _schemas(schema.get(key)):
            yield alternatives


def _own(schema: Mapping[str, Json], token: str | int) -> Schema:
    """Return what a schema itself says of a property or an item, without its alternatives and references."""
    if isinstance(token, int):
        first = _schemas(schema.get("prefixItems"))
        items = schema.get("items", True)
        if token < len(first):
            return first[token]
        return items if isinstance(items, dict | bool) else True
    properties, patterns = schema.get("properties"), schema.get("patternProperties")
    found: list[Schema] = []
    if isinstance(properties, dict) and token in properties:
        found = _schemas([properties[token]])
    for pattern, each in patterns.items() if isinstance(patterns, dict) else ():
        if _matches(pattern, token):
            found += _schemas([each])
    rest = _schemas([schema.get("additionalProperties", True)])
    if not found:
        return rest[0] if rest else True
    return found[0] if len(found) == 1 else {"allOf": [*found]}


def _matches(pattern: str, name: str) -> bool:
    # By the validator, whose patterns are those of ECMA 262, and are matched in limited time.
    from jsonschema_rs import Draft202012Validator, ValidationError  # noqa: PLC0415 # rarely needed

    from enkaku_codegen.reading.ecma262 import PatternError  # noqa: PLC0415 # as above
    from enkaku_codegen.reading.regexes import validator_pattern  # noqa: PLC0415 # as above

    try:
        schema = {"pattern": validator_pattern(pattern)}
        return Draft202012Validator(schema, validate_formats=False, offline=True).is_valid(name)
    except (PatternError, ValidationError, ValueError):
        return False
