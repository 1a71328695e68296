"""``Model``: the base class of generated models.

Its configuration and its schema give plain annotations the meaning that JSON Schema gives them.
"""

from collections.abc import Iterable
from typing import Any, Final, cast

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, PrivateAttr
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema
from typing_extensions import dataclass_transform

from .annotations import evaluate_annotations
from .any_json import JsonWritable
from .deep_types import build
from .exact import make_exact
from .pydantic_internals import ModelMetaclass, caller_names, extra_of, is_complete, rebuild
from .secrets import secret_fields

__all__ = ["Frozen", "Model", "WithConstants"]

_CONSTANTS: Final = "__enkaku_constants__"
"""The attribute of a class that has the values of its constants, by their Python names."""


@dataclass_transform(
    kw_only_default=True, frozen_default=True, field_specifiers=(Field, PrivateAttr)
)
class Frozen(ModelMetaclass):
    """Declares models as immutable for type checkers; pydantic's own metaclass declares them mutable."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:  # noqa: ANN401 # pydantic's
        # Not __new__: pydantic looks for names in the frame of its caller.
        super().__init__(*arguments, **settings)
        _, bases, namespace = cast(tuple[str, tuple[type, ...], dict[str, object]], arguments)
        constants: dict[str, object] = {}
        for base in reversed(bases):
            constants |= getattr(base, _CONSTANTS, {})
        annotated = cast(dict[str, object], namespace.get("__annotations__", {}))
        for each in {*annotated, *namespace}:
            constants.pop(each, None)
            field = namespace.get(each)
            if isinstance(field, FieldInfo) and field.frozen and not field.is_required():
                constants[each] = field.default
        setattr(self, _CONSTANTS, constants)
        if constants:
            self.__class__ = cast(Any, WithConstants)


def _construct(model: type[BaseModel], *positional: object, **properties: object) -> object:
    """Make an instance, with the constants that are not given."""
    if not is_complete(model):
        model.model_rebuild()  # the aliases of an incomplete class are not known
    fields = model.model_fields
    for name, value in cast(dict[str, object], getattr(model, _CONSTANTS)).items():
        if (fields[name].alias or name) not in properties:
            properties.setdefault(name, value)
    return type.__call__(model, *positional, **properties)


# The metaclass of models with constants, so that other models are made as fast as before. Type checkers would take a
# class statement for a model, since its base makes models.
WithConstants: Final = type("WithConstants", (Frozen,), {"__call__": _construct})


class Model(BaseModel, JsonWritable, metaclass=Frozen):
    """An object of a protocol: immutable, strict, with the JSON names as aliases.

    The constructor takes the Python names (``total_samples=``). On the wire, properties have the JSON names
    (``totalSamples``), and no others are accepted. A class accepts additional properties, as JSON Schema does,
    unless it forbids them: ``class Point(Model, extra="forbid")``.

    Annotations mean what JSON Schema means: ``float`` is any number, ``int`` any integer, ``object`` any JSON
    value, and ``Literal[1]`` does not accept true. A property with the default None is optional and never null.
    One with the default ``ABSENT`` is optional, and may be null if its type includes None. Neither is written
    while it has its default; a property with any other default is written if it was given.

    A constant is required: ``kind: Literal["circle"] = Field(default="circle", frozen=True)``. The constructor fills it
    in, and it is always written.
    """

    model_config = ConfigDict(
        allow_inf_nan=False,
        # Building a class takes a millisecond: a program that uses ten of five hundred builds ten.
        defer_build=True,
        extra="allow",
        frozen=True,
        protected_namespaces=(),
        ser_json_inf_nan="constants",
        serialize_by_alias=True,
        strict=True,
        validate_by_alias=True,
        validate_by_name=True,
    )

    # Not by the metaclass: pydantic looks for the names of local classes in the frame that calls it.
    def __init_subclass__(cls, **settings: Any) -> None:  # noqa: ANN401 # what pydantic takes
        super().__init_subclass__(**settings)
        evaluate_annotations(cls)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        if secret_fields(cls):
            cls.model_config["hide_input_in_errors"] = True  # pydantic reads it after this
        return make_exact(handler(source), handler.resolve_ref_schema, own=True)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Yield what the representation shows: not the secrets, nor additional properties next to one."""
        hidden = secret_fields(type(self))
        if hidden:
            hidden |= extra_of(self).keys()
        return (each for each in super().__repr_args__() if each[0] not in hidden)

    @classmethod
    def model_rebuild(
        cls,
        *,
        force: bool = False,
        raise_errors: bool = True,
        **private: Any,  # noqa: ANN401 # parameters that pydantic passes to itself
    ) -> bool | None:
        """Build the validator and the serializer of the class now, and not at the first use."""
        if is_complete(cls) and not force:
            return None
        # pydantic resolves names in the frame of its caller, which another thread does not have.
        names = caller_names(private)

        def make() -> bool | None:
            build_class = super(Model, cls).model_rebuild
            return rebuild(build_class, names, force=force, raise_errors=raise_errors)

        return build(cls.__name__, make)
