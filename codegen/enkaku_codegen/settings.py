"""Reader of the tables of a project's file that single commands own, such as ``[tool.enkaku.lint]``: what they share."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from .errors import Issue, ProtocolError
from .json_values import Json, Tokens, pointer

__all__ = ["SettingsReader"]


class SettingsReader:
    """Reads the table of a command. The first error ends it.

    Args:
        file: The project's file.
        command: The name of the command, and of its table.

    Attributes:
        start: The path of the table in the file.
    """

    def __init__(self, file: Path, command: str) -> None:
        self._file = file
        inside = ("tool", "enkaku") if file.name == "pyproject.toml" else ()
        self.start: Tokens = (*inside, command)

    def table(self, value: Json, path: Tokens, known: Sequence[str] | None) -> dict[str, Json]:
        """Return a table that has known keys alone; with None, any."""
        if not isinstance(value, dict):
            raise self.error(path, "expected a table")
        for key in value:
            if known is not None and key not in known:
                near = get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"expected {', '.join(known)}"
                raise self.error((*path, key), f"unknown key; {hint}")
        return value

    def ignores(self, value: Json, known: Sequence[str]) -> list[tuple[Tokens, dict[str, str]]]:
        """Return what is ignored, each with its path: tables of strings, with a rule and a reason at least."""
        path = (*self.start, "ignore")
        if not isinstance(value, list):
            raise self.error(path, f"expected tables [[{'.'.join(path)}]]")
        paths = [(*path, str(index)) for index in range(len(value))]
        return [(at, self._ignore(each, at, known)) for at, each in zip(paths, value, strict=True)]

    def _ignore(self, value: Json, path: Tokens, known: Sequence[str]) -> dict[str, str]:
        texts: dict[str, str] = {}
        for key, text in self.table(value, path, known).items():
            if not isinstance(text, str) or not text.strip():
                raise self.error((*path, key), "expected a string with at least one character")
            texts[key] = text
        for key in ("rule", "reason"):
            if key not in texts:
                raise self.error(path, f'expected "{key}"')
        return texts

    def error(self, path: Tokens, message: str) -> ProtocolError:
        """Return an error at a path of the file."""
        return ProtocolError([Issue(str(self._file), None, pointer(path), message)])
