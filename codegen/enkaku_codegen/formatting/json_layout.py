"""Layout of JSON: two spaces a level, and what fits on a line on one line. Scalars stay as they are written."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

__all__ = ["json_tokens", "lay_out_json"]

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_INDENT: Final = "  "
_SPREAD: Final = frozenset({'"procedures"', '"callbacks"', '"$defs"'})


@dataclass(frozen=True, slots=True)
class _Collection:
    """An object or array.

    Attributes:
        brackets: Its first and last character.
        entries: Its properties, or its items with an empty key. Keys are as they are written.
        flat: All of it on one line; None if that is too long.
    """

    brackets: str
    entries: list[tuple[str, "_Node"]]
    flat: str | None


_Node: TypeAlias = _Collection | str


def json_tokens(text: str) -> list[str]:
    """Return the tokens of a valid JSON text."""
    return _TOKEN.findall(text)


def lay_out_json(text: str, width: int) -> str:
    """Return a valid JSON text in its layout.

    Args:
        text: The text.
        width: The greatest length of a line that has an array or object, in characters.
    """
    tokens = iter(json_tokens(text))
    root = _parsed(next(tokens), tokens, width)
    return "".join(f"{line}\n" for line in _lines(root, "", "", "", width, spread=True))


def _parsed(first: str, tokens: Iterator[str], width: int) -> _Node:
    if first not in {"{", "["}:
        return first
    entries: list[tuple[str, _Node]] = []
    for start in tokens:
        if start in {"}", "]"}:
            break
        if start == ",":
            continue
        if first == "[":
            entries.append(("", _parsed(start, tokens, width)))
        else:
            next(tokens)  # the colon
            entries.append((start, _parsed(next(tokens), tokens, width)))
    brackets = "{}" if first == "{" else "[]"
    return _Collection(brackets, entries, _flat(brackets, entries, width))


def _flat(brackets: str, entries: list[tuple[str, _Node]], width: int) -> str | None:
    parts: list[str] = []
    length = 0
    for key, node in entries:
        text = node if isinstance(node, str) else node.flat
        length += len(key) + len(text or "")
        if text is None or length > width:
            return None
        parts.append(f"{key}: {text}" if key else text)
    space = " " if parts and brackets == "{}" else ""
    return f"{brackets[0]}{space}{', '.join(parts)}{space}{brackets[1]}"


def _lines(
    node: _Node, indent: str, before: str, after: str, width: int, *, spread: bool = False
) -> Iterator[str]:
    """Yield the lines of a value.

    Args:
        node: The value.
        indent: The indentation of its first line.
        before: What precedes it on its first line: its key, or nothing.
        after: What follows it on its last line: a comma, or nothing.
        width: The greatest length of a line.
        spread: Whether each property of an object has a line of its own, even if all fit on one.
    """
    flat = node if isinstance(node, str) else node.flat
    if flat is not None:
        line = f"{indent}{before}{flat}{after}"
        spreads = spread and flat[0] == "{"
        if isinstance(node, str) or not node.entries or (len(line) <= width and not spreads):
            yield line
            return
    if isinstance(node, _Collection):
        yield f"{indent}{before}{node.brackets[0]}"
        for index, (key, each) in enumerate(node.entries, 1):
            # Only in the outermost object: in a schema, a property may have such a name.
            spread = key in _SPREAD and not indent
            label = f"{key}: " if key else ""
            comma = "," if index < len(node.entries) else ""
            yield from _lines(each, indent + _INDENT, label, comma, width, spread=spread)
        yield f"{indent}{node.brackets[1]}{after}"
