"""Formatting of files: the layout, the proof that nothing else has changed, and the atomic replacement of the file."""

import os
import re
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from enkaku_codegen.errors import Issue, OutputError, ProtocolError
from enkaku_codegen.json_values import Json, as_json
from enkaku_codegen.reading.json_source import read_json
from enkaku_codegen.reading.load import load
from enkaku_codegen.reading.yaml_source import read_yaml

from .json_layout import json_tokens, lay_out_json
from .yaml_layout import lay_out_yaml
from .yaml_tree import UnsupportedYaml, comments

__all__ = ["Formatted", "format_file", "replace"]

_YAML_BREAK: Final = re.compile("[\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Formatted:
    """A file and its layout.

    Attributes:
        path: The file.
        content: The content in its layout, which is not written yet.
        changed: Whether it differs from what the file has.
    """

    path: Path
    content: bytes
    changed: bool


def format_file(path: Path, width: int) -> Formatted:
    """Return the layout of a JSON or YAML file.

    Args:
        path: The file.
        width: The greatest length of a line that could be several, in characters.

    Raises:
        ProtocolError: The file can't be read, is neither JSON nor YAML, or can't be formatted.
    """
    value = load(path).value
    before = path.read_bytes()
    text = before.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    lay_out, is_same = (
        (lay_out_json, _is_same_json)
        if path.suffix.lower() == ".json"
        else (lay_out_yaml, _is_same_yaml)
    )
    try:
        after = lay_out(text, width)
    except UnsupportedYaml as error:
        raise _impossible(path, str(error)) from None
    if after != text and not is_same(value, text, after):
        raise _impossible(path, _reason(text))
    content = after.encode()
    return Formatted(path, content, content != before)


def _impossible(path: Path, reason: str) -> ProtocolError:
    return ProtocolError([Issue(str(path), None, "", f"can't be formatted: {reason}")])


def _reason(text: str) -> str:
    """Return why the layout of a file would change a value or a comment: the probable cause, if there is one."""
    found = _YAML_BREAK.search(text)
    if found is None:
        return "its layout would change a value or a comment"
    line = text.count("\n", 0, found.start()) + 1
    return f"U+{ord(found[0]):04X} on line {line}, which ends a line in YAML; in a string, write it as an escape"


def _is_same_json(value: Json, before: str, after: str) -> bool:
    """Return whether a layout keeps the value, with the order of its properties, and each token."""
    with suppress(ProtocolError):
        found, _ = read_json("", after)
        return as_json(found) == as_json(value) and json_tokens(after) == json_tokens(before)
    return False


def _is_same_yaml(value: Json, before: str, after: str) -> bool:
    """Return whether a layout keeps the value, with the order of its properties, and each comment."""
    with suppress(ProtocolError, UnsupportedYaml):
        found, _ = read_yaml("", after)
        return as_json(found) == as_json(value) and comments(after) == comments(before)
    return False


def replace(formatted: Formatted) -> None:
    """Replace the content of a file at once. Its mode and owner stay; of a symbolic link, the file that it leads to is replaced.

    Raises:
        OutputError: The file can't be written; it is unchanged.
    """
    path = Path(os.path.realpath(formatted.path))
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        found = path.stat()
        beside.write_bytes(formatted.content)
        with suppress(PermissionError):
            os.chown(beside, found.st_uid, found.st_gid)
        beside.chmod(stat.S_IMODE(found.st_mode))
        beside.replace(path)
    except BaseException as error:
        with suppress(OSError):
            beside.unlink()
        if isinstance(error, OSError):
            raise OutputError(f"{formatted.path}: {error.strerror}: it is unchanged") from error
        raise
