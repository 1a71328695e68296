"""Nested unions: alternatives are told apart by what a value shows at first sight.

pydantic tries every alternative of a union with everything that the value holds. Where a type contains itself through
unions, that is exponential: a hundred bytes would take hours. Here, an alternative whose properties are missing, or of another
type, is not tried; where several remain, the number of attempts is bounded.
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
    Node,
    choices_of,
    definitions_of,
    is_closed,
    unshared_validator,
)

__all__ = ["Attempts", "TooManyAttempts", "route"]

Members = dict[str, object]
_Judge = Callable[[Members], bool]

_ALL: Final = f"{CHOICE}all"
_KINDS: Final[Mapping[type, str]] = {
    bool: "boolean", dict: "object", float: "number", int: "number", list: "array", str: "string", type(None): "null"
}  # fmt: skip
_EVERY: Final = frozenset(_KINDS.values())
_REQUIRED: Final = frozenset(
    {*JSON_TYPES, "definition-ref", "json-or-python", "literal", "nullable", "union"}
)
_EXPLAINED: Final = 8  # unions none of whose alternatives fits that are explained in full
_LOOKED_AT: Final = 250_000  # bytes of JSON that unions may look at for a small value
_LEVELS: Final = 32  # how many unions in unions may look at all of a large value

_Field = tuple[bool, frozenset[str], frozenset[object] | None]
"""Of a member: whether it is required, the kinds of its values, and the constants that it may be."""


class TooManyAttempts(Exception):
    """A value could be several alternatives in too many places at once."""


class Attempts(threading.local):
    """What the unions of the value that this thread reads may still cost."""

    explained = 0
    looked_at = 0

    def begin(self, size: int) -> None:
        """Read another value, of so many bytes."""
        self.explained, self.looked_at = _EXPLAINED, _LOOKED_AT + _LEVELS * size


def route(schema: CoreSchema, attempts: Attempts) -> SchemaValidator | None:
    """Return a validator that accepts the same, and tries few alternatives; None where it would gain nothing."""
    root = cast(Node, schema)
    _, definitions = definitions_of(root)
    if not definitions:
        return None  # nothing holds itself
    router = _Router(definitions, attempts)
    routed = router.copy(root)
    if not router.routed:
        return None
    return unshared_validator(cast(CoreSchema, routed))


class _Router:
    def __init__(self, definitions: Mapping[str, Node], attempts: Attempts) -> None:
        self._definitions = definitions
        self._attempts = attempts
        self.routed = False

    def copy(self, node: Any) -> Any:  # noqa: ANN401 # part of a schema
        if isinstance(node, list | tuple):
            items = [self.copy(each) for each in cast(Sequence[object], node)]
            return items if isinstance(node, list) else tuple(items)
        if not isinstance(node, dict):
            return node
        parts = cast(Node, node)
        made = {
            name: each if name in OPAQUE_KEYS else self.copy(each) for name, each in parts.items()
        }
        return self._union(parts, made) if parts.get("type") == "union" else made

    def _union(self, union: Node, made: Node) -> Node:
        choices, copies = choices_of(union), choices_of(made)
        kinds = [self._kinds(choice) for choice in choices]
        if all(sum(kind in each for each in kinds) < 2 for kind in ("array", "object")):
            return made
        self.routed = True
        ref = {"ref": made.pop("ref")} if "ref" in made else {}
        by_label = {f"{CHOICE}{index}": each for index, each in enumerate(copies)}
        alternatives = [
            _Alternative(label, each, self._judge(choice))
            for label, each, choice in zip(by_label, kinds, choices, strict=True)
        ]
        return {
            "type": "tagged-union",
            "choices": {**by_label, _ALL: made},
            "discriminator": _discriminator(alternatives, self._attempts),
            **ref,
        }

    def _kinds(self, node: Node, seen: frozenset[str] = frozenset()) -> frozenset[str]:
        """Return the kinds of JSON values that a schema may accept."""
        kind = node["type"]
        if kind in JSON_TYPES:
            return frozenset({JSON_TYPES[kind]})
        if kind in INNER_KEYS:
            return self._kinds(node[INNER_KEYS[kind]], seen)
        if kind == "nullable":
            return self._kinds(node["schema"], seen) | {"null"}
        if kind == "union":
            if node.get("custom_error_type") == "expected":
                return frozenset({"number"})
            return frozenset[str]().union(*(self._kinds(each, seen) for each in choices_of(node)))
        if kind == "definition-ref" and node["schema_ref"] not in seen:
            name = node["schema_ref"]
            return self._kinds(self._definitions[name], seen | {name})
        values = self._constants(node)
        return _EVERY if values is None else frozenset(_KINDS.get(type(v), "") for v in values)

    def _constants(self, node: Node) -> list[object] | None:
        while node["type"] in INNER_KEYS:
            node = node[INNER_KEYS[node["type"]]]
        if node["type"] == "function-wrap" and node["schema"]["type"] == "literal":
            node = node["schema"]
        return node["expected"] if node["type"] == "literal" else None

    def _judge(self, choice: Node) -> _Judge | None:
        """Return what tells, without looking far into members, whether a choice may accept an object."""
        node = choice
        while node["type"] in {"definition-ref", *INNER_KEYS}:
            inner = INNER_KEYS.get(node["type"])
            node = node[inner] if inner else self._definitions[node["schema_ref"]]
        if node["type"] != "model" or node["schema"]["type"] != "model-fields":
            return None
        fields: dict[str, _Field] = {}
        for name, field in node["schema"]["fields"].items():
            alias, schema = field.get("validation_alias", name), field["schema"]
            if not isinstance(alias, str):
                return None
            constants = self._constants(schema)
            only = (
                None if constants is None else frozenset((type(each), each) for each in constants)
            )
            fields[alias] = (schema["type"] in _REQUIRED, self._kinds(schema), only)
        closed = is_closed(node)
        return lambda members: _looks_like(members, fields, closed=closed)


def _looks_like(members: Members, fields: Mapping[str, _Field], *, closed: bool) -> bool:
    if closed and not members.keys() <= fields.keys():
        return False
    for name, (required, kinds, constants) in fields.items():
        if name in members:
            kind = type(members[name])
            if _KINDS[kind] not in kinds:
                return False
            # 1.0 is 1
            if constants and kind is not float and (kind, members[name]) not in constants:
                return False
        elif required:
            return False
    return True


class _Alternative(NamedTuple):
    label: str
    kinds: frozenset[str]
    judge: _Judge | None

    def may_be(self, value: object, kind: str) -> bool:
        """Return whether a value of this kind is not refused at the first glance."""
        if kind not in self.kinds:
            return False
        return self.judge is None or kind != "object" or self.judge(cast(Members, value))


def _discriminator(
    alternatives: Sequence[_Alternative], attempts: Attempts
) -> Callable[[Any], str]:
    def tell(value: object) -> str:
        # It was made from the text just now: that is what costs.
        attempts.looked_at -= len(to_json(value))
        if attempts.looked_at < 0:
            raise TooManyAttempts
        kind = _KINDS[type(value)]
        likely = [each.label for each in alternatives if each.may_be(value, kind)]
        if len(likely) == 1:
            return likely[0]
        if likely:
            return _ALL
        attempts.explained -= 1
        of_kind = [each.label for each in alternatives if kind in each.kinds]
        return _ALL if attempts.explained >= 0 or not of_kind else of_kind[0]

    return tell
