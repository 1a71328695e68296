"""Template context: views of procedures, errors and schemas as pieces of source code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from enkaku_codegen.json_values import as_readable_json
from enkaku_codegen.planning.plan import ErrorPlan, ProcedurePlan
from enkaku_codegen.proving.checks import Check, Checks
from enkaku_codegen.reading.bundle import bundle
from enkaku_codegen.reading.definition import Kind, Procedure, Protocol, SlotName
from enkaku_codegen.reading.digests import digests

from .escaping import Text
from .models import Types

__all__ = [
    "DescriptionView",
    "ErrorView",
    "ProcedureView",
    "SchemaView",
    "SlotView",
    "description_view",
    "error_view",
    "procedure_view",
    "schema_views",
]

_OBJECT: Final = "dict[str, object]"
_IDEMPOTENT: Final = (
    "Idempotent: it may be sent again where its answer was lost with the connection."
)
_SLOTS: Final[Mapping[Kind, Sequence[SlotName]]] = {
    "event": ("data",),
    "request": ("param", "result"),
    "stream": ("param", "receive", "result"),
    "channel": ("param", "send", "receive", "result"),
}


@dataclass(frozen=True, slots=True)
class SlotView:
    """A slot: its name, and the type of its values as an expression."""

    name: SlotName
    value: str


@dataclass(frozen=True, slots=True)
class ErrorView:
    """A declared error.

    Attributes:
        code: None if the declaration leaves it open.
        data: The type of its data, None if it has none.
        value: The same as an expression.
    """

    name: str
    code: Text | None
    data: str | None
    value: str | None
    text: Text


@dataclass(frozen=True, slots=True)
class ProcedureView:
    """A procedure.

    Attributes:
        type_arguments: The type arguments of its constant, such as ``A, None, B``.
        input: The parameter's name, or None if it takes none.
        parameter: The parameter in a signature, such as ``, param: A``, or nothing.
        writer: The parameter by which a handler's method sends, or nothing.
        options: The type of the keyword arguments of a call, such as ``enkaku.CallOptions``.
        result: The return type of the handler's method.
        returned: The return type of the client's method.
        returned_sync: The same of the synchronous client.
        awaited: Whether the client's method is a coroutine function.
        idempotent: Whether a client may repeat the request.
    """

    name: Text
    kind: Kind
    constant: str
    method: str
    text: Text
    slots: Sequence[SlotView]
    errors: Sequence[str]
    type_arguments: str
    input: str | None
    parameter: str
    writer: str
    options: str
    result: str
    returned: str
    returned_sync: str
    awaited: bool
    idempotent: bool


@dataclass(frozen=True, slots=True)
class SchemaView:
    """A schema that a validator checks: its constant, and its value as a Python literal."""

    constant: str
    type: str
    literal: str


@dataclass(frozen=True, slots=True)
class DigestView:
    """The digest of a procedure."""

    name: Text
    digest: str


@dataclass(frozen=True, slots=True)
class DescriptionView:
    """The whole protocol as one document, and its digests.

    Attributes:
        text: The document, as readable JSON.
        digest: The digest of the protocol.
        procedures: Those of its procedures.
        callbacks: Those of the procedures that the server calls.
    """

    text: Text
    digest: str
    procedures: Sequence[DigestView]
    callbacks: Sequence[DigestView]


def description_view(protocol: Protocol, line_length: int) -> DescriptionView:
    """Return the view of a protocol as a whole."""
    document = bundle(protocol)
    found = digests(document)
    procedures, callbacks = (
        [DigestView(Text(name), digest) for name, digest in each.items()]
        for each in (found.procedures, found.callbacks)
    )
    text = Text(f"{as_readable_json(document, line_length)}\n")
    return DescriptionView(text, found.protocol, procedures, callbacks)


def schema_views(checks: Checks) -> Sequence[SchemaView]:
    """Return the views of the schemas that validators check."""
    views = [
        SchemaView(
            each.constant, "bool" if isinstance(each.schema, bool) else _OBJECT, repr(each.schema)
        )
        for each in checks.slots.values()
    ]
    if checks.definitions:
        views.insert(0, SchemaView("DEFINITIONS", _OBJECT, repr(checks.definitions)))
    return views


def _checked(value: str, check: Check | None) -> str:
    """Return the type of a slot, with its schema if the type does not enforce it."""
    if check is None:
        return value
    definitions = ", schemas.DEFINITIONS" if check.shared else ""
    return f"enkaku.Checked({value}, schemas.{check.constant}{definitions})"


def error_view(error: ErrorPlan, types: Types, checks: Checks) -> ErrorView:
    """Return the view of an error."""
    data = types.errors.get(error.name)
    text = error.text.strip() or (
        f"The error {error.code}." if error.code else "An error with any code."
    )
    return ErrorView(
        name=error.name,
        code=None if error.code is None else Text(error.code),
        data=data,
        value=(
            None
            if data is None
            else _checked(types.values[error.name, "data"], checks.slots.get((error.name, "data")))
        ),
        text=Text(text),
    )


def procedure_view(
    plan: ProcedurePlan, types: Types, errors: Mapping[str, ErrorView], checks: Checks
) -> ProcedureView:
    """Return the view of a procedure, which may raise some of the errors."""
    procedure = plan.procedure
    kind = procedure.kind
    types_of = types.slots[plan.constant]
    arguments = [types_of.get(slot, "None") for slot in _SLOTS[kind]]
    given: SlotName = "data" if kind == "event" else "param"
    result = types_of.get("result", "None")
    awaited = kind in {"event", "request"}
    writer, returned, returned_sync = "", result, result
    if kind == "stream":
        writer = f", stream: enkaku.ServerStream[{arguments[1]}]"
        returned, returned_sync = _returned("ClientStream", arguments[1:])
    elif kind == "channel":
        writer = f", channel: enkaku.ServerChannel[{', '.join(arguments[1:3])}]"
        returned, returned_sync = _returned("ClientChannel", arguments[1:])
    return ProcedureView(
        name=Text(procedure.name),
        kind=kind,
        constant=plan.constant,
        method=plan.method,
        text=_method_text(procedure, [errors[name] for name in plan.errors]),
        slots=[
            SlotView(slot, _checked(types.values[key], checks.slots.get(key)))
            for slot in types_of
            for key in [(plan.constant, slot)]
        ],
        errors=plan.errors,
        type_arguments=", ".join(arguments),
        input=given if given in types_of else None,
        parameter=f", {given}: {types_of[given]}" if given in types_of else "",
        writer=writer,
        options="enkaku.CallOptions" if awaited else "enkaku.StreamOptions",
        result=result,
        returned=returned,
        returned_sync=returned_sync,
        awaited=awaited,
        idempotent=procedure.idempotent,
    )


def _returned(name: str, arguments: Sequence[str]) -> tuple[str, str]:
    """Return the type of an open call, of the asynchronous and of the synchronous client."""
    generic = f"{name}[{', '.join(arguments)}]"
    return f"enkaku.{generic}", f"enkaku.sync.{generic}"


def _method_text(procedure: Procedure, errors: Sequence[ErrorView]) -> Text:
    text = procedure.description.strip()
    sections = [_IDEMPOTENT] if procedure.idempotent else []
    if errors:
        raised = "".join(f"\n    {each.name}: {_first_line(each.text)}" for each in errors)
        sections.append(f"Raises:{raised}")
    if sections:
        text = text or f"The {procedure.kind} {procedure.name}."
    return Text("\n\n".join([text, *sections]))


def _first_line(text: Text) -> str:
    return text.value.strip().splitlines()[0]
