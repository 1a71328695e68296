"""Reads the tables of docs/failures.md, which the tests check row by row."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DOCUMENT: Final = Path(__file__).parent.parent.parent / "docs" / "failures.md"

_HEADING: Final = re.compile(r"^## (.+)$")
_STATE: Final = re.compile(r"^- (an? .+)$")
_HEAD: Final = ["The call", "Its caller gets", "Within", "The server"]
_OTHER_HEAD: Final = "What happens"
_MANY: Final = "any open call"


@dataclass(frozen=True)
class Row:
    """The expected end of one call."""

    state: str
    gets: str
    within: str
    server: str


def read() -> dict[str, list[Row]]:
    """Return the rows of each section; a row for one call overrides a row for any call."""
    sections: dict[str, list[Row]] = {}
    rows: list[Row] = []
    ours = False
    for line in DOCUMENT.read_text().splitlines():
        if heading := _HEADING.match(line):
            rows = sections.setdefault(heading[1], [])
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if ours and line.startswith("| "):
            rows.append(Row(*cells))
        elif not line.startswith("|--"):
            ours = cells == _HEAD
    return {heading: list(_each(rows)) for heading, rows in sections.items() if rows}


def open_calls() -> list[str]:
    """Return the states that "any open call" includes."""
    lines = DOCUMENT.read_text().splitlines()
    return [state[1] for line in lines if (state := _STATE.match(line))]


def other_rows() -> dict[str, list[str]]:
    """Return the first cells of the rows that tests elsewhere prove, by section."""
    sections: dict[str, list[str]] = {}
    heading, inside = "", False
    for line in DOCUMENT.read_text().splitlines():
        if found := _HEADING.match(line):
            heading = found[1]
        first = line.strip("|").split("|")[0].strip()
        if first == _OTHER_HEAD:
            inside = True
        elif not line:
            inside = False
        elif inside and not line.startswith("|--"):
            sections.setdefault(heading, []).append(first)
    return sections


def _each(rows: list[Row]) -> Iterator[Row]:
    named = {(row.state, row.within) for row in rows}
    for row in rows:
        if row.state != _MANY:
            yield row
            continue
        for state in open_calls():
            if (state, row.within) not in named:
                yield Row(state, row.gets, row.within, row.server)
