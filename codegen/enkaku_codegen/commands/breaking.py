"""``enkaku breaking``: reports what of a protocol's changes breaks peers that have the old version."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

from enkaku_codegen.comparing.rules import FIRST, LEVELS
from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.fingerprint import Import
from enkaku_codegen.json_values import Json
from enkaku_codegen.json_values import pointer as as_pointer
from enkaku_codegen.project import Project, find_project

from .command import Command, ExitCode
from .report import Finding, add_format, print_error, print_findings

if TYPE_CHECKING:
    from enkaku_codegen.comparing.ignores import Ignore, Settings
    from enkaku_codegen.comparing.wire import Change

    from .versions import Source, Version

__all__ = ["COMMAND"]


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two versions to compare.

    Attributes:
        file: The protocol file that the project lists; None for others.
        name: The name of the protocol, as the project has it.
        imports: The files whose types are imported.
    """

    old: "Source"
    new: "Source"
    file: Path | None = None
    name: str | None = None
    imports: tuple[Import, ...] = ()


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "old",
        metavar="OLD",
        nargs="?",
        help="a protocol file, REF:PATH, or a generated package: a directory or a module; by default, all of [tool.enkaku]",
    )
    parser.add_argument(
        "new", metavar="NEW", nargs="?", help="the same; by default, the file of the working tree"
    )
    parser.add_argument(
        "--against",
        metavar="REF",
        help="compare with the same file in a revision, such as origin/main",
    )
    parser.add_argument(
        "--level",
        choices=LEVELS,
        help="wire: the messages; source: also the generated Python code; by default wire",
    )
    parser.add_argument(
        "--first",
        choices=FIRST,
        help="the side that is upgraded first; by default server: old clients meet the new server",
    )
    parser.add_argument(
        "--allow",
        metavar="RULE[:POINTER]",
        action="append",
        default=[],
        help="report findings of a rule as notes, everywhere or at and below a location",
    )
    parser.add_argument("--reason", metavar="TEXT", help="why; --allow needs it")
    parser.add_argument("--verbose", action="store_true", help="report what is compatible, too")
    add_format(parser)


def _run(options: argparse.Namespace) -> int:
    try:
        return _compared(options)
    except ProtocolError as error:
        print_error(error, options.format)
        return ExitCode.FOUND


def _compared(options: argparse.Namespace) -> int:
    from enkaku_codegen.comparing import ignores  # noqa: PLC0415 # it imports the validator

    project = find_project(Path())
    settings = ignores.Settings()
    if project is not None and "breaking" in project.settings:
        settings = ignores.read_settings(
            project.settings["breaking"], project.file, project.file.parent
        )
    settings = replace(
        settings,
        level=options.level or settings.level,
        first=options.first or settings.first,
        ignores=(*_allowed(options), *settings.ignores),
    )
    pairs = _pairs(options, project)
    used: set[Ignore] = set()
    findings: list[Finding] = []
    for each in pairs:
        found, needed = _findings(each, settings)
        findings += found
        used |= needed
    findings += _about_ignores(settings.ignores, used, project, pairs)
    shown = [
        each
        for each in findings
        if options.verbose or each.severity != "note" or each.rule == "protocol-added"
    ]
    print_findings(shown, options.format, title="Breaking changes")
    if options.format == "text":
        sys.stdout.flush()
        print(_summary(findings, pairs, verbose=options.verbose), file=sys.stderr)
    broken = any(each.severity == "error" for each in findings)
    return ExitCode.FOUND if broken else ExitCode.SUCCESS


def _allowed(options: argparse.Namespace) -> list["Ignore"]:
    from enkaku_codegen.comparing.ignores import Ignore, no_such_rule  # noqa: PLC0415 # see above

    reason = (options.reason or "").strip()
    if options.allow and not reason:
        raise argparse.ArgumentError(None, "--allow needs --reason TEXT")
    if options.reason is not None and not options.allow:
        raise argparse.ArgumentError(None, "--reason needs --allow RULE")
    found: list[Ignore] = []
    for text in options.allow:
        rule, _, pointer = text.partition(":")
        message = no_such_rule(rule)
        if not message and pointer and not pointer.startswith("/"):
            message = f"expected a JSON pointer, such as /procedures/a; got {pointer}"
        if message:
            raise argparse.ArgumentError(None, f"--allow {text}: {message}")
        found.append(Ignore(rule, pointer, reason))
    return found


