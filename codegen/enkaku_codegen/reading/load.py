"""Loads a JSON or YAML file: its value, and the line of each value in it."""

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from enkaku_codegen.errors import Issue, ProtocolError
from enkaku_codegen.fingerprint import digest
from enkaku_codegen.inputs import add_input
from enkaku_codegen.json_values import Json, SourceMap, Tokens, pointer, tokens

from .json_source import read_json
from .yaml_source import read_yaml

__all__ = [
    "DISK",
    "MAX_BYTES",
    "Disk",
    "Document",
    "Files",
    "load",
    "load_text",
    "parsed",
    "sources",
    "unreadable",
]

MAX_BYTES: Final = 16 * 1024 * 1024
"""Maximum size of a file in bytes."""

_READERS: Final = {".json": read_json, ".yaml": read_yaml, ".yml": read_yaml}


class Files(Protocol):
    """Where files are read from: the disk, or a revision of a repository.

    Attributes:
        prefix: What messages write before a path, such as ``main:``; empty for the disk.
    """

    @property
    def prefix(self) -> str:
        """The prefix."""
        ...

    def key(self, path: Path) -> str:
        """Return an absolute path that is the same for all paths to a file."""
        ...

    def content(self, path: Path) -> bytes:
        """Return the content of a file.

        Raises:
            ProtocolError: It can't be read, or has more than ``MAX_BYTES`` bytes.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A file that was read.

    Attributes:
        path: The path as the user would write it.
        key: The real path, which is the same for all paths to the file.
        source_map: The line of each value.
        digest: The digest of its content, for fingerprints.
        prefix: What messages write before the path.
    """

    path: Path
    key: str
    value: Json
    source_map: SourceMap
    digest: str
    prefix: str = ""

    @property
    def name(self) -> str:
        """The name of the file in messages."""
        return f"{self.prefix}{self.path}"

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
        return Issue(self.name, self.line(path), pointer(path), message)

    def locate(self, error: ProtocolError) -> ProtocolError:
        """Return the error with file and line added to the issues that have only a pointer into this file."""
        return ProtocolError(
            (
                issue
                if issue.file is not None
                else replace(issue, file=self.name, line=self.line(tokens(issue.pointer)))
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


def load(path: Path, files: Files | None = None) -> Document:
    """Read a JSON (``.json``) or YAML (``.yaml``, ``.yml``) file.

    Args:
        path: The file.
        files: Where it is read from; by default, the disk.

    Raises:
        ProtocolError: The file can't be read, is too large, or does not have the format of its suffix.
    """
    files = files or DISK
    _reader(path, files.prefix)  # a file of another kind is not read at all
    return parsed(path, files.content(path), key=files.key(path), prefix=files.prefix)


def parsed(path: Path, content: bytes, *, key: str, prefix: str = "") -> Document:
    """Return a file as a document, from its content.

    Raises:
        ProtocolError: The content does not have the format of the file's suffix.
    """
    name = f"{prefix}{path}"
    text = _decoded(name, content)
    if not text.strip():
        raise unreadable(name, "the file is empty")
    value, source_map = _reader(path, prefix)(name, text)
    return Document(path, key, value, source_map, digest(content), prefix)


def _reader(path: Path, prefix: str) -> Callable[[str, str], tuple[Json, SourceMap]]:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise unreadable(f"{prefix}{path}", "expected a file named *.json, *.yaml or *.yml")
    return reader


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


class Disk:
    """The files of the disk."""

    @property
    def prefix(self) -> str:
        """Nothing: paths stand for themselves."""
        return ""

    def key(self, path: Path) -> str:
        """Return the real path."""
        return os.path.realpath(path)

    def content(self, path: Path) -> bytes:
        """Return the content of a file.

        Raises:
            ProtocolError: It can't be read, or is too large.
        """
        add_input(path)
        try:
            # Checked before opening: open() of a named pipe would block until a process writes to it.
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                raise unreadable(str(path), "expected a file, got a directory")
            if not stat.S_ISREG(mode):
                raise unreadable(str(path), "expected a regular file")
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            raise unreadable(str(path), "no such file") from None
        except (OSError, ValueError) as error:  # ValueError: a null byte in the path
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise unreadable(str(path), f"can't be read: {reason}") from error
        if len(content) > MAX_BYTES:
            raise unreadable(str(path), f"larger than {MAX_BYTES} bytes")
        return content


DISK: Final[Files] = Disk()
"""The disk, which files are read from by default."""


def _decoded(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start}"
        raise ProtocolError([Issue(name, line, "", message)]) from None


def unreadable(name: str, message: str) -> ProtocolError:
    """Return the error for a file that can't be read."""
    return ProtocolError([Issue(name, None, "", message)])
