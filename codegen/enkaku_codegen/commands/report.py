"""Findings of the commands that read files, and the formats in which they are printed: ``--format``.

``text`` is for people, ``json`` has one object a line, ``github`` annotates the lines of a pull request, ``junit`` is
read by CI servers, ``markdown`` is for a comment. Results go to the standard output.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal
from xml.sax.saxutils import quoteattr

from enkaku_codegen.errors import (
    CodegenError,
    Issue,
    OutputError,
    ProtocolError,
    TemplateError,
    visible,
)
from enkaku_codegen.json_values import Json

__all__ = ["FORMATS", "Finding", "Severity", "add_format", "print_error", "print_findings"]

Severity = Literal["error", "warning", "note"]

FORMATS: Final = ("text", "json", "github", "junit", "markdown")
"""All formats, the default first."""

_COLOURS: Final[Mapping[Severity, str]] = {"error": "31", "warning": "33", "note": "36"}
_RULES: Final[Mapping[type[CodegenError], str]] = {
    ProtocolError: "invalid-protocol",
    TemplateError: "template",
    OutputError: "output",
}
_GITHUB: Final[Mapping[Severity, str]] = {"error": "error", "warning": "warning", "note": "notice"}


_MARKDOWN: Final = re.compile(r"[\\`*_\[\]<>|!]")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a command found in a file.

    Attributes:
        rule: The id of the rule, such as ``unbounded-string``.
        severity: How bad it is. Only errors make a command exit with 1.
        file: The file as the user knows it, or None.
        line: The line in the file, from 1, or None.
        pointer: The location in the file, as a JSON pointer.
        message: What is wrong, and what to do.
        details: What a machine may want to know beyond that, for the JSON; the text has it in the message.
    """

    rule: str
    severity: Severity
    file: str | None
    line: int | None
    pointer: str
    message: str
    details: Mapping[str, Json] = field(default_factory=dict[str, Json])

    @property
    def issue(self) -> Issue:
        """The finding as an issue, whose text is one line without control characters."""
        return Issue(self.file, self.line, self.pointer, self.message)

    @classmethod
    def of(cls, issue: Issue, rule: str, severity: Severity = "error") -> "Finding":
        """Return an issue as a finding."""
        return cls(rule, severity, issue.file, issue.line, issue.pointer, issue.message)


def add_format(parser: argparse.ArgumentParser, formats: Sequence[str] = FORMATS) -> None:
    """Declare ``--format``."""
    parser.add_argument(
        "--format",
        choices=formats,
        default=formats[0],
        help=f"how to print what was found; by default {formats[0]}",
    )


def print_error(error: CodegenError, format_: str) -> None:
    """Print an error that ended the command: text on the standard error, other formats on the standard output."""
    if format_ == "text":
        print("\n".join(map(visible, str(error).split("\n"))), file=sys.stderr)
        return
    issues = (
        error.issues if isinstance(error, ProtocolError) else (Issue(None, None, "", str(error)),)
    )
    rule = next((rule for kind, rule in _RULES.items() if isinstance(error, kind)), "error")
    print_findings([Finding.of(each, rule) for each in issues], format_)


def print_findings(findings: Sequence[Finding], format_: str, *, title: str = "enkaku") -> None:
    """Print findings on the standard output.

    Args:
        findings: In the order in which they are printed.
        format_: One of ``FORMATS``.
        title: The name of the suite, and the heading: of ``junit`` and ``markdown``.
    """
    match format_:
        case "json":
            for each in findings:
                print(json.dumps(_object(each)))
        case "github":
            for each in findings:
                print(_annotation(each))
        case "junit":
            print(_junit(findings, title))
        case "markdown":
            print(_markdown(findings, title))
        case _:
            coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
            for each in findings:
                print(_text(each, coloured=coloured))


def _text(finding: Finding, *, coloured: bool) -> str:
    word = str(finding.severity)
    if coloured:
        word = f"\x1b[{_COLOURS[finding.severity]}m{word}\x1b[0m"
    return f"{word}: {finding.issue} [{finding.rule}]"


def _object(finding: Finding) -> dict[str, Json]:
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "file": finding.file,
        "line": finding.line,
        "pointer": finding.pointer,
        "message": finding.message,
        **finding.details,
    }


def _annotation(finding: Finding) -> str:
    """Return a workflow command of GitHub Actions, which shows a message at a line."""
    location = {
        "file": None if finding.file is None else _in_workspace(finding.file),
        "line": finding.line,
        "title": finding.rule,
    }
    given = ",".join(f"{key}={_escaped(str(each), ':,')}" for key, each in location.items() if each)
    text = f"{finding.pointer}: {finding.message}" if finding.pointer else finding.message
    return f"::{_GITHUB[finding.severity]} {given}::{_escaped(text)}"


def _in_workspace(file: str) -> str:
    """Return the path from the root of the repository, if a job runs somewhere else in it: annotations need that."""
    root = os.environ.get("GITHUB_WORKSPACE")
    if not root or "\0" in file:
        return file
    path = os.path.relpath(os.path.realpath(file), os.path.realpath(root))
    return file if path.startswith("..") else path


def _escaped(text: str, others: str = "") -> str:
    """Escape a text so that it ends neither the command nor its line: nor may it hold codes for a terminal."""
    text = "\n".join(map(visible, text.split("\n")))
    for each in f"%\n{others}":
        text = text.replace(each, f"%{ord(each):02X}")
    return text


def _junit(findings: Sequence[Finding], title: str) -> str:
    failed = sum(each.severity == "error" for each in findings)
    name = _attribute(title)
    head = f'<testsuite name={name} tests="{max(len(findings), 1)}" failures="{failed}">'
    cases = [_case(each) for each in findings] or [f'  <testcase name={name} classname="enkaku"/>']
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', head, *cases, "</testsuite>"])


def _case(finding: Finding) -> str:
    name, text = _attribute(f"{finding.rule} {finding.pointer}"), _attribute(str(finding.issue))
    inner = (
        f"<failure message={text}/>"
        if finding.severity == "error"
        else f"<system-out>{text[1:-1]}</system-out>"
    )
    return f'  <testcase name={name} classname="enkaku">{inner}</testcase>'


def _attribute(text: str) -> str:
    """Return an attribute of XML that is valid whatever the text is, and the encoding of the output."""
    return quoteattr(visible(text)).encode("ascii", "xmlcharrefreplace").decode()


def _markdown(findings: Sequence[Finding], title: str) -> str:
    lines = [f"### {title}", ""]
    if not findings:
        return "\n".join([*lines, "Nothing found."])
    lines += ["| | rule | where | what |", "|---|---|---|---|"]
    for each in findings:
        where = ":".join(str(part) for part in (each.file, each.line) if part is not None)
        cells = (_cell(f"{where} {each.pointer}".strip()), _cell(each.message))
        lines.append(f"| {each.severity} | `{each.rule}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Escape a text for a table of Markdown: it makes no other cells, links, images or HTML."""
    return _MARKDOWN.sub(r"\\\g<0>", visible(text))
