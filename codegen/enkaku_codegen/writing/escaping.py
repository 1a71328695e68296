"""Text from a protocol, and the three ways in which it may enter generated code.

``pyrepr`` makes a literal of it, ``docstring`` a docstring, ``comment`` what may follow a ``#``. A template
that writes a ``Text`` in any other way fails.
"""

import re
import textwrap
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from enkaku_codegen.errors import TemplateError

__all__ = ["Text", "comment", "docstring", "pyrepr"]

# With the indentation of a method and the quotes, a hundred columns.
_WIDEST: Final = 86
# How a line begins that is not one with those around it: blanks, a list, a heading, a table, a quotation.
_MARK: Final = re.compile(r"\s|[-*+#>|`]|\d+[.)]\s|$")


@dataclass(frozen=True, slots=True)
class Text:
    """Text that somebody wrote."""

    value: str

    def __bool__(self) -> bool:
        return bool(self.value.strip())

    def __str__(self) -> str:
        # What a template writes, or joins with another text, goes through here.
        raise TemplateError("text of a protocol is written through pyrepr, docstring or comment")


def pyrepr(text: Text | str) -> str:
    """Write a text as a Python literal, in printable characters."""
    literal = repr(text.value if isinstance(text, Text) else text)
    # With black's quotes where nothing speaks against it: then there is less left to format.
    return literal if '"' in literal or "\\" in literal else f'"{literal[1:-1]}"'


def comment(text: Text) -> str:
    """Write a text on one line, for a comment."""
    return "".join(_visible(each) for each in " ".join(text.value.split()))


def docstring(text: Text, frame: str = "{}") -> str:
    """Write a text as a docstring; nothing if it is empty.

    Args:
        text: The text.
        frame: What stands around the text, which takes the place of ``{}``.
    """
    lines = _lines(frame.replace("{}", text.value))
    if not lines:
        return ""
    # A quote at an end would run into those of the docstring; three in a row would be them.
    ends = r'"{3,}|^"|"$' if len(lines) == 1 else r'"{3,}|^"'
    body = re.sub(ends, lambda found: found[0].replace('"', r"\""), "\n".join(lines))
    return f'"""{body}"""' if len(lines) == 1 else f'"""{body}\n"""'


def _lines(text: str) -> list[str]:
    raw = text.expandtabs(4).replace("\r\n", "\n").replace("\r", "\n").strip().split("\n")
    shown = [_shown(line.rstrip()) for line in raw]
    lines: list[str] = []
    for is_prose, group in groupby(shown, lambda line: _MARK.match(line) is None):
        paragraph = [*group]
        if is_prose and any(len(line) > _WIDEST for line in paragraph):
            paragraph = [" ".join(paragraph)]
        for line in paragraph:
            lines += _wrapped(line)
    return lines if any(lines) else []


def _shown(line: str) -> str:
    # A lone surrogate is shown as its escape: a docstring can't hold it.
    known = line.encode("utf-8", "backslashreplace").decode()
    return "".join(r"\\" if each == "\\" else _visible(each) for each in known)


def _wrapped(line: str) -> list[str]:
    if len(line) <= _WIDEST:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(
        line,
        _WIDEST,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _visible(character: str) -> str:
    """Escape what an editor would not show as it is: control characters, line and direction marks."""
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