def _pairs(options: argparse.Namespace, project: Project | None) -> list[_Pair]:
    from . import versions  # noqa: PLC0415 # it imports the readers of files

    if options.new is not None:
        if options.against is not None:
            raise argparse.ArgumentError(None, "expected NEW or --against, got both")
        new = versions.parse_source(options.new)
        return [_listed(_Pair(versions.parse_source(options.old), new), project)]
    if options.old is None:
        return _of_project(options.against, project)
    given = versions.parse_source(options.old)
    if options.against is not None:
        if given.ref is not None or given.is_package:
            raise argparse.ArgumentError(None, f"--against is for a file, got {options.old}")
        return [_listed(_Pair(versions.in_revision(given.path, options.against), given), project)]
    if given.ref is not None:
        return [_listed(_Pair(given, versions.working_file(given)), project)]
    for each in () if project is None else project.targets:
        if given.is_package and each.out is not None and given.path.parent.samefile(each.out):
            request = each.request
            new = versions.Source(request.protocol)
            return [_Pair(given, new, request.protocol, request.name, request.imports)]
        if _is_same(each.request.protocol, given) and each.against is not None:
            old = versions.in_revision(given.path, each.against)
            return [_listed(_Pair(old, given), project)]
    raise argparse.ArgumentError(None, "expected NEW or --against REF, such as origin/main")


def _of_project(against: str | None, project: Project | None) -> list[_Pair]:
    """Return what the project lists, each file once."""
    from . import versions  # noqa: PLC0415 # it imports the readers of files

    if project is None:
        message = (
            "expected OLD, or [[tool.enkaku.protocol]] with file and against in a pyproject.toml"
        )
        raise argparse.ArgumentError(None, message)
    pairs: dict[tuple[Path, str], _Pair] = {}
    for each in project.targets:
        ref, request = against or each.against, each.request
        if ref is not None and (request.protocol, ref) not in pairs:
            if not request.protocol.exists():
                raise argparse.ArgumentError(None, f"{request.protocol}: no such file")
            old, new = versions.in_revision(request.protocol, ref), versions.Source(
                request.protocol
            )
            pairs[request.protocol, ref] = _Pair(
                old, new, request.protocol, request.name, request.imports
            )
    if not pairs:
        message = f'expected --against REF: {project.file} has no "against", such as origin/main'
        raise argparse.ArgumentError(None, message)
    return list(pairs.values())


def _listed(pair: _Pair, project: Project | None) -> _Pair:
    """Return a pair with what the project says about its file."""
    for each in () if project is None else project.targets:
        if _is_same(each.request.protocol, pair.new):
            request = each.request
            return replace(pair, file=request.protocol, name=request.name, imports=request.imports)
    return pair


def _is_same(file: Path, source: "Source") -> bool:
    return source.ref is None and file.exists() and file.samefile(source.path)


def _findings(pair: _Pair, settings: "Settings") -> tuple[list[Finding], set["Ignore"]]:
    from enkaku_codegen.comparing.ignores import apply  # noqa: PLC0415 # they import the validator
    from enkaku_codegen.comparing.source import compare_code  # noqa: PLC0415 # as above
    from enkaku_codegen.comparing.wire import compare_messages  # noqa: PLC0415 # as above

    from . import versions  # noqa: PLC0415 # it imports the readers of files

    # A package has all types in its own document, and names them as its file does without imports.
    imports = () if pair.old.is_package or pair.new.is_package else pair.imports
    new = versions.read_version(pair.new, pair.name, imports)
    try:
        old = versions.read_version(pair.old, pair.name, imports)
    except versions.Missing as missing:
        return [_added(new, str(missing))], set()
    changes = compare_messages(old.protocol, new.protocol, settings.first)
    if settings.level == "source":
        try:
            changes += compare_code(old.protocol, new.protocol)
        except ProtocolError as error:
            raise new.document.locate(new.protocol.located(error)) from None
    applying = [each for each in settings.ignores if _applies(each, pair)]
    changes, used = apply(changes, applying)
    return [_finding(each, old, new) for each in changes], used


