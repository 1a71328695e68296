"""Exact schemas: plain annotations get JSON Schema's meaning.

pydantic makes a core schema of an annotation. ``make_exact`` rewrites the parts to which pydantic gives another meaning:
numbers, any values, literals, bytes, types of formats, optional properties and unions. It keeps parts of other types as they are.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from operator import is_
from typing import Any, Final, Literal, cast

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from enkaku._json import EXACT_INTEGER_MAX

from .any_json import CONSTANTS, IS_EXACT, any_schema
from .base64_bytes import bytes_schema
from .digits import integer_of, lost_number
from .formats import format_schema
from .numbers import integer_schema, number_schema
from .problems import one_of
from .pydantic_internals import (
    CHILD_KEYS,
    CHILDREN_KEYS,
    NEVER_NULL,
    Schema,
    choices_of,
    fields_of,
    is_open,
    require_schemas,
)

__all__ = ["ABSENT", "ABSENT_IF", "CHOICE", "TAG", "Absent", "Exact", "make_exact", "reject_null"]


class Absent(Enum):
    """The type of ``ABSENT``: an enumeration with one member, so that type checkers narrow on ``is not ABSENT``.

    ``ABSENT`` is false, as None is. It is not a JSON value: it is neither read nor written.
    """

    ABSENT = ...  # not a JSON value: a serializer rejects it at a wrong location

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
"""The unset sentinel: the value of a property that an object does not have."""


CHOICE: Final = "\0choice "
"""The prefix of the labels of a union's choices, in pydantic's locations: no property has such a name."""

TAG: Final = "\0tag"
"""The step after the label of a tagged union's choice, which could be the name of a property."""

ABSENT_IF: Final = {
    default: cast(Callable[[Any], bool], partial(is_, default)) for default in (None, ABSENT)
}
"""The functions that return whether a property is not written, by its default."""

_ALIAS_FIRST: Final = "enkaku_alias_first"

Resolve = Callable[[CoreSchema], CoreSchema]

_BOUNDED: Final = frozenset({"dict", "list", "tuple"})
_EXACT_TYPES: Final = (str, int, bool, type(None))


class Exact:
    """Gives a type JSON Schema's meaning, in ``Annotated``."""

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return make_exact(handler(source), handler.resolve_ref_schema)


def make_exact(schema: CoreSchema, resolve: Resolve, *, own: bool = False) -> CoreSchema:
    """Rewrite a schema, in place if possible, and return it.

    Args:
        schema: The schema that pydantic made of an annotation.
        resolve: Returns the schema that a reference names.
        own: Whether it is the schema of a model itself. Models in other schemas are exact already.

    Raises:
        IncompatibleRuntime: The installed version of pydantic makes other schemas of annotations.
    """
    require_schemas()
    rewriter = _Rewriter(resolve)
    if own:
        rewriter.own_model(cast(Schema, resolve(schema)))
        return schema
    return cast(CoreSchema, rewriter.rewrite(cast(Schema, schema)))


