"""The builds in a database, so that a farm that is restarted goes on with them."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from .protocol import Job, State


class Store:
    """A table of builds."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS builds (number INTEGER PRIMARY KEY, commands, state)"
        )

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def add(self, commands: list[str]) -> Job:
        """Store a new build."""
        added = self._database.execute(
            "INSERT INTO builds (commands, state) VALUES (?, 'waiting')", [json.dumps(commands)]
        )
        return Job(build=added.lastrowid or 0, commands=commands)

    def end(self, build: int, state: State) -> None:
        """Store how a build has ended."""
        self._database.execute("UPDATE builds SET state = ? WHERE number = ?", (state, build))

    def all(self) -> Iterator[tuple[Job, State]]:
        """Return all builds. One that was running when the farm ended waits again."""
        for number, commands, state in self._database.execute("SELECT * FROM builds"):
            yield Job(build=number, commands=json.loads(commands)), state
