"""Steps that generate and check share: read the protocol, generate the package, compare it with its directory."""

from dataclasses import dataclass
from pathlib import Path

from enkaku_codegen.json_values import pointer
from enkaku_codegen.proving.checks import Checks
from enkaku_codegen.reading.definition import Protocol, read_protocol
from enkaku_codegen.reading.load import load

from .errors import Issue, ProtocolError, in_order
from .fingerprint import MARKER, Request, fingerprint
from .generate import generate_with_checks
from .output import Changes, changes

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
    try:
        protocol = read_protocol(request.protocol, request.name)
        files, checks = _generated(protocol, request)
    except RecursionError:
        # The nesting of each file is limited, but a chain of thousands of references is not.
        message = "the schemas are nested too deeply through their references"
        raise ProtocolError([Issue(str(request.protocol), None, "", message)]) from None
    new_fingerprint = fingerprint(request, protocol.sources, files)
    warnings = [*protocol.warnings, *_unenforced(checks, protocol, request.protocol)]
    if checks.ambiguous:
        warnings += load(request.protocol).locate(ProtocolError(checks.ambiguous)).issues
    return Prepared(changes(files, out, MARKER, new_fingerprint), checks, in_order(warnings))


def _unenforced(checks: Checks, protocol: Protocol, path: Path) -> tuple[Issue, ...]:
    """Return the warnings about what the types of a package of models do not enforce."""
    if not checks.unenforced:
        return ()
    end = "; a package of models has no validator"
    issues = [Issue(None, None, pointer(each.path), each.text + end) for each in checks.unenforced]
    return load(path).locate(protocol.located(ProtocolError(issues))).issues


def _generated(protocol: Protocol, request: Request) -> tuple[dict[str, str], Checks]:
    path = request.protocol
    try:
        return generate_with_checks(
            protocol,
            source=path.name,
            templates=request.templates,
            line_length=request.line_length,
        )
    except ProtocolError as error:
        # The generator knows JSON pointers only. The file has their lines.
        raise load(path).locate(protocol.located(error)) from None
