"""Environment of the templates: where they are found, their filters, and errors with file and line.

All text of a protocol is ``Text``, which needs one of the filters of ``escaping``. A directory of the user's own
templates takes precedence over the built-in ones.
"""

import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path

import jinja2

from enkaku_codegen.errors import TemplateError

from .escaping import comment, docstring, jsdoc, pyrepr, pytext, tskey, tsrepr

__all__ = ["environment", "rendered"]


def environment(
    templates: Path | None, line_length: int, names: Sequence[str]
) -> jinja2.Environment:
    """Return an environment for templates.

    Args:
        templates: The directory of the user's own templates, which take precedence.
        line_length: The greatest length of a line of documentation, in characters.
        names: The paths of the built-in templates; the user's directory has at least one of them.

    Raises:
        TemplateError: There is no such directory, or none of the templates in it.
    """
    loaders: list[jinja2.BaseLoader] = [jinja2.FunctionLoader(_built_in)]
    if templates is not None:
        if not templates.is_dir():
            raise TemplateError(f"{templates}: no such directory of templates")
        if not any((templates / name).exists() for name in names):
            known = [name for name in names if not name.endswith("header.jinja")]
            raise TemplateError(
                f"{templates}: no template there; expected at least one of {', '.join(known)}"
            )
        loaders.insert(0, jinja2.FileSystemLoader(templates))
    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=False,  # noqa: S701 # source code is written, not HTML; the filters escape
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        lstrip_blocks=True,
        trim_blocks=True,
    )
    made.filters |= {
        "comment": comment,
        "docstring": partial(docstring, line_length=line_length),
        "jsdoc": partial(jsdoc, line_length=line_length),
        "pyrepr": pyrepr,
        "pytext": pytext,
        "tskey": tskey,
        "tsrepr": tsrepr,
    }
    return made


def _built_in(name: str) -> tuple[str, str, Callable[[], bool]] | None:
    """Return the text and the location of a template of the package, which may be in a zip archive; None if it has none."""
    file = files("enkaku_templates").joinpath(name)
    return (file.read_text("utf-8"), str(file), lambda: True) if file.is_file() else None


def rendered(
    environment: jinja2.Environment, template: str, context: Mapping[str, object], marker: str
) -> str:
    """Return the text that a template makes.

    Args:
        environment: Has the template.
        template: The path of the template.
        context: The names that the template can use.
        marker: What the text must begin with, or "".

    Raises:
        TemplateError: The template can't be read or rendered, or its text begins with anything else.
    """
    name = template.removesuffix(".jinja")
    try:
        text = environment.get_template(template).render(context)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"{error.filename or name}:{error.lineno}: {error.message}") from error
    except Exception as error:  # a template may raise any exception
        raise TemplateError(f"{_location(error, template)}: {error}") from error
    if not text.startswith(marker):
        raise TemplateError(f"{template}: the first line must begin with {marker!r}")
    return text


def _location(error: Exception, template: str) -> str:
    """Return file and line of the innermost template that raised an error."""
    frames = traceback.extract_tb(error.__traceback__)
    locations = [
        f"{each.filename}:{each.lineno}" for each in frames if each.filename.endswith(".jinja")
    ]
    return locations[-1] if locations else template
