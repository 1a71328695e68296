"""Procedures: a name, a kind, typed slots for what a call carries, and the errors that it declares.

Generated code declares one procedure after the other; the clients and handlers in it use these objects. Nothing here does I/O.
"""

import copy
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import ClassVar, Final, Generic, TypeVar, cast

from typing_extensions import TypeForm

from enkaku.values.json_schema import Checked
from enkaku.values.slot import Slot
from enkaku.wire.error_codes import ErrorCode

from .errors import CallError, DeadlineExceeded, DecodeError, UsageError

__all__ = [
    "Channel",
    "DeclaredDataError",
    "DeclaredError",
    "Event",
    "Procedure",
    "Request",
    "Stream",
    "with_prefix",
]

_PREFIXED: Final = 10_000  # prefixed procedures that are kept

_Data_co = TypeVar("_Data_co", covariant=True)


class DeclaredError(CallError):
    """An error that a protocol declares: a handler raises it, and its caller catches the same class.

    Generated code subclasses it, one class for each declared error::

        class OutOfStock(DeclaredError, code="OUT_OF_STOCK"): ...

    Args:
        message: Describes the error, for people; at most 4,096 characters cross the wire.
        code: Only if the declaration leaves the code open.

    Raises:
        UsageError: The declaration leaves the code open, and none was given.
    """

    declared_code: ClassVar[str | None] = None
    declared_data: ClassVar[TypeForm[object] | Checked[object] | None] = None

    def __init_subclass__(cls, *, code: str | None = None, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if code is not None:
            cls.declared_code = code

    def __init__(self, message: str, *, code: str | None = None) -> None:
        chosen = code if code is not None else self.declared_code
        if chosen is None:
            raise UsageError(
                f"{type(self).__name__}: the declaration leaves the code open: pass code='...'; got None"
            )
        super().__init__(chosen, message)


class DeclaredDataError(DeclaredError, Generic[_Data_co]):
    """A declared error that carries data.

    Generated code subclasses it::

        class OutOfStock(DeclaredDataError[OutOfStockData], code="OUT_OF_STOCK", data=OutOfStockData): ...

    Args:
        message: Describes the error, for people; at most 4,096 characters cross the wire.
        data: The data, as the protocol declares it.
        code: Only if the declaration leaves the code open.

    Raises:
        UsageError: The declaration leaves the code open, and none was given.
    """

    def __init_subclass__(
        cls,
        *,
        code: str | None = None,
        data: TypeForm[_Data_co] | Checked[_Data_co] | None = None,
        **kwargs: object,
    ) -> None:
        super().__init_subclass__(code=code, **kwargs)
        if data is not None:
            cls.declared_data = data

    def __init__(self, message: str, data: _Data_co, *, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self._data = data

    @property
    def data(self) -> _Data_co:
        """The data of the error, as the protocol declares it."""
        return self._data  # type: ignore[return-value] # set by the constructor


T = TypeVar("T")
Data = TypeVar("Data")
Param = TypeVar("Param")
Send = TypeVar("Send")
Receive = TypeVar("Receive")
Result = TypeVar("Result")


def _slot(label: str, type_form: TypeForm[T] | Checked[T] | None) -> Slot[T]:
    if type_form is None:
        return cast(Slot[T], Slot[None](label, type(None), declared=False))
    return Slot[T](label, type_form)


class Procedure:
    """Base of the four kinds of procedures.

    Attributes:
        name: The name in the protocol, such as ``"metrics/stream"``.
        kind: ``"event"``, ``"request"``, ``"stream"`` or ``"channel"``.
        errors: The errors that the protocol declares for it.
    """

    kind: ClassVar[str]
    _original: "Procedure | None" = None

    def __init__(self, name: str, errors: Sequence[type[DeclaredError]] = ()) -> None:
        self.name: Final = name
        self.errors: Final = tuple(errors)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def original(self) -> "Procedure":
        """The constant of the generated package, if this is a copy under a prefix; else the procedure itself."""
        return self._original or self

    @cached_property
    def error_slots(self) -> dict[type[DeclaredError], Slot[object]]:
        """The slot of each declared error: those with an open code last."""
        return {
            error: _slot(f"{self.name} error {error.__name__}", error.declared_data)
            # An error with an open code comes last: it is for codes that no other error declares.
            for error in sorted(self.errors, key=lambda error: error.declared_code is None)
        }

    def encode_error(self, error: DeclaredError) -> bytes | None:
        """Return the encoded data of a declared error.

        Returns:
            A JSON object, or None if this procedure does not declare the error.

        Raises:
            EncodeError: The schema of the error rejects the data.
        """
        if type(error) not in self.error_slots:
            return None
        slot = self.error_slots[type(error)]
        return slot.encode(error.data) if slot.declared else b"{}"

    def decode_error(self, code: str, message: str, data: bytes) -> CallError:
        """Return the exception for an error that the server sent.

        Returns:
            The declared error with this code whose schema accepts the data, or a ``CallError`` if there is none.
        """
        for declared, slot in self.error_slots.items():
            if declared.declared_code not in {code, None}:
                continue
            if not slot.declared:
                error = declared(message, code=code)
            else:
                try:
                    value = slot.decode(data)
                except DecodeError:
                    continue
                error = cast(type[DeclaredDataError[object]], declared)(message, value, code=code)
            error.procedure = self.name
            return error
        kind = DeadlineExceeded if code == ErrorCode.DEADLINE_PASSED else CallError
        return kind(code, message, _ANY_OBJECT.decode(data), procedure=self.name)


_Procedure = TypeVar("_Procedure", bound=Procedure)


def with_prefix(procedure: _Procedure, prefix: str) -> _Procedure:
    """Return a copy of a procedure whose name begins with a prefix; the same copy each time."""
    return cast(_Procedure, _with_prefix(procedure, prefix))


@lru_cache(_PREFIXED)
def _with_prefix(procedure: Procedure, prefix: str) -> Procedure:
    prefixed = copy.copy(procedure)
    attributes = vars(prefixed)
    attributes.pop("error_slots", None)
    attributes |= {
        name: slot.relabeled(prefix + slot.label)
        for name, slot in attributes.items()
        if isinstance(slot, Slot) and slot.declared
    }
    attributes |= {"name": prefix + procedure.name, "_original": procedure.original}
    return prefixed


def slots_of(procedure: Procedure) -> list[Slot[object]]:
    """Return the declared slots of a procedure, those of its errors among them."""
    attributes: list[object] = [*vars(procedure).values(), *procedure.error_slots.values()]
    slots = [cast(Slot[object], each) for each in attributes if isinstance(each, Slot)]
    return [each for each in slots if each.declared]


_ANY_OBJECT: Final = Slot[dict[str, object]]("error data", dict[str, object])


class Event(Procedure, Generic[Data]):
    """A notification: one message without a reply. By default (``data=None``), it carries no data."""

    kind = "event"

    def __init__(self, name: str, *, data: TypeForm[Data] | Checked[Data] | None = None) -> None:
        super().__init__(name)
        self.data: Final[Slot[Data]] = _slot(f"{name} data", data)


class Request(Procedure, Generic[Param, Result]):
    """A unary call: one message, one reply. A slot that is None (the default) is not sent.

    Attributes:
        idempotent: Whether a reconnecting client may repeat the call if its reply was lost with the connection.
    """

    kind = "request"

    def __init__(
        self,
        name: str,
        *,
        param: TypeForm[Param] | Checked[Param] | None = None,
        result: TypeForm[Result] | Checked[Result] | None = None,
        errors: Sequence[type[DeclaredError]] = (),
        idempotent: bool = False,
    ) -> None:
        super().__init__(name, errors)
        self.idempotent: Final = idempotent
        self.param: Final[Slot[Param]] = _slot(f"{name} param", param)
        self.result: Final[Slot[Result]] = _slot(f"{name} result", result)


class Stream(Procedure, Generic[Param, Receive, Result]):
    """Server streaming: many items from the server, then one result."""

    kind = "stream"

    def __init__(
        self,
        name: str,
        *,
        param: TypeForm[Param] | Checked[Param] | None = None,
        receive: TypeForm[Receive] | Checked[Receive],
        result: TypeForm[Result] | Checked[Result] | None = None,
        errors: Sequence[type[DeclaredError]] = (),
    ) -> None:
        super().__init__(name, errors)
        self.param: Final[Slot[Param]] = _slot(f"{name} param", param)
        self.receive: Final[Slot[Receive]] = Slot(f"{name} receive", receive)
        self.result: Final[Slot[Result]] = _slot(f"{name} result", result)


class Channel(Procedure, Generic[Param, Send, Receive, Result]):
    """Bidirectional streaming: items in both directions, then one result from the server."""

    kind = "channel"

    def __init__(
        self,
        name: str,
        *,
        param: TypeForm[Param] | Checked[Param] | None = None,
        send: TypeForm[Send] | Checked[Send],
        receive: TypeForm[Receive] | Checked[Receive],
        result: TypeForm[Result] | Checked[Result] | None = None,
        errors: Sequence[type[DeclaredError]] = (),
    ) -> None:
        super().__init__(name, errors)
        self.param: Final[Slot[Param]] = _slot(f"{name} param", param)
        self.send: Final[Slot[Send]] = Slot(f"{name} send", send)
        self.receive: Final[Slot[Receive]] = Slot(f"{name} receive", receive)
        self.result: Final[Slot[Result]] = _slot(f"{name} result", result)