def _applies(ignore: "Ignore", pair: _Pair) -> bool:
    if ignore.until is not None and date.today() > ignore.until:  # noqa: DTZ011 # the user's day
        return False
    return ignore.file is None or _is_same(ignore.file, pair.new)


def _added(new: "Version", missing: str) -> Finding:
    message = (
        f"there is no {missing}: all of it is new; "
        "if the file was renamed, compare with its old name: enkaku breaking REF:OLD NEW"
    )
    return Finding("protocol-added", "note", new.document.name, 1, "", message)


def _finding(change: "Change", old: "Version", new: "Version") -> Finding:
    pointer = change.pointer
    file, line = new.location(pointer)
    before = None if change.old is None else old.location(change.old)
    after = None if change.new is None else new.location(change.new)
    message = change.message
    if before is not None and (change.new is None or before != after):
        message = f"{message} (before: {before[0]}:{before[1]})"
    details: dict[str, Json] = {
        **change.details,
        "old": _place(before, change.old),
        "new": _place(after, change.new),
        **({"value": change.value[0]} if change.value else {}),
    }
    return Finding(change.rule, change.severity, file, line, pointer, message, details)


def _place(location: tuple[str, int] | None, pointer: str | None) -> Json:
    if location is None:
        return None
    return {"file": location[0], "line": location[1], "pointer": pointer}


def _about_ignores(
    ignores: Sequence["Ignore"],
    used: set["Ignore"],
    project: Project | None,
    pairs: Sequence[_Pair],
) -> list[Finding]:
    """Return warnings about exceptions that apply to nothing."""
    compared = {each.file for each in pairs}
    listed = {each.request.protocol for each in (() if project is None else project.targets)}
    found: list[Finding] = []
    for each in ignores:
        file = None if each.path is None or project is None else str(project.file)
        if each.until is not None and date.today() > each.until:  # noqa: DTZ011 # the user's day
            message = f"{each}: until {each.until}; remove it, or the change"
            found.append(_about(file, each, "expired-ignore", message))
        elif each in used:
            continue
        elif each.path is None or (
            listed <= compared if each.file is None else each.file in compared
        ):
            message = f"{each}: applies to no finding; remove it"
            found.append(_about(file, each, "unused-ignore", message))
    return found


def _about(file: str | None, ignore: "Ignore", rule: str, message: str) -> Finding:
    return Finding(rule, "warning", file, None, as_pointer(ignore.path or ()), message)


def _summary(findings: Sequence[Finding], pairs: Sequence[_Pair], *, verbose: bool) -> str:
    errors, warnings, notes = (
        sum(each.severity == severity for each in findings)
        for severity in ("error", "warning", "note")
    )
    compared = ", ".join(f"{each.new.name} with {each.old.name}" for each in pairs)
    result = f"{errors} breaking change{'s'[: errors != 1]}" if errors else "compatible"
    more = f", {warnings} warning{'s'[: warnings != 1]}" if warnings else ""
    how = "" if verbose else " (--verbose)"
    hidden = f", {notes} note{'s'[: notes != 1]}{how}" if notes else ""
    return f"{compared}: {result}{more}{hidden}"


COMMAND: Final = Command(
    description="Report what breaks old clients of the new server. Exit with 1 if something does.",
    examples=(
        "enkaku breaking                                        (all protocols that pyproject.toml lists with 'against')",
        "enkaku breaking protocol.yaml --against origin/main    (the same file on another branch)",
        "enkaku breaking v1.2:protocol.yaml --level source      (the generated code as well)",
        "enkaku breaking old.yaml new.yaml --first either       (whichever side is upgraded first)",
        "enkaku breaking --allow procedure-removed:/procedures/old --reason 'nobody has called it since May'",
    ),
    add_arguments=_add_arguments,
    run=_run,
)
