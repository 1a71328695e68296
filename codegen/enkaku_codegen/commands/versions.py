"""Versions of protocols that a command compares: files, files of a Git revision, and generated packages."""

import argparse
import ast
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Final

from enkaku_codegen.errors import Issue, ProtocolError
from enkaku_codegen.fingerprint import Import
from enkaku_codegen.json_values import SourceMap, tokens
from enkaku_codegen.reading.definition import Protocol, read_loaded
from enkaku_codegen.reading.load import DISK, Document, Files, load, parsed, unreadable

from .revisions import Repository, Revision, RevisionError

__all__ = ["Missing", "Source", "Version", "in_revision", "parse_source", "read_version"]

_DESCRIPTION: Final = "description.py"
_CONSTANT: Final = "PROTOCOL"
_PROTOCOLS: Final = (".json", ".yaml", ".yml")


class Missing(Exception):
    """The revision has no such file; the argument is its name in messages."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a version is read from.

    Attributes:
        path: The file; in a revision, its path from the root of the repository.
        ref: The revision; None for a file of the disk.
        directory: A directory of the repository.
        is_package: Whether the file is the description of a generated package.
        may_be_new: Whether the revision may lack the file: nobody has named it for that revision.
    """

    path: Path
    ref: str | None = None
    directory: Path = Path()
    is_package: bool = False
    may_be_new: bool = False

    @property
    def name(self) -> str:
        """The name in messages."""
        return str(self.path) if self.ref is None else f"{self.ref}:{self.path}"


@dataclass(frozen=True, slots=True)
class Version:
    """A protocol that was read.

    Attributes:
        document: Its file, which has the lines.
    """

    document: Document
    protocol: Protocol

    def location(self, pointer: str) -> tuple[str, int]:
        """Return file and line of a location, or of what is around it."""
        document, path = self.document, tokens(pointer)
        if path[:1] == ("$defs",) and path[1:2] and path[1] in self.protocol.origins:
            origin = self.protocol.origins[path[1]].below(path[2:])
            document, path = origin.document, origin.path
        return document.name, document.line(path)


def parse_source(text: str) -> Source:
    """Return what an argument names: a file, ``REF:PATH``, or a package as a directory or a module.

    Raises:
        argparse.ArgumentError: It names nothing.
    """
    path = Path(text)
    if path.is_dir():
        return _package(path, text)
    ref, colon, inner = text.partition(":")
    if path.exists() or not colon:
        if path.exists() or path.suffix.lower() in _PROTOCOLS:
            _require(path)
            return Source(path)
        return _module(text)
    if not ref or not inner:
        raise argparse.ArgumentError(
            None, f"expected REF:PATH, such as main:protocol.yaml; got {text}"
        )
    if inner.startswith(("./", "../")):  # from this directory, as Git has it
        inner = os.path.normpath(_repository(Path()).prefix + inner)
    return Source(Path(inner), ref)


def in_revision(file: Path, ref: str) -> Source:
    """Return a file of the working tree as it was in a revision, or the file that ``REF:PATH`` names.

    Raises:
        argparse.ArgumentError: There is no repository.
    """
    ref, colon, path = ref.partition(":")
    if colon:
        return Source(Path(path), ref, file.parent)
    try:
        path_there = _repository(file.parent).path(file)
        return Source(path_there, ref, file.parent, may_be_new=True)
    except RevisionError as error:
        raise argparse.ArgumentError(None, str(error)) from None


def working_file(source: Source) -> Source:
    """Return the file of the working tree for one of a revision.

    Raises:
        argparse.ArgumentError: There is no working tree, or no such file.
    """
    top = _repository(source.directory).top
    if top is None:
        raise argparse.ArgumentError(None, "in a bare repository, expected OLD and NEW as REF:PATH")
    path = Path(os.path.relpath(top / source.path))
    _require(path)
    return Source(path)


