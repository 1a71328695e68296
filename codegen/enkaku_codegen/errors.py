"""Exceptions of the generator.

    CodegenError
    ├── ProtocolError    the protocol, or a file that it refers to, is wrong: a list of issues
    ├── TemplateError    a template can't be found, read or rendered
    ├── OutputError      the package can't be written to its directory
    └── IdentityError    a key or a token can't be made, read or verified

The generator raises no other exception, whatever a protocol file holds.
"""

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "CodegenError",
    "IdentityError",
    "Issue",
    "OutputError",
    "ProtocolError",
    "TemplateError",
    "in_order",
    "visible",
]


def visible(text: str) -> str:
    """Return the text on one line, with characters escaped that a terminal does not print."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


@dataclass(frozen=True, slots=True)
class Issue:
    """One error in a protocol file, or a warning about one.

    Attributes:
        file: The file as the user knows it, or None where only the protocol itself is known.
        line: The line in the file, from 1, or None where it is not known.
        pointer: The location in the file, as a JSON pointer (RFC 6901); ``""`` is the whole file.
        message: What is wrong, what was expected and what was given.
    """

    file: str | None
    line: int | None
    pointer: str
    message: str

    def __str__(self) -> str:
        location = self.file or ""
        if location and self.line is not None:
            location = f"{location}:{self.line}"
        return visible(": ".join(part for part in (location, self.pointer, self.message) if part))


def _order(issue: Issue) -> tuple[str, int, str, str]:
    return issue.file or "", issue.line or 0, issue.pointer, issue.message


def in_order(issues: Iterable[Issue]) -> tuple[Issue, ...]:
    """Return the issues without duplicates, sorted by file and line."""
    return tuple(sorted(set(issues), key=_order))


class CodegenError(Exception):
    """Base class of the errors that the generator raises."""


class ProtocolError(CodegenError):
    """A protocol file with errors.

    Its text is all of its issues, one a line. Name collisions are issues, too.

    Attributes:
        issues: All errors, without duplicates, sorted by file and line; never empty.
    """

    def __init__(self, issues: Iterable[Issue]) -> None:
        self.issues = in_order(issues)
        super().__init__("\n".join(str(issue) for issue in self.issues))


class TemplateError(CodegenError):
    """A template can't be found, read or rendered."""


class IdentityError(CodegenError):
    """A key or a token can't be made, read or verified."""


class OutputError(CodegenError):
    """The package can't be written to its directory; what was there is still there."""
