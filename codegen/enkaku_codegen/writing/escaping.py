"""Escaping of protocol text: the filters by which it may enter generated code.

In Python, ``pyrepr`` writes a literal, ``pytext`` one of several lines, and ``docstring`` a docstring; in TypeScript, ``tsrepr`` writes a literal,
``tskey`` the name of a property and ``jsdoc`` a comment that documents. ``comment`` writes the text of a comment in
either. A template that prints a ``Text`` without a filter raises an error.
"""

import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from enkaku_codegen.errors import TemplateError
from enkaku_codegen.fingerprint import LINE_LENGTH

__all__ = ["Tag", "Text", "comment", "docstring", "jsdoc", "pyrepr", "pytext", "tskey", "tsrepr"]

# The indentation of a method, the quotes, and some characters that the text may grow by.
_AROUND: Final = 14
# The indentation of a method in TypeScript, and what begins a line of its comment.
_AROUND_JSDOC: Final = 5
_NAME: Final = re.compile("[A-Za-z_$][A-Za-z0-9_$]*")
_ESCAPES: Final = {'"': r"\"", "\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"}
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
        raise TemplateError(
            "text of a protocol is written through pyrepr, docstring or comment; "
            "in TypeScript, through tsrepr, tskey, jsdoc or comment"
        )


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag of JSDoc, such as ``@throws {Name} text``: its start, which is code, and its text."""

    start: str
    text: Text


def pyrepr(text: Text | str) -> str:
    """Return a text as a Python literal in printable characters."""
    literal = repr(text.value if isinstance(text, Text) else text)
    # With black's quotes where possible: black is faster if it has nothing to change.
    return literal if '"' in literal or "\\" in literal else f'"{literal[1:-1]}"'


def pytext(text: Text) -> str:
    """Return lines of text as a Python literal that has the same lines, in printable characters."""
    lines = ("".join(map(_in_lines, line)) for line in text.value.split("\n"))
    # Three quotes in a row would end the literal, and so would one at its end.
    body = re.sub(r'"(?="")|"\Z', r"\"", "\n".join(lines))
    return f'"""\\\n{body}"""'


def _in_lines(character: str) -> str:
    return r"\\" if character == "\\" else _visible(character)


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


def tsrepr(text: Text | str) -> str:
    """Return a text as a TypeScript literal in printable characters; it can stand in an HTML script."""
    value = text.value if isinstance(text, Text) else text
    literal = "".join(map(_in_literal, value))
    # "</script>" would end the script, and "<!--" could hide its end.
    return '"' + literal.replace("</", "\\u003C/").replace("<!", "\\u003C!") + '"'


def _in_literal(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\u{{{code:x}}}"


def tskey(text: Text | str) -> str:
    """Return a text as the name of a property in TypeScript, quoted if it must be."""
    value = text.value if isinstance(text, Text) else text
    if value == "__proto__":
        return '["__proto__"]'  # any other form would set the prototype of an object
    return value if _NAME.fullmatch(value) else tsrepr(value)


def jsdoc(
    text: Text, frame: str = "{}", tags: Sequence[Tag] = (), *, line_length: int = LINE_LENGTH
) -> str:
    """Return a text as a JSDoc comment; an empty string if there is neither text nor tag.

    Args:
        text: The text.
        frame: A sentence around the text, which replaces ``{}``.
        tags: The tags after it.
        line_length: The greatest length of a line of code, in characters.
    """
    widest = line_length - _AROUND_JSDOC
    lines = _lines(frame.replace("{}", text.value), widest, _in_jsdoc)
    if lines and tags:
        lines.append("")
    for tag in tags:
        told = " ".join(_in_jsdoc(each) for each in tag.text.value.split())
        lines += _wrapped(f"{tag.start} {told}".strip(), widest)
    if not lines:
        return ""
    if len(lines) == 1 and len(lines[0]) <= widest - 4:
        return f"/** {lines[0]} */"
    return "\n".join(["/**", *(f" * {line}".rstrip() for line in lines), " */"])


def _in_jsdoc(line: str) -> str:
    """Return a line so that it neither ends the comment or an HTML script, nor has a tag or a compiler directive."""
    shown = re.sub(r"(?<=\*)/|(?<=<)[/!]", r"\\\g<0>", "".join(map(_visible, line)))
    return re.sub(r"(?<!\w)@", r"\\@", shown)


def _lines(text: str, widest: int, shown_as: Callable[[str], str] | None = None) -> list[str]:
    raw = text.expandtabs(4).replace("\r\n", "\n").replace("\r", "\n").strip().split("\n")
    shown = [(shown_as or _shown)(line.rstrip()) for line in raw]
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
