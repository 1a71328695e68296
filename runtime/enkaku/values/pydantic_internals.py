"""What this library assumes of pydantic beyond its documented interface.

An exact meaning takes more than pydantic documents: the schemas that it makes of annotations are rewritten, unions are
routed, values are copied field by field. A minor version of pydantic may change any of that. So each assumption has its
name in this module, no other module names a private attribute or parameter of pydantic's, and each is tested by
tests/runtime/test_pydantic_internals.py:

* **Schemas.** Which keys of a core schema hold other schemas, what a model, a union and a recursive type look like, and
  that what ``__get_pydantic_core_schema__`` changes in place is what pydantic then uses.
* **Attributes and parameters.** Where a class keeps its codec and an instance its fields, how a validator is built
  without those of its classes, and what pydantic passes to ``model_rebuild``.
* **Errors.** What the context of each error holds, by its type, and that the label of a choice is a step of its place.
* **JSON.** How deep a text may be nested, how long a number may be, and what is written for a lone surrogate.

Some of it could fail without a sign: values would be accepted that their schema rejects, or lose a property. That is
checked in each program. Importing ``enkaku`` checks what hand-made schemas can show (``AT_IMPORT``). The first class
that is built checks what pydantic makes of one (``AT_FIRST_CLASS``): at import, this would load what builds classes.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeGuard, cast

from pydantic import VERSION, BaseModel, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, SchemaSerializer, SchemaValidator, core_schema

from enkaku.errors import IncompatibleRuntime

__all__ = [
    "CHILDREN_KEYS",
    "CHILD_KEYS",
    "CONFIG_KEYS",
    "DIGITS_MAX",
    "EXTRA",
    "FIELDS_KEYS",
    "FIELDS_SET",
    "FIELD_KEYS",
    "INNER_KEYS",
    "JSON_TYPES",
    "KEEP_NAMES",
    "LENGTH_KEYS",
    "MODEL_KEYS",
    "NEVER_NULL",
    "NUMBER_OUT_OF_RANGE",
    "OPAQUE_KEYS",
    "REPLACEMENT",
    "SILENT_KEYS",
    "TOO_DEEP",
    "Codec",
    "ModelMetaclass",
    "Schema",
    "address_class",
    "caller_names",
    "choices_of",
    "codec_of",
    "definitions_of",
    "explains_itself",
    "extra_of",
    "fields_of",
    "is_closed",
    "is_complete",
    "is_open",
    "is_root_model",
    "rebuild",
    "replace_extra",
    "require_internals",
    "require_schemas",
    "unshared_validator",
]

if TYPE_CHECKING:
    # A type checker takes nothing else for a metaclass.
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

OLDEST: Final = "2.14.2"
"""The oldest version that pyproject.toml allows."""

Schema = dict[str, Any]
"""A core schema, or a part of one, whose ``type`` says what it is."""

Codec = tuple[CoreSchema, SchemaValidator, SchemaSerializer]

# --- Schemas ---

CHILD_KEYS: Final = (
    "extras_schema",
    "items_schema",
    "json_schema",
    "lax_schema",
    "python_schema",
    "schema",
    "strict_schema",
    "values_schema",
)
"""The keys of a core schema under which another may be."""

CHILDREN_KEYS: Final = ("items_schema", "choices", "steps")
"""The keys under which a list of them may be."""

OPAQUE_KEYS: Final = frozenset({"config", "default", "expected", "metadata", "serialization"})
"""The keys under which there is no schema, whatever it looks like."""

INNER_KEYS: Final = {
    "default": "schema",
    "function-after": "schema",
    "json-or-python": "json_schema",
}
"""Where schemas that only add something hold the schema for JSON, by type."""

NEVER_NULL: Final = frozenset(
    {"bool", "bytes", "dataclass", "date", "datetime", "decimal", "dict", "enum", "float", "int", "is-instance", "list", "model", "set", "str", "tagged-union", "time", "timedelta", "tuple", "typed-dict", "url", "uuid"}
)  # fmt: skip
"""The types of schemas that reject null."""

JSON_TYPES: Final[Mapping[str, str]] = {
    "bool": "boolean", "dataclass": "object", "dict": "object", "float": "number", "frozenset": "array",
    "int": "number", "list": "array", "model": "object", "model-fields": "object", "none": "null", "set": "array",
    "str": "string", "tagged-union": "object", "tuple": "array", "typed-dict": "object",
}  # fmt: skip
"""The type of the JSON values that a strict schema accepts, by its own type."""

LENGTH_KEYS: Final = frozenset({"max_length", "min_length"})
"""The keys that bound the length of a string, an array or an object."""

SILENT_KEYS: Final = frozenset({"fail_fast", "metadata", "ref", "strict", "type"})
"""The keys of any schema that change nothing about what it accepts or writes, in strict mode."""

# What a model may say. A model that says more is written by pydantic, which is slower.
MODEL_KEYS: Final = frozenset(
    {"cls", "config", "custom_init", "frozen", "generic_origin", "root_model", "schema"}
)
CONFIG_KEYS: Final = frozenset(
    {"allow_inf_nan", "extra_fields_behavior", "frozen", "ser_json_inf_nan", "serialize_by_alias", "strict", "title", "validate_by_alias", "validate_by_name"}
)  # fmt: skip
FIELDS_KEYS: Final = frozenset({"computed_fields", "extras_schema", "fields", "model_name"})
FIELD_KEYS: Final = frozenset(
    {"frozen", "schema", "serialization_alias", "serialization_exclude_if", "validation_alias"}
)


def is_root_model(form: object) -> TypeGuard[type[BaseModel]]:
    """Return whether a type is a ``RootModel``, without importing that: its import builds a class."""
    return isinstance(form, type) and issubclass(form, BaseModel) and form.__pydantic_root_model__


def definitions_of(root: Schema) -> tuple[Schema, dict[str, Schema]]:
    """Return the schema itself, and by their references those that refer to each other."""
    if root["type"] != "definitions":
        return root, {}
    return root["schema"], {each["ref"]: each for each in root["definitions"]}


def choices_of(union: Schema) -> list[Schema]:
    """Return the choices of a union, without their labels."""
    choices: Any = union["choices"]
    if isinstance(choices, dict):  # of a tagged union, some of which may be the labels of others
        return [each for each in cast(Schema, choices).values() if isinstance(each, dict)]
    return [each[0] if isinstance(each, tuple) else each for each in choices]


def fields_of(model: Schema) -> Schema | None:
    """Return the schema of a model's fields, within any validators of the whole model; None if it has none."""
    fields = model["schema"]
    while fields["type"] != "model-fields" and "schema" in fields:
        fields = fields["schema"]
    return fields if fields["type"] == "model-fields" else None


