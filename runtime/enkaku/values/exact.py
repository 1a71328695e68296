"""Plain annotations with JSON Schema's meaning: pydantic's schemas, rewritten where pydantic means something else.

What it does not know it leaves alone.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from operator import is_
from typing import Any, Final, Literal, cast

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from .any_json import CONSTANTS, DONE, any_schema
from .numbers import integer_schema, number_schema, whole_of
from .problems import one_of
from .pydantic_internals import (
    CHILD_KEYS,
    CHILDREN_KEYS,
    NEVER_NULL,
    Node,
    choices_of,
    fields_of,
    is_open,
    require_schemas,
)

__all__ = ["ABSENT", "ABSENT_IF", "CHOICE", "TAG", "Absent", "Exact", "make_exact"]


class Absent(Enum):
    """The type of ``ABSENT``; an enumeration of one, so that type checkers narrow on ``is not ABSENT``.

    ``ABSENT`` is false, as None is, and no JSON value: no text is read as it, and none is written for it.
    """

    ABSENT = ...  # what is no JSON: where it is misplaced, no writer takes it for its value

    def __repr__(self) -> str:
        return self.name

    def __bool__(self) -> Literal[False]:
        return False

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.is_instance_schema(cls)


ABSENT: Final = Absent.ABSENT
"""The value of a member that an object does not have."""


CHOICE: Final = "\0choice "
"""What the names of a union's choices begin with, in the places that pydantic tells: no member is called so."""

TAG: Final = "\0tag"
"""What follows the name of a tagged union's choice there, which could be that of a member."""

ABSENT_IF: Final = {
    default: cast(Callable[[Any], bool], partial(is_, default)) for default in (None, ABSENT)
}
"""What tells that a member is not written, by its default."""

_ALIAS_FIRST: Final = "enkaku_alias_first"

Resolve = Callable[[CoreSchema], CoreSchema]

_BOUNDED: Final = frozenset({"dict", "list", "tuple"})
_KINDS: Final = (str, int, bool, type(None))


class Exact:
    """In ``Annotated``: gives the type JSON Schema's meaning."""

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return make_exact(handler(source), handler.resolve_ref_schema)


def make_exact(schema: CoreSchema, resolve: Resolve, *, own: bool = False) -> CoreSchema:
    """Rewrite a schema in place, as far as it can be.

    Args:
        schema: What pydantic made of an annotation.
        resolve: Finds the schema that a reference names.
        own: Whether it is a model's own, and not that of a place where models are used: they have done it.

    Raises:
        IncompatibleRuntime: The installed version of pydantic makes something else of annotations.
    """
    require_schemas()
    walk = _Walk(resolve)
    if own:
        walk.own_model(cast(Node, resolve(schema)))
        return schema
    return cast(CoreSchema, walk.node(cast(Node, schema)))


