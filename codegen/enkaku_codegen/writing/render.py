"""Renders the files of a package from Jinja templates.

Names and annotations are strings that are safe in code. All text of a protocol is ``Text``, which needs one of the
filters of ``escaping``. A directory of the user's own templates takes precedence over the built-in ones.
"""

import traceback
from collections.abc import Callable, Mapping
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Final

import jinja2

from enkaku_codegen.errors import TemplateError
from enkaku_codegen.fingerprint import LINE_LENGTH, MARKER
from enkaku_codegen.planning.plan import Plan
from enkaku_codegen.proving.checks import Checks

from .escaping import Text, comment, docstring, pyrepr
from .imports import exports, imports
from .models import make_types
from .template_context import error_view, procedure_view, schema_views

__all__ = ["render"]

_OLDEST_RUNTIME: Final = "0.1"
_SCHEMAS: Final = "schemas.py"
_FILES: Final = (
    "__init__.py",
    "client.py",
    "models.py",
    "procedures.py",
    "py.typed",
    _SCHEMAS,
    "server.py",
)
_FILES_OF_TYPES: Final = ("__init__.py", "models.py", "py.typed")


def render(
    plan: Plan,
    checks: Checks,
    *,
    title: str,
    source: str,
    templates: Path | None = None,
    line_length: int = LINE_LENGTH,
) -> dict[str, str]:
    """Render the files of a package, not formatted yet.

    Args:
        plan: The plan of the package.
        checks: The slots that a validator checks in addition to their type.
        title: The protocol's name.
        source: The protocol file's name, for the header.
        templates: The directory of the user's own templates, which take precedence.
        line_length: The greatest length of a line of a docstring, in characters.

    Raises:
        TemplateError: A template can't be found, read or rendered.
    """
    types = make_types(plan)
    statements = imports(plan, types, checks)
    errors = {each.name: error_view(each, types, checks) for each in plan.errors}
    shared: dict[str, object] = {
        "title": Text(title),
        "text": Text(plan.description),
        "source": Text(source),
        "marker": MARKER,
        "runtime": _OLDEST_RUNTIME,
        "client": plan.client,
        "handler": plan.handler,
        "types": types.named,
        "errors": [*errors.values()],
        "procedures": [procedure_view(each, types, errors, checks) for each in plan.procedures],
        "schemas": schema_views(checks),
        "exports": exports(plan),
    }
    environment = _environment(templates, line_length)
    return {
        name: _rendered(environment, name, shared | {"imports": statements.get(name, [])})
        for name in (_FILES if plan.procedures else _FILES_OF_TYPES)
        if name != _SCHEMAS or checks.slots
    }


def _built_in(name: str) -> tuple[str, str, Callable[[], bool]] | None:
    """Return the text and the location of a template of the package, which may be in a zip archive; None if it has none."""
    file = files("enkaku_templates").joinpath(name)
    return (file.read_text("utf-8"), str(file), lambda: True) if file.is_file() else None


def _environment(templates: Path | None, line_length: int) -> jinja2.Environment:
    loaders: list[jinja2.BaseLoader] = [jinja2.FunctionLoader(_built_in)]
    if templates is not None:
        if not templates.is_dir():
            raise TemplateError(f"{templates}: no such directory of templates")
        known = [f"{name}.jinja" for name in _FILES]
        if not any((templates / name).exists() for name in ("header.jinja", *known)):
            raise TemplateError(
                f"{templates}: no template there; expected at least one of {', '.join(known)}"
            )
        loaders.insert(0, jinja2.FileSystemLoader(templates))
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=False,  # noqa: S701 # Python is written, not HTML; the filters escape
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        lstrip_blocks=True,
        trim_blocks=True,
    )
    environment.filters |= {
        "comment": comment,
        "docstring": partial(docstring, line_length=line_length),
        "pyrepr": pyrepr,
    }
    return environment


def _location(error: Exception, name: str) -> str:
    """Return file and line of the innermost template that raised an error."""
    frames = traceback.extract_tb(error.__traceback__)
    locations = [
        f"{each.filename}:{each.lineno}" for each in frames if each.filename.endswith(".jinja")
    ]
    return locations[-1] if locations else f"{name}.jinja"


def _rendered(environment: jinja2.Environment, name: str, context: Mapping[str, object]) -> str:
    try:
        text = environment.get_template(f"{name}.jinja").render(context)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"{error.filename or name}:{error.lineno}: {error.message}") from error
    except Exception as error:  # a template may raise any exception
        raise TemplateError(f"{_location(error, name)}: {error}") from error
    if name.endswith(".py") and not text.startswith(MARKER):
        raise TemplateError(f"{name}.jinja: the first line must begin with {MARKER!r}")
    return text