def is_open(model: Schema) -> bool:
    """Return whether a model keeps additional properties."""
    return bool(model.get("config", {}).get("extra_fields_behavior") == "allow")


def is_closed(model: Schema) -> bool:
    """Return whether a model rejects additional properties."""
    return bool(model.get("config", {}).get("extra_fields_behavior") == "forbid")


def address_class(schema: Schema) -> type | None:
    """Return the class of an IP address, which pydantic describes by functions; None for another type."""
    strict = schema.get("strict_schema", {}).get("python_schema", {})
    return strict["cls"] if strict.get("type") == "is-instance" else None


# --- Attributes and parameters ---

EXTRA: Final = "__pydantic_extra__"
"""The attribute of an instance that holds its additional properties, or None."""

FIELDS_SET: Final = "__pydantic_fields_set__"
"""The attribute of an instance that names the fields that were given. The fields themselves are in ``__dict__``."""

KEEP_NAMES: Final = {"__pydantic_reset_parent_namespace__": False}
"""The settings of a class statement that do not look for names in the frame of the caller."""

_DEPTH: Final = "_parent_namespace_depth"
_NAMES: Final = "_types_namespace"


def extra_of(value: BaseModel) -> dict[str, Any]:
    """Return the additional properties of an instance."""
    return value.__pydantic_extra__ or {}


