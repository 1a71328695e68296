"""Nested unions: a value is validated only with the alternatives that its first level may match.

pydantic tries every alternative of a union with everything that the value holds. Where a type contains itself through
unions, that is exponential: a hundred bytes would take hours. Here, an alternative is skipped if one of its properties is missing
or has another type. If several alternatives remain, a validation budget bounds the number of attempts.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from pydantic_core import CoreSchema, SchemaValidator, to_json

from .exact import CHOICE
from .pydantic_internals import (
    INNER_KEYS,
    JSON_TYPES,
    OPAQUE_KEYS,
    Schema,
    choices_of,
    definitions_of,
    is_closed,
    unshared_validator,
)

__all__ = ["Attempts", "TooManyAttempts", "route"]

Properties = dict[str, object]
_Predicate = Callable[[Properties], bool]

_ALL: Final = f"{CHOICE}all"
_TYPES: Final[Mapping[type, str]] = {
    bool: "boolean", dict: "object", float: "number", int: "number", list: "array", str: "string", type(None): "null"
}  # fmt: skip
_ALL_TYPES: Final = frozenset(_TYPES.values())
_REQUIRED: Final = frozenset(
    {*JSON_TYPES, "definition-ref", "json-or-python", "literal", "nullable", "union"}
)
_EXPLAINED: Final = 8  # unions without a matching alternative that are explained in full
_BUDGET: Final = 250_000  # bytes of JSON that unions may validate for a small value
_LEVELS: Final = 32  # how many nested unions may validate all of a large value

_Field = tuple[bool, frozenset[str], frozenset[object] | None]
"""Of a property: whether it is required, the JSON types of its values, and its constants, if it has only these."""


class TooManyAttempts(Exception):
    """A value may match several alternatives at too many locations: the validation budget is spent."""


class Attempts(threading.local):
    """The validation budget of the value that this thread reads."""

    explained = 0
    budget = 0

    def begin(self, size: int) -> None:
        """Set the budget for another value, by its size in bytes."""
        self.explained, self.budget = _EXPLAINED, _BUDGET + _LEVELS * size


def route(schema: CoreSchema, attempts: Attempts) -> SchemaValidator | None:
    """Return a validator that accepts the same values, and tries few alternatives; None if the schema needs none."""
    root = cast(Schema, schema)
    _, definitions = definitions_of(root)
    if not definitions:
        return None  # the type is not recursive
    router = _Router(definitions, attempts)
    routed = router.copy(root)
    if not router.routed:
        return None
    return unshared_validator(cast(CoreSchema, routed))


class _Router:
    def __init__(self, definitions: Mapping[str, Schema], attempts: Attempts) -> None:
        self._definitions = definitions
        self._attempts = attempts
        # By reference: the same classes are choices of many unions of a large protocol.
        self._types_of: dict[str, frozenset[str]] = {}
        self._predicate_of: dict[str, _Predicate | None] = {}
        self.routed = False

    def copy(self, part: Any) -> Any:  # noqa: ANN401 # part of a schema
        if isinstance(part, list | tuple):
            items = [self.copy(each) for each in cast(Sequence[object], part)]
            return items if isinstance(part, list) else tuple(items)
        if not isinstance(part, dict):
            return part
        parts = cast(Schema, part)
        made = {
            name: each if name in OPAQUE_KEYS else self.copy(each) for name, each in parts.items()
        }
        return self._union(parts, made) if parts.get("type") == "union" else made

    def _union(self, union: Schema, made: Schema) -> Schema:
        choices, copies = choices_of(union), choices_of(made)
        types = [self._types(choice) for choice in choices]
        if all(sum(name in each for each in types) < 2 for name in ("array", "object")):
            return made
        self.routed = True
        ref = {"ref": made.pop("ref")} if "ref" in made else {}
        by_label = {f"{CHOICE}{index}": each for index, each in enumerate(copies)}
        alternatives = [
            _Alternative(label, each, self._predicate(choice))
            for label, each, choice in zip(by_label, types, choices, strict=True)
        ]
        return {
            "type": "tagged-union",
            "choices": {**by_label, _ALL: made},
            "discriminator": _discriminator(alternatives, self._attempts),
            **ref,
        }

    def _types(self, schema: Schema, seen: frozenset[str] = frozenset()) -> frozenset[str]:
        """Return the types of the JSON values that a schema may accept."""
        kind = schema["type"]
        if kind in JSON_TYPES:
            return frozenset({JSON_TYPES[kind]})
        if kind in INNER_KEYS:
            return self._types(schema[INNER_KEYS[kind]], seen)
        if kind == "nullable":
            return self._types(schema["schema"], seen) | {"null"}
        if kind == "union":
            if schema.get("custom_error_type") == "expected":
                return frozenset({"number"})
            return frozenset[str]().union(*(self._types(each, seen) for each in choices_of(schema)))
        if kind == "definition-ref" and schema["schema_ref"] not in seen:
            name = schema["schema_ref"]
            if seen or name not in self._types_of:
                types = self._types(self._definitions[name], seen | {name})
                if seen:
                    return types  # perhaps not all: a definition that is being looked at counts as any type
                self._types_of[name] = types
            return self._types_of[name]
        values = self._constants(schema)
        return _ALL_TYPES if values is None else frozenset(_TYPES.get(type(v), "") for v in values)

    def _constants(self, schema: Schema) -> list[object] | None:
        while schema["type"] in INNER_KEYS:
            schema = schema[INNER_KEYS[schema["type"]]]
        if schema["type"] == "function-wrap" and schema["schema"]["type"] == "literal":
            schema = schema["schema"]
        return schema["expected"] if schema["type"] == "literal" else None

    def _predicate(self, choice: Schema) -> _Predicate | None:
        """Return a function that returns whether a choice may accept an object, by the types of its properties."""
        if choice["type"] != "definition-ref":
            return self._make_predicate(choice)
        name = choice["schema_ref"]
        if name not in self._predicate_of:
            self._predicate_of[name] = self._make_predicate(choice)
        return self._predicate_of[name]

    def _make_predicate(self, choice: Schema) -> _Predicate | None:
        model = choice
        while model["type"] in {"definition-ref", *INNER_KEYS}:
            inner = INNER_KEYS.get(model["type"])
            model = model[inner] if inner else self._definitions[model["schema_ref"]]
        if model["type"] != "model" or model["schema"]["type"] != "model-fields":
            return None
        fields: dict[str, _Field] = {}
        for name, field in model["schema"]["fields"].items():
            alias, schema = field.get("validation_alias", name), field["schema"]
            if not isinstance(alias, str):
                return None
            constants = self._constants(schema)
            only = (
                None if constants is None else frozenset((type(each), each) for each in constants)
            )
            fields[alias] = (schema["type"] in _REQUIRED, self._types(schema), only)
        closed = is_closed(model)
        return lambda properties: _may_match(properties, fields, closed=closed)


def _may_match(properties: Properties, fields: Mapping[str, _Field], *, closed: bool) -> bool:
    if closed and not properties.keys() <= fields.keys():
        return False
    for name, (required, types, constants) in fields.items():
        if name in properties:
            value_type = type(properties[name])
            if _TYPES[value_type] not in types:
                return False
            # 1.0 equals the constant 1: the validator decides.
            is_exact = value_type is not float
            if constants and is_exact and (value_type, properties[name]) not in constants:
                return False
        elif required:
            return False
    return True


class _Alternative(NamedTuple):
    label: str
    types: frozenset[str]
    predicate: _Predicate | None

    def may_match(self, value: object, json_type: str) -> bool:
        """Return whether the alternative may accept a value, by its type and the types of its properties."""
        if json_type not in self.types:
            return False
        if self.predicate is None or json_type != "object":
            return True
        return self.predicate(cast(Properties, value))


def _discriminator(
    alternatives: Sequence[_Alternative], attempts: Attempts
) -> Callable[[Any], str]:
    def choose(value: object) -> str:
        # pydantic has made Python objects of the value for this call: its size is what the call costs.
        attempts.budget -= len(to_json(value))
        if attempts.budget < 0:
            raise TooManyAttempts
        json_type = _TYPES[type(value)]
        likely = [each.label for each in alternatives if each.may_match(value, json_type)]
        if len(likely) == 1:
            return likely[0]
        if likely:
            return _ALL
        attempts.explained -= 1
        of_type = [each.label for each in alternatives if json_type in each.types]
        return _ALL if attempts.explained >= 0 or not of_type else of_type[0]

    return choose
