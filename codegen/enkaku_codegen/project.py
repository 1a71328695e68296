"""The table ``[tool.enkaku]`` of a ``pyproject.toml``, or an ``enkaku.toml``: the packages of a project.

::

    [[tool.enkaku.protocol]]
    file = "protocol.yaml"
    out = "src/app/protocol"

With it, the commands need no arguments. Paths are relative to the file. In ``enkaku.toml``, the table is the whole
file: ``[[protocol]]``.
"""

import os
import stat
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time
from difflib import get_close_matches
from pathlib import Path
from typing import Final, cast

from .errors import Issue, ProtocolError
from .fingerprint import LANGUAGES, LINE_LENGTH, Import, Request
from .inputs import add_input
from .json_values import Json, pointer

__all__ = [
    "LONGEST_LINE",
    "PROJECT_FILES",
    "SHORTEST_LINE",
    "Project",
    "Target",
    "find_project",
    "read_project",
]

PROJECT_FILES: Final = ("enkaku.toml", "pyproject.toml")
"""The files that may describe a project, in the order in which a directory is searched."""

SHORTEST_LINE: Final = 60
LONGEST_LINE: Final = 500
"""The least and the greatest line length of generated code, in characters."""

_KEYS: Final = (
    "file",
    "out",
    "name",
    "language",
    "templates",
    "imports",
    "sync",
    "line-length",
    "against",
)
_SETTINGS: Final = ("lint", "breaking")
_LARGEST: Final = 4 * 1024 * 1024
_REPOSITORIES: Final = (".git", ".hg")


@dataclass(frozen=True, slots=True)
class Target:
    """A package of the project.

    Attributes:
        request: What to generate.
        out: The directory of the package; None if the protocol is not generated, only checked.
        against: What ``enkaku breaking`` compares the protocol with, such as ``origin/main``; or None.
    """

    request: Request
    out: Path | None
    against: str | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """A project, as its file describes it.

    Attributes:
        file: The file.
        targets: Its packages, in the order of the file; at least one.
        settings: The other tables, such as ``lint``, by name, as they stand in the file.
    """

    file: Path
    targets: tuple[Target, ...]
    settings: Mapping[str, Json]


def find_project(directory: Path) -> Project | None:
    """Return the project of a directory: of the nearest file in it, or above it, that describes one; None if there is none.

    The search ends with the directory that holds a repository of Git or Mercurial. A file above the directory counts only if it
    belongs to the user, to root, or to the owner of the directory: in ``/tmp``, anybody can put one above it, and
    templates can run any code.

    Raises:
        ProtocolError: The file has errors, or the directory does not exist any more.
    """
    try:
        folders = (directory, *directory.absolute().parents)
        owners = {0, os.getuid(), directory.stat().st_uid}
    except OSError as error:
        message = f"the current directory can't be read: {error.strerror}"
        raise ProtocolError([Issue(None, None, "", message)]) from error
    for folder in folders:
        for name in PROJECT_FILES:
            file = Path(os.path.relpath(folder / name))
            found = _stat(file)
            if found is None or not stat.S_ISREG(found.st_mode):
                continue
            is_ours = folder is directory or found.st_uid in owners
            if is_ours and (project := read_project(file)) is not None:
                return project
        if any(_stat(folder / name) for name in _REPOSITORIES):
            return None
    return None


def _stat(path: Path) -> os.stat_result | None:
    with suppress(OSError):
        return path.stat()
    return None


