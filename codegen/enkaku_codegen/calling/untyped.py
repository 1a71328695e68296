"""Procedures without generated types: their values are the bytes of JSON, as they cross the wire, validated by its schemas.

Whatever digits a number is written with, it keeps them.
"""

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from enkaku.errors import CallError, DecodeError, EncodeError
from enkaku.procedures import Channel, Event, Procedure, Request, Stream
from enkaku.values.json_schema import Checked
from enkaku.values.slot import Slot

from enkaku_codegen.json_values import Schema, exact_numbers

from .bounds import limited

if TYPE_CHECKING:
    from enkaku_codegen.reading.definition import Kind, Protocol, SlotName
    from enkaku_codegen.reading.definition import Procedure as Definition

__all__ = [
    "Raw",
    "RawCallError",
    "Untyped",
    "UntypedChannel",
    "UntypedEvent",
    "UntypedRequest",
    "UntypedStream",
    "in_one_line",
    "param_of",
    "procedure_of",
    "unchecked",
]

Raw: TypeAlias = "bytes | None"
"""A value as JSON; None in a slot that is not declared."""

_SPACE: Final = re.compile(rb'("(?:[^"\\]|\\.)*+")|[ \t\r\n]+')
_SLOTS: Final[Mapping["Kind", tuple["SlotName", ...]]] = {
    "event": ("data",),
    "request": ("param", "result"),
    "stream": ("param", "receive", "result"),
    "channel": ("param", "send", "receive", "result"),
}


def in_one_line(value: bytes) -> bytes:
    """Return JSON without whitespace, if it has line ends."""
    if b"\n" in value or b"\r" in value:
        return _SPACE.sub(lambda match: match[1] or b"", value)
    return value


class RawCallError(CallError):
    """An error of the server with its data as JSON."""

    def __init__(self, code: str, message: str, data: bytes, *, procedure: str) -> None:
        super().__init__(code, message, procedure=procedure)
        self.raw: Final = data


class _RawSlot(Slot[Raw]):
    """A slot whose values are JSON.

    Args:
        label: Procedure and slot, for errors.
        form: What validates values: any JSON value, or a schema.
        declared: Whether values are sent.
        optional: Whether the peer may leave the value out, which is ``b""`` then.
        limited: Whether the schema comes from a peer, so that validation may be made to take long.
    """

    def __init__(
        self,
        label: str,
        form: "type[object] | Checked[object]" = object,
        *,
        declared: bool = True,
        optional: bool = False,
        limited: bool = False,
    ) -> None:
        super().__init__(label, cast("type[Raw]", bytes), declared=declared)
        self._values = Slot[object](label, form)
        self._limited = limited
        self._optional = optional

    @cached_property
    def _validate(self) -> Callable[[bytes], object]:
        if not self._limited:
            return self._values.decode

        def validate(data: bytes) -> None:
            with limited():
                self._values.decode(data)  # the first use compiles the schema

        return validate

    @cached_property
    def decode(self) -> Callable[[bytes], Raw]:
        validate = self._validate

        def decode(data: bytes) -> bytes:
            validate(data)
            return data

        return decode

    @cached_property
    def encode(self) -> Callable[[Raw], bytes]:
        validate = self._validate

        def encode(value: Raw) -> bytes:
            data = value or b""
            try:
                validate(data)
            except DecodeError as error:
                raise EncodeError(self.label, error.problems, more=error.more) from None
            return data

        return encode

    def decode_absent(self) -> Raw:
        return b"" if self._optional else super().decode_absent()


class _Untyped(Procedure):
    """What the four kinds share: how an error of the server is read."""

    def decode_error(self, code: str, message: str, data: bytes) -> CallError:
        _ERROR_DATA.decode(data)
        return RawCallError(code, message, in_one_line(data), procedure=self.name)


class UntypedEvent(_Untyped, Event[Raw]):
    """An event whose data is JSON."""


class UntypedRequest(_Untyped, Request[Raw, Raw]):
    """A request whose values are JSON."""


class UntypedStream(_Untyped, Stream[Raw, Raw, Raw]):
    """A stream whose values are JSON."""


class UntypedChannel(_Untyped, Channel[Raw, Raw, Raw, Raw]):
    """A channel whose values are JSON."""


_ERROR_DATA: Final = Slot[dict[str, object]]("error data", dict[str, object])

Untyped: TypeAlias = UntypedEvent | UntypedRequest | UntypedStream | UntypedChannel
"""A procedure whose values are JSON."""


def param_of(procedure: Untyped) -> Slot[Raw]:
    """Return the slot of what opens a call: the param, or the data of an event."""
    return procedure.data if isinstance(procedure, UntypedEvent) else procedure.param


def procedure_of(
    protocol: "Protocol", definition: "Definition", *, described: bool = False
) -> Untyped:
    """Return a procedure of a protocol, whose values its schemas validate.

    Args:
        protocol: The protocol.
        definition: The procedure in it.
        described: Whether they are what a server says of itself.
    """
    slots: dict[SlotName, _RawSlot] = {}
    for name in _SLOTS[definition.kind]:
        label = f"{definition.name} {name}"
        if name not in definition.slots:
            slots[name] = _RawSlot(label, declared=False)
            continue
        slots[name] = _RawSlot(label, _checked(protocol, definition, name), limited=described)
    return _made(definition.kind, definition.name, slots, idempotent=definition.idempotent)


def unchecked(kind: "Kind", name: str, *, with_param: bool) -> Untyped:
    """Return a procedure of which no protocol is known, whose values are any JSON.

    Args:
        kind: Its kind.
        name: Its name.
        with_param: Whether it has a param, or an event data.
    """
    slots: dict[SlotName, _RawSlot] = {
        slot: _RawSlot(
            f"{name} {slot}",
            declared=with_param or slot not in {"data", "param"},
            optional=slot == "result",
        )
        for slot in _SLOTS[kind]
    }
    return _made(kind, name, slots, idempotent=False)


def _checked(protocol: "Protocol", definition: "Definition", name: "SlotName") -> Checked[object]:
    from enkaku_codegen.reading.bundle import (  # noqa: PLC0415 # not for calls without a protocol
        needed_definitions,
        without_annotations,
    )

    dynamic: Schema | None = definition.dynamic_schemas.get(name)
    if dynamic is not None:
        return Checked(object, cast("Mapping[str, object] | bool", exact_numbers(dynamic)))
    schema = definition.slots[name]
    needed = needed_definitions(schema, protocol.definitions)
    return Checked(
        object,
        exact_numbers(without_annotations(schema)),
        {each: exact_numbers(without_annotations(inner)) for each, inner in needed.items()},
    )


def _made(
    kind: "Kind", name: str, slots: Mapping["SlotName", _RawSlot], *, idempotent: bool
) -> Untyped:
    procedure: Untyped
    match kind:
        case "event":
            procedure = UntypedEvent(name)
        case "request":
            procedure = UntypedRequest(name, idempotent=idempotent)
        case "stream":
            procedure = UntypedStream(name, receive=_NONE)
        case "channel":
            procedure = UntypedChannel(name, send=_NONE, receive=_NONE)
    attributes = vars(procedure)
    for slot, made in slots.items():
        attributes[slot] = made  # in place of the one that the constructor has made of a type
    return procedure


_NONE: Final = cast("type[Raw]", bytes)
