"""Renders the files of a client in TypeScript: ``client.js`` with its types, and ``protocol.ts``. Callbacks are in the first two.

JavaScript and declarations are written, so that nobody has to compile them.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from enkaku_codegen.errors import Issue
from enkaku_codegen.fingerprint import LINE_LENGTH, MARKERS
from enkaku_codegen.planning.plan import ErrorPlan, Plan, ProcedurePlan
from enkaku_codegen.planning.typescript import method_names, serve_name
from enkaku_codegen.reading.definition import Kind, Protocol

from .environment import environment, rendered
from .escaping import Tag, Text, tskey
from .files import TYPESCRIPT_FILES, typescript_files
from .typescript_protocol import ProtocolWriter
from .typescript_types import expression, types
from .typescript_values import Constant, Value, literal

__all__ = ["render_typescript"]

_FOLDER: Final = "typescript"
_IDEMPOTENT: Final = "Idempotent: it may be sent again if its reply was lost with the connection."
_NOTHING: Final = "void"


@dataclass(frozen=True, slots=True)
class _Error:
    """A declared error for the templates.

    Attributes:
        code: None if the declaration leaves it open.
        data: The type of its data, None if it has none.
        thrown: Whether the user's code throws it: callbacks declare it.
    """

    name: str
    code: Text | None
    data: str | None
    text: Text
    thrown: bool


@dataclass(frozen=True, slots=True)
class _Procedure:
    """A procedure for the templates.

    Attributes:
        errors: Those with a code.
        other: The error with any other code, None if there is none.
        input: The parameter's name, or None if it takes none.
        signature: The signature of its method, from the parentheses on.
        definition: Its definition for the TypeScript implementation, as source.
    """

    name: Text
    kind: Kind
    constant: str
    method: str
    text: Text
    tags: Sequence[Tag]
    errors: Sequence[_Error]
    other: _Error | None
    input: str | None
    signature: str
    definition: str


@dataclass(frozen=True, slots=True)
class _Callback:
    """A callback for the templates; ``type`` is that of its method."""

    name: Text
    kind: Kind
    method: str
    text: Text
    tags: Sequence[Tag]
    type: str


@dataclass(frozen=True, slots=True)
class _Import:
    module: Text
    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Constant:
    name: str
    value: str


def render_typescript(
    plan: Plan,
    protocol: Protocol,
    *,
    source: str,
    templates: Path | None = None,
    line_length: int = LINE_LENGTH,
) -> tuple[dict[str, str], Sequence[Issue]]:
    """Render the files, formatted, and return what the TypeScript implementation does not support as well.

    Args:
        plan: The plan of the package.
        protocol: The protocol.
        source: The protocol file's name, for the header.
        templates: The directory of the user's own templates, which take precedence.
        line_length: The greatest length of a line of documentation, and of a union or value on one line.

    Raises:
        ProtocolError: Two procedures have one name in TypeScript.
        TemplateError: A template can't be found, read or rendered.
    """
    thrown = {name for each in plan.callbacks for name in each.errors}
    errors = {each.name: _error(each, thrown) for each in plan.errors}
    imported = {each.name: _error(each, thrown) for each in plan.imported_errors}
    methods = method_names(plan)
    taken = {each.name for each in plan.types} | errors.keys() | plan.modules.keys() | {plan.client}
    promise, generator = (
        f"globalThis.{name}" if name in taken else name for name in ("Promise", "AsyncGenerator")
    )
    writer = ProtocolWriter(protocol, plan)
    definitions, procedures = writer.write()
    constants = [
        _Constant(name, _constant(value, line_length, len(f"const {name} =  as const;")))
        for name, value in definitions.items()
    ]
    marker = MARKERS["typescript"]
    context: dict[str, object] = {
        "title": Text(protocol.name),
        "text": Text(plan.description),
        "source": Text(source),
        "marker": marker,
        "client": plan.client,
        "types": types(plan, line_length),
        "errors": [*errors.values()],
        "type_imports": _imports(plan.modules, but=imported),
        "error_imports": _imports({name: plan.modules[name] for name in imported}),
        "constants": constants,
        "procedures": [
            _procedure(
                each, methods[each.constant], errors | imported, procedures, promise, line_length
            )
            for each in plan.procedures
        ],
        "callbacks": [
            _callback(
                each, methods[each.constant], errors | imported, promise, generator, line_length
            )
            for each in plan.callbacks
        ],
        "callbacks_handler": plan.callbacks_handler,
        "serve": serve_name(plan),
    }
    paths = {name: f"{_FOLDER}/{name}.jinja" for name in TYPESCRIPT_FILES}
    found = environment(templates, line_length, (f"{_FOLDER}/header.jinja", *paths.values()))
    files = {name: rendered(found, paths[name], context, marker) for name in typescript_files(plan)}
    return files, writer.warnings


def _imports(modules: Mapping[str, str], but: Container[str] = ()) -> Sequence[_Import]:
    """Return the import statements for names of other packages."""
    names: dict[str, list[str]] = {}
    for name, module in sorted(modules.items()):
        if name not in but:
            names.setdefault(module, []).append(name)
    return [_Import(Text(module), names[module]) for module in sorted(names)]


def _constant(value: Value, line_length: int, taken: int) -> str:
    """Return the value of a constant, which is another constant or a literal."""
    made = literal(value, line_length, taken)
    return made if isinstance(value, Constant) else f"{made} as const"


def _error(error: ErrorPlan, thrown: Container[str]) -> _Error:
    text = error.text.strip() or (
        f"The error {error.code}." if error.code else "An error with any code."
    )
    return _Error(
        error.name,
        None if error.code is None else Text(error.code),
        None if error.data is None else expression(error.data),
        Text(text),
        error.name in thrown,
    )


def _procedure(
    plan: ProcedurePlan,
    method: str,
    errors: Mapping[str, _Error],
    definitions: Mapping[str, Value],
    promise: str,
    line_length: int,
) -> _Procedure:
    procedure = plan.procedure
    raised = [errors[name] for name in plan.errors]
    given = "data" if procedure.kind == "event" else "param"
    taken = len(f"{tskey(procedure.name)}: ,")
    definition = literal(definitions[procedure.name], line_length - 2, taken)
    return _Procedure(
        name=Text(procedure.name),
        kind=procedure.kind,
        constant=plan.constant,
        method=method,
        text=_text(plan),
        tags=_tags(raised),
        errors=[each for each in raised if each.code is not None],
        other=next((each for each in raised if each.code is None), None),
        input=given if given in plan.slots else None,
        signature=_signature(plan, given, promise, line_length - len(f"  {method};")),
        definition=definition,
    )


def _callback(
    plan: ProcedurePlan,
    method: str,
    errors: Mapping[str, _Error],
    promise: str,
    generator: str,
    line_length: int,
) -> _Callback:
    procedure = plan.procedure
    return _Callback(
        name=Text(procedure.name),
        kind=procedure.kind,
        method=method,
        text=_text(plan),
        tags=_tags([errors[name] for name in plan.errors]),
        type=_method_type(plan, promise, generator, line_length - len(f"  readonly {method}: ;")),
    )


def _tags(errors: Sequence[_Error]) -> Sequence[Tag]:
    return [
        Tag(f"@throws {{{each.name}}}", Text(each.text.value.strip().splitlines()[0]))
        for each in errors
    ]


def _text(plan: ProcedurePlan) -> Text:
    procedure = plan.procedure
    text = procedure.description.strip()
    if procedure.idempotent:
        text = f"{text or f'The {procedure.kind} {procedure.name}.'}\n\n{_IDEMPOTENT}"
    elif plan.errors:
        text = text or f"The {procedure.kind} {procedure.name}."
    return Text(text)


def _signature(plan: ProcedurePlan, given: str, promise: str, width: int) -> str:
    kind = plan.procedure.kind
    slots = {slot: expression(schema) for slot, schema in plan.slots.items()}
    result = slots.get("result", _NOTHING)
    if kind == "stream":
        returned = f"enkaku.Stream<{slots['receive']}, {result}>"
    elif kind == "channel":
        returned = f"enkaku.Channel<{slots['send']}, {slots['receive']}, {result}>"
    else:
        returned = f"{promise}<{result}>"
    parameters = [f"{given}: {slots[given]}"] if given in slots else []
    parameters.append("options?: enkaku.CallOptions")
    return _function(parameters, f": {returned}", width)


def _method_type(plan: ProcedurePlan, promise: str, generator: str, width: int) -> str:
    """Return the type of the method that serves a callback."""
    kind = plan.procedure.kind
    slots: dict[str, str] = {slot: expression(schema) for slot, schema in plan.slots.items()}
    result = slots.get("result", _NOTHING)
    given = "data" if kind == "event" else "param"
    if kind in ("stream", "channel"):
        returned = f"{generator}<{slots['receive']}, {result}, void>"
    else:
        returned = f"{result} | {promise}<{result}>"
    call = f"ServedChannel<{slots['send']}>" if kind == "channel" else "ServedCall"
    parameters = [f"{given}: {slots.get(given, 'undefined')}", f"call: callbacks.{call}"]
    return _function(parameters, f" => {returned}", width)


def _function(parameters: Sequence[str], returned: str, width: int) -> str:
    """Return parameters in parentheses, and what follows: on one line if it fits."""
    flat = f"({', '.join(parameters)}){returned}"
    if len(flat) <= width:
        return flat
    lines = "".join(f"    {each},\n" for each in parameters)
    return f"(\n{lines}  ){returned}"
