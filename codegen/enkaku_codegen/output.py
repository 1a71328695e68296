"""Writes a generated package to its directory: all files, or none.

It compares the files with the directory first. New files are written under temporary names; then old files are
renamed away and new ones into place. If a step fails, all renames are undone.
"""

import difflib
import fcntl
import os
import secrets
import stat
import sys
import unicodedata
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from keyword import iskeyword
from pathlib import Path
from typing import Final

from .errors import OutputError
from .fingerprint import ABOUT, FINGERPRINT_FILE, MARKERS, Language, generated_files

__all__ = ["Changes", "changes", "locked", "require_importable", "require_language", "write"]

_LARGEST: Final = 256 * 1024 * 1024
_OWN: Final = frozenset({"enkaku", "enkaku_codegen", "enkaku_templates"})
_IMPORTED: Final = frozenset(
    [
        "aiohappyeyeballs",
        "annotated_types",
        "jsonschema_rs",
        "msgspec",
        "pydantic",
        "pydantic_core",
        "typing_extensions",
        "typing_inspection",
        "uvloop",
    ]
)
_LANGUAGES: Final[Mapping[Language, str]] = {"python": "Python", "typescript": "TypeScript"}
_SHADOWED: Final = _OWN | _IMPORTED | sys.stdlib_module_names


def require_importable(directory: Path) -> None:
    """Raise an error if Python can't import a package from a directory of this name.

    At the top level, a package must not shadow the standard library, nor what the runtime imports. Inside another package
    it can't.

    Raises:
        OutputError: The name will not do; the message has one that would.
    """
    path = Path(os.path.abspath(directory))  # noqa: PTH100 # resolve() would follow a symbolic link
    name = path.name
    if not (name.isidentifier() and unicodedata.is_normalized("NFKC", name)) or iskeyword(name):
        from .planning.names import method_name  # noqa: PLC0415 # slow to load

        other = method_name(name) if name else "protocol"
        problem = "not a name that Python can import"
    elif name in _SHADOWED and not (path.parent / "__init__.py").exists():
        other = f"{name}_protocol"
        problem = f"the package would shadow {name}, which other modules import"
    else:
        return
    raise OutputError(f"{directory}: {problem}: nothing is written; {other} would do")


@dataclass(frozen=True, slots=True)
class Changes:
    """The differences between a generated package and its directory.

    Attributes:
        written: The text of the files that are new or different, by name.
        removed: The files that an earlier run generated and this one does not.
        before: The text of the existing files, of those in ``written`` and ``removed``.
        fingerprint: The new text of the fingerprint file, or None if it stays as it is.
    """

    directory: Path
    written: Mapping[str, str]
    removed: tuple[str, ...]
    before: Mapping[str, str]
    fingerprint: str | None = None

    def __bool__(self) -> bool:
        return bool(self.written or self.removed)

    def diff(self) -> Iterator[str]:
        """Yield the changes as the lines of a unified diff."""
        for name in sorted({*self.written, *self.removed}):
            path = str(self.directory / name)
            old, new = self.before.get(name), self.written.get(name)
            yield from difflib.unified_diff(
                _lines(old),
                _lines(new),
                "/dev/null" if old is None else path,
                "/dev/null" if new is None else path,
            )
            if not old and not new:
                yield f"{'new' if old is None else 'no longer generated'}, and empty: {path}\n"


def _lines(text: str | None) -> list[str]:
    # Not splitlines(), which also splits at form feeds and other separators: the diff would be wrong there.
    return [f"{line}\n" for line in (text or "").split("\n")[:-1]]


def require_language(directory: Path, language: Language) -> None:
    """Raise an error if a directory has a package in another language.

    Raises:
        OutputError: It has one, or can't be read.
    """
    try:
        if language != "python" and (directory / "__init__.py").exists():
            raise _other_language(directory, "Python")
        for other, marker in MARKERS.items():
            if other != language and any(
                (_read(path) or "").startswith(marker) for path in generated_files(directory, other)
            ):
                raise _other_language(directory, _LANGUAGES[other])
    except OSError as error:
        raise OutputError(f"{error.filename or directory}: {error.strerror}") from error


def _other_language(directory: Path, language: str) -> OutputError:
    return OutputError(
        f"{directory}: a package in {language} is there: nothing is written; "
        "choose another directory, or another --language"
    )


def changes(
    files: Mapping[str, str],
    directory: Path,
    marker: str,
    fingerprint: str | None = None,
    language: Language = "python",
) -> Changes:
    """Compare files with a directory.

    The fingerprint does not count as a change: a package is up to date without it, or with another one.

    Args:
        files: The text of each file by its name.
        directory: The package's directory; it may be missing.
        marker: The first characters of each generated file; other files are never changed.
        fingerprint: The text of the package's fingerprint, if there is one.
        language: The language of the files.

    Raises:
        OutputError: A file that enkaku did not generate is in the way, or the directory can't be read.
    """
    try:
        if directory.exists() and not directory.is_dir():
            raise OutputError(f"{directory}: not a directory")
        if directory.is_symlink() and not directory.exists():
            raise OutputError(f"{directory}: a symbolic link to a directory that does not exist")
        before = {name: _read(directory / name) for name in files}
        stale = {
            path.name: text
            for path in generated_files(directory, language)
            if path.name not in files
            and (text := _read(path)) is not None
            and text.startswith(marker)
        }
    except OSError as error:
        raise OutputError(f"{error.filename or directory}: {error.strerror}") from error
    written = {name: text for name, text in files.items() if before[name] != text}
    _reject_foreign({directory / name: before[name] for name in sorted(written)}, marker)
    there = {name: text for name in written if (text := before[name]) is not None}
    return Changes(directory, written, tuple(stale), there | stale, _new(fingerprint, directory))