def read_version(
    source: Source, name: str | None = None, imports: Sequence[Import] = ()
) -> Version:
    """Read a version of a protocol, with all files that it refers to.

    Args:
        source: Where it is.
        name: The name of the protocol; None takes that of the file.
        imports: The files whose types are imported from their packages.

    Raises:
        ProtocolError: The protocol has errors.
        Missing: The revision does not have the file, which may be new.
        argparse.ArgumentError: There is no such revision, or no repository.
    """
    if source.is_package:
        document = _described(source.path)
        return Version(document, read_loaded(document, name))
    if source.ref is None:
        return _read(load(source.path), name, imports, DISK)
    try:
        with ExitStack() as stack:
            repository = Repository(source.directory)
            files = stack.enter_context(Revision(repository, source.ref))
            content = _content(source, files)
            document = parsed(source.path, content, key=files.key(source.path), prefix=files.prefix)
            inner = [replace(each, file=repository.path(each.file)) for each in imports]
            return _read(document, name, inner, files)
    except RevisionError as error:
        raise argparse.ArgumentError(None, str(error)) from None


def _content(source: Source, files: Revision) -> bytes:
    content = files.find(source.path)
    if content is not None:
        return content
    if source.may_be_new:
        raise Missing(source.name)
    raise RevisionError(f"{source.name}: no such file in this revision")


def _read(document: Document, name: str | None, imports: Sequence[Import], files: Files) -> Version:
    try:
        return Version(document, read_loaded(document, name, imports, files, unused=True))
    except RecursionError:
        message = "the schemas are nested too deeply through their references"
        raise ProtocolError([Issue(document.name, None, "", message)]) from None


def _repository(directory: Path) -> Repository:
    try:
        return Repository(directory)
    except RevisionError as error:
        raise argparse.ArgumentError(None, str(error)) from None


def _require(path: Path) -> None:
    if not path.exists():
        raise argparse.ArgumentError(None, f"{path}: no such file")


def _package(directory: Path, text: str) -> Source:
    path = directory / _DESCRIPTION
    if not path.is_file():
        message = f"{text}: expected a package that enkaku has generated; it has no {_DESCRIPTION}"
        raise argparse.ArgumentError(None, message)
    return Source(path, is_package=True)


def _module(name: str) -> Source:
    """Return the package that a module is, without importing it."""
    places: list[str] | None = [str(Path.cwd()), *sys.path]
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:count]), places) if all(parts) else None
        places = None if spec is None else [*(spec.submodule_search_locations or ())]
        if not places:
            raise argparse.ArgumentError(None, f"{name}: no such file, package or module")
    return _package(Path(os.path.relpath((places or [""])[0])), name)


def _described(path: Path) -> Document:
    """Return the protocol that a generated package has as a string in one of its modules, which is not imported."""
    content = DISK.content(path)
    try:
        for statement in ast.parse(content, str(path)).body:
            match statement:
                case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value):
                    pass
                case ast.Assign(targets=[ast.Name(id=target)], value=value):
                    pass
                case _:
                    continue
            if target == _CONSTANT and isinstance(text := ast.literal_eval(value), str):
                return _document(path, text, value)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise unreadable(str(path), f"can't be read: {error}") from None
    raise unreadable(str(path), f"expected the protocol as {_CONSTANT}")


def _document(path: Path, text: str, literal: ast.expr) -> Document:
    """Return the protocol in a string of a module, with the lines of the module."""
    inner = path.with_suffix(".json")
    found = parsed(inner, text.encode("utf-8", "surrogatepass"), key=DISK.key(inner))
    before = (literal.end_lineno or literal.lineno) - literal.lineno - text.count("\n")
    # Before the first line, there may be one with a backslash. Another literal does not have the lines of the text.
    start = literal.lineno - 1 + before if before in (0, 1) else None
    return replace(found, path=path, source_map=_moved(found.source_map, start, literal.lineno))


def _moved(source_map: SourceMap, start: int | None, line: int) -> SourceMap:
    below = {key: _moved(each, start, line) for key, each in source_map.below.items()}
    return SourceMap(line if start is None else start + source_map.line, below)
