"""YAML parser that returns JSON values and a source map: the line of each value.

PyYAML parses the structure. Scalars are interpreted here, so that a value means the same in a ``.yaml`` file as in
a ``.json`` file. A plain scalar is a number if it has the syntax of a JSON number, a boolean or null in the
spellings of YAML 1.2's core schema, and else a string: ``no``, ``on``, ``1:30``, ``0x1F``, ``007``, ``.5`` and
``2024-01-31`` are strings. Tags are those of the core schema. Merge keys (``<<``) are not supported. Anchors and
aliases are, as long as the whole stays within the limits.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NoReturn

import yaml

from enkaku_codegen.errors import Issue, ProtocolError
from enkaku_codegen.json_values import (
    MAX_DEPTH,
    MAX_VALUES,
    NUMBER,
    SURROGATE,
    Json,
    SourceMap,
    pointer,
    read_number,
)

from .validation_text import describe

__all__ = ["read_yaml"]

_NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_TAG: Final = "tag:yaml.org,2002:"
_TAGS: Final[dict[str, type]] = {
    _TAG + "null": type(None),
    _TAG + "bool": bool,
    _TAG + "int": int,
    _TAG + "float": float,
}
_UNPRINTABLE: Final = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
_NESTED: Final = f"nested more than {MAX_DEPTH} levels deep"
# The error of libyaml, from 0.2.6 on, at a thousand levels. It scans ahead, so it may fail before this module has
# counted a hundred.
_TOO_DEEP: Final = "exceeded maximum nesting depth"
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(file: str, text: str) -> tuple[Json, SourceMap]:
    """Read a YAML document.

    Args:
        file: The name of the file in errors.
        text: The whole text, without a byte order mark.

    Raises:
        ProtocolError: It is not YAML, has a value that JSON does not have, has a duplicate key, is nested deeper
            than ``MAX_DEPTH`` or has more than ``MAX_VALUES`` values.
    """
    return _Reader(file, text).read()


@dataclass(slots=True)
class _Node:
    """A value, complete or still being read (``open``).

    ``size`` is the number of values in it, ``height`` their nesting depth, with aliases written out.
    """

    value: Json
    line: int
    below: dict[str, SourceMap] = field(default_factory=dict[str, SourceMap])
    size: int = 1
    height: int = 0
    open: bool = False
    anchor: str | None = None
    key: str | None = None
    key_line: int = 0


class _Reader:
    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._text = text
        self._stack: list[_Node] = []
        self._anchors: dict[str, _Node] = {}
        self._root: _Node | None = None
        self._documents = 0
        self._values = 0
        self._issues: list[Issue] = []

    def read(self) -> tuple[Json, SourceMap]:
        if bad := _UNPRINTABLE.search(self._text):
            line = self._text.count("\n", 0, bad.start()) + 1
            self._fail(f"not YAML: the character U+{ord(bad.group()):04X}", line)
        for event in self._events():
            self._handle(event)
        if self._root is None:
            self._fail("the file is empty", None)
        if self._issues:
            raise ProtocolError(self._issues)
        return self._root.value, SourceMap(1, self._root.below)

    def _events(self) -> Iterator[yaml.Event]:
        try:
            yield from yaml.parse(self._text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            if error.problem == _TOO_DEEP:
                self._fail(_NESTED, mark.line + 1 if mark else None)
            said = ", ".join(part for part in (error.problem, error.context) if part)
            self._fail(
                f"not YAML: {said}{_hint(self._text, error)}", mark.line + 1 if mark else None
            )
        except (
            yaml.YAMLError,
            ValueError,
            OverflowError,
        ) as error:  # the last two: invalid escapes
            self._fail(f"not YAML: {error}", None)

    def _handle(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 1
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    self._fail("expected one YAML document, here a second one begins", line)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._open(event, line)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                node = self._stack.pop()
                node.open = False
                self._add(node)
            case yaml.AliasEvent():
                self._add(self._aliased(event.anchor or "", line))
            case yaml.ScalarEvent():
                node = _Node(self._scalar(event, line), line, anchor=event.anchor)
                self._anchor(node)
                if not self._at_key():
                    self._count(node, line)
                self._add(node)
            case _:
                pass

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent, line: int) -> None:
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        kind = "map" if is_mapping else "seq"
        if event.tag not in (None, "!", _TAG + kind):
            self._fail(f"expected no tag, got {event.tag}", line)
        if self._at_key():
            self._fail("expected a string as key, got an object or array", line)
        if len(self._stack) == MAX_DEPTH:
            self._fail(_NESTED, line)
        node = _Node({} if is_mapping else [], line, height=1, open=True, anchor=event.anchor)
        self._anchor(node)
        self._count(node, line)
        self._stack.append(node)

    def _aliased(self, anchor: str, line: int) -> _Node:
        node = self._anchors.get(anchor)
        if node is None:
            self._fail(f"the alias *{anchor} has no anchor before it", line)
        if node.open:
            self._fail(f"the alias *{anchor} refers to a value that contains it", line)
        self._count(node, line)
        if len(self._stack) + node.height > MAX_DEPTH:
            self._fail(f"{_NESTED} by the alias *{anchor}", line)
        return _Node(node.value, line, node.below, node.size, node.height)

    def _anchor(self, node: _Node) -> None:
        if node.anchor is not None:
            self._anchors[node.anchor] = node

    def _count(self, node: _Node, line: int) -> None:
        self._values += node.size
        if self._values > MAX_VALUES:
            self._fail(f"more than {MAX_VALUES} values in one file, aliases counted", line)

    def _add(self, node: _Node) -> None:
        """Add a complete value to the array or object around it."""
        if not self._stack:
            self._root = node
            return
        parent = self._stack[-1]
        parent.size += node.size
        parent.height = max(parent.height, node.height + 1)
        if isinstance(parent.value, list):
            parent.below[str(len(parent.value))] = SourceMap(node.line, node.below)
            parent.value.append(node.value)
        elif parent.key is None:
            parent.key, parent.key_line = self._key(node), node.line
        elif isinstance(parent.value, dict):
            if parent.key in parent.value:
                first = parent.below[parent.key].line
                self._add_issue(f"duplicate key, first on line {first}", parent.key_line)
            else:
                parent.value[parent.key] = node.value
                parent.below[parent.key] = SourceMap(parent.key_line, node.below)
            parent.key = None

    def _at_key(self) -> bool:
        top = self._stack[-1] if self._stack else None
        return top is not None and isinstance(top.value, dict) and top.key is None

    def _key(self, node: _Node) -> str:
        if not isinstance(node.value, str):
            found = "an object or array" if node.height else describe(node.value)
            self._fail(f"expected a string as key, got {found}: put it in quotes", node.line)
        return node.value

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> Json:
        text: str = event.value
        if event.tag in ("!", _TAG + "str") or (event.tag is None and event.style):
            if SURROGATE.search(text):
                self._fail("a lone surrogate, which is not a character", line)
            return text
        if event.tag is None and text == "<<" and self._at_key():
            self._fail("merge keys (<<) are not supported: write the properties out", line)
        try:
            value = _plain(text)
        except ValueError as error:
            self._fail(str(error), line)
        if event.tag is None:
            return value
        expected = _TAGS.get(event.tag)
        if expected is None:
            self._fail(f"expected no tag, or one of YAML's core schema, got {event.tag}", line)
        if expected is float and type(value) is int:
            return float(value) if abs(value) <= 2**53 else value  # larger ones might lose digits
        if type(value) is not expected and not (expected is float and isinstance(value, float)):
            self._fail(f"{text[:40]!r} does not fit its tag {event.tag}", line)
        return value

    def _add_issue(self, message: str, line: int | None) -> None:
        path: list[str] = []
        for node in self._stack:
            if isinstance(node.value, list):
                path.append(str(len(node.value)))
            elif node.key is not None:
                path.append(node.key)
        self._issues.append(Issue(self._file, line, pointer(tuple(path)), message))

    def _fail(self, message: str, line: int | None) -> NoReturn:
        self._add_issue(message, line)
        raise ProtocolError(self._issues)


def _hint(text: str, error: yaml.MarkedYAMLError) -> str:
    """Return the probable mistake at the position of a syntax error."""
    mark, problem = error.problem_mark, error.problem or ""
    if mark is None:
        return ""
    lines = text.split("\n")
    before, line = ("", *lines, "", "")[min(mark.line, len(lines)) :][:2]
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "; indent with spaces, not with a tab"
    if problem.startswith("mapping values are not allowed"):
        return '; a string with ": " in it needs quotes, and the keys of one object need the same indentation'
    if problem.startswith("did not find expected key"):
        return "; the keys of one object need the same indentation"
    if line[mark.column : mark.column + 1] in ("@", "`", "%"):
        return f"; a string that begins with {line[mark.column]} needs quotes"
    if re.search(r"\s#", before):
        return "; after a space, # begins a comment: a string with it needs quotes"
    return ""


def _plain(text: str) -> Json:
    """Return the value of a scalar without quotes and tag."""
    if text in _WORDS:
        return _WORDS[text]
    if NUMBER.fullmatch(text):
        return read_number(text)
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is not a number in JSON; put it in quotes if it is a string")
    return text