def replace_extra(value: BaseModel, extra: Mapping[str, object], given: set[str]) -> None:
    """Give an instance, which may be frozen, other additional properties, and say which fields were given."""
    object.__setattr__(value, EXTRA, extra)
    object.__setattr__(value, FIELDS_SET, given)


def is_complete(model: type[BaseModel]) -> bool:
    """Return whether a class is built."""
    return model.__pydantic_complete__


def codec_of(model: type[BaseModel]) -> Codec:
    """Return what reads and writes instances of a class, which is built."""
    validator = cast(SchemaValidator, model.__pydantic_validator__)
    return model.__pydantic_core_schema__, validator, model.__pydantic_serializer__


def unshared_validator(schema: CoreSchema) -> SchemaValidator:
    """Build a validator of all of a schema; pydantic would take the classes in it as they are built already."""
    return SchemaValidator(schema, None, _use_prebuilt=False)


def caller_names(private: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the names that a class may refer to where its ``model_rebuild`` is called, which calls this.

    Args:
        private: The parameters that pydantic has for itself: how many frames up its caller is, or the names.
    """
    names: Mapping[str, Any] | None = private.get(_NAMES)
    depth: int = private.get(_DEPTH, 2)
    if names is not None or depth <= 0:
        return names
    frame = inspect.currentframe()
    for _ in range(depth):
        frame = None if frame is None else frame.f_back
    return None if frame is None else frame.f_locals


def rebuild(
    build: Callable[..., bool | None], names: Mapping[str, Any] | None, **settings: bool
) -> bool | None:
    """Call pydantic's ``model_rebuild`` of a class, which may refer to names."""
    return build(**settings, **{_NAMES: names})


# --- Errors ---

TOO_DEEP: Final = "recursion limit"
"""How the reason begins why a text is no JSON, where it is nested too deep."""

NUMBER_OUT_OF_RANGE: Final = "number out of range"
"""The same where a number has too many digits."""

_CONTEXTS: Final[Mapping[str, frozenset[str]]] = {
    "greater_than": frozenset({"gt"}),
    "greater_than_equal": frozenset({"ge"}),
    "less_than": frozenset({"lt"}),
    "less_than_equal": frozenset({"le"}),
    "literal_error": frozenset({"expected"}),
    "multiple_of": frozenset({"multiple_of"}),
    "string_pattern_mismatch": frozenset({"pattern"}),
    "string_too_long": frozenset({"max_length"}),
    "string_too_short": frozenset({"min_length"}),
    "too_long": frozenset({"field_type", "max_length"}),
    "too_short": frozenset({"field_type", "min_length"}),
    "union_tag_invalid": frozenset({"discriminator", "expected_tags"}),
    "union_tag_not_found": frozenset({"discriminator"}),
}


def explains_itself(kind: str, context: Mapping[str, object]) -> bool:
    """Return whether an error of this type says in its context what its explanation needs."""
    return context.keys() >= _CONTEXTS.get(kind, frozenset())


# --- JSON ---

DIGITS_MAX: Final = 4300
"""How many digits a number may have, to be read."""

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}".encode()
"""What is written, three times and without an error, for a lone surrogate in a property's name."""

# --- What each program checks ---


class Assumption(NamedTuple):
    """Something without which values would not be exact.

    Attributes:
        says: What is assumed, for the error.
        holds: Returns whether the installed version keeps to it; raises an error if not even that can be found out.
    """

    says: str
    holds: Callable[[], bool]


class _Instance:
    """What pydantic fills as it does an instance of a model."""

    __slots__ = (
        "__dict__",
        "__pydantic_extra__",
        "__pydantic_fields_set__",
        "__pydantic_private__",
    )


