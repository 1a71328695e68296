"""Formats generated code with black, as a library."""

from typing import Final

from black import format_str
from black.mode import Mode, TargetVersion

from enkaku_codegen.errors import TemplateError

__all__ = ["format_source"]

_MODE: Final = Mode(target_versions={TargetVersion.PY311}, line_length=100)


def format_source(source: str, name: str) -> str:
    """Return a program in black's stable style.

    Args:
        source: The program.
        name: The name of its file, for errors.

    Raises:
        TemplateError: The text is not a Python program.
    """
    try:
        # Black checks code that it changes a second time, so the templates write its style where they can.
        return format_str(f"{source.rstrip()}\n", mode=_MODE)
    except ValueError as error:
        raise TemplateError(f"template {name}.jinja: the output is not Python: {error}") from error
