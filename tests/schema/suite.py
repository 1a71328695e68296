"""JSON Schema's own test suite, as protocols that have its schemas.

``suite/`` has half of the required tests of https://github.com/json-schema-org/JSON-Schema-Test-Suite at
44401e0, under the licence beside them: for draft 2020-12 and draft-07, those that need no other document.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.json_values import tokens
from schema.protocols import URIS, document, package

__all__ = ["BATCHES", "ENTRIES", "FILES", "SAMPLE", "Entry", "packages"]

FILES: Final = tuple(
    Path(__file__).with_name("suite") / name for name in ("open.json", "open-draft7.json")
)
_BATCH: Final = 40


@dataclass(frozen=True)
class Entry:
    """A schema of the suite, and instances that are valid or not.

    Attributes:
        key: Names its procedures and its definition.
    """

    key: str
    draft: str
    file: str
    description: str
    schema: Any
    tests: list[dict[str, Any]]

    def __str__(self) -> str:
        return f"{self.draft}-{self.file.removesuffix('.json')}-{self.description}"

    @cached_property
    def moves(self) -> bool:
        """Whether it means the same anywhere in a document."""
        text = json.dumps(self.in_place)
        return not any(f'"${word}' in text for word in ("ref", "dynamic", "anchor", "id"))

    @property
    def in_place(self) -> Any:
        """The schema as it stands in a protocol file: it says what it is written in."""
        if isinstance(self.schema, bool):
            return self.schema
        return {"$schema": URIS[self.draft], **self.schema}

    def procedures(self) -> dict[str, Any]:
        stream = {"type": "stream", "receive": self.in_place, "result": self.in_place}
        reference = {"type": "request", "param": {"$ref": f"#/$defs/D{self.key}"}}
        own = {"type": "request", "param": self.in_place}
        return {
            f"p{self.key}": own,
            **({f"s{self.key}": stream} if self in SAMPLE else {}),
            **({f"d{self.key}": reference} if self.moves else {}),
        }

    def definitions(self) -> dict[str, Any]:
        return {f"D{self.key}": self.in_place} if self.moves else {}


def _entries() -> Iterator[Entry]:
    for file in FILES:
        for number, each in enumerate(json.loads(file.read_text(encoding="utf-8"))):
            yield Entry(f"{each['draft'].removeprefix('draft')[:1]}x{number}", **each)


ENTRIES: Final = list(_entries())
SAMPLE: Final = ENTRIES[::4]
_BY_DRAFT: Final = [[each for each in ENTRIES if each.draft == draft] for draft in URIS]
BATCHES: Final = [
    alike[start : start + _BATCH] for alike in _BY_DRAFT for start in range(0, len(alike), _BATCH)
]
"""Entries that share a package, if that can be had."""


def packages(
    entries: list[Entry], stack: ExitStack, *, formatted: bool
) -> dict[str, ModuleType | Exception]:
    """Generate and import packages with some entries, until the stack is left: one if that can be had.

    Returns:
        For the key of each entry its package, or what stands in the way.
    """
    procedures = {key: each for entry in entries for key, each in entry.procedures().items()}
    definitions = {key: each for entry in entries for key, each in entry.definitions().items()}
    content = document(entries[0].draft, procedures, definitions)
    try:
        module = stack.enter_context(package(content, formatted=formatted))
    except Exception as error:  # noqa: BLE001 - told by the tests that need it
        if len(entries) == 1:
            return {entries[0].key: error}
        alone = _at_fault(error, entries)
    else:
        return dict.fromkeys((entry.key for entry in entries), module)
    parts = [[each for each in entries if each not in alone], *([each] for each in alone)]
    made: dict[str, ModuleType | Exception] = {}
    for part in filter(None, parts):
        made |= packages(part, stack, formatted=formatted)
    return made


def _at_fault(error: Exception, entries: list[Entry]) -> list[Entry]:
    """Give the entries that a protocol can't have together with others; all, if it is not said which."""
    pointers = [issue.pointer for issue in error.issues] if isinstance(error, ProtocolError) else []
    keys = {token[1:] for each in pointers for token in tokens(each)[1:2]}
    return [entry for entry in entries if entry.key in keys] or entries
