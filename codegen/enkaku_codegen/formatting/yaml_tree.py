"""Syntax tree of YAML with its comments.

libyaml says where each value begins and ends. What stands between values, but for indicators, is comments: a comment
before a value on lines of its own, one at the end of its line, and those after the last value of a collection that are
indented like it.
"""

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import yaml

__all__ = [
    "Collection",
    "Comment",
    "Document",
    "Entry",
    "Scalar",
    "UnsupportedYaml",
    "comments",
    "parse",
]

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_COMMENT: Final = re.compile(r"""(?:(?<=[\s,\[\]{}"'])|(?<![\s\S]))#[^\n]*""")
_SPACE: Final = re.compile(r"\s*")
_SKIPPED: Final = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_PROPERTY: Final = re.compile(r"&[^\s,\[\]{}]+|!<[^>]*>|![^\s,\[\]{}]*")
_HEADER: Final = re.compile(r"[|>][-+0-9]*")
_UNTIL_COMMENT: Final = re.compile(r"[ \t,]*")
_BEFORE_ENTRY: Final = re.compile(r"[ ?-]*")
_LONGEST_KEY: Final = 1024  # of libyaml, where no question mark precedes the key


_NodeEvent: TypeAlias = (
    yaml.ScalarEvent | yaml.AliasEvent | yaml.MappingStartEvent | yaml.SequenceStartEvent
)


