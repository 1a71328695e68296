"""Nested unions: a value is validated only with the alternatives that its first level may match.

pydantic tries every alternative of a union with everything that the value holds. Where a type contains itself through
unions, that is exponential: a hundred bytes would take hours. Here, an alternative is skipped if one of its properties is missing
or has another type. If several alternatives remain, pydantic tries them within a small budget. A value that exceeds it is
read by ``memoized``, which validates no part of a value twice with the same type.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from marshal import dumps
from typing import Any, Final, NamedTuple, cast

from pydantic_core import CoreSchema, SchemaValidator

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

__all__ = ["Alternatives", "Attempts", "Routed", "Router", "TooManyAttempts", "costly", "route"]

Properties = dict[str, object]

_ALL: Final = f"{CHOICE}all"
_TYPES: Final[Mapping[type, str]] = {
    bool: "boolean", dict: "object", float: "number", int: "number", list: "array", str: "string", type(None): "null"
}  # fmt: skip
_ALL_TYPES: Final = frozenset(_TYPES.values())
_REQUIRED: Final = frozenset(
    {*JSON_TYPES, "definition-ref", "json-or-python", "literal", "nullable", "union"}
)
_EXPLAINED: Final = 8  # unions without a matching alternative that are explained in full
# What unions cost, in units of about 20 ns.
_BUDGET: Final = 10_000  # for a small value
_LEVELS: Final = (
    64  # for each byte of a larger one, so that many small objects may match several alternatives
)
_LARGE: Final = 900_000  # the most for the bytes of a large one: about 20 ms
_CHEAP: Final = 5_000  # for a value that does not end the slice of its message
_COPIED: Final = 100_000  # bytes of a value that are copied to measure its parts
_STRING: Final = 40  # bytes of a string of a larger one, for a unit
_PART: Final = 10  # another part of it, since it is measured by Python code
_CALL: Final = 20  # a choice
_COMPARED: Final = 15  # an alternative that is compared with the properties of an object
_TRIED: Final = 250  # an alternative that pydantic tries, besides others
_TRIED_FLAT: Final = (
    100  # the same for a value without arrays and objects, which can be wrong in few places
)


class TooManyAttempts(Exception):
    """A value may match several alternatives at too many locations: the budget is spent."""


class _Costly:
    """Whether values take long to read, so that no others are read in the same iteration of the event loop.

    Attributes:
        reads: How many values have taken long, in any thread.
    """

    def __init__(self) -> None:
        self.reads = 0


costly: Final = _Costly()


class Attempts(threading.local):
    """The budget of the value that this thread reads."""

    explained = 0
    budget = 0
    _copies = True

    def begin(self, size: int) -> None:
        """Set the budget for another value, by its size in bytes."""
        self.explained, self.budget = _EXPLAINED, _budget_for(size)
        self._copies = size <= _COPIED

    def spend(self, value: object, compared: int, tried: int) -> None:
        """Take from the budget what it costs to choose the alternatives of a value.

        Args:
            value: The value. pydantic has made a Python object of it.
            compared: How many alternatives were compared with its properties.
            tried: How many of them may accept it, so that pydantic validates it with each.

        Raises:
            TooManyAttempts: So much is not left.
        """
        # dumps() is the fastest measure of a structure, but copies long strings.
        cost = len(dumps(cast(Any, value))) if self._copies else _cost_of(value)
        self.budget -= _CALL + cost + compared * _COMPARED
        if tried > 1:
            self.budget -= ((_TRIED if _is_nested(value) else _TRIED_FLAT) + cost) * tried
        if self.budget < 0:
            raise TooManyAttempts

    def end(self, size: int) -> None:
        """Report a value that was costly."""
        if _budget_for(size) - self.budget > _CHEAP:
            costly.reads += 1


def _budget_for(size: int) -> int:
    return _BUDGET + min(_LEVELS * size, _LARGE)


def _is_nested(value: object) -> bool:
    """Return whether an array or object contains another, in which there may be unions."""
    inner: Iterable[object] = ()
    if isinstance(value, dict):
        inner = cast(Properties, value).values()
    elif isinstance(value, list):
        inner = cast(list[object], value)
    return any(type(each) in _CONTAINERS for each in inner)


def _cost_of(value: object) -> int:
    """Return about what pydantic takes to make a Python object of a value with long strings, and this to measure it."""
    if isinstance(value, str):
        return _PART + len(value) // _STRING
    if isinstance(value, dict):
        return _PART + sum(map(_cost_of, cast(Properties, value).values()))
    if isinstance(value, list):
        return _PART + sum(map(_cost_of, cast(list[object], value)))
    return _PART


class Routed(NamedTuple):
    """A schema whose unions try few alternatives.

    Attributes:
        validator: Accepts the same values as the schema, or raises TooManyAttempts.
        attempts: Its budget.
        definitions: Its definitions, by their references.
        router: What it was made by.
    """

    validator: SchemaValidator
    attempts: Attempts
    definitions: Mapping[str, Schema]
    router: "Router"


def route(schema: CoreSchema) -> Routed | None:
    """Return a schema that accepts the same values, and tries few alternatives; None if there is nothing to gain."""
    root = cast(Schema, schema)
    _, definitions = definitions_of(root)
    if not definitions:
        return None  # no class is used twice: neither recursive, nor in two alternatives
    router = Router(definitions, Attempts())
    routed = router.copy(root)
    if not router.ambiguous:
        return None
    validator = unshared_validator(cast(CoreSchema, routed))
    return Routed(validator, router.attempts, definitions_of(routed)[1], router)


class Router:
    """Makes unions try few alternatives.

    Args:
        definitions: The definitions of a schema.
        attempts: The budget of its unions.

    Attributes:
        ambiguous: The identities of the unions several of whose alternatives accept arrays, or objects.
    """

    def __init__(self, definitions: Mapping[str, Schema], attempts: Attempts) -> None:
        self.attempts: Final = attempts
        self._definitions = definitions
        # By reference: the same classes are choices of many unions of a large protocol.
        self._types_of: dict[str, frozenset[str]] = {}
        self._shape_of: dict[str, Shape | None] = {}
        self.ambiguous: Final[set[int]] = set()

    def copy(self, part: Any) -> Any:  # noqa: ANN401 # part of a schema
        """Return a copy of a part of the schema, in which unions try few alternatives."""
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
        choices = choices_of(union)
        types = [self._types(choice) for choice in choices]
        if all(sum(name in each for each in types) < 2 for name in ("array", "object")):
            return made
        alternatives = self.alternatives(choices)
        self.ambiguous.add(id(union))
        ref = {"ref": made.pop("ref")} if "ref" in made else {}
        by_label = dict(zip(alternatives.labels, choices_of(made), strict=True))
        return {
            "type": "tagged-union",
            "choices": {**by_label, _ALL: made},
            "discriminator": _discriminator(alternatives, self.attempts),
            **ref,
        }

    def alternatives(self, choices: Sequence[Schema]) -> "Alternatives":
        """Return what the choices of a union may accept."""
        return Alternatives(
            [
                _Alternative(index, self._types(choice), self._shape(choice))
                for index, choice in enumerate(choices)
            ]
        )

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
        if _is_literal(schema):
            schema = schema["schema"]
        return schema["expected"] if schema["type"] == "literal" else None

    def _shape(self, choice: Schema) -> "Shape | None":
        """Return what is known of the objects that a choice accepts; None if it is not a model."""
        if choice["type"] != "definition-ref":
            return self._make_shape(choice)
        name = choice["schema_ref"]
        if name not in self._shape_of:
            self._shape_of[name] = self._make_shape(choice)
        return self._shape_of[name]

    def _make_shape(self, choice: Schema) -> "Shape | None":
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
            required = schema["type"] in _REQUIRED or _is_literal(schema)
            fields[alias] = _Field(required, self._types(schema), only)
        return Shape(fields, closed=is_closed(model))


def _is_literal(schema: Schema) -> bool:
    """Return whether a schema is that of constants that are not all strings."""
    return bool(schema["type"] == "function-wrap" and schema["schema"]["type"] == "literal")


class _Field(NamedTuple):
    """A property: the JSON types of its values, and its constants with their types, if it has only these."""

    required: bool
    types: frozenset[str]
    constants: frozenset[tuple[type, object]] | None


class Shape:
    """What is known of the objects that a class accepts, by their properties."""

    def __init__(self, fields: Mapping[str, _Field], *, closed: bool) -> None:
        self.fields: Final = fields
        self._closed: Final = closed

    def may_match(self, properties: Properties) -> bool:
        """Return whether the class may accept an object, by the types of its properties."""
        if self._closed and not properties.keys() <= self.fields.keys():
            return False
        for name, (required, types, constants) in self.fields.items():
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
    number: int
    types: frozenset[str]
    shape: Shape | None

    def may_match(self, value: Properties) -> bool:
        """Return whether the alternative may accept an object, by the types of its properties."""
        return "object" in self.types and (self.shape is None or self.shape.may_match(value))


class Alternatives:
    """What the alternatives of a union may accept.

    Attributes:
        labels: Their names in pydantic's locations.
    """

    def __init__(self, alternatives: Sequence[_Alternative]) -> None:
        self.labels: Final = [f"{CHOICE}{each.number}" for each in alternatives]
        self._all: Final = alternatives
        self._key: Final = _most_constant(alternatives)
        self._by_constant: Final[dict[tuple[type, object], list[_Alternative]]] = {}
        self._others: Final[list[_Alternative]] = []
        self._of_type: Final = {
            each: [other.number for other in alternatives if name in other.types]
            for each, name in _TYPES.items()
        }
        self._index()

    def _index(self) -> None:
        """List the alternatives by the constants of one property, so that a wide union need not try all of them."""
        constants = [_constants_of(each, self._key) for each in self._all]
        for each in frozenset[tuple[type, object]]().union(*constants):
            self._by_constant[each] = []
        for alternative, own in zip(self._all, constants, strict=True):
            for each in own or self._by_constant:
                self._by_constant[each].append(alternative)
            if not own:
                self._others.append(alternative)

    def likely(self, value: object) -> tuple[list[int], int]:
        """Find the alternatives that may accept a value, by its first level.

        Returns:
            Their numbers, and how many alternatives were compared with the properties of an object.
        """
        if type(value) is not dict:
            return self._of_type[type(value)], 0
        properties, candidates = cast(Properties, value), self._all
        if self._by_constant:
            constant = properties.get(self._key, _NOTHING)
            if constant is _NOTHING:
                candidates = self._others
            elif type(constant) in _INDEXED:
                candidates = self._by_constant.get((type(constant), constant), self._others)
        likely = [each.number for each in candidates if each.may_match(properties)]
        return likely, len(candidates)

    def of_type(self, value: object) -> list[int]:
        """Return the numbers of the alternatives that accept values of a value's type; all numbers if there is none."""
        return self._of_type[type(value)] or [*range(len(self.labels))]


