"""Procedures: a name, a kind, and a typed slot for each thing that a call carries.

Above it: the client and the server, which are two readings of one table of procedures. Below it: pydantic.
It does no I/O and knows nothing of calls.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar, Final, Generic, TypeVar, cast

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError
from typing_extensions import TypeForm

from .errors import CallError, DeclaredDataError, DeclaredError, DecodeError, EncodeError, Problem

__all__ = ["Channel", "Event", "Procedure", "Request", "Slot", "Stream"]

T = TypeVar("T")
Data = TypeVar("Data")
Param = TypeVar("Param")
Send = TypeVar("Send")
Receive = TypeVar("Receive")
Result = TypeVar("Result")

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
            value = json.loads(data, parse_constant=_refuse_constant)
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
            return _dump_escaping_surrogates(tree)
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


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _read_float(text: str) -> float:
    return float(text) or 0.0


def _dump_escaping_surrogates(tree: object) -> bytes:
    text = json.dumps(tree, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # What UTF-8 cannot express is a lone surrogate; this handler writes it as JSON's escape does.
    return text.encode("utf-8", "backslashreplace")


def _plain_numbers(text: bytes) -> bytes:
    tree = json.loads(text, parse_constant=_refuse_constant, parse_float=_read_float)
    return _dump_escaping_surrogates(tree)


def _problems(error: ValidationError) -> tuple[Problem, ...]:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return tuple(Problem(_pointer(detail["loc"]), detail["msg"]) for detail in details)


def _pointer(location: tuple[int | str, ...]) -> str:
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in location)


def _slot(label: str, type_form: TypeForm[T] | None) -> Slot[T] | None:
    return None if type_form is None else Slot[T](label, type_form)


class Procedure:
    """What the four kinds have in common.

    Attributes:
        name: The name in the protocol, such as ``"metrics/stream"``.
        kind: ``"event"``, ``"request"``, ``"stream"`` or ``"channel"``.
        errors: The errors that the protocol declares for it.
    """

    kind: ClassVar[str]

    def __init__(self, name: str, errors: Sequence[type[DeclaredError]] = ()) -> None:
        self.name: Final = name
        self.errors: Final = tuple(errors)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @cached_property
    def _error_slots(self) -> dict[type[DeclaredError], Slot[object] | None]:
        return {
            error: _slot(f"{self.name} error {error.__name__}", error.declared_data)
            # One whose code is open is there for the codes that nobody else declares.
            for error in sorted(self.errors, key=lambda error: error.declared_code is None)
        }

    def encode_error(self, error: DeclaredError) -> bytes | None:
        """Write the data of a declared error.

        Returns:
            A JSON object, or None if this procedure does not declare the error.

        Raises:
            EncodeError: The data does not fit the declaration.
        """
        if type(error) not in self._error_slots:
            return None
        slot = self._error_slots[type(error)]
        return b"{}" if slot is None else slot.encode(error.data)

    def decode_error(self, code: str, message: str, data: bytes) -> CallError:
        """Make the exception for an error that the server sent.

        Returns:
            The declared error with this code whose data fits; else a plain ``CallError``.
        """
        for declared, slot in self._error_slots.items():
            if declared.declared_code not in {code, None}:
                continue
            if slot is None:
                error = declared(message, code=code)
            else:
                try:
                    value = slot.decode(data)
                except DecodeError:
                    continue
                error = cast(type[DeclaredDataError[object]], declared)(message, value, code=code)
            error.procedure = self.name
            return error
        return CallError(code, message, _ANY_OBJECT.decode(data), procedure=self.name)


_ANY_OBJECT: Final = Slot[dict[str, object]]("error data", dict[str, object])


class Event(Procedure, Generic[Data]):
    """A message that is never answered. ``data=None`` (the default): it carries nothing."""

    kind = "event"

    def __init__(self, name: str, *, data: TypeForm[Data] | None = None) -> None:
        super().__init__(name)
        self.data: Final[Slot[Data] | None] = _slot(f"{name} data", data)


class Request(Procedure, Generic[Param, Result]):
    """One question, one answer. A slot that is None is not there: nothing crosses the wire for it."""

    kind = "request"

    def __init__(
        self,
        name: str,
        *,
        param: TypeForm[Param] | None = None,
        result: TypeForm[Result] | None = None,
        errors: Sequence[type[DeclaredError]] = (),
    ) -> None:
        super().__init__(name, errors)
        self.param: Final[Slot[Param] | None] = _slot(f"{name} param", param)
        self.result: Final[Slot[Result] | None] = _slot(f"{name} result", result)


class Stream(Procedure, Generic[Param, Receive, Result]):
    """Many items from the server, then one result."""

    kind = "stream"

    def __init__(
        self,
        name: str,
        *,
        param: TypeForm[Param] | None = None,
        receive: TypeForm[Receive],
        result: TypeForm[Result] | None = None,
        errors: Sequence[type[DeclaredError]] = (),
    ) -> None:
        super().__init__(name, errors)
        self.param: Final[Slot[Param] | None] = _slot(f"{name} param", param)
        self.receive: Final[Slot[Receive]] = Slot(f"{name} receive", receive)
        self.result: Final[Slot[Result] | None] = _slot(f"{name} result", result)


class Channel(Procedure, Generic[Param, Send, Receive, Result]):
    """Items in both directions, then one result from the server."""

    kind = "channel"

    def __init__(
        self,
        name: str,
        *,
        param: TypeForm[Param] | None = None,
        send: TypeForm[Send],
        receive: TypeForm[Receive],
        result: TypeForm[Result] | None = None,
        errors: Sequence[type[DeclaredError]] = (),
    ) -> None:
        super().__init__(name, errors)
        self.param: Final[Slot[Param] | None] = _slot(f"{name} param", param)
        self.send: Final[Slot[Send]] = Slot(f"{name} send", send)
        self.receive: Final[Slot[Receive]] = Slot(f"{name} receive", receive)
        self.result: Final[Slot[Result] | None] = _slot(f"{name} result", result)
