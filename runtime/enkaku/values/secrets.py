"""Secrets: values that no message, representation or log line shows.

A schema marks them by ``writeOnly: true`` or ``x-secret: true``; a type by ``Field(repr=False)``, or by either keyword in
``Field(json_schema_extra=...)``. A ``Problem`` at a secret, or within one, has the location of the secret and no value.

Types and schemas are searched along the location of the problem, through all alternatives: where one of them is secret, the
value is. Nothing is searched before there is a problem.
"""

import dataclasses
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import UnionType
from typing import (
    Annotated,
    Any,
    Final,
    ForwardRef,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from enkaku.errors import Problem

from .json_schema import Checked
from .pydantic_internals import is_root_model

__all__ = ["HIDDEN", "hide_secrets", "secret_fields"]

HIDDEN: Final = "secret value"
"""What a problem has found where the value is secret."""

_MARKS: Final = ("writeOnly", "x-secret")
_WITHIN: Final = "valid value"  # expected of a secret that has a problem within it

_SAME_LISTED: Final = ("allOf", "anyOf", "oneOf")
_SAME_ONE: Final = ("if", "then", "else", "not")
_SAME_NAMED: Final = ("dependentSchemas", "dependencies")
_BELOW_ONE: Final = (
    *("additionalItems", "contains", "items", "unevaluatedItems", "unevaluatedProperties"),
)


def secret_fields(model: type[BaseModel]) -> set[str]:
    """Return the names of the fields of a class whose values are secret."""
    return {name for name, field in model.model_fields.items() if _is_marked(field)}


def hide_secrets(
    problems: Iterable[Problem], type_form: object, checked: Checked[Any] | None
) -> tuple[Problem, ...]:
    """Return problems without the values of secrets, once each.

    Args:
        problems: The problems of a value.
        type_form: Its type.
        checked: Its JSON Schema, if there is one.
    """
    shown: dict[Problem, None] = {}
    for each in problems:
        steps = [_unescaped(step) for step in each.pointer.split("/")[1:]]
        depths = [_find(_Types(type_form), steps)]
        if checked is not None:
            depths.append(_find(_Schemas(checked), steps))
        found = [depth for depth in depths if depth is not None]
        shown[_hidden(each, min(found)) if found else each] = None
    return tuple(shown)


def _hidden(problem: Problem, depth: int) -> Problem:
    location = "/".join(problem.pointer.split("/")[: depth + 1])
    if location != problem.pointer:
        return Problem(location, _WITHIN, HIDDEN)
    return Problem(location, problem.expected, problem.found and HIDDEN)


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


class _Secret(Exception):  # no error: ends a search
    """A type or schema is secret."""


def _find(places: "_Types | _Schemas", steps: Sequence[str]) -> int | None:
    """Return how many steps lead to a secret, or None if there is none on the way."""
    depth = 0
    try:
        places.expand()
        for step in steps:
            depth += 1
            places.enter(step)
            places.expand()
    except _Secret:
        return depth
    return None


class _Types:
    """The types that a value at a location may have, each with the module that its names are of."""

    def __init__(self, type_form: object) -> None:
        self._types: list[tuple[object, str]] = [(type_form, "")]

    def expand(self) -> None:
        """Replace unions, aliases and annotated types by their parts.

        Raises:
            _Secret: One is secret.
        """
        seen: dict[int, object] = {}
        expanded: list[tuple[object, str]] = []
        waiting = self._types
        while waiting:
            form, module = waiting.pop()
            if id(form) in seen:
                continue
            seen[id(form)] = form
            parts = list(_parts(form, module))
            waiting += parts
            if not parts:
                expanded.append((form, module))
        self._types = expanded

    def enter(self, step: str) -> None:
        """Go to the types of an item or property.

        Raises:
            _Secret: It is an additional property of a class with secrets, such as the misspelt name of one.
        """
        self._types = [
            inner for form, module in self._types for inner in _below(form, module, step)
        ]


def _parts(form: object, module: str) -> Iterator[tuple[object, str]]:
    if isinstance(form, ForwardRef):
        form = form.__forward_arg__
    if isinstance(form, str):
        names = vars(sys.modules[module]) if module in sys.modules else {}
        with suppress(Exception):  # the name of a local class
            yield eval(form, names), module  # noqa: S307 # as pydantic evaluates it
    elif isinstance(form, FieldInfo):
        if _is_marked(form):
            raise _Secret
        yield form.annotation, module
    elif get_origin(form) is Annotated:
        if any(isinstance(each, FieldInfo) and _is_marked(each) for each in get_args(form)[1:]):
            raise _Secret
        yield get_args(form)[0], module
    elif get_origin(form) in {Union, UnionType}:
        yield from ((each, module) for each in get_args(form))
    elif is_root_model(form):
        yield form.model_fields["root"], form.__module__
    elif hasattr(form, "__value__"):  # a type alias
        yield cast(Any, form).__value__, form.__module__


def _is_marked(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return not field.repr or (
        isinstance(extra, dict) and _has_mark(cast(Mapping[str, object], extra))
    )


def _has_mark(schema: Mapping[str, object]) -> bool:
    return any(schema.get(mark) is True for mark in _MARKS)


def _below(form: object, module: str, step: str) -> Iterator[tuple[object, str]]:
    arguments = get_args(form)
    origin = get_origin(form)
    if isinstance(form, type) and issubclass(form, BaseModel):
        fields = form.model_fields
        named = [each for name, each in fields.items() if step in (each.alias, name)]
        if not named and any(map(_is_marked, fields.values())):
            raise _Secret
        yield from ((each, form.__module__) for each in named)
    elif isinstance(form, type) and hasattr(form, "__annotations__") and origin is None:
        owner: type[object] = form
        if dataclasses.is_dataclass(form) and any(
            each.name == step and not each.repr for each in dataclasses.fields(form)
        ):
            raise _Secret
        with suppress(Exception):  # a name in it is not defined
            yield get_type_hints(owner, include_extras=True).get(step, object), owner.__module__
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        yield from ((each, module) for each in arguments[1:])
    else:
        yield from ((each, module) for each in arguments)


class _Schemas:
    """The JSON Schemas that apply to a value at a location."""

    def __init__(self, checked: Checked[Any]) -> None:
        self._checked = checked
        self._schemas: list[object] = [checked.schema]

    def expand(self) -> None:
        """Add the schemas that apply at the same location.

        Raises:
            _Secret: One is secret.
        """
        seen: dict[int, Mapping[str, object]] = {}
        waiting = self._schemas
        while waiting:
            schema = waiting.pop()
            if not isinstance(schema, Mapping):
                continue
            each = cast(Mapping[str, object], schema)
            if id(each) in seen:
                continue
            if _has_mark(each):
                raise _Secret
            seen[id(each)] = each
            waiting += [self._resolve(each[key]) for key in ("$ref",) if key in each]
            waiting += [each[key] for key in _SAME_ONE if key in each]
            for key in _SAME_LISTED:
                waiting += _items(each.get(key))
            for key in _SAME_NAMED:
                waiting += _values(each.get(key))
        self._schemas = [*seen.values()]

    def enter(self, step: str) -> None:
        """Go to the schemas of an item or property."""
        below: list[object] = []
        for schema in self._schemas:
            each = cast(Mapping[str, object], schema)
            named = each.get("properties")
            if isinstance(named, Mapping) and step in named:
                below.append(cast(Mapping[str, object], named)[step])
            else:
                below.append(each.get("additionalProperties"))
            # All of them: a pattern of the schema could take long with a name that the peer has chosen.
            below += _values(each.get("patternProperties"))
            below += [each[key] for key in _BELOW_ONE if key in each]
            for key in ("items", "prefixItems"):
                below += _items(each.get(key))
        self._schemas = below

    def _resolve(self, reference: object) -> object:
        """Return the schema that a local reference leads to, or None."""
        steps = [_unescaped(step) for step in str(reference).split("/")[1:]]
        definitions = self._checked.definitions or {}
        found: object = self._checked.schema
        if steps[:1] == ["$defs"] and steps[1:2] and steps[1] in definitions:
            found, steps = definitions[steps[1]], steps[2:]
        for step in steps:
            if isinstance(found, Mapping):
                found = cast(Mapping[str, object], found).get(step)
            elif isinstance(found, list) and step.isdecimal():
                found = (cast(list[object], found)[int(step) :] or [None])[0]
            else:
                return None
        return found


def _items(value: object) -> Sequence[object]:
    return cast(list[object], value) if isinstance(value, list) else ()


def _values(value: object) -> Iterable[object]:
    return cast(Mapping[str, object], value).values() if isinstance(value, Mapping) else ()
