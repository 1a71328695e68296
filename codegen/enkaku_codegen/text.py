"""Text from a protocol, and the three ways in which it may enter generated code.

``pyrepr`` makes a literal of it, ``docstring`` a docstring, ``comment`` what may follow a ``#``. A template
that writes a ``Text`` in any other way fails.
"""

import re
import textwrap
from dataclasses import dataclass
from typing import Final

from .errors import TemplateError

__all__ = ["Text", "comment", "docstring", "pyrepr"]

_WIDTH: Final = 88
# What somebody broke by hand at a usual width is left as it is.
_WIDEST: Final = 96


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
    lines: list[str] = []
    for line in text.expandtabs(4).replace("\r\n", "\n").replace("\r", "\n").strip().split("\n"):
        # A lone surrogate is shown as its escape: a docstring can't hold it.
        known = line.rstrip().encode("utf-8", "backslashreplace").decode()
        shown = "".join(r"\\" if each == "\\" else _visible(each) for each in known)
        lines += _wrapped(shown)
    return lines if any(lines) else []


def _wrapped(line: str) -> list[str]:
    indent = line[: len(line) - len(line.lstrip())]
    if len(line) <= _WIDEST:
        return [line]
    return textwrap.wrap(
        line,
        _WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _visible(character: str) -> str:
    """Escape what an editor would not show as it is: control characters, line and direction marks."""
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
