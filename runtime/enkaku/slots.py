"""Slots: values of a Python type, read from JSON text and written to it, checked both ways.

Above it: procedures, which have a slot for each thing that a call carries. Below it: pydantic.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final, Generic, TypeVar, cast

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError
from typing_extensions import TypeForm

from .errors import DecodeError, EncodeError, Problem
from .json_text import dump_json, load_json

__all__ = ["Slot"]

T = TypeVar("T")

# What a value's text may hold that needs a second look: numbers that JSON has not, and minus zero.
_SUSPECT: Final = re.compile(rb"NaN|Infinity|-0\.0")
# What pydantic writes, three times, for a lone surrogate in a name, without a word.
_REPLACED: Final = "\N{REPLACEMENT CHARACTER}".encode()
_FALSY: Final = (b"null", b"false", b"0", b'""')


class Slot(Generic[T]):
    """What one slot of a procedure carries: a Python type and its JSON form.

    Args:
        label: Procedure and slot, such as ``"math/divide param"``, for error messages.
        type_form: The type of the values: a model, or any annotation that pydantic understands.
    """

    def __init__(self, label: str, type_form: TypeForm[T]) -> None:
        self.label = label
        self.type_form = type_form

    def __repr__(self) -> str:
        return f"Slot({self.label!r}, {self.type_form!r})"

    @cached_property
    def _adapter(self) -> TypeAdapter[T]:
        # Built at the first use: most programs use few of a protocol's procedures.
        adapter = TypeAdapter(self.type_form, config=_config(self.type_form))
        adapter.rebuild(raise_errors=True)
        return adapter

    def decode(self, data: bytes) -> T:
        """Read a value from its JSON text.

        Raises:
            DecodeError: The text is not JSON, or the schema refuses the value.
        """
        try:
            return self._adapter.validate_json(data, strict=True, by_alias=True, by_name=False)
        except ValidationError as error:
            if error.errors(include_url=False)[0]["type"] != "json_invalid":
                raise DecodeError(self.label, _problems(error)) from None
            return self._decode_slowly(data, error)

    def _decode_slowly(self, data: bytes, refusal: ValidationError) -> T:
        # The fast reader refuses lone surrogates, which JSON allows as escapes (RFC 8259, 8.2).
        if rb"\u" not in data:
            raise DecodeError(self.label, _problems(refusal)) from None
        try:
            value = load_json(data)
            return self._adapter.validate_python(value, strict=True, by_alias=True, by_name=False)
        except ValidationError as error:
            raise DecodeError(self.label, _problems(error)) from None
        except (ValueError, RecursionError):
            raise DecodeError(self.label, _problems(refusal)) from None

    def encode(self, value: T) -> bytes:
        """Write a value as compact JSON, in UTF-8.

        Raises:
            EncodeError: The schema refuses the value, or JSON cannot express it.
        """
        adapter = self._adapter
        try:
            checked = adapter.validate_python(value, strict=True, by_alias=False, by_name=True)
        except ValidationError as error:
            raise EncodeError(self.label, _problems(error)) from None
        try:
            text = adapter.dump_json(checked, by_alias=True, exclude_unset=True)
            if _REPLACED in text:
                _check_names(adapter.dump_python(checked, by_alias=True, exclude_unset=True))
            return text if _SUSPECT.search(text) is None else _plain_numbers(text)
        except PydanticSerializationError:
            return self._encode_slowly(checked)
        except ValueError as error:
            raise EncodeError(self.label, (Problem("", str(error)),)) from None

    def _encode_slowly(self, checked: T) -> bytes:
        try:
            tree = self._adapter.dump_python(
                checked, mode="json", by_alias=True, exclude_unset=True
            )
            return dump_json(tree)
        except (PydanticSerializationError, ValueError, TypeError) as error:
            raise EncodeError(self.label, (Problem("", str(error)),)) from None

    @cached_property
    def _when_absent(self) -> tuple[T, ...]:
        values: list[T] = []
        for text in _FALSY:
            try:
                values.append(self.decode(text))
            except DecodeError:
                continue
        return tuple(values)

    def decode_absent(self) -> T:
        """Read a slot that the peer left out.

        The TypeScript original does not send a falsy ``prm``. Where the schema accepts exactly one falsy
        value (``null``, ``false``, ``0`` or ``""``), an absent slot is that value.

        Raises:
            DecodeError: No single value can have been meant.
        """
        if len(self._when_absent) != 1:
            raise DecodeError(self.label, (Problem("", "a value is required"),))
        return self._when_absent[0]


def _config(type_form: object) -> ConfigDict | None:
    if isinstance(type_form, type) and issubclass(type_form, BaseModel):
        return None  # a model brings its own
    return ConfigDict(allow_inf_nan=False, ser_json_inf_nan="constants")


def _check_names(tree: object) -> None:
    """Raise UnicodeEncodeError if the name of a member cannot be written."""
    if isinstance(tree, Mapping):
        for name, value in cast(Mapping[object, object], tree).items():
            str(name).encode()
            _check_names(value)
    elif isinstance(tree, list | tuple):
        for value in cast(Sequence[object], tree):
            _check_names(value)


def _read_float(text: str) -> float:
    return float(text) or 0.0


def _plain_numbers(text: bytes) -> bytes:
    tree = load_json(text, parse_float=_read_float)
    return dump_json(tree)


def _problems(error: ValidationError) -> tuple[Problem, ...]:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return tuple(Problem(_pointer(detail["loc"]), detail["msg"]) for detail in details)


def _pointer(location: tuple[int | str, ...]) -> str:
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in location)
