"""Renders the files of a Python package from templates.

Names and annotations are strings that are safe in code. All text of a protocol is ``Text``.
"""

from pathlib import Path
from typing import Final

from enkaku_codegen.fingerprint import LINE_LENGTH, MARKER
from enkaku_codegen.planning.plan import Plan
from enkaku_codegen.proving.checks import Checks
from enkaku_codegen.reading.definition import Protocol

from .environment import environment, rendered
from .escaping import Text
from .imports import exports, imports
from .models import make_types
from .template_context import description_view, error_view, procedure_view, schema_views

__all__ = ["render"]

_OLDEST_RUNTIME: Final = "0.1"
_SCHEMAS: Final = "schemas.py"
_CALLBACKS: Final = "callbacks.py"
_SYNC_CLIENT: Final = "sync_client.py"
_FILES: Final = (
    "__init__.py",
    _CALLBACKS,
    "client.py",
    "description.py",
    "models.py",
    "procedures.py",
    "py.typed",
    _SCHEMAS,
    "server.py",
    _SYNC_CLIENT,
)
_FILES_OF_TYPES: Final = ("__init__.py", "models.py", "py.typed")


def render(
    plan: Plan,
    checks: Checks,
    protocol: Protocol,
    *,
    source: str,
    templates: Path | None = None,
    line_length: int = LINE_LENGTH,
    sync: bool = False,
) -> dict[str, str]:
    """Render the files of a package, not formatted yet.

    Args:
        plan: The plan of the package.
        checks: The slots that a validator checks in addition to their type.
        protocol: The protocol itself.
        source: The protocol file's name, for the header.
        templates: The directory of the user's own templates, which take precedence.
        line_length: The greatest length of a line of a docstring, in characters.
        sync: Whether to render the synchronous client, too.

    Raises:
        TemplateError: A template can't be found, read or rendered.
    """
    types = make_types(plan)
    statements = imports(plan, types, checks, sync=sync)
    errors = {each.name: error_view(each, types, checks) for each in plan.errors}
    imported = {each.name: error_view(each, types, checks) for each in plan.imported_errors}
    shared: dict[str, object] = {
        "title": Text(protocol.name),
        "text": Text(plan.description),
        "source": Text(source),
        "marker": MARKER,
        "runtime": _OLDEST_RUNTIME,
        "client": plan.client,
        "sync_client": plan.sync_client,
        "handler": plan.handler,
        "types": types.named,
        "errors": [*errors.values()],
        "procedures": [
            procedure_view(each, types, errors | imported, checks) for each in plan.procedures
        ],
        "callbacks": [
            procedure_view(each, types, errors | imported, checks) for each in plan.callbacks
        ],
        "callbacks_client": plan.callbacks_client,
        "callbacks_handler": plan.callbacks_handler,
        "callbacks_client_text": Text("The server's side: calls the handler of a client."),
        "callbacks_handler_text": Text("The client's side: serves the calls of the server."),
        "schemas": schema_views(checks),
        "description": description_view(protocol, line_length) if plan.procedures else None,
        "exports": exports(plan, sync=sync),
    }
    known = ("header.jinja", *(f"{name}.jinja" for name in _FILES))
    found = environment(templates, line_length, known)
    left_out = {_SCHEMAS} if not checks.slots else set[str]()
    left_out |= {_CALLBACKS} if not plan.callbacks else set()
    left_out |= {_SYNC_CLIENT} if not sync else set()
    return {
        name: rendered(
            found,
            f"{name}.jinja",
            shared | {"imports": statements.get(name, [])},
            MARKER if name.endswith(".py") else "",
        )
        for name in (_FILES if plan.procedures else _FILES_OF_TYPES)
        if name not in left_out
    }
