"""From a protocol file to the changes in a directory: what both commands begin with."""

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
    """A package that was generated.

    Attributes:
        changes: What has to be done to its directory.
        checks: The slots that a validator checks beside their type.
    """

    changes: Changes
    checks: Checks


def prepare(path: Path, *, name: str | None, out: Path, templates: Path | None) -> Prepared:
    """Generate a package, and compare it with its directory.

    Args:
        path: The protocol file.
        name: What to call the protocol, whatever the file says.
        out: The package's directory.
        templates: A directory whose templates go before those that ship with the package.

    Raises:
        CodegenError: Something stands in the way; it says what.
    """
    try:
        protocol = read_protocol(path, name)
        files, checks = _generated(protocol, path, templates)
    except RecursionError:
        # Each file is flat enough, but references can make a chain of thousands.
        message = "the schemas are nested too deeply through their references"
        raise ProtocolError([Issue(str(path), None, "", message)]) from None
    vouching = fingerprint(Request(path, name, templates), protocol.sources, files)
    return Prepared(changes(files, out, MARKER, vouching), checks)


def _generated(
    protocol: Protocol, path: Path, templates: Path | None
) -> tuple[dict[str, str], Checks]:
    try:
        return generate_with_checks(protocol, source=path.name, templates=templates)
    except ProtocolError as error:
        # Only the file knows its lines.
        raise load(path).locate(error) from None
