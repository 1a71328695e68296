"""Escaping of protocol text: the three filters by which it may enter generated code.

``pyrepr`` writes a literal, ``docstring`` a docstring, ``comment`` the text of a comment. A template that prints a
``Text`` without a filter raises an error.
"""

import re
import textwrap
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from enkaku_codegen.errors import TemplateError
from enkaku_codegen.fingerprint import LINE_LENGTH

__all__ = ["Text", "comment", "docstring", "pyrepr"]

# The indentation of a method, the quotes, and some characters that the text may grow by.
_AROUND: Final = 14
# The start of a line that must not be wrapped together with others: an indent, a list, a heading, a table, a quotation.
_MARK: Final = re.compile(r"\s|[-*+#>|`]|\d+[.)]\s|$")


@dataclass(frozen=True, slots=True)
class Text:
    """Text from a protocol, which needs a filter."""

    value: str

    def __bool__(self) -> bool:
        return bool(self.value.strip())

    def __str__(self) -> str:
        # Called if a template prints the text without a filter, or joins it with another.
        raise TemplateError("text of a protocol is written through pyrepr, docstring or comment")


def pyrepr(text: Text | str) -> str:
    """Return a text as a Python literal in printable characters."""
    literal = repr(text.value if isinstance(text, Text) else text)
    # With black's quotes where possible: black is faster if it has nothing to change.
    return literal if '"' in literal or "\\" in literal else f'"{literal[1:-1]}"'


def comment(text: Text) -> str:
    """Return a text on one line, for a comment."""
    return "".join(_visible(each) for each in " ".join(text.value.split()))


def docstring(text: Text, frame: str = "{}", *, line_length: int = LINE_LENGTH) -> str:
    """Return a text as a docstring; an empty string if the text is empty.

    Args:
        text: The text.
        frame: A sentence around the text, which replaces ``{}``.
        line_length: The greatest length of a line of code, in characters.
    """
    lines = _lines(frame.replace("{}", text.value), line_length - _AROUND)
    if not lines:
        return ""
    # A quote at an end would join those of the docstring, and three in a row would end it.
    ends = r'"{3,}|^"|"$' if len(lines) == 1 else r'"{3,}|^"'
    body = re.sub(ends, lambda found: found[0].replace('"', r"\""), "\n".join(lines))
    return f'"""{body}"""' if len(lines) == 1 else f'"""{body}\n"""'


def _lines(text: str, widest: int) -> list[str]:
    raw = text.expandtabs(4).replace("\r\n", "\n").replace("\r", "\n").strip().split("\n")
    shown = [_shown(line.rstrip()) for line in raw]
    lines: list[str] = []
    for is_prose, group in groupby(shown, lambda line: _MARK.match(line) is None):
        paragraph = [*group]
        if is_prose and any(len(line) > widest for line in paragraph):
            paragraph = [" ".join(paragraph)]
        for line in paragraph:
            lines += _wrapped(line, widest)
    return lines if any(lines) else []


def _shown(line: str) -> str:
    # A lone surrogate is escaped, because UTF-8 can't encode it.
    known = line.encode("utf-8", "backslashreplace").decode()
    return "".join(r"\\" if each == "\\" else _visible(each) for each in known)


def _wrapped(line: str, widest: int) -> list[str]:
    if len(line) <= widest:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(
        line,
        widest,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _visible(character: str) -> str:
    """Return a character, escaped if an editor would not show it: control characters, line and direction marks."""
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