class UnsupportedYaml(Exception):
    """YAML that has no layout; the argument says what it is."""


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment.

    Attributes:
        start: Its offset.
        column: Its offset in its line.
        text: From its ``#`` on, without spaces at its end.
        own_line: Whether nothing else is on its line.
        gap: The spaces between it and what precedes it on its line.
        blank_before: Whether the line before is blank.
    """

    start: int
    column: int
    text: str
    own_line: bool
    gap: str
    blank_before: bool


@dataclass(slots=True)
class Scalar:
    """A scalar or an alias.

    Attributes:
        properties: Anchor and tag.
        text: The scalar as it is written; of a block scalar, the whole lines.
        value: What it means; of an alias, an empty string.
        header: Of a block scalar the style and chomping, such as ``|-``; else an empty string.
        header_comment: The comment after the header.
    """

    properties: str
    text: str
    value: str
    header: str = ""
    header_comment: Comment | None = None


@dataclass(slots=True)
class Collection:
    """A mapping or sequence.

    Attributes:
        properties: Anchor and tag.
        brackets: The brackets that it has in flow style, whether it is written so or not.
        flow: Whether it is written in flow style.
        entries: Its entries.
        trailing: The comments after the last one.
    """

    properties: str
    brackets: str
    flow: bool
    entries: list["Entry"] = field(default_factory=list["Entry"])
    trailing: list[Comment] = field(default_factory=list[Comment])


Node: TypeAlias = Scalar | Collection


@dataclass(slots=True)
class Entry:
    """An entry of a mapping or sequence.

    Attributes:
        leading: The comments before it.
        blank_before: Whether the line before it is blank.
        key: Its key; None in a sequence.
        has_colon: Whether there is a colon after the key, which flow style does not require.
        between: The comments between the key, or the dash, and the value.
        value: Its value.
        comment: The comment at the end of its line.
    """

    leading: list[Comment]
    blank_before: bool
    key: Scalar | None
    has_colon: bool
    between: list[Comment]
    value: Node
    comment: Comment | None


@dataclass(slots=True)
class Document:
    """A whole file.

    Attributes:
        leading: The comments before the head.
        head: The lines of directives, and ``---``; empty if there is no ``---``.
        root: The outermost mapping or sequence.
    """

    leading: list[Comment]
    head: list[str]
    root: Collection


def parse(text: str) -> Document:
    """Return the syntax tree of a valid YAML text whose lines end with a line feed.

    Raises:
        UnsupportedYaml: It has something that has no layout.
    """
    return _Parser(text).document()


def comments(text: str) -> list[str]:
    """Return the comments of such a text.

    Raises:
        UnsupportedYaml: They can't be told from values.
    """
    return [each.text for each in _Parser(text).comments]


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._line_starts = [0, *(end.end() for end in re.finditer("\n", text))]
        self._events: deque[yaml.Event] = deque(yaml.parse(text, Loader=_LOADER))
        self.comments = self._found_comments()
        self._pending = deque(self.comments)
        self._cursor = 0
        # The text with spaces for comments: what is left between two values are indicators.
        self._code = _blanked(text, ((each.start, len(each.text)) for each in self.comments))

    def _found_comments(self) -> list[Comment]:
        values: list[tuple[int, int]] = []
        for event in self._events:
            if isinstance(event, yaml.ScalarEvent):
                _, end = _offsets(event)
                _, begin = self._properties(event)
                if event.style in {"|", ">"}:  # whose first line may have a comment
                    line_end = self._text.find("\n", begin, end)
                    begin = line_end if line_end >= 0 else end
                values.append((begin, end - begin))
        between = _blanked(self._text, values)
        found = [self._comment(each.start(), each.group()) for each in _COMMENT.finditer(between)]
        others = _blanked(between, ((each.start, len(each.text)) for each in found))
        if any("#" in each for each in re.split(r"[&!]\S*", others)):
            raise UnsupportedYaml("a # that is neither in a value nor at the start of a comment")
        return found

    def _comment(self, start: int, text: str) -> Comment:
        line = self._line(start)
        before = self._text[self._line_starts[line] : start]
        gap = before[len(before.rstrip(" \t")) :]
        return Comment(
            start,
            column=len(before),
            text=text.rstrip(),
            own_line=not before.strip(" \t"),
            gap=gap if gap and "\t" not in gap else "  ",
            blank_before=self._is_blank(line - 1),
        )

    def _line(self, index: int) -> int:
        return bisect_right(self._line_starts, index) - 1

    def _is_blank(self, line: int) -> bool:
        if line < 0:
            return False
        start = self._line_starts[line]
        return not self._text[start : self._line_starts[line + 1]].strip()

    def _properties(self, event: _NodeEvent) -> tuple[str, int]:
        """Return the anchor and tag of a value, and where the value itself begins."""
        at, end = _offsets(event)
        if isinstance(event, yaml.AliasEvent):
            return "", at
        found: list[str] = []
        for _ in range((event.anchor is not None) + (event.tag is not None)):
            at = _end(_SKIPPED, self._text, at)
            after = _end(_PROPERTY, self._text, at)
            found.append(self._text[at:after])
            at = after
        if found and isinstance(event, yaml.ScalarEvent):
            at = min(_end(_SKIPPED, self._text, at), end)
        return " ".join(found), at

    def _take(self, end: int) -> list[Comment]:
        """Remove and return the next comments, up to an offset."""
        taken: list[Comment] = []
        while self._pending and self._pending[0].start < end:
            taken.append(self._pending.popleft())
        return taken

    def _take_at_end_of_line(self) -> Comment | None:
        """Remove and return the comment on the line of the value that was read last."""
        if self._pending:
            start = self._pending[0].start
            if (
                _end(_UNTIL_COMMENT, self._text, self._cursor) == start
                and not self._pending[0].own_line
            ):
                return self._pending.popleft()
        return None

    def document(self) -> Document:
        self._events.popleft()
        event = self._events.popleft()
        start, end = _offsets(event)
        head: list[str] = []
        leading: list[Comment] = []
        if isinstance(event, yaml.DocumentStartEvent) and event.explicit:
            head = [line.rstrip() for line in self._code[start:end].split("\n") if line.strip()]
            leading = self._take(end)
            self._cursor = end
        root = self._node(-1)
        if isinstance(root, Scalar):
            raise UnsupportedYaml("a file that is neither an object nor an array")
        root.trailing += self._pending
        return Document(leading, head, root)

    def _node(self, around: int) -> Node:
        """Read a value.

        Args:
            around: The column of the mapping or sequence around it.
        """
        event = self._events.popleft()
        if not isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            return self._scalar(event)
        properties, start = self._properties(event)
        flow = bool(event.flow_style)
        brackets = "{}" if isinstance(event, yaml.MappingStartEvent) else "[]"
        made = Collection(properties, brackets, flow)
        self._cursor = _offsets(event)[1] if flow else start
        column = self._column(self._next())
        while not isinstance(self._events[0], yaml.MappingEndEvent | yaml.SequenceEndEvent):
            made.entries.append(self._entry(made, around if flow else column))
        before_end, end = _offsets(self._events.popleft())
        if flow:
            made.trailing = self._take(before_end)
            self._cursor = max(self._cursor, end)
        else:
            # The dashes of a sequence may stand in the column of the keys around it, as may the comments of these.
            column += column == around
            limit = self._next()
            while self._pending and self._is_trailing(self._pending[0], column, limit):
                made.trailing.append(self._pending.popleft())
        return made

    def _is_trailing(self, comment: Comment, column: int, limit: int) -> bool:
        return comment.own_line and comment.column >= column and comment.start < limit

    def _next(self) -> int:
        """Return the offset of what follows, without comments."""
        return _end(_SPACE, self._code, self._cursor)

    def _column(self, index: int) -> int:
        return index - self._line_starts[self._line(index)]

    def _entry(self, parent: Collection, column: int) -> Entry:
        start, _ = _offsets(self._events[0])
        if not parent.flow:
            start = min(start, self._next())  # of the dash, or a question mark before the key
        leading = self._take(start)
        line = self._line(start)
        first = _BEFORE_ENTRY.fullmatch(self._code, self._line_starts[line], start) is not None
        key, has_colon = None, True
        if parent.brackets == "{}":
            event = self._events.popleft()
            key = self._scalar(event)
            following, _ = _offsets(self._events[0])
            has_colon = ":" in self._code[self._cursor : following]
            if key.header or "\n" in key.text:
                raise UnsupportedYaml(f"a key of more than one line, on line {line + 1}")
            if len(key.text) > _LONGEST_KEY:
                message = f"a key of more than {_LONGEST_KEY} characters, on line {line + 1}"
                raise UnsupportedYaml(message)
        else:
            self._cursor = max(self._cursor, start + (not parent.flow))
        between = self._take(_offsets(self._events[0])[0])
        value = self._node(column)
        if isinstance(value, Collection) and value.entries and not between:
            inner = value.entries[0].leading
            between += [inner.pop(0)] if inner and not inner[0].own_line else []
        comment = self._take_at_end_of_line()
        return Entry(
            leading, first and self._is_blank(line - 1), key, has_colon, between, value, comment
        )

    def _scalar(self, event: yaml.Event) -> Scalar:
        if not isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            raise UnsupportedYaml("a key that is no string")
        properties, start = self._properties(event)
        _, end = _offsets(event)
        text = self._text[start:end]
        self._cursor = end
        if isinstance(event, yaml.AliasEvent):
            return Scalar("", text, "")
        if event.style not in {"|", ">"}:
            return Scalar(properties, text, event.value)
        header = text[: _end(_HEADER, text, 0)]
        inside = self._take(end)
        if len(inside) > 1:
            raise UnsupportedYaml("comments before a block scalar")
        return Scalar(properties, text, event.value, header, inside[0] if inside else None)


def _offsets(event: yaml.Event) -> tuple[int, int]:
    """Return where an event begins and ends in the text."""
    start, end = event.start_mark, event.end_mark
    return (start.index if start else 0), (end.index if end else 0)


def _blanked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return a text with spaces for the characters of some spans, offsets and lengths in their order."""
    parts: list[str] = []
    at = 0
    for start, length in spans:
        parts += [text[at:start], re.sub(r"[^\n]", " ", text[start : start + length])]
        at = start + length
    return "".join([*parts, text[at:]])


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Return the offset after a match at an offset, or that offset if there is none."""
    found = pattern.match(text, at)
    return found.end() if found else at
