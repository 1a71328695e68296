"""Code generation as a pure function: a protocol in, the files of a package out."""

from collections.abc import Sequence
from keyword import iskeyword
from pathlib import Path

from enkaku_codegen.errors import Issue, ProtocolError
from enkaku_codegen.fingerprint import LINE_LENGTH, Language
from enkaku_codegen.planning.plan import Plan
from enkaku_codegen.planning.planner import make_plan
from enkaku_codegen.proving.checks import Checks, make_checks
from enkaku_codegen.reading.definition import Protocol
from enkaku_codegen.writing.format import format_source
from enkaku_codegen.writing.render import render
from enkaku_codegen.writing.typescript import render_typescript

__all__ = ["generate", "generate_typescript", "generate_with_checks"]


def generate(
    protocol: Protocol,
    *,
    source: str,
    templates: Path | None = None,
    line_length: int = LINE_LENGTH,
    language: Language = "python",
    sync: bool = False,
) -> dict[str, str]:
    """Generate the package for a protocol.

    Args:
        protocol: The protocol.
        source: The protocol file's name without directories, for the header of each file.
        templates: A directory whose templates take precedence over the built-in ones.
        line_length: The greatest length of a line of code, in characters.
        language: The language of the code.
        sync: Whether to generate a synchronous client, too.

    Returns:
        The text of each file by its name.

    Raises:
        ProtocolError: Two names of the protocol are the same in generated code.
        TemplateError: A template can't be found, read or rendered, or its output is not Python.
    """
    if language == "typescript":
        return generate_typescript(
            protocol, source=source, templates=templates, line_length=line_length
        )[0]
    return generate_with_checks(
        protocol, source=source, templates=templates, line_length=line_length, sync=sync
    )[0]


def generate_typescript(
    protocol: Protocol,
    *,
    source: str,
    templates: Path | None = None,
    line_length: int = LINE_LENGTH,
) -> tuple[dict[str, str], Checks, Sequence[Issue]]:
    """Generate the client in TypeScript, and return what the TypeScript implementation does not support as well.

    The checks have no slots, since the client validates nothing; only the schemas whose types became ``unknown``.
    """
    plan = make_plan(protocol)
    files, warnings = render_typescript(
        plan, protocol, source=source, templates=templates, line_length=line_length
    )
    checks = Checks({}, {}, 0, {}, plan.widened)
    return files, checks, warnings


def generate_with_checks(
    protocol: Protocol,
    *,
    source: str,
    templates: Path | None = None,
    line_length: int = LINE_LENGTH,
    sync: bool = False,
) -> tuple[dict[str, str], Checks]:
    """Generate the package, and return the slots that need a validator as well."""
    plan = make_plan(protocol)
    _require_modules(plan)
    checks = make_checks(plan, protocol)
    files = render(
        plan,
        checks,
        protocol,
        source=source,
        templates=templates,
        line_length=line_length,
        sync=sync,
    )
    formatted = {
        name: format_source(text, name, line_length) if name.endswith(".py") else text
        for name, text in files.items()
    }
    return formatted, checks


def _require_modules(plan: Plan) -> None:
    """Raise an error if a package is imported from something that is no module of Python."""
    issues = [
        Issue(
            None,
            None,
            "",
            f'imports: expected a module of Python, such as app.common; got "{module}"',
        )
        for module in sorted({*plan.modules.values()})
        if not all(
            part.isidentifier() and not iskeyword(part) for part in module.lstrip(".").split(".")
        )
    ]
    if issues:
        raise ProtocolError(issues)
