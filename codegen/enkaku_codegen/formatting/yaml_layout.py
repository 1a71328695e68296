"""Layout of YAML: two spaces a level, flow style only where it fits on a line, double quotes, at most one blank line.

Comments keep their text and order. Strings keep their lines, so that no text is wrapped anew.
"""

from collections.abc import Iterable
from typing import Final

from .yaml_tree import Collection, Comment, Document, Entry, Node, Scalar, parse

__all__ = ["lay_out_yaml"]

_INDENT: Final = "  "


def lay_out_yaml(text: str, width: int) -> str:
    """Return a valid YAML text in its layout.

    Args:
        text: The text, whose lines end with a line feed.
        width: The greatest length of a line in flow style, in characters, without the comment after it.

    Raises:
        UnsupportedYaml: It has something that has no layout.
    """
    return _Layout(width).document(parse(text))


class _Lines:
    """The lines of a collection and of what is in it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ends_blank = True

    def add(self, lines: Iterable[str], *, blank_before: bool, ends_blank: bool = False) -> None:
        """Add lines; a blank line precedes them if there was one, unless they are the first.

        Args:
            lines: The lines.
            blank_before: Whether there was a blank line.
            ends_blank: Whether blank lines at their end belong to a value, so that there must not be another.
        """
        if blank_before and not self.ends_blank:
            self.lines.append("")
        self.lines += lines
        self.ends_blank = ends_blank

    def add_comments(self, comments: Iterable[Comment], indent: str) -> None:
        for each in comments:
            self.add([indent + each.text], blank_before=each.blank_before and each.own_line)


class _Layout:
    def __init__(self, width: int) -> None:
        self._width = width

    def document(self, document: Document) -> str:
        made = _Lines()
        made.add_comments(document.leading, "")
        if document.head:
            made.add(document.head, blank_before=False)
        root = document.root
        if root.properties:
            made.add([root.properties], blank_before=False)
        flat = self._flat(root)
        if flat is not None and (not root.entries or len(flat) <= self._width):
            made.add([flat], blank_before=False)
            made.add_comments(root.trailing, "")
        elif root.entries:
            self._block(root, "", made)
        else:
            made.add([root.brackets], blank_before=False)
            made.add_comments(root.trailing, "")
        return "".join(f"{line}\n" for line in made.lines)

    def _block(self, collection: Collection, indent: str, made: _Lines) -> None:
        """Add a collection in block style, which has entries."""
        for entry in collection.entries:
            made.add_comments(entry.leading, indent)
            head = f"{indent}-" if entry.key is None else f"{indent}{_key(entry.key)}:"
            value = entry.value
            if isinstance(value, Collection) and value.entries and not self._fits(value, head):
                self._add_nested(entry, value, head, indent + _INDENT, made)
            else:
                self._add_inline(entry, head, indent, made)
        made.add_comments(collection.trailing, indent)

    def _add_inline(self, entry: Entry, head: str, indent: str, made: _Lines) -> None:
        """Add an entry whose value begins on its line. Comments within it are put before it, but for the last."""
        value = entry.value
        comments = [*entry.between]
        if isinstance(value, Collection):
            comments += value.trailing
            lines = [_joined(head, value.properties, self._flat(value) or value.brackets)]
        else:
            comments += [value.header_comment] if value.header_comment else []
            lines = _scalar(value, head, indent + _INDENT)
        comments += [entry.comment] if entry.comment else []
        if comments and not comments[-1].own_line:
            last = comments.pop()
            lines[0 if _is_block(value) else -1] += last.gap + last.text
        made.add_comments(comments, indent)
        ends_blank = isinstance(value, Scalar) and "+" in value.header
        made.add(lines, blank_before=entry.blank_before, ends_blank=ends_blank)

    def _add_nested(
        self, entry: Entry, value: Collection, head: str, indent: str, made: _Lines
    ) -> None:
        """Add an entry whose value is a collection in block style, with the indentation of that."""
        between, after = [*entry.between], entry.comment
        inner = _Lines()
        comment = between.pop(0) if between and not between[0].own_line else None
        inner.add_comments(between, indent)
        if comment is None and not between and after is not None and not _has_comments(value):
            comment, after = after, None
        self._block(value, indent, inner)
        inner.add_comments([after] if after else [], indent)
        first, *others = inner.lines
        head = _joined(head, value.properties)
        if (
            entry.key is None
            and not value.properties
            and comment is None
            and first[len(indent)] != "#"
        ):
            lines = [f"{head} {first[len(indent) :]}", *others]
        else:
            lines = [head + (comment.gap + comment.text if comment else ""), first, *others]
        made.add(lines, blank_before=entry.blank_before, ends_blank=inner.ends_blank)

    def _fits(self, collection: Collection, head: str) -> bool:
        flat = self._flat(collection)
        return flat is not None and len(_joined(head, collection.properties, flat)) <= self._width

    def _flat(self, node: Node) -> str | None:
        """Return a value on one line, without its properties; None if it is not written in flow style, or too long."""
        if isinstance(node, Scalar):
            return None if "\n" in node.text or node.header else _double_quoted(node.text)
        if not node.flow or node.trailing:
            return None
        parts: list[str] = []
        length = 0
        for entry in node.entries:
            flat = self._flat(entry.value)
            if flat is None or entry.leading or entry.between or entry.comment is not None:
                return None
            key = "" if entry.key is None else _key(entry.key) + (":" if entry.has_colon else "")
            part = _joined(key, entry.value.properties, flat)
            # In flow style, a colon before a comma would be part of the key.
            parts.append(
                f"{part} " if part.endswith(":") and entry is not node.entries[-1] else part
            )
            length += len(parts[-1])
            if length > self._width:
                return None
        space = " " if parts and node.brackets == "{}" else ""
        return f"{node.brackets[0]}{space}{', '.join(parts)}{space}{node.brackets[1]}"


def _joined(*parts: str) -> str:
    return " ".join(filter(None, parts))


def _key(key: Scalar) -> str:
    # Without the space, the colon would be part of the alias.
    space = " " if key.text.startswith("*") else ""
    return _joined(key.properties, _double_quoted(key.text)) + space


def _is_block(node: Node) -> bool:
    return isinstance(node, Scalar) and node.header != ""


def _has_comments(node: Node) -> bool:
    if isinstance(node, Scalar):
        return False
    return bool(node.trailing) or any(
        each.leading or each.between or each.comment is not None or _has_comments(each.value)
        for each in node.entries
    )


def _double_quoted(text: str) -> str:
    """Return a scalar of one line in double quotes if it is in single quotes and needs no escapes."""
    inner = text[1:-1].replace("''", "'")
    if text[:1] != "'" or not inner.isprintable() or set(inner) & {'"', "\\"}:
        return text
    return f'"{inner}"'


def _scalar(scalar: Scalar, head: str, indent: str) -> list[str]:
    """Return the lines of a scalar after its key or dash."""
    if scalar.header:
        return _block_scalar(scalar, head, indent)
    first, *others = scalar.text.split("\n")
    if not others:
        return [_joined(head, scalar.properties, _double_quoted(first))]
    lines = [_joined(head, scalar.properties, _without_spaces(first))]
    for line in others:
        stripped = _without_spaces(line).lstrip(" \t")
        lines.append(indent + stripped if stripped else "")
    return lines


def _without_spaces(line: str) -> str:
    """Return a line of a string without the spaces at its end, which mean nothing unless a backslash precedes them."""
    stripped = line.rstrip(" \t")
    return line if stripped.endswith("\\") else stripped


def _block_scalar(scalar: Scalar, head: str, indent: str) -> list[str]:
    _, *lines = scalar.text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    cut = _indentation(lines, scalar.value.split("\n"))
    content = [each[cut:] for each in lines]
    while content and not content[-1] and "+" not in scalar.header:
        content.pop()
    until_text = next((at for at, each in enumerate(content, 1) if each.strip(" ")), None)
    explicit = any(each.startswith(" ") for each in content[:until_text])
    chomping = "".join(each for each in scalar.header if each in "+-")
    if content and not scalar.value.endswith("\n"):
        chomping = "-"  # also where the file ends without a line feed, which its layout has
    header = scalar.header[0] + (str(len(_INDENT)) if explicit else "") + chomping
    return [
        _joined(head, scalar.properties, header),
        *(indent + each if each else "" for each in content),
    ]


def _indentation(lines: list[str], value: list[str]) -> int:
    """Return how far the text of a block scalar is indented, by its first line with text in the file and in the value."""
    line = next((each for each in lines if each.strip(" ")), None)
    if line is not None:
        text = next((each for each in value if each.strip(" ")), "")
        return _leading(line) - _leading(text)
    # Spaces alone: they are indentation, but for those of the value.
    return max(map(len, lines), default=0) - max(map(len, value))


def _leading(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