class _Rewriter:
    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._seen: set[str] = set()

    def rewrite(self, schema: Schema) -> Schema:
        if schema.get("metadata", {}).get(IS_EXACT):
            return schema
        match schema["type"]:
            case "float":
                new = number_schema(schema)
            case "int":
                new = integer_schema(schema)
            case "any":
                new = any_schema(null=not schema.get("metadata", {}).get("not_null"))
            case "bytes":
                new = bytes_schema(schema)
            case "literal":
                new = _literal_schema(schema)
            case "definition-ref":
                self._definition(schema)
                return schema
            case "model":
                return schema
            case "function-after" if (
                "serialization" in schema and schema["schema"]["type"] == "bytes"
            ):
                return schema  # the program has a string of its own for these bytes
            case _:
                formatted = format_schema(schema)
                if formatted is None:
                    return self._children(schema)
                new = formatted
        return {**new, **{key: schema[key] for key in ("ref",) if key in schema}}

    def own_model(self, schema: Schema) -> None:
        while schema["type"] != "model" and "schema" in schema:
            schema = schema["schema"]  # validators of the whole model wrap it
        fields = fields_of(schema)
        if fields is not None:
            if is_open(schema):
                fields.setdefault("extras_schema", core_schema.any_schema())
            for field in fields["fields"].values():
                self._optional(field)
        self._children(schema)

    def _children(self, schema: Schema) -> Schema:
        if schema["type"] in _BOUNDED:
            # Stop at the first invalid item: a hostile list must not cost as many errors as items.
            schema["fail_fast"] = True
        for key in CHILD_KEYS:
            if isinstance(schema.get(key), dict):
                schema[key] = self.rewrite(schema[key])
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
            # ABSENT belongs to the property, not to its values: without it, no JSON is read as ABSENT.
            kept = [each for each in choices_of(schema) if each.get("cls") is not Absent]
            schema["choices"] = [(each, f"{CHOICE}{index}") for index, each in enumerate(kept)]
        return schema

    def _prefer_alias(self, union: Schema) -> None:
        """Look for the discriminator's alias, its name on the wire, before its Python name; pydantic does the reverse."""
        metadata = union.setdefault("metadata", {})
        if isinstance(union["discriminator"], list) and not metadata.get(_ALIAS_FIRST):
            metadata[_ALIAS_FIRST] = True
            union["discriminator"] = cast(list[object], union["discriminator"])[::-1]

    def _tagged(self, child: object) -> object:
        if not isinstance(child, dict):
            return child  # the label of another choice
        if cast(Schema, child).get("metadata", {}).get(IS_EXACT):
            return cast(Schema, child)
        choice = cast(CoreSchema, self.rewrite(cast(Schema, child)))
        return core_schema.union_schema(
            [(choice, TAG)], auto_collapse=False, mode="left_to_right", metadata={IS_EXACT: True}
        )

    def _item(self, child: object) -> object:
        if isinstance(child, tuple):
            choice, label = cast(tuple[Schema, str], child)
            return self.rewrite(choice), label
        return self.rewrite(cast(Schema, child)) if isinstance(child, dict) else child

    def _definition(self, reference: Schema) -> None:
        """Rewrite the schema that a reference names, in place, since other references name it too."""
        name = reference["schema_ref"]
        real = self._find(reference)
        if name in self._seen or real is None or real["type"] == "model":
            return
        self._seen.add(name)
        new = self.rewrite(dict(real))
        real.clear()
        real.update(new)

    def _find(self, reference: Schema) -> Schema | None:
        try:
            real = cast(Schema, self._resolve(cast(CoreSchema, reference)))
        except LookupError:
            return None  # recursive definition: the outer call rewrites it
        return None if real["type"] == "definition-ref" else real

    def _optional(self, field: Schema) -> None:
        """Rewrite an optional field: its default means that the property is absent, and is no JSON value."""
        outer = field
        while "schema" in outer and outer["type"] != "default":
            outer = outer["schema"]
        if outer["type"] != "default" or "default" not in outer:
            return
        default, inner = outer["default"], outer["schema"]
        if field.pop("frozen", False):
            # A constant: required where it is read. The constructor fills it in, as ``Model`` says.
            outer.clear()
            outer.update(inner)
            return
        if inner.get("metadata", {}).get("optional"):
            return
        if default is None:
            from_json, from_python = self._not_null(inner), inner
        elif default is ABSENT:
            from_json = self.rewrite(inner)
            from_python = core_schema.union_schema(
                [core_schema.is_instance_schema(Absent), cast(CoreSchema, from_json)],
                metadata={IS_EXACT: True},
            )
        else:
            return
        outer["schema"] = {
            "type": "json-or-python",
            "json_schema": from_json,
            "python_schema": from_python,
            "metadata": {"optional": True},
        }
        field.setdefault("serialization_exclude_if", ABSENT_IF[default])

    def _not_null(self, schema: Schema) -> Schema:
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
        # A validator after the schema: one before it would pass a Python value on, and no string would be a datetime.
        not_null = core_schema.no_info_after_validator_function(
            reject_null, cast(CoreSchema, schema)
        )
        return cast(Schema, not_null)


def reject_null(value: object) -> object:
    """Return a value that is not null."""
    if value is None:
        raise PydanticCustomError("expected", "any value except null")
    return value


def _literal_schema(schema: Schema) -> Mapping[str, Any]:
    """Return the schema of a Literal that accepts 1.0 for 1, and not true; strings are exact already."""
    expected: list[object] = schema["expected"]
    types = {type(each) for each in expected}
    if not types & {int, bool} or not types <= set(_EXACT_TYPES):
        return {**schema, "metadata": {IS_EXACT: True}}
    by_type = {(type(each), each): each for each in expected}
    alternatives = one_of(expected)

    def check(value: object, _: object) -> object:
        if isinstance(value, float) and value.is_integer():
            nearest = integer_of(value)
            if (int, nearest) in by_type or abs(nearest) >= EXACT_INTEGER_MAX:
                value = nearest if lost_number(value) is None else value
        if type(value) in _EXACT_TYPES and (type(value), value) in by_type:
            return by_type[type(value), value]
        raise PydanticCustomError("literal", "{expected}", {"expected": alternatives})

    return core_schema.no_info_wrap_validator_function(
        check,
        cast(CoreSchema, {"type": "literal", "expected": expected}),
        metadata={IS_EXACT: True, CONSTANTS: expected},
        serialization=core_schema.simple_ser_schema("any"),
    )
