"""Loads a JSON or YAML file: its value, and the line of each value in it."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from enkaku_codegen.errors import Issue, ProtocolError
from enkaku_codegen.fingerprint import digest
from enkaku_codegen.json_values import Json, SourceMap, Tokens, pointer, tokens

from .json_source import read_json
from .yaml_source import read_yaml

__all__ = ["MAX_BYTES", "Document", "load", "load_text", "sources"]

MAX_BYTES: Final = 16 * 1024 * 1024
"""Maximum size of a file in bytes."""

_READERS: Final = {".json": read_json, ".yaml": read_yaml, ".yml": read_yaml}


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A file that was read.

    Attributes:
        path: The path as the user would write it.
        key: The real path, which is the same for all paths to the file.
        source_map: The line of each value.
        digest: The digest of its content, for fingerprints.
    """

    path: Path
    key: str
    value: Json
    source_map: SourceMap
    digest: str

    def line(self, path: Tokens) -> int:
        """Return the line of the value at a path, or of the nearest value around it."""
        source_map = self.source_map
        for token in path:
            below = source_map.below.get(token)
            if below is None:
                break
            source_map = below
        return source_map.line

    def issue(self, path: Tokens, message: str) -> Issue:
        """Return an issue at a path."""
        return Issue(str(self.path), self.line(path), pointer(path), message)

    def locate(self, error: ProtocolError) -> ProtocolError:
        """Return the error with file and line added to the issues that have only a pointer into this file."""
        return ProtocolError(
            (
                issue
                if issue.file is not None
                else replace(issue, file=str(self.path), line=self.line(tokens(issue.pointer)))
            )
            for issue in error.issues
        )


def sources(documents: Mapping[Path, Document], base: Path) -> dict[str, str]:
    """Return the digest of each file by its path from a directory, sorted.

    Empty if such a path does not lead to the file, as with ``..`` after a symbolic link to a directory.
    """
    found: dict[str, str] = {}
    for path, document in documents.items():
        relative = os.path.relpath(path, base)
        if os.path.realpath(base / relative) != document.key:
            return {}
        found[Path(relative).as_posix()] = document.digest
    return dict(sorted(found.items()))


def load(path: Path) -> Document:
    """Read a JSON (``.json``) or YAML (``.yaml``, ``.yml``) file.

    Raises:
        ProtocolError: The file can't be read, is too large, or does not have the format of its suffix.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise _unreadable(path, "expected a file named *.json, *.yaml or *.yml")
    content = _content(path)
    text = _decoded(path, content)
    if not text.strip():
        raise _unreadable(path, "the file is empty")
    value, source_map = reader(str(path), text)
    return Document(path, os.path.realpath(path), value, source_map, digest(content))


def load_text(text: str, name: str) -> Document:
    """Read a JSON document that is not in a file.

    Args:
        text: The document.
        name: What it is called in errors, such as an address.

    Raises:
        ProtocolError: It is not JSON, or too large.
    """
    content = text.encode("utf-8", "surrogatepass")
    if len(content) > MAX_BYTES:
        raise ProtocolError([Issue(name, None, "", f"larger than {MAX_BYTES} bytes")])
    value, source_map = read_json(name, text)
    # No file has this path, so that no reference leads to the document by it.
    return Document(Path(name), "/\n", value, source_map, digest(content))


def _content(path: Path) -> bytes:
    try:
        # Checked before opening: open() of a named pipe would block until a process writes to it.
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise _unreadable(path, "expected a file, got a directory")
        if not stat.S_ISREG(mode):
            raise _unreadable(path, "expected a regular file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _unreadable(path, "no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _unreadable(path, f"can't be read: {reason}") from error
    if len(content) > MAX_BYTES:
        raise _unreadable(path, f"larger than {MAX_BYTES} bytes")
    return content


def _decoded(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start}"
        raise ProtocolError([Issue(str(path), line, "", message)]) from None


def _unreadable(path: Path, message: str) -> ProtocolError:
    return ProtocolError([Issue(str(path), None, "", message)])
