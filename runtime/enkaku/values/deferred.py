"""Deferred class creation: pydantic completes the models of generated code at their first use.

pydantic takes a fifth of a millisecond for a class statement, even with ``defer_build``: it evaluates the annotations and
collects the fields. That is half a second for the two thousand classes of a large protocol, of which most programs use few.
Here, the statement creates a class that pydantic has not seen. The first use of the class runs pydantic's metaclass, and gives
it the existing class instead of a new one. From then on, the class is like any other model.

A use is a call, or reading an attribute that is not in ``_PLAIN``; subclasses read some. Annotations, ``isinstance`` and
``issubclass`` use nothing. Only classes that do nothing but declare properties are deferred.
"""

import threading
from abc import ABCMeta
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, cast

from . import model
from .annotations import evaluate_annotations
from .model import Frozen, WithConstants
from .pydantic_internals import KEEP_NAMES, ModelMetaclass

__all__ = ["Model"]

_PLAIN: Final = frozenset({"__class__", "__module__", "__mro__", "__name__", "__qualname__"})
"""The attributes that Python itself sets: reading them completes no class."""

_DECLARATION: Final = frozenset(
    {"__annotations__", "__doc__", "__firstlineno__", "__module__", "__qualname__", "__static_attributes__"}
)  # fmt: skip
"""What the namespace of a class has that only declares properties, besides their defaults."""

_PENDING: Final = "__enkaku_pending__"
"""The attribute of a deferred class that contains what completes it."""

_lock: Final = threading.RLock()


class _Pending(NamedTuple):
    model: type
    namespace: dict[str, object]
    settings: Mapping[str, Any]


class _Reusing(ABCMeta):
    """Returns an existing class when pydantic's metaclass creates one."""

    def __new__(
        cls, _: str, __: tuple[type, ...], namespace: dict[str, Any], **___: object
    ) -> Any:  # noqa: ANN401 # a class of another metaclass
        pending: _Pending = namespace.pop(_PENDING)
        for attribute, value in namespace.items():
            if attribute not in pending.namespace:
                type.__setattr__(pending.model, attribute, value)
        return pending.model


class _Using(type):
    """Completes a class at its first use."""

    def __init__(cls, *arguments: Any, **settings: Any) -> None:  # noqa: ANN401 # pydantic's
        if _pending(cls) is None:  # a subclass of a deferred class, which pydantic has created
            super().__init__(*arguments, **settings)
            _finish(cls)

    def __getattribute__(cls, name: str) -> Any:  # noqa: ANN401 # of any attribute
        if name not in _PLAIN:
            _complete(cls)
        return type.__getattribute__(cls, name)  # it is no instance of this class any more

    def __call__(cls, *arguments: Any, **properties: Any) -> Any:  # noqa: ANN401 # the model's
        _complete(cls)
        return type(cls).__call__(cls, *arguments, **properties)


class _Creating(type):
    """Creates a class that pydantic has not seen, if the class only declares properties."""

    __deferrable__: ClassVar[type | None] = (
        None  # of the classes that are deferred, if that is possible
    )

    def __new__(
        cls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        **settings: Any,  # noqa: ANN401 # pydantic's
    ) -> Any:  # noqa: ANN401 # a class of another metaclass
        if bases == (_Creating.__deferrable__,) and _only_declares(bases[0], namespace):
            return _defer(name, bases, namespace, settings)
        return super().__new__(cls, name, bases, namespace, **KEEP_NAMES, **settings)


# Type checkers would take a class statement for a model, since its base makes models.
_Completing: Final = type("_Completing", (Frozen, _Reusing), {})
if TYPE_CHECKING:
    _Creator = Frozen
else:
    _Creator = type("_Creator", (_Creating, Frozen), {})
# Subclasses of a deferred class are created by pydantic itself, which looks for names in the frame of its caller.
_Deferred: Final = type(
    "_Deferred", (_Using, WithConstants, _Creator), {"__new__": ModelMetaclass.__new__}
)


def _only_declares(base: type, namespace: Mapping[str, Any]) -> bool:
    """Return whether a class only declares properties, in its module, and none that its base has."""
    properties = cast(Mapping[str, object], namespace.get("__annotations__", {}))
    return (
        "." not in namespace["__qualname__"]
        and namespace.keys() <= _DECLARATION | properties.keys()
        and not any(each.startswith("_") or hasattr(base, each) for each in properties)
    )


def _defer(
    name: str, bases: tuple[type, ...], namespace: dict[str, Any], settings: Mapping[str, Any]
) -> type:
    namespace = dict(namespace)
    made: type = ABCMeta.__new__(_Deferred, name, bases, namespace, is_deferred=True)
    type.__setattr__(made, _PENDING, _Pending(made, namespace, settings))
    return made


def _pending(made: type) -> _Pending | None:
    """Return what completes a class; None if it is complete."""
    attributes: Mapping[str, object] = type.__getattribute__(made, "__dict__")
    return cast(_Pending | None, attributes.get(_PENDING))


def _complete(deferred: type) -> None:
    """Let pydantic complete a class, unless it is complete; other threads that use it wait."""
    with _lock:
        pending = _pending(deferred)
        if pending is None:
            return  # this thread completes it, or another one has
        type.__delattr__(deferred, _PENDING)
        namespace = {**pending.namespace, _PENDING: pending}
        arguments = (deferred.__name__, deferred.__bases__, namespace)
        try:
            evaluate_annotations(deferred)
            cast(Any, ModelMetaclass).__new__(
                _Completing, *arguments, **KEEP_NAMES, **pending.settings
            )
            cast(Any, Frozen).__init__(deferred, *arguments, **pending.settings)
        except BaseException:
            type.__setattr__(deferred, _PENDING, pending)  # so that the next use raises it again
            raise
        _finish(deferred)


def _finish(made: type) -> None:
    """Make a complete class like any other model, so that nothing checks its uses."""
    if type(made) is _Deferred:
        made.__class__ = cast(Any, Frozen)


class Model(model.Model, metaclass=_Creator):
    """The base class of generated models: ``enkaku.Model``, whose classes are completed at their first use."""

    def __init_subclass__(
        cls,
        *,
        is_deferred: bool = False,
        **settings: Any,  # noqa: ANN401 # what pydantic takes
    ) -> None:
        if not is_deferred:
            super().__init_subclass__(**settings)


def _is_possible() -> bool:
    """Return whether the installed version of pydantic completes a class that exists already."""
    namespace: dict[str, Any] = {"__module__": __name__, "__qualname__": "Example"}
    namespace |= {"__annotations__": {"first": "int", "other": "str"}, "other": ""}
    try:
        example = cast(type[model.Model], _defer("Example", (Model,), namespace, {"title": "A"}))
        _complete(example)
        types = {name: each.annotation for name, each in example.model_fields.items()}
        title = example.model_config.get("title")
    except Exception:  # noqa: BLE001 # of whatever kind: then pydantic creates all classes
        return False
    return types == {"first": int, "other": str} and title == "A"


if _is_possible():
    _Creating.__deferrable__ = Model