class _Walk:
    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._seen: set[str] = set()

    def node(self, schema: Node) -> Node:
        if schema.get("metadata", {}).get(DONE):
            return schema
        match schema["type"]:
            case "float":
                new = number_schema(schema)
            case "int":
                new = integer_schema(schema)
            case "any":
                new = any_schema(null=not schema.get("metadata", {}).get("not_null"))
            case "literal":
                new = _literal_schema(schema)
            case "definition-ref":
                self._definition(schema)
                return schema
            case "model":
                return schema
            case _:
                return self._children(schema)
        return {**new, **{key: schema[key] for key in ("ref",) if key in schema}}

    def own_model(self, schema: Node) -> None:
        while schema["type"] != "model" and "schema" in schema:
            schema = schema["schema"]  # validators of the whole model stand around it
        fields = fields_of(schema)
        if fields is not None:
            if is_open(schema):
                fields.setdefault("extras_schema", core_schema.any_schema())
            for field in fields["fields"].values():
                self._optional(field)
        self._children(schema)

    def _children(self, schema: Node) -> Node:
        if schema["type"] in _BOUNDED:
            # One refused item is enough: a hostile list must not cost as many errors as items.
            schema["fail_fast"] = True
        for key in CHILD_KEYS:
            if isinstance(schema.get(key), dict):
                schema[key] = self.node(schema[key])
        for key in CHILDREN_KEYS:
            if isinstance(schema.get(key), list):
                schema[key] = [self._item(child) for child in schema[key]]
            elif isinstance(schema.get(key), dict) and schema["type"] == "tagged-union":
                schema[key] = {tag: self._tagged(child) for tag, child in schema[key].items()}
        if schema["type"] == "tagged-union":
            self._prefer_alias(schema)
        if isinstance(schema.get("fields"), dict):
            for field in schema["fields"].values():
                self._children(field)
        if schema["type"] == "union":
            # What may be absent is a field, not a value: no JSON is read as ABSENT, and it is never written.
            kept = [each for each in choices_of(schema) if each.get("cls") is not Absent]
            schema["choices"] = [(each, f"{CHOICE}{index}") for index, each in enumerate(kept)]
        return schema

    def _prefer_alias(self, union: Node) -> None:
        """Tell choices apart by the alias, which the wire has; pydantic looks for the Python name first."""
        metadata = union.setdefault("metadata", {})
        if isinstance(union["discriminator"], list) and not metadata.get(_ALIAS_FIRST):
            metadata[_ALIAS_FIRST] = True
            union["discriminator"] = cast(list[object], union["discriminator"])[::-1]

    def _tagged(self, child: object) -> object:
        if not isinstance(child, dict):
            return child  # the name of another choice
        if cast(Node, child).get("metadata", {}).get(DONE):
            return cast(Node, child)
        choice = cast(CoreSchema, self.node(cast(Node, child)))
        return core_schema.union_schema(
            [(choice, TAG)], auto_collapse=False, mode="left_to_right", metadata={DONE: True}
        )

    def _item(self, child: object) -> object:
        if isinstance(child, tuple):
            choice, label = cast(tuple[Node, str], child)
            return self.node(choice), label
        return self.node(cast(Node, child)) if isinstance(child, dict) else child

    def _definition(self, reference: Node) -> None:
        """Rewrite what an alias stands for, in place, since others refer to it too."""
        name = reference["schema_ref"]
        real = self._find(reference)
        if name in self._seen or real is None or real["type"] == "model":
            return
        self._seen.add(name)
        new = self.node(dict(real))
        real.clear()
        real.update(new)

    def _find(self, reference: Node) -> Node | None:
        try:
            real = cast(Node, self._resolve(cast(CoreSchema, reference)))
        except LookupError:
            return None  # it is being made; whoever began it comes by later
        return None if real["type"] == "definition-ref" else real

    def _optional(self, field: Node) -> None:
        """Give a field that may be left out its meaning: its default stands for that, and is no JSON value."""
        node = field
        while "schema" in node and node["type"] != "default":
            node = node["schema"]
        if node["type"] != "default" or "default" not in node:
            return
        default, inner = node["default"], node["schema"]
        if inner.get("metadata", {}).get("optional"):
            return
        if default is None:
            read, made = self._not_null(inner), inner
        elif default is ABSENT:
            read = self.node(inner)
            made = core_schema.union_schema(
                [core_schema.is_instance_schema(Absent), cast(CoreSchema, read)],
                metadata={DONE: True},
            )
        else:
            return
        node["schema"] = {
            "type": "json-or-python",
            "json_schema": read,
            "python_schema": made,
            "metadata": {"optional": True},
        }
        field.setdefault("serialization_exclude_if", ABSENT_IF[default])

    def _not_null(self, schema: Node) -> Node:
        match schema["type"]:
            case "nullable":
                return self._not_null(schema["schema"])
            case "union":
                choices = choices_of(schema)
                kept = [self._not_null(choice) for choice in choices if choice["type"] != "none"]
                return kept[0] if len(kept) == 1 else {**schema, "choices": kept}
            case "any":
                return {**schema, "metadata": {"not_null": True}}
            case "literal":
                return {**schema, "expected": [e for e in schema["expected"] if e is not None]}
            case "definition-ref":
                real = self._find(schema)
                if real is not None and real["type"] in NEVER_NULL:
                    return schema
            case _ if schema["type"] in NEVER_NULL:
                return schema
            case _:
                pass
        # Afterwards: what a function handed on would be read as Python's, where a text is no datetime.
        refuse = core_schema.no_info_after_validator_function(
            _refuse_null, cast(CoreSchema, schema)
        )
        return cast(Node, refuse)


def _refuse_null(value: object) -> object:
    if value is None:
        raise PydanticCustomError("expected", "any value but null")
    return value


def _literal_schema(schema: Node) -> Mapping[str, Any]:
    """Tell true from 1, and take 1.0 for 1; text alone is exact already."""
    expected: list[object] = schema["expected"]
    kinds = {type(each) for each in expected}
    if not kinds & {int, bool} or not kinds <= set(_KINDS):
        return {**schema, "metadata": {DONE: True}}
    by_kind = {(type(each), each): each for each in expected}
    words = one_of(expected)

    def check(value: object, _: object) -> object:
        if isinstance(value, float) and value.is_integer():
            value = whole_of(value)
        if type(value) in _KINDS and (type(value), value) in by_kind:
            return by_kind[type(value), value]
        raise PydanticCustomError("literal", "{expected}", {"expected": words})

    return core_schema.no_info_wrap_validator_function(
        check,
        cast(CoreSchema, {"type": "literal", "expected": expected}),
        metadata={DONE: True, CONSTANTS: expected},
        serialization=core_schema.simple_ser_schema("any"),
    )
