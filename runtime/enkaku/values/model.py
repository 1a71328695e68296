"""``Model``: the base class of generated models."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, PrivateAttr
from pydantic_core import CoreSchema
from typing_extensions import dataclass_transform

from .any_json import Writable
from .deep_types import build
from .exact import make_exact
from .pydantic_internals import ModelMetaclass, caller_names, is_complete, rebuild

__all__ = ["Model"]


@dataclass_transform(
    kw_only_default=True, frozen_default=True, field_specifiers=(Field, PrivateAttr)
)
class _Frozen(ModelMetaclass):
    """Tells type checkers that models are immutable; pydantic's own metaclass says that they are not."""


class Model(BaseModel, Writable, metaclass=_Frozen):
    """An object of a protocol: immutable, strict, with the JSON names as aliases.

    The constructor takes the Python names (``total_samples=``); the JSON names (``totalSamples``) are what
    crosses the wire, and only they are accepted there. Objects are open, as in JSON Schema, unless a
    class forbids further members: ``class Point(Model, extra="forbid")``.

    Annotations mean what JSON Schema means: ``float`` is any number, ``int`` any whole one, ``object`` any JSON
    value, and ``Literal[1]`` is not true. A member with the default None may be left out and is never null;
    one with the default ``ABSENT`` may be left out, and null where its type has None. Neither is written
    where it has its default; a member with any other default is written if it was given.
    """

    model_config = ConfigDict(
        allow_inf_nan=False,
        # A class costs a millisecond to build: a program that uses ten of five hundred pays for ten.
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

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return make_exact(handler(source), handler.resolve_ref_schema, own=True)

    @classmethod
    def model_rebuild(
        cls,
        *,
        force: bool = False,
        raise_errors: bool = True,
        **private: Any,  # noqa: ANN401 # what pydantic passes to itself
    ) -> bool | None:
        """Build what reads and writes objects of the class, which otherwise happens at the first use."""
        if is_complete(cls) and not force:
            return None
        # pydantic looks for names where it is called, and cannot from another thread.
        names = caller_names(private)

        def make() -> bool | None:
            build_class = super(Model, cls).model_rebuild
            return rebuild(build_class, names, force=force, raise_errors=raise_errors)

        return build(cls.__name__, make)
