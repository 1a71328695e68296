"""Rules for Make and Ninja that say what packages were generated from: ``--depfile``."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from enkaku_codegen.errors import OutputError, visible

__all__ = ["Rule", "write_depfile"]

# Make would take them for wildcards, patterns, variables or the end of the rule, and Ninja does not know them.
_UNWRITABLE: Final = frozenset("%*;<=>?[]^`|")


@dataclass(frozen=True, slots=True)
class Rule:
    """The files of a package, and the files that it was generated from."""

    outputs: Sequence[Path]
    sources: Iterable[Path]


def write_depfile(file: Path, rules: Sequence[Rule]) -> None:
    """Write rules as ``gcc -MD -MP`` does: also an empty rule for each source, so that Make goes on if one is removed.

    Raises:
        OutputError: The file can't be written, or can't hold the name of a file.
    """
    outputs = {_name(path) for rule in rules for path in rule.outputs}
    lines: list[str] = []
    sources: dict[str, None] = {}
    for rule in rules:
        named = sorted({_name(path) for path in rule.sources})
        lines.append(f"{' '.join(map(_name, rule.outputs))}: {' '.join(named)}\n")
        sources |= dict.fromkeys(named)
    lines += [f"\n{name}:\n" for name in sources if name not in outputs]
    try:
        file.write_text("".join(lines))
    except OSError as error:
        raise OutputError(f"{file}: can't be written: {error.strerror}") from error


def _name(path: Path) -> str:
    """Return the path as both programs read it."""
    text = os.path.normpath(path)
    if os.path.realpath(text) != os.path.realpath(path):  # ".." after a symbolic link
        text = str(path)
    if not text.isprintable() or _UNWRITABLE & {*text}:
        raise OutputError(f"{visible(text)}: a depfile can't hold this name")
    escaped: list[str] = []
    for index, character in enumerate(text):
        if character == "$":
            escaped.append("$$")
        elif character in " #:":
            # A backslash is itself, unless such a character follows.
            before = text[:index]
            escaped.append("\\" * (len(before) - len(before.rstrip("\\"))) + f"\\{character}")
        else:
            escaped.append(character)
    return "".join(escaped)
