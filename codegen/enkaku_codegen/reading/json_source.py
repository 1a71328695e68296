"""Strict JSON parser with a source map: the line of each value."""

import json
import re
from bisect import bisect_right
from itertools import count
from typing import Final, NoReturn, TypeAlias, cast

from enkaku_codegen.errors import Issue, ProtocolError
from enkaku_codegen.json_values import (
    MAX_DEPTH,
    MAX_VALUES,
    SURROGATE,
    Json,
    SourceMap,
    pointer,
    read_number,
)

__all__ = ["read_json"]

_Scalar: TypeAlias = bool | int | float | str | None

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_LINE_END: Final = re.compile(r"\r\n?|\n")


def read_json(file: str, text: str) -> tuple[Json, SourceMap]:
    """Read a JSON document.

    Args:
        file: The name of the file in errors.
        text: The whole text, without a byte order mark.

    Raises:
        ProtocolError: It is not JSON, has a duplicate key, is nested deeper than ``MAX_DEPTH``, or has a value
            that not every JSON implementation reads alike.
    """
    return _Reader(file, text).read()


def _reject_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


_MESSAGES: Final = {
    "Expecting value": "expected a value",
    "Invalid \\escape": "a backslash before a character that has no escape",
    "Invalid \\uXXXX escape": "expected four hexadecimal digits after \\u",
    "Invalid control character at": "a control character in a string; escape it",
    "Unterminated string starting at": "a string without an end",
}

# The standard library reads scalars. Arrays and objects are read here, because it does not report their lines.
_SCALARS: Final = json.JSONDecoder(
    parse_constant=_reject_constant, parse_int=read_number, parse_float=read_number
)


class _Reader:
    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._text = text
        self._at = 0
        self._lines = [0, *(end.end() for end in _LINE_END.finditer(text))]
        self._path: list[str] = []
        self._values = 0
        self._issues: list[Issue] = []

    def read(self) -> tuple[Json, SourceMap]:
        self._skip()
        value, below = self._value()
        self._skip()
        if self._at < len(self._text):
            self._fail("expected the end of the file after the JSON value")
        if self._issues:
            raise ProtocolError(self._issues)
        return value, SourceMap(1, below)

    def _value(self) -> tuple[Json, dict[str, SourceMap]]:
        self._values += 1
        if self._values > MAX_VALUES:
            self._fail(f"more than {MAX_VALUES} values in one file")
        first = self._text[self._at : self._at + 1]
        if first not in ("{", "["):
            return self._scalar(), {}
        if len(self._path) == MAX_DEPTH:
            self._fail(f"nested more than {MAX_DEPTH} levels deep")
        self._at += 1
        return self._object() if first == "{" else self._array()

    def _object(self) -> tuple[Json, dict[str, SourceMap]]:
        properties: dict[str, Json] = {}
        source_maps: dict[str, SourceMap] = {}
        if self._accept("}"):
            return properties, source_maps
        while True:
            line = self._line()
            if self._text[self._at : self._at + 1] != '"':
                self._fail(f"not JSON: expected a property name in double quotes{self._hint('}')}")
            key = str(self._scalar())
            if not self._accept(":"):
                self._fail("not JSON: expected ':'")
            self._path.append(key)
            if key in properties:
                message = f"duplicate key, first on line {source_maps[key].line}"
                self._add_issue(message, line)
            value, below = self._value()
            self._path.pop()
            if key not in properties:
                properties[key], source_maps[key] = value, SourceMap(line, below)
            if self._accept("}"):
                return properties, source_maps
            if not self._accept(","):
                self._fail("not JSON: expected ',' or '}'")

    def _array(self) -> tuple[Json, dict[str, SourceMap]]:
        items: list[Json] = []
        source_maps: dict[str, SourceMap] = {}
        if self._accept("]"):
            return items, source_maps
        for index in count():
            line = self._line()
            self._path.append(str(index))
            value, below = self._value()
            self._path.pop()
            items.append(value)
            source_maps[str(index)] = SourceMap(line, below)
            if self._accept("]"):
                break
            if not self._accept(","):
                self._fail("not JSON: expected ',' or ']'")
        return items, source_maps

    def _scalar(self) -> _Scalar:
        try:
            value, end = cast("tuple[_Scalar, int]", _SCALARS.raw_decode(self._text, self._at))
        except json.JSONDecodeError as error:
            self._at = error.pos
            self._fail(f"not JSON: {_MESSAGES.get(error.msg, error.msg)}{self._hint(']')}")
        except ValueError as error:  # from the hooks above
            self._fail(str(error))
        if isinstance(value, str) and SURROGATE.search(value):
            self._fail("a lone surrogate, which is not a character")
        self._at = end
        return value

    def _hint(self, end: str) -> str:
        """Return the probable mistake at the current position, given the end of the array or object."""
        if self._text.startswith(end, self._at):
            return f"; JSON has no comma before '{end}'"
        if self._text.startswith(("//", "/*", "#"), self._at):
            return "; JSON has no comments"
        return ""

    def _skip(self) -> None:
        end = _SPACE.match(self._text, self._at)
        self._at = end.end() if end else self._at

    def _accept(self, mark: str) -> bool:
        """Skip the mark and the spaces around it, and return whether it was there."""
        self._skip()
        if not self._text.startswith(mark, self._at):
            return False
        self._at += 1
        self._skip()
        return True

    def _line(self) -> int:
        return bisect_right(self._lines, self._at)

    def _add_issue(self, message: str, line: int) -> None:
        self._issues.append(Issue(self._file, line, pointer(tuple(self._path)), message))

    def _fail(self, message: str) -> NoReturn:
        self._add_issue(message, self._line())
        raise ProtocolError(self._issues)
