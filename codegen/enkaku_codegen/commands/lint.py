"""``enkaku lint``: reports mistakes in protocols that are allowed, and what their values may cost."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.fingerprint import Request
from enkaku_codegen.project import Project, find_project

from . import package
from .command import Command, ExitCode
from .report import Finding, Severity, add_format, print_error, print_findings

if TYPE_CHECKING:
    from enkaku_codegen.linting.ignores import Settings
    from enkaku_codegen.linting.linter import Problem, Report

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "protocols",
        metavar="PROTOCOL",
        nargs="*",
        type=Path,
        help="a JSON or YAML file; by default, all of [tool.enkaku] in pyproject.toml",
    )
    parser.add_argument(
        "--select",
        metavar="RULE,...",
        type=_names,
        help="apply these rules and categories instead of those of the project, or all",
    )
    parser.add_argument(
        "--ignore", metavar="RULE,...", type=_names, help="apply all but these rules and categories"
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit with 1 for warnings, too; not for notes"
    )
    add_format(parser)


def _names(text: str) -> frozenset[str]:
    from enkaku_codegen.linting.rules import selected  # noqa: PLC0415 # not for the help

    try:
        return selected(text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _run(options: argparse.Namespace) -> int:
    from enkaku_codegen.linting.linter import lint  # noqa: PLC0415 # not for the help

    try:
        project = find_project(Path())
        settings = _settings(project, options)
        requests = _requests(project, options.protocols)
    except ProtocolError as error:
        print_error(error, options.format)
        return ExitCode.FOUND
    reports = [lint(request, settings) for request in requests]
    # Several packages may be generated from one file, and share others.
    problems = [*dict.fromkeys(each for report in reports for each in report.problems)]
    if not options.protocols:
        problems += _unused(reports, settings)
    findings = [
        Finding.of(each.issue, each.rule, settings.severity(each.rule)) for each in problems
    ]
    print_findings(findings, options.format, title="enkaku lint")
    counts: Counter[Severity] = Counter(each.severity for each in findings)
    if options.format == "text":
        sys.stdout.flush()  # before what a terminal shows below it
        print(_summary(counts, len({each.protocol for each in requests})), file=sys.stderr)
    failed = counts["error"] or (options.strict and counts["warning"])
    return ExitCode.FOUND if failed else ExitCode.SUCCESS


def _settings(project: Project | None, options: argparse.Namespace) -> "Settings":
    from enkaku_codegen.linting.ignores import (  # noqa: PLC0415 # not for the help
        Settings,
        read_settings,
    )

    settings = Settings()
    if project is not None and "lint" in project.settings:
        settings = read_settings(project.file, project.settings["lint"])
    rules = settings.rules if options.select is None else options.select
    return replace(settings, rules=rules - (options.ignore or frozenset()))


def _requests(project: Project | None, protocols: Sequence[Path]) -> list[Request]:
    """Return the protocols to lint: those that were given, or all of the project; each once for each way to read it."""
    found = [] if protocols else [each.request for each in package.targets(None)]
    listed = () if project is None else project.targets
    for protocol in protocols:
        wanted = os.path.realpath(protocol)
        known = [
            each.request for each in listed if os.path.realpath(each.request.protocol) == wanted
        ]
        found += [replace(each, protocol=protocol) for each in known] or [
            Request(protocol, None, None)
        ]
    unique = {
        (os.path.realpath(each.protocol), each.language, each.imports): each for each in found
    }
    return [*unique.values()]


def _unused(reports: Sequence["Report"], settings: "Settings") -> list["Problem"]:
    """Return the ignores of the project that suppressed nothing."""
    from enkaku_codegen.linting.linter import Problem  # noqa: PLC0415 # not for the help

    unchecked = {"incomplete", "invalid-protocol"}
    if any(each.rule in unchecked for report in reports for each in report.problems):
        return []
    used = {each for report in reports for each in report.used}
    return [
        Problem("unused-ignore", each.issue)
        for each in settings.ignores
        if each not in used and each.rule in settings.rules
    ]


def _summary(counts: Counter[Severity], files: int) -> str:
    listed = [
        f"{count} {severity}{'s'[:count - 1]}"
        for severity in ("error", "warning", "note")
        if (count := counts[severity])
    ]
    return f"{', '.join(listed) or 'nothing found'} in {files} protocol{'s'[:files - 1]}"


COMMAND: Final = Command(
    description="Report what is allowed in protocols and probably not meant, and what its values may cost.",
    examples=(
        "enkaku lint                                            (all protocols that pyproject.toml lists)",
        "enkaku lint protocol.yaml --strict                     (in a build: exits 1 for warnings, too)",
        "enkaku lint --select documentation,undescribed-property",
    ),
    add_arguments=_add_arguments,
    run=_run,
)
