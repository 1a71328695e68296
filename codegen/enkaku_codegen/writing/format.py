"""Formats generated code with black, as a library: each statement by itself, and each layout once.

Black takes a quarter of a millisecond for a line, and a package may have a hundred thousand lines that look alike. So a
module is split into its classes, fields, methods and assignments. In each, stand-ins replace the names and strings. Black
formats what is left, which is cached, and the names and strings are put back. A stand-in has the length of its original where
that matters: in lines that are too long or have an open bracket. In other lines it has one character.

A part that has anything unusual is formatted as it is. So is a whole module whose statements are not those of the built-in
templates. The result is always the same as black's of the whole module; tests compare them.
"""

import ast
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import pairwise
from keyword import kwlist, softkwlist
from typing import Final

from black import format_str
from black.mode import Mode, TargetVersion

from enkaku_codegen.errors import TemplateError
from enkaku_codegen.fingerprint import LINE_LENGTH

__all__ = ["format_source"]

_LONGEST: Final = 10_000  # characters of a part that may be like another
_MODE: Final = Mode(target_versions={TargetVersion.PY311}, line_length=LINE_LENGTH)

_KEPT: Final = frozenset({*kwlist, *softkwlist, "exec", "print"})
_TOKEN: Final = re.compile(
    r'''"""(?P<doc>[^"\\]+)"""|"(?P<double>[^"'\\\n]*)"|'(?P<single>[^"'\\\n]*)'|\b(?P<name>[A-Za-z_]\w*)'''
)
_STRING: Final = re.compile(r'"{3}[^"]*"{3}|"[^"\n]*"|\'[^\'\n]*\'')
_REJECTED: Final = re.compile(r"""[\t\\#"']|\w0s""")  # of a layout with "0s" for each string
_DOC: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?(?:\n(?: *[!-~](?:[ -~]*[!-~])?)?)*(?:\n *)?")

# What stands before a part of a module when black formats it, so that it is what it was there.
_CLASS: Final = "class x:\n"
_BEFORE_STRING: Final = "x: x\n"
_FIELD: Final = "class x:\n    x: x\n"

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Simple = ast.AnnAssign | ast.Assign | ast.Expr


class _Unusual(Exception):
    """The text has something that is only formatted as it is."""


def format_source(source: str, name: str, line_length: int = LINE_LENGTH) -> str:
    """Return a program in black's stable style.

    Args:
        source: The program.
        name: The name of its file, for errors.
        line_length: The greatest length of a line, in characters.

    Raises:
        TemplateError: The text is not a Python program.
    """
    text = f"{source.rstrip()}\n"
    if line_length != LINE_LENGTH:
        mode = Mode(target_versions={TargetVersion.PY311}, line_length=line_length)
    else:
        mode = _MODE
        with suppress(_Unusual, RecursionError, SyntaxError, ValueError):
            return _module(text)
        # Black formats the whole, or says what is wrong with it.
    try:
        return format_str(text, mode=mode)
    except ValueError as error:
        raise TemplateError(f"template {name}.jinja: the output is not Python: {error}") from error