_NOTHING: Final = object()
_CONTAINERS: Final = frozenset({dict, list})
_INDEXED: Final = frozenset({bool, int, str})  # 1.0 equals the constant 1: the validator decides


def _most_constant(alternatives: Sequence[_Alternative]) -> str:
    """Return the property that is a constant in most alternatives."""
    counts = Counter(
        name
        for each in alternatives
        if each.shape is not None
        for name in each.shape.fields
        if _constants_of(each, name)
    )
    return max(counts, key=counts.__getitem__, default="")


def _constants_of(alternative: _Alternative, name: str) -> frozenset[tuple[type, object]]:
    """Return the constants that a property must be one of; none if it may be absent, or another value."""
    if alternative.shape is None or name not in alternative.shape.fields:
        return frozenset()
    field = alternative.shape.fields[name]
    return (field.required and field.constants) or frozenset()


def _discriminator(alternatives: Alternatives, attempts: Attempts) -> Callable[[Any], str]:
    labels = alternatives.labels

    def choose(value: object) -> str:
        chosen, compared = alternatives.likely(value)
        if len(chosen) == 1 and type(value) not in _CONTAINERS:
            return labels[chosen[0]]
        if not chosen:
            attempts.explained -= 1
            chosen = alternatives.of_type(value)
            if attempts.explained < 0:
                chosen = chosen[:1]
        attempts.spend(value, compared, len(chosen))
        return labels[chosen[0]] if len(chosen) == 1 else _ALL

    return choose