def read_project(file: Path) -> Project | None:
    """Return the project that a file describes; None if it is a ``pyproject.toml`` without ``[tool.enkaku]``.

    Raises:
        ProtocolError: The file has errors.
    """
    add_input(file)
    try:
        with file.open("rb") as opened:
            content = opened.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise _error(file, (), f"larger than {_LARGEST} bytes")
        table = cast("Json", tomllib.loads(content.decode()))
    except OSError as error:
        raise _error(file, (), f"can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _error(file, (), f"not TOML: {error}") from error
    path: tuple[str, ...] = ()
    if file.name == "pyproject.toml":
        for key in ("tool", "enkaku"):
            if not isinstance(table, dict) or key not in table:
                return None
            table = table[key]
        path = ("tool", "enkaku")
    return _Reader(file).project(table, path)


def _error(file: Path, path: tuple[str, ...], message: str) -> ProtocolError:
    return ProtocolError([Issue(str(file), None, pointer(path), message)])


class _Reader:
    """Reads the table. A first error ends it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._directory = Path(os.path.relpath(file.parent))

    def project(self, table: Json, path: tuple[str, ...]) -> Project:
        content = self._table(table, path)
        unknown = content.keys() - {"protocol", *_SETTINGS}
        self._require_none(unknown, ("protocol", *_SETTINGS), path)
        listed = content.get("protocol")
        path = (*path, "protocol")
        if not isinstance(listed, list) or not listed:
            header = ".".join(path)
            raise _error(self._file, path, f"expected one or more tables [[{header}]]")
        targets = tuple(self._target(each, (*path, str(i))) for i, each in enumerate(listed))
        self._require_distinct(targets, path)
        settings = {
            name: self._json(value, (*path[:-1], name))
            for name, value in content.items()
            if name != "protocol"
        }
        return Project(self._file, targets, settings)

    def _target(self, value: Json, path: tuple[str, ...]) -> Target:
        table = self._table(value, path)
        self._require_none(table.keys() - {*_KEYS}, _KEYS, path)
        file = self._path(table, "file", path)
        if file is None:
            raise _error(self._file, path, 'expected "file", the protocol file')
        language = self._text(table, "language", path) or LANGUAGES[0]
        if language not in LANGUAGES:
            raise _error(
                self._file,
                (*path, "language"),
                f"expected {' or '.join(LANGUAGES)}, got {language}",
            )
        sync = table.get("sync", False)
        if not isinstance(sync, bool):
            raise _error(self._file, (*path, "sync"), "expected true or false")
        if sync and language != "python":
            raise _error(
                self._file, (*path, "sync"), f"it is for Python; the language is {language}"
            )
        request = Request(
            file,
            self._text(table, "name", path),
            self._path(table, "templates", path),
            self._line_length(table, path),
            language,
            sync,
            self._imports(table, path),
        )
        return Target(request, self._path(table, "out", path), self._text(table, "against", path))

    def _imports(self, table: Mapping[str, Json], path: tuple[str, ...]) -> tuple[Import, ...]:
        if "imports" not in table:
            return ()
        path = (*path, "imports")
        imports = self._table(table["imports"], path)
        found: list[Import] = []
        for file in imports:
            if not file.strip() or "\0" in file:
                raise _error(self._file, (*path, file), "expected the path of a protocol file")
            module = self._text(imports, file, path)
            found.append(Import(self._directory / file, cast("str", module)))
        return tuple(found)

    def _line_length(self, table: Mapping[str, Json], path: tuple[str, ...]) -> int:
        length = table.get("line-length", LINE_LENGTH)
        if type(length) is not int or not SHORTEST_LINE <= length <= LONGEST_LINE:
            message = f"expected {SHORTEST_LINE} to {LONGEST_LINE} characters"
            raise _error(self._file, (*path, "line-length"), message)
        return length

    def _path(self, table: Mapping[str, Json], key: str, path: tuple[str, ...]) -> Path | None:
        text = self._text(table, key, path)
        return None if text is None else self._directory / text

    def _text(self, table: Mapping[str, Json], key: str, path: tuple[str, ...]) -> str | None:
        value = table.get(key)
        if key in table and not (isinstance(value, str) and value.strip()):
            raise _error(self._file, (*path, key), "expected a string with at least one character")
        if isinstance(value, str) and "\0" in value:
            raise _error(self._file, (*path, key), "a null character is in no name and in no path")
        return cast("str | None", value)

    def _table(self, value: Json, path: tuple[str, ...]) -> dict[str, Json]:
        if not isinstance(value, dict):
            raise _error(self._file, path, "expected a table")
        return value

    def _require_none(
        self, unknown: set[str], known: tuple[str, ...], path: tuple[str, ...]
    ) -> None:
        for name in sorted(unknown):
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"expected {', '.join(known)}"
            raise _error(self._file, (*path, name), f"unknown key; {hint}")

    def _json(self, value: object, path: tuple[str, ...]) -> Json:
        """Return a value as JSON, which has no dates: they are strings. A time is an error."""
        match value:
            case dict():
                table = cast("dict[str, object]", value)
                return {key: self._json(each, (*path, key)) for key, each in table.items()}
            case list():
                listed = enumerate(cast("list[object]", value))
                return [self._json(each, (*path, str(index))) for index, each in listed]
            case datetime() | time():
                raise _error(self._file, path, "expected no time")
            case date():
                return value.isoformat()
            case _:
                return cast(Json, value)

    def _require_distinct(self, targets: tuple[Target, ...], path: tuple[str, ...]) -> None:
        """Raise an error if two packages would be written to one directory."""
        seen: dict[str, int] = {}
        for index, target in enumerate(targets):
            if target.out is not None:
                first = seen.setdefault(os.path.realpath(target.out), index)
                if first != index:
                    message = f"the directory of {pointer((*path, str(first)))}, too; each package has its own"
                    raise _error(self._file, (*path, str(index), "out"), message)
