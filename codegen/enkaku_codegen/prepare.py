"""Steps that generate and check share: read the protocol, generate the package, compare it with its directory.

The generator is imported only when a package is generated.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from enkaku_codegen.json_values import pointer
from enkaku_codegen.planning.planner import make_plan
from enkaku_codegen.proving.checks import Checks, make_checks
from enkaku_codegen.reading.definition import Protocol, read_protocol
from enkaku_codegen.reading.load import load
from enkaku_codegen.writing.files import python_files, typescript_files

from .errors import Issue, ProtocolError, in_order
from .fingerprint import FINGERPRINT_FILE, MARKERS, Request, fingerprint
from .output import Changes, changes, require_language

__all__ = ["Prepared", "file_names", "prepare"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A package that was generated, and not written yet.

    Attributes:
        changes: The differences to its directory.
        checks: The slots that a validator checks in addition to their type.
        warnings: What is allowed in the protocol, and probably not meant.
        files: The names of all files of the package, sorted, and then the fingerprint if there is one.
    """

    changes: Changes
    checks: Checks
    warnings: tuple[Issue, ...]
    files: tuple[str, ...]


def prepare(request: Request, out: Path) -> Prepared:
    """Generate a package, and compare it with its directory.

    Args:
        request: What to generate.
        out: The package's directory.

    Raises:
        CodegenError: The package can't be generated, or the directory can't be read.
    """
    require_language(out, request.language)
    with _bounded(request):
        protocol = read_protocol(request.protocol, request.name, request.imports)
        with _located(protocol, request):
            files, checks, others = _generated(protocol, request)
    new_fingerprint = fingerprint(request, protocol.sources, files)
    warnings = [*protocol.warnings, *others, *_unenforced(checks, protocol, request.protocol)]
    if checks.ambiguous:
        warnings += load(request.protocol).locate(ProtocolError(checks.ambiguous)).issues
    marker = MARKERS[request.language]
    todo = changes(files, out, marker, new_fingerprint, request.language)
    return Prepared(todo, checks, in_order(warnings), _names(files, new_fingerprint))


def file_names(request: Request) -> tuple[str, ...]:
    """Return the names of the files that a package would have, without generating it.

    Raises:
        ProtocolError: The protocol has errors. Those of templates, and of the directory, are not found.
    """
    with _bounded(request):
        protocol = read_protocol(request.protocol, request.name, request.imports)
        with _located(protocol, request):
            plan = make_plan(protocol)
            if request.language == "typescript":
                files = typescript_files(plan)
            else:
                files = python_files(plan, make_checks(plan, protocol), sync=request.sync)
    return _names(files, fingerprint(request, protocol.sources, {}))


def _names(files: Iterable[str], text: str | None) -> tuple[str, ...]:
    return (*sorted(files), *([] if text is None else [FINGERPRINT_FILE]))


@contextmanager
def _bounded(request: Request) -> Generator[None]:
    """Make an error of a chain of references that is too long for Python's stack."""
    try:
        yield
    except RecursionError:
        # The nesting of each file is limited, but a chain of thousands of references is not.
        message = "the schemas are nested too deeply through their references"
        raise ProtocolError([Issue(str(request.protocol), None, "", message)]) from None


@contextmanager
def _located(protocol: Protocol, request: Request) -> Generator[None]:
    """Add file and line to errors of the generator, which knows JSON pointers only."""
    try:
        yield
    except ProtocolError as error:
        raise load(request.protocol).locate(protocol.located(error)) from None


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
    # It imports black and datamodel-code-generator, which nothing else needs.
    from .generate import generate_typescript, generate_with_checks  # noqa: PLC0415 # see above

    path, templates, length = request.protocol, request.templates, request.line_length
    if request.language == "typescript":
        files, checks, issues = generate_typescript(
            protocol, source=path.name, templates=templates, line_length=length
        )
        found = protocol.located(ProtocolError(issues))
        return files, checks, load(path).locate(found).issues if issues else ()
    files, checks = generate_with_checks(
        protocol,
        source=path.name,
        templates=templates,
        line_length=length,
        sync=request.sync,
    )
    return files, checks, ()
