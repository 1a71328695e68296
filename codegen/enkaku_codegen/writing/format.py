"""Formats generated code with black, as a library."""

from black import format_str
from black.mode import Mode, TargetVersion

from enkaku_codegen.errors import TemplateError
from enkaku_codegen.fingerprint import LINE_LENGTH

__all__ = ["format_source"]


def format_source(source: str, name: str, line_length: int = LINE_LENGTH) -> str:
    """Return a program in black's stable style.

    Args:
        source: The program.
        name: The name of its file, for errors.
        line_length: The greatest length of a line, in characters.

    Raises:
        TemplateError: The text is not a Python program.
    """
    mode = Mode(target_versions={TargetVersion.PY311}, line_length=line_length)
    try:
        # Black checks code that it changes a second time, so the templates write its style where they can.
        return format_str(f"{source.rstrip()}\n", mode=mode)
    except ValueError as error:
        raise TemplateError(f"template {name}.jinja: the output is not Python: {error}") from error