def _keeps_all_properties() -> bool:
    field = core_schema.model_field(
        core_schema.int_schema(), validation_alias="A", serialization_alias="A"
    )
    left_out = core_schema.model_field(
        core_schema.with_default_schema(core_schema.any_schema(), default=None),
        serialization_exclude_if=_is_none,
    )
    schema = core_schema.model_schema(
        _Instance,
        core_schema.model_fields_schema(
            {"a": field, "b": left_out}, extras_schema=core_schema.any_schema()
        ),
        config=core_schema.CoreConfig(
            extra_fields_behavior="allow", validate_by_alias=True, validate_by_name=True
        ),
    )
    text = b'{"A":1,"b":null,"a":2}'  # an additional property has the Python name of another
    value = unshared_validator(schema).validate_json(
        text, strict=True, by_alias=True, by_name=False
    )
    written = SchemaSerializer(schema).to_json(value, by_alias=True, exclude_unset=True)
    parts: list[object] = [vars(value), getattr(value, EXTRA), getattr(value, FIELDS_SET)]
    return parts == [{"a": 1, "b": None}, {"a": 2}, {"a", "b"}] and written == b'{"A":1,"a":2}'


def _is_none(value: object) -> bool:
    return value is None


def _passes_names() -> bool:
    defaults: Mapping[str, object] = cast(Any, BaseModel.model_rebuild).__func__.__kwdefaults__
    return defaults.get(_DEPTH) == 2 and _NAMES in defaults


AT_IMPORT: Final = (
    Assumption("that pydantic keeps every property", _keeps_all_properties),
    Assumption("how pydantic looks for names", _passes_names),
)


@cache
def _example() -> type[BaseModel]:
    """Build a class as generated code declares them."""

    class Example(BaseModel, extra="forbid"):
        number: int = Field(alias="Number", ge=0)
        choice: Literal[1] | str | None = None

        @classmethod
        def __get_pydantic_core_schema__(
            cls, source: type[BaseModel], handler: GetCoreSchemaHandler
        ) -> CoreSchema:
            schema = handler(source)
            fields = fields_of(cast(Schema, handler.resolve_ref_schema(schema)))
            if fields is not None:
                fields["fields"]["number"]["schema"]["le"] = 1
            return schema

    return Example


def _makes_known_schemas() -> bool:
    model, _ = definitions_of(cast(Schema, codec_of(_example())[0]))
    fields = fields_of(model)
    if model["type"] != "model" or not is_closed(model) or fields is None:
        return False
    number, choice = fields["fields"]["number"], fields["fields"]["choice"]
    default = choice["schema"]
    return (
        number["validation_alias"] == number["serialization_alias"] == "Number"
        and number["schema"]["type"] == "int"
        and number["schema"]["ge"] == 0
        and default["type"] == "default"
        and default["default"] is None
        and default["schema"]["type"] == "nullable"
        and default["schema"]["schema"]["type"] == "union"
        and [each["type"] for each in choices_of(default["schema"]["schema"])] == ["literal", "str"]
    )


def _uses_changed_schemas() -> bool:
    accepts = codec_of(_example())[1].isinstance_python
    return accepts({"Number": 1}) and not accepts({"Number": 2})


AT_FIRST_CLASS: Final = (
    Assumption("what pydantic makes of a class and its fields", _makes_known_schemas),
    Assumption("that pydantic uses a schema as it was changed", _uses_changed_schemas),
)


def require_internals(assumptions: tuple[Assumption, ...]) -> None:
    """Check assumptions.

    Raises:
        IncompatibleRuntime: The installed version of pydantic does not keep to one of them.
    """
    for each in assumptions:
        reason = None
        try:
            if each.holds():
                continue
        except Exception as error:  # noqa: BLE001 # of whatever kind: it is raised as the reason
            reason = error
        raise IncompatibleRuntime(
            f"enkaku does not work with pydantic {VERSION}, since it assumes {each.says}. "
            f"Install another version of either: {_remedy()}"
        ) from reason


def _remedy() -> str:
    older = _numbers(VERSION) < _numbers(OLDEST)
    return f"pip install 'pydantic>={OLDEST}" + ("'" if older else f",<{VERSION}'")


def _numbers(version: str) -> list[int]:
    return [int(each) for each in re.findall("[0-9]+", version)[:3]]


@cache
def require_schemas() -> None:
    """Check, once, what pydantic makes of classes.

    Raises:
        IncompatibleRuntime: The installed version makes something else of them.
    """
    require_internals(AT_FIRST_CLASS)


require_internals(AT_IMPORT)
