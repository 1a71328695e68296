"""Steps that generate and check share: read the protocol, generate the package, compare it with its directory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from enkaku_codegen.json_values import pointer
from enkaku_codegen.proving.checks import Checks
from enkaku_codegen.reading.definition import Protocol, read_protocol
from enkaku_codegen.reading.load import load

from .errors import Issue, ProtocolError, in_order
from .fingerprint import MARKERS, Request, fingerprint
from .generate import generate_typescript, generate_with_checks
from .output import Changes, changes, require_language

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A package that was generated, and not written yet.

    Attributes:
        changes: The differences to its directory.
        checks: The slots that a validator checks in addition to their type.
        warnings: What is allowed in the protocol, and probably not meant.
    """

    changes: Changes
    checks: Checks
    warnings: tuple[Issue, ...]


def prepare(request: Request, out: Path) -> Prepared:
    """Generate a package, and compare it with its directory.

    Args:
        request: What to generate.
        out: The package's directory.

    Raises:
        CodegenError: The package can't be generated, or the directory can't be read.
    """
    require_language(out, request.language)
    try:
        protocol = read_protocol(request.protocol, request.name, request.imports)
        files, checks, others = _generated(protocol, request)
    except RecursionError:
        # The nesting of each file is limited, but a chain of thousands of references is not.
        message = "the schemas are nested too deeply through their references"
        raise ProtocolError([Issue(str(request.protocol), None, "", message)]) from None
    new_fingerprint = fingerprint(request, protocol.sources, files)
    warnings = [*protocol.warnings, *others, *_unenforced(checks, protocol, request.protocol)]
    if checks.ambiguous:
        warnings += load(request.protocol).locate(ProtocolError(checks.ambiguous)).issues
    marker = MARKERS[request.language]
    todo = changes(files, out, marker, new_fingerprint, request.language)
    return Prepared(todo, checks, in_order(warnings))


def _unenforced(checks: Checks, protocol: Protocol, path: Path) -> tuple[Issue, ...]:
    """Return the warnings about what the types of a package of models do not enforce."""
    if not checks.unenforced:
        return ()
    end = "; a package of models has no validator"
    issues = [Issue(None, None, pointer(each.path), each.text + end) for each in checks.unenforced]
    return load(path).locate(protocol.located(ProtocolError(issues))).issues


def _generated(
    protocol: Protocol, request: Request
) -> tuple[dict[str, str], Checks, Sequence[Issue]]:
    """Return the files, the checks, and warnings about what the language does not support."""
    path, templates, length = request.protocol, request.templates, request.line_length
    try:
        if request.language == "typescript":
            files, checks, issues = generate_typescript(
                protocol, source=path.name, templates=templates, line_length=length
            )
            found = protocol.located(ProtocolError(issues))
            warnings = load(path).locate(found).issues if issues else ()
        else:
            warnings = ()
            files, checks = generate_with_checks(
                protocol,
                source=path.name,
                templates=templates,
                line_length=length,
                sync=request.sync,
            )
    except ProtocolError as error:
        # The generator knows JSON pointers only. The file has their lines.
        raise load(path).locate(protocol.located(error)) from None
    return files, checks, warnings