def _new(fingerprint: str | None, directory: Path) -> str | None:
    """Return the fingerprint if it must be written, and no file of the user has its name."""
    try:
        found = _read(directory / FINGERPRINT_FILE)
    except OSError:
        return None
    is_replaceable = not found or found.startswith(ABOUT)
    return fingerprint if is_replaceable and found != fingerprint else None


def _reject_foreign(texts: Mapping[Path, str | None], marker: str) -> None:
    # An empty file may be overwritten: nothing is lost, and an empty __init__.py is common.
    foreign = [path for path, text in texts.items() if text and not text.startswith(marker)]
    if foreign:
        raise OutputError(
            "\n".join(
                f"{path}: this file was not generated by enkaku: nothing is written; "
                "move it away, or choose another directory"
                for path in foreign
            )
        )


def _read(path: Path) -> str | None:
    """Read a file; return a text that is never generated if it is not a regular file."""
    try:
        # Checked before opening: open() of a named pipe would block until a process writes to it.
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
            return "a link, a directory, or more than is ever generated"
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None


@contextmanager
def locked(directory: Path, on_wait: Callable[[], object]) -> Generator[None]:
    """Keep other runs from changing a directory, until the block ends.

    The lock is on the directory itself, or on the nearest one above it that exists; the kernel releases it when the process
    ends. Where the file system has no locks, there is none.

    Args:
        directory: The package's directory; it may be missing.
        on_wait: Called once if another run has the lock; this one waits for it.
    """
    descriptor = _lock(directory, on_wait)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(directory: Path, on_wait: Callable[[], object]) -> int | None:
    """Return the descriptor that has the lock; None if there is none: the run itself reports a directory that can't be read."""
    while True:
        try:
            nearest = _nearest(directory)
            descriptor = os.open(nearest, os.O_RDONLY)
        except OSError:
            return None
        try:
            with suppress(OSError):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    on_wait()
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
            # The other run may have made the directory, which a third run has locked since.
            if _nearest(directory) == nearest:
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _nearest(directory: Path) -> Path:
    return next(path for path in (directory, *directory.absolute().parents) if path.is_dir())


def write(todo: Changes) -> None:
    """Apply the changes; if one fails, undo the others.

    Raises:
        OutputError: The package could not be written; the directory is unchanged.
    """
    transaction = _Transaction(todo.directory)
    written = (
        dict(todo.written)
        if todo.fingerprint is None
        else {**todo.written, FINGERPRINT_FILE: todo.fingerprint}
    )
    try:
        transaction.prepare(written)
        transaction.commit(written, todo.removed)
    except BaseException as error:
        transaction.undo()
        if isinstance(error, OSError):
            # Nobody knows the names of the temporary files.
            is_own = error.filename is None or Path(error.filename).parent == todo.directory
            where = todo.directory if is_own else error.filename
            raise OutputError(f"{where}: {error.strerror}: nothing is written") from error
        raise
    transaction.finish()


@dataclass(slots=True)
class _Transaction:
    """Renames within one directory that can be undone."""

    directory: Path
    suffix: str = field(default_factory=lambda: secrets.token_hex(4))
    made: list[Path] = field(default_factory=list[Path])
    moves: list[tuple[Path, Path]] = field(default_factory=list[tuple[Path, Path]])

    def aside(self, name: str, what: str) -> Path:
        return self.directory / f".{name}.{self.suffix}.{what}"

    def prepare(self, written: Mapping[str, str]) -> None:
        """Write each file under a temporary name."""
        if not written:
            return
        missing = [path for path in (self.directory, *self.directory.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir()
            self.made.append(path)
        for name, text in written.items():
            path = self.aside(name, "new")
            self.made.append(path)
            path.write_bytes(text.encode())

    def commit(self, written: Mapping[str, str], removed: tuple[str, ...]) -> None:
        """Rename the old files away and the new ones into place."""
        for name in (*written, *removed):
            path = self.directory / name
            if path.exists():
                self.move(path, self.aside(name, "old"))
            if name in written:
                self.move(self.aside(name, "new"), path)

    def move(self, source: Path, target: Path) -> None:
        os.replace(source, target)  # noqa: PTH105 # tests replace it
        self.moves.append((source, target))

    def undo(self) -> None:
        for source, target in reversed(self.moves):
            os.replace(target, source)  # noqa: PTH105 # as above
        for path in reversed(self.made):
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Delete the old files; one that can't be deleted stays under its temporary name."""
        for _, target in self.moves:
            if target.name.endswith(f".{self.suffix}.old"):
                with suppress(OSError):
                    target.unlink()
