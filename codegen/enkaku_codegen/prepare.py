"""Steps that generate and check share: read the protocol, generate the package, compare it with its directory."""

from dataclasses import dataclass
from pathlib import Path

from enkaku_codegen.proving.checks import Checks
from enkaku_codegen.reading.definition import Protocol, read_protocol
from enkaku_codegen.reading.load import load

from .errors import Issue, ProtocolError
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


def prepare(path: Path, *, name: str | None, out: Path, templates: Path | None) -> Prepared:
    """Generate a package, and compare it with its directory.

    Args:
        path: The protocol file.
        name: The name of the protocol; None takes that of the file.
        out: The package's directory.
        templates: A directory whose templates take precedence over the built-in ones.

    Raises:
        CodegenError: The package can't be generated, or the directory can't be read.
    """
    try:
        protocol = read_protocol(path, name)
        files, checks = _generated(protocol, path, templates)
    except RecursionError:
        # The nesting of each file is limited, but a chain of thousands of references is not.
        message = "the schemas are nested too deeply through their references"
        raise ProtocolError([Issue(str(path), None, "", message)]) from None
    new_fingerprint = fingerprint(Request(path, name, templates), protocol.sources, files)
    return Prepared(changes(files, out, MARKER, new_fingerprint), checks, protocol.warnings)


def _generated(
    protocol: Protocol, path: Path, templates: Path | None
) -> tuple[dict[str, str], Checks]:
    try:
        return generate_with_checks(protocol, source=path.name, templates=templates)
    except ProtocolError as error:
        # The generator knows JSON pointers only. The file has their lines.
        raise load(path).locate(error) from None