class _Lines:
    """The lines of a module, by the nodes of its syntax tree."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")

    def text(self, first: ast.stmt | None, last: ast.stmt) -> str:
        """Return the lines of statements; from the beginning of the module if the first is None."""
        start = 0 if first is None else _start(first) - 1
        return "\n".join([*self._lines[start : last.end_lineno], ""])

    def gap(self, before: ast.stmt, after: ast.stmt) -> int:
        """Return how many empty lines are between two statements.

        Raises:
            _Unusual: There is something else.
        """
        gap = self._lines[_end(before) : _start(after) - 1]
        if any(gap) or _start(after) <= _end(before):
            raise _Unusual
        return len(gap)


def _start(node: ast.stmt) -> int:
    decorators = node.decorator_list if isinstance(node, ast.ClassDef | _Function) else ()
    return min(node.lineno, *(each.lineno for each in decorators)) if decorators else node.lineno


def _end(node: ast.stmt) -> int:
    return node.lineno if node.end_lineno is None else node.end_lineno


def _module(text: str) -> str:
    if "\r" in text or "\f" in text or "# fmt:" in text:
        raise _Unusual
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        body = ast.parse(text).body
    lines = _Lines(text)
    first = next((i for i, each in enumerate(body) if not _is_head(each)), len(body))
    if first < len(body) and isinstance(body[first], ast.AnnAssign | ast.Assign):
        first += 1  # how many empty lines precede it depends on what that is
    if first in (0, len(body)):
        raise _Unusual
    parts = [_black(lines.text(None, body[first - 1]))]
    for last, node in pairwise(body[first - 1 :]):
        gap = lines.gap(last, node)
        if isinstance(last, ast.ClassDef) or isinstance(node, ast.ClassDef):
            gap = 2
        parts += ["\n" * min(gap, 2), _statement(lines, node)]
    return "".join(parts)


def _is_head(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr | ast.Import | ast.ImportFrom)


def _statement(lines: _Lines, node: ast.stmt) -> str:
    match node:
        case ast.ClassDef():
            return "".join(_class(lines, node))
        case ast.Expr():
            return _formatted(_BEFORE_STRING, lines.text(node, node))
        case ast.AnnAssign() | ast.Assign():
            return _formatted("", lines.text(node, node))
        case _:
            raise _Unusual


def _class(lines: _Lines, node: ast.ClassDef) -> Iterator[str]:
    """Yield the formatted parts of a class: fields follow each other at once, methods after an empty line."""
    body = node.body
    first = next((i for i, each in enumerate(body) if isinstance(each, _Function)), len(body))
    methods, others = body[first:], body[: first + 1]
    if not all(isinstance(each, _Function) for each in methods):
        raise _Unusual
    if not methods:
        # The docstring, and the field after it, belong to the head.
        head = 1 + isinstance(body[0], ast.Expr)
        others, fields = body[:head], body[head:]
        if not _are_adjacent(lines, body[head - 1 :]):
            others, fields = body, []
        yield _formatted("", lines.text(node, others[-1]))
        for each in fields:
            before = _FIELD if isinstance(each, ast.Expr) else _CLASS
            yield _formatted(before, lines.text(each, each))
        return
    yield _formatted("", lines.text(node, others[-1]))
    for last, each in pairwise(methods):
        if not lines.gap(last, each):
            raise _Unusual
        yield f"\n{_formatted(_CLASS, lines.text(each, each))}"


def _are_adjacent(lines: _Lines, nodes: Sequence[ast.stmt]) -> bool:
    if not all(isinstance(each, _Simple) for each in nodes):
        return False
    return not any(lines.gap(last, each) for last, each in pairwise(nodes))


def _formatted(before: str, part: str) -> str:
    """Return a part of a module in black's style.

    Args:
        before: Code that stands before it, in black's style.
        part: The part, with the indent that it has in the module.
    """
    try:
        layout, originals = _layout(part)
        formatted = _cached(before + layout).removeprefix(before)
        restored = _restored(formatted, originals)
    except (_Unusual, ValueError):
        return _black(before + part).removeprefix(before)
    if any(len(line) > LINE_LENGTH for line in restored.split("\n")):
        return _black(before + part).removeprefix(before)
    return restored


def _layout(part: str) -> tuple[str, list[str]]:
    """Return a part with stand-ins for its names and strings, and these in their order."""
    if len(part) > _LONGEST or not part.isascii() or not _has_plain_indents(part):
        raise _Unusual
    originals: list[str] = []
    exact = _TOKEN.sub(lambda found: _stand_in(found, originals), part)
    if _REJECTED.search(_STRING.sub("0s", exact)):
        raise _Unusual
    depth = 0
    lines: list[str] = []
    for line, written in _logical(part, exact):
        change = sum(map(line.count, "([{")) - sum(map(line.count, ")]}"))
        is_free = depth == change == 0 and all(len(each) <= LINE_LENGTH for each in written)
        lines.append(re.sub("x+", "x", line) if is_free else line)
        depth += change
    return "\n".join(lines), originals


def _logical(part: str, exact: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the lines of a layout, with a docstring as one, each with the original lines."""
    lines: list[str] = []
    written: list[str] = []
    for line, original in zip(exact.split("\n"), part.split("\n"), strict=True):
        lines.append(line)
        written.append(original)
        if sum(each.count('"""') for each in lines) % 2 == 0:
            yield "\n".join(lines), written
            lines, written = [], []


def _has_plain_indents(part: str) -> bool:
    return all((len(line) - len(line.lstrip(" "))) % 4 == 0 for line in part.split("\n"))


def _stand_in(found: re.Match[str], originals: list[str]) -> str:
    if found["name"] is not None:
        if found["name"] in _KEPT:
            return found["name"]
        originals.append(found["name"])
        return "x" * len(found["name"])
    if found["doc"] is not None:
        if _DOC.fullmatch(found["doc"]) is None:
            raise _Unusual
        originals.append(found["doc"])
        return f'"""{_stand_in_of_doc(found["doc"])}"""'
    content = found["double"] if found["single"] is None else found["single"]
    originals.append(content)
    quote = found[0][0]
    return f"{quote}{'x' * len(content)}{quote}"


def _stand_in_of_doc(text: str) -> str:
    return "\n".join(re.sub(r"\S.*", "x", line) for line in text.split("\n"))


def _restored(formatted: str, originals: list[str]) -> str:
    """Return a formatted layout with its names and strings.

    Raises:
        _Unusual: The layout has other names and strings.
    """
    waiting = iter(originals)

    def restore(found: re.Match[str]) -> str:
        if found["name"] is not None and found["name"] in _KEPT:
            return found["name"]
        original = next(waiting, None)
        if original is None:
            raise _Unusual
        if found["doc"] is not None and found["doc"] != _stand_in_of_doc(original):
            raise _Unusual
        if found["name"] is not None:
            return original
        quotes = '"""' if found["doc"] is not None else found[0][0]
        return f"{quotes}{original}{quotes}"

    restored = _TOKEN.sub(restore, formatted)
    if next(waiting, None) is not None:
        raise _Unusual
    return restored


@lru_cache(maxsize=4096)
def _cached(source: str) -> str:
    return _black(source)


def _black(source: str) -> str:
    return format_str(source, mode=_MODE)
