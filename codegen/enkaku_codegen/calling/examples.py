"""Examples of values, from their schemas: what ``enkaku call --template`` prints."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from enkaku_codegen.json_values import Json, Schema, as_json, is_number
from enkaku_codegen.reading.simple_schema import reference_name

if TYPE_CHECKING:
    from enkaku.values.slot import Slot

    from enkaku_codegen.reading.definition import Protocol

    from .untyped import Raw

__all__ = ["example"]

_DEEPEST: Final = 12
_MOST: Final = 10_000  # schemas that are read for one example
_FORMATS: Final[Mapping[str, str]] = {
    "date": "2030-01-31",
    "date-time": "2030-01-31T12:00:00Z",
    "duration": "PT1H",
    "email": "name@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "time": "12:00:00Z",
    "uri": "https://example.com/",
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
}


def example(protocol: "Protocol", schema: Schema, slot: "Slot[Raw]") -> Json:
    """Return a value that a slot accepts: with all properties, or with the required ones, or the best that was found."""
    from enkaku.errors import EncodeError  # noqa: PLC0415 # imported by now

    found: Json = None
    for whole in (True, False):
        found = _Maker(protocol.definitions, whole=whole).value(schema, 0)
        try:
            slot.encode(as_json(found).encode("utf-8", "backslashreplace"))
        except EncodeError as error:
            reason = error.reason
        else:
            return found
    print(f"the example does not fit its schema: {reason}", file=sys.stderr)
    return found


class _Maker:
    """Makes examples.

    Args:
        definitions: The definitions of the protocol.
        whole: Whether objects have the properties that are not required.
    """

    def __init__(self, definitions: Mapping[str, Schema], *, whole: bool) -> None:
        self._definitions = definitions
        self._whole = whole
        self._read = 0

    def value(self, schema: Schema, depth: int) -> Json:
        """Return an example of a schema."""
        self._read += 1
        if isinstance(schema, bool) or depth > _DEEPEST or self._read > _MOST:
            return None
        known = _named(schema)
        if known:
            return known[0]
        branches = self._branches(schema)
        parts = [self.value(each, depth + 1) for each in branches]
        if not branches or "type" in schema or "properties" in schema:
            parts.append(self._own(schema, depth))
        objects = [each for each in parts if isinstance(each, dict)]
        if objects:
            return {name: each for some in objects for name, each in some.items()}
        return parts[0]

    def _branches(self, schema: Mapping[str, Json]) -> list[Schema]:
        """Return the schemas that the value fits, too."""
        found: list[Schema] = []
        name = reference_name(schema)
        if name is not None:
            found.append(self._definitions.get(name, True))
        for key in ("allOf", "anyOf", "oneOf"):
            given = schema.get(key)
            if isinstance(given, list):
                schemas = [each for each in given if isinstance(each, dict | bool)]
                telling = [each for each in schemas if each != {"type": "null"}] or schemas
                found += telling if key == "allOf" else telling[:1]
        return found

    def _own(self, schema: Mapping[str, Json], depth: int) -> Json:
        given = schema.get("type", "object" if "properties" in schema else None)
        types = given if isinstance(given, list) else [given]
        match next((each for each in types if each != "null"), "null"):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return _string(schema)
            case "integer" | "number" as kind:
                return _number(schema, whole=kind == "integer")
            case "boolean":
                return True
            case _:
                return None

    def _object(self, schema: Mapping[str, Json], depth: int) -> Json:
        properties, required = schema.get("properties"), schema.get("required")
        names = [str(each) for each in required] if isinstance(required, list) else []
        known = properties if isinstance(properties, dict) else {}
        if self._whole and depth < _DEEPEST // 2:
            names = [*known, *(each for each in names if each not in known)]
        return {name: self._below(known.get(name, True), depth) for name in names}

    def _array(self, schema: Mapping[str, Json], depth: int) -> Json:
        first, items, least = (schema.get(key) for key in ("prefixItems", "items", "minItems"))
        found = [self._below(each, depth) for each in first] if isinstance(first, list) else []
        wanted = int(least) if is_number(least) else 0
        if items is not False and self._whole and depth < _DEEPEST // 2:
            wanted = max(wanted, 1)
        return found + [self._below(items, depth)] * min(wanted - len(found), 100)

    def _below(self, schema: Json, depth: int) -> Json:
        return self.value(schema, depth + 1) if isinstance(schema, dict) else None


def _named(schema: Mapping[str, Json]) -> list[Json]:
    """Return the values that a schema names itself, the best first."""
    examples, constants = schema.get("examples"), schema.get("enum")
    return [
        *(examples if isinstance(examples, list) else []),
        *(schema[key] for key in ("default", "const") if key in schema),
        *(constants if isinstance(constants, list) else []),
    ]


def _string(schema: Mapping[str, Json]) -> str:
    if schema.get("contentEncoding") == "base64":
        return "AAAA"
    text = _FORMATS.get(str(schema.get("format")), "text")
    least, most = schema.get("minLength"), schema.get("maxLength")
    if is_number(least):
        text = text.ljust(min(int(least), 1000), "x")
    return text[: int(most)] if is_number(most) else text


def _number(schema: Mapping[str, Json], *, whole: bool) -> Json:
    step = schema.get("multipleOf")
    unit = step if is_number(step) else 1
    low, above, high, below = (
        schema.get(key) for key in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
    )
    for bound, shift in ((low, 0), (above, unit), (high, 0), (below, -unit)):
        if is_number(bound):
            return bound + shift if shift else bound
    return unit if unit == int(unit) or not whole else 1
