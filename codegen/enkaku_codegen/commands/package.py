"""Shared arguments of the commands that work on generated packages, and the packages that they ask for.

Without arguments, these are all packages of the project (``enkaku_codegen.project``).
"""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from enkaku_codegen.errors import CodegenError, OutputError
from enkaku_codegen.fingerprint import LANGUAGES, LINE_LENGTH, Import, Request
from enkaku_codegen.inputs import add_input
from enkaku_codegen.json_values import Json
from enkaku_codegen.output import require_importable
from enkaku_codegen.project import (
    LONGEST_LINE,
    SHORTEST_LINE,
    Project,
    Target,
    find_project,
    read_project,
)

from .command import ExitCode
from .report import Finding, add_format, print_error, print_findings

if TYPE_CHECKING:
    from enkaku_codegen.output import Changes
    from enkaku_codegen.prepare import Prepared

__all__ = [
    "FORMATS",
    "Selection",
    "add_arguments",
    "details",
    "length",
    "path",
    "prepared",
    "require_valid",
    "run_each",
    "select",
    "targets",
]

FORMATS: Final = ("text", "json", "github")
"""The formats of these commands."""

_ALONE: Final = ("out", "name", "language", "imports", "sync", "templates", "line_length")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that say what package is generated, and where."""
    parser.add_argument(
        "protocol",
        metavar="PROTOCOL",
        nargs="?",
        type=path,
        help="a JSON or YAML file; by default, all of [tool.enkaku] in pyproject.toml",
    )
    parser.add_argument("--out", metavar="DIR", type=path, help="the package's directory")
    parser.add_argument(
        "--name",
        type=_name,
        help="what the classes are named after; else the name in the file, else the file's name",
    )
    parser.add_argument(
        "--language",
        choices=LANGUAGES,
        help=f"the language of the code; by default {LANGUAGES[0]}",
    )
    parser.add_argument(
        "--import",
        metavar="FILE=MODULE",
        dest="imports",
        action="append",
        type=_import,
        help="import the types of another protocol file from its package, such as common.yaml=app.common",
    )
    parser.add_argument(
        "--sync",
        action="store_const",
        const=True,
        help="write a synchronous client, too, for code without asyncio",
    )
    parser.add_argument(
        "--templates",
        metavar="DIR",
        type=path,
        help="templates that go before the built-in ones",
    )
    parser.add_argument(
        "--line-length",
        metavar="N",
        type=length,
        help=f"the greatest length of a line of code; by default {LINE_LENGTH}",
    )
    add_format(parser, FORMATS)


def path(text: str) -> Path:
    """Return the path that an argument names."""
    # Path("") would be the current directory, where a variable of the shell is not set by mistake.
    if not text:
        raise argparse.ArgumentTypeError("a path has at least one character")
    return Path(text)


def _name(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("a name has at least one character")
    return text


def _import(text: str) -> Import:
    file, _, module = text.rpartition("=")
    if not file or not module:
        raise argparse.ArgumentTypeError("expected FILE=MODULE, such as common.yaml=app.common")
    return Import(Path(file), module)


def length(text: str) -> int:
    """Return the length of a line that an argument names."""
    if not text.isdecimal() or not SHORTEST_LINE <= int(text) <= LONGEST_LINE:
        raise argparse.ArgumentTypeError(f"expected {SHORTEST_LINE} to {LONGEST_LINE} characters")
    return int(text)


def targets(protocol: Path | None) -> list[Target]:
    """Return what the project lists: all, or what it has for one protocol file.

    Raises:
        ProtocolError: The file of the project has errors.
        argparse.ArgumentError: There is no project, or it does not list the file.
    """
    return _listed(_found(find_project(Path()), protocol), protocol)


def _found(project: Project | None, protocol: Path | None) -> Project:
    if project is None:
        expected = "expected PROTOCOL --out DIR" if protocol is None else "expected --out DIR"
        message = f"{expected}, or [[tool.enkaku.protocol]] with file and out in a pyproject.toml"
        raise argparse.ArgumentError(None, message)
    return project


def _listed(project: Project, protocol: Path | None) -> list[Target]:
    if protocol is None:
        return [*project.targets]
    wanted = os.path.realpath(protocol)
    found = [each for each in project.targets if os.path.realpath(each.request.protocol) == wanted]
    if not found:
        message = f"expected --out DIR: {project.file} does not list {protocol}"
        raise argparse.ArgumentError(None, message)
    return found


@dataclass(frozen=True, slots=True)
class Selection:
    """The packages that the arguments ask for.

    Attributes:
        packages: What to generate, and in which directories; None for a protocol without a package.
        project: The file that lists them; None if the arguments say all.
    """

    packages: tuple[tuple[Request, Path | None], ...]
    project: Path | None


def select(options: argparse.Namespace, project: Path | None = None) -> Selection:
    """Return the packages that the arguments ask for.

    Args:
        options: The arguments.
        project: The file of the project if an earlier selection has found it; None searches for it.

    Raises:
        ProtocolError: The file of the project has errors.
        argparse.ArgumentError: The arguments name no package, and no project has one.
    """
    if options.out is not None and options.protocol is not None:
        return Selection(((_request(options), options.out),), None)
    for name in _ALONE:
        if getattr(options, name) is not None:
            option = "import" if name == "imports" else name.replace("_", "-")
            missing = "PROTOCOL" if options.protocol is None else "--out DIR"
            message = f"--{option} needs {missing}; without, the project's file says it"
            raise argparse.ArgumentError(None, message)
    read = find_project(Path()) if project is None else read_project(project)
    found = _found(read, options.protocol)
    listed = _listed(found, options.protocol)
    return Selection(tuple((each.request, each.out) for each in listed), found.file)


def _require_possible(request: Request, out: Path) -> None:
    """Raise an error for a package that can't be, whatever its protocol says.

    Raises:
        OutputError: Python could not import a package from its directory, or its language has no synchronous client.
    """
    if request.language == "python":
        require_importable(out)
    elif request.sync:
        raise OutputError(f"--sync is for Python; got --language {request.language}")


def _request(options: argparse.Namespace) -> Request:
    return Request(
        options.protocol,
        options.name,
        options.templates,
        options.line_length or LINE_LENGTH,
        options.language or LANGUAGES[0],
        bool(options.sync),
        tuple(options.imports or ()),
    )


def run_each(
    selection: Selection, format_: str, run: Callable[[Request, Path | None], bool]
) -> ExitCode:
    """Do something with each package, and return the exit code. An error of one is printed, and the others follow.

    Args:
        selection: The packages.
        format_: How errors are printed.
        run: Is given a package and its directory, if it has one; returns whether all is well.
    """
    code = ExitCode.SUCCESS
    for request, out in selection.packages:
        add_input(request.protocol)
        try:
            if out is not None:
                _require_possible(request, out)
            done = run(request, out)
        except CodegenError as error:
            print_error(error, format_)
            done = False
            if isinstance(error, OutputError) and out is not None:
                add_input(out)
        if not done:
            code = ExitCode.FOUND
    return code


def details(changes: "Changes") -> dict[str, Json]:
    """Return what changes in a package, for ``--format json``."""
    return {
        "package": str(changes.directory),
        "written": [*sorted(changes.written)],
        "removed": [*changes.removed],
    }


def require_valid(request: Request) -> None:
    """Raise an error if no package can be generated from a protocol.

    Raises:
        ProtocolError: The protocol has errors.
    """
    from enkaku_codegen.prepare import file_names  # noqa: PLC0415 # as in prepared()

    file_names(request)


def prepared(request: Request, out: Path, format_: str) -> "Prepared":
    """Generate the package, compare it with its directory, and print the warnings.

    Raises:
        CodegenError: The package can't be generated, or the directory can't be read.
    """
    # Imported here: at the top, the generator would be imported even for a package that is up to date.
    from enkaku_codegen.prepare import prepare  # noqa: PLC0415 # see above

    made = prepare(request, out)
    if format_ == "text":
        for each in made.warnings:
            print(f"warning: {each}", file=sys.stderr)
    else:
        found = [Finding.of(each, "protocol-warning", "warning") for each in made.warnings]
        print_findings(found, format_)
    return made
