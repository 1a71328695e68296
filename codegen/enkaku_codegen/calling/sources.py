"""Where the commands that call procedures find the protocol: ``--protocol``, ``--package``, the project, or the server itself.

One of the first two decides alone. Without them it is the file of ``[tool.enkaku]`` that has the procedure. If there is none, the
server is asked: it describes itself with ``ServerOptions(describe=True)``.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from enkaku_codegen.errors import ProtocolError, visible
from enkaku_codegen.exit_codes import ExitCode
from enkaku_codegen.project import find_project

from . import dial
from .failures import Failed, Failure

if TYPE_CHECKING:
    from enkaku import Connection

    from enkaku_codegen.fingerprint import Request
    from enkaku_codegen.reading.definition import Procedure, Protocol

__all__ = ["add_arguments", "definition_in", "described", "having", "local", "shown"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that say where the protocol is."""
    group = parser.add_argument_group("protocol")
    found = group.add_mutually_exclusive_group()
    found.add_argument(
        "--protocol",
        metavar="FILE",
        type=Path,
        help="the protocol file; by default that of [tool.enkaku] with the procedure, else the server's own description",
    )
    found.add_argument("--package", metavar="MODULE", help="the generated package")


def _given(options: argparse.Namespace) -> "Protocol | None":
    """Return the protocol that the arguments name; None if they name none.

    Raises:
        ProtocolError: The file has errors.
        argparse.ArgumentError: There is no such package, or it does not contain its protocol.
    """
    if options.protocol is not None:
        from enkaku_codegen.reading.definition import read_protocol  # noqa: PLC0415 # takes longer

        return read_protocol(options.protocol)
    return None if options.package is None else _of_package(options.package)


def _projects() -> "Sequence[tuple[Path, Protocol]]":
    """Return the protocols of the project around the current directory, each file once.

    Raises:
        ProtocolError: A file has errors.
    """
    project = find_project(Path())
    if project is None:
        return []
    from enkaku_codegen.reading.definition import read_protocol  # noqa: PLC0415 # takes longer

    found: dict[str, Request] = {}
    for target in project.targets:
        found.setdefault(os.path.realpath(target.request.protocol), target.request)
    return [
        (each.protocol, read_protocol(each.protocol, each.name, each.imports))
        for each in found.values()
    ]


def local(options: argparse.Namespace, name: str) -> "tuple[Protocol, Procedure] | None":
    """Return a procedure and its protocol, as far as no server is needed; None if it has to be asked.

    Raises:
        ProtocolError: A file has errors.
        argparse.ArgumentError: The protocol that the arguments name does not have it, or several of the project do.
    """
    protocol = _given(options)
    if protocol is not None:
        return protocol, definition_in(protocol, name)
    found = [(file, each) for file, each in _projects() if _find(each, name) is not None]
    if len(found) > 1:
        files = ", ".join(str(file) for file, _ in found)
        message = f"{files} have {_quoted(name)}: choose one by --protocol"
        raise argparse.ArgumentError(None, message)
    return (found[0][1], definition_in(found[0][1], name)) if found else None


def definition_in(protocol: "Protocol", name: str) -> "Procedure":
    """Return a procedure of a protocol.

    Raises:
        argparse.ArgumentError: The protocol does not have it.
    """
    procedure = _find(protocol, name)
    if procedure is None:
        names = [each.name for each in protocol.procedures]
        near = get_close_matches(name, names, 1)
        hint = f": did you mean {near[0]}?" if near else ""
        message = f"{protocol.name} has no procedure {_quoted(name)}{hint}"
        raise argparse.ArgumentError(None, visible(message))
    return procedure


async def shown(options: argparse.Namespace) -> "Sequence[Protocol]":
    """Return the protocols that a command shows: what the arguments name, or the server's, or those of the project.

    Raises:
        ProtocolError: A file has errors.
        argparse.ArgumentError: Nothing is named.
    """
    protocol = _given(options)
    if protocol is not None:
        if options.address is not None:
            raise argparse.ArgumentError(
                None, "ADDRESS asks the server; it goes without --protocol and --package"
            )
        return [protocol]
    if options.address is not None:
        async with dial.connected(options) as connection:
            with dial.deadline(options):
                return [await described(connection)]
    found = [each for _, each in _projects()]
    if not found:
        message = "expected ADDRESS, --protocol FILE or --package MODULE, or [[tool.enkaku.protocol]] in a pyproject.toml"
        raise argparse.ArgumentError(None, message)
    return found


def having(protocols: "Sequence[Protocol]", name: str) -> "Sequence[Protocol]":
    """Return the protocols that have a procedure; at least one.

    Raises:
        argparse.ArgumentError: None has it.
    """
    found = [each for each in protocols if _find(each, name) is not None]
    if not found:
        definition_in(protocols[0], name)
    return found


def _find(protocol: "Protocol", name: str) -> "Procedure | None":
    return next((each for each in protocol.procedures if each.name == name), None)


def _quoted(name: str) -> str:
    return f'"{visible(name)}"'


def _of_package(module: str) -> "Protocol":
    """Return the protocol that a generated package contains."""
    from enkaku._json import dump_text  # noqa: PLC0415 # the runtime takes longer than all else
    from enkaku.calls.descriptions import package_of  # noqa: PLC0415 # as above

    from enkaku_codegen.reading.definition import read_document  # noqa: PLC0415 # as above

    # As with "python -m", so that a package of the project is found that is not installed.
    sys.path.insert(0, str(Path.cwd()))
    try:
        text = dump_text(package_of(module).protocol)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise argparse.ArgumentError(None, f"--package: there is no module {error.name}") from None
    finally:
        sys.path.pop(0)
    return read_document(text, module)


async def described(connection: "Connection", name: str | None = None) -> "Protocol":
    """Ask a server to describe itself.

    Args:
        connection: The connection to it.
        name: The procedure that is wanted; None for all.

    Raises:
        EnkakuError: As for any call.
        Failed: The description is no protocol, or no value could be validated by it in time.
        argparse.ArgumentError: The server does not describe itself.
    """
    from enkaku._json import dump_text  # noqa: PLC0415 # imported by now
    from enkaku.errors import CallError  # noqa: PLC0415 # as above
    from enkaku.wire.error_codes import ErrorCode  # noqa: PLC0415 # as above

    from enkaku_codegen.reading.definition import read_document  # noqa: PLC0415 # as above

    from .bounds import MOST, multiplies  # noqa: PLC0415 # as above

    try:
        description = await connection.describe()
    except CallError as error:
        if error.code not in {ErrorCode.INVALID_MESSAGE, ErrorCode.ACCESS_DENIED}:
            raise
        instead = "" if name is None else ", or --kind to call it without checks"
        what = "the procedures" if name is None else _quoted(name)
        message = f"the server does not describe {what} to this client: give --protocol or --package{instead}"
        raise argparse.ArgumentError(None, message) from error
    if not description.protocol.get("procedures"):
        raise argparse.ArgumentError(
            None, "the server describes no procedure that this client may call"
        )
    try:
        protocol = read_document(dump_text(description.protocol), connection.peer)
    except ProtocolError as error:
        raise _unusable(f"is not valid: {error}") from error
    if name is not None:
        slots = [schema for each in protocol.procedures for schema in each.slots.values()]
        if multiplies(slots, protocol.definitions):
            raise _unusable(
                f"can't be used: it has more than {MOST} schemas for one value; --kind calls without checks"
            )
    return protocol


def _unusable(reason: str) -> Failed:
    message = f"the server's description of itself {reason}"
    return Failed(Failure(ExitCode.PROTOCOL_ERROR, "PROTOCOL_ERROR", message))
