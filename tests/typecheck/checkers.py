"""Runs both type checkers at their strictest over one directory, each once."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["CHECKERS", "Finding", "Findings", "check"]

CHECKERS: Final = ("pyright", "mypy")
_LIMIT: Final = 500
"""Seconds that both may take."""
_MYPY_FINDING: Final = re.compile(
    r"(?P<file>[^:]+):(?P<line>\d+): error: (?P<message>.*)  \[(?P<rule>[\w-]+)\]"
)
_MYPY_END: Final = re.compile(
    r"(?:Success: no issues found in|Found .*\(checked) (\d+) source files?\)?"
)


@dataclass(frozen=True)
class Finding:
    """What a type checker says of a line.

    Attributes:
        file: Relative to the directory that was checked.
    """

    file: Path
    line: int
    rule: str
    message: str


@dataclass(frozen=True)
class Findings:
    """What the type checkers say of a directory, by their names.

    Attributes:
        counts: How many files each has checked.
    """

    found: dict[str, list[Finding]]
    counts: dict[str, int]

    def of(self, checker: str, name: str) -> list[Finding]:
        """Return what a checker says of one file, or of all files in one folder."""
        return [each for each in self.found[checker] if each.file.parts[0] == name]


def check(directory: Path) -> Findings:
    """Check all files in a directory, with both type checkers at the same time."""
    settings = {"include": ["."], "typeCheckingMode": "strict", "pythonVersion": "3.11"}
    (directory / "pyrightconfig.json").write_text(json.dumps(settings))
    pyright = ["pyright", "--pythonpath", sys.executable, "--outputjson"]
    mypy = ["mypy", "--strict", "--config-file", "", "--cache-dir", "cache", "."]
    with _running(pyright, directory) as one, _running(mypy, directory) as other:
        report = json.loads(_output(one))
        *lines, end = _output(other).splitlines()
    matched = _MYPY_END.fullmatch(end)
    assert matched is not None, end
    return Findings(
        {
            "pyright": [_of_pyright(each, directory) for each in report["generalDiagnostics"]],
            "mypy": [_of_mypy(line) for line in lines if ": note: " not in line],
        },
        {"pyright": report["summary"]["filesAnalyzed"], "mypy": int(matched[1])},
    )


@contextmanager
def _running(command: list[str], directory: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _output(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=_LIMIT)
    assert err == ""
    return out


def _of_pyright(said: dict[str, Any], directory: Path) -> Finding:
    file = Path(said["file"]).relative_to(directory)
    rule = said.get("rule", "").removeprefix("report")
    return Finding(file, said["range"]["start"]["line"] + 1, rule, said["message"])


def _of_mypy(said: str) -> Finding:
    matched = _MYPY_FINDING.fullmatch(said)
    assert matched is not None, said
    return Finding(Path(matched["file"]), int(matched["line"]), matched["rule"], matched["message"])
