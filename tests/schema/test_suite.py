"""The tests of JSON Schema's own suite: a slot accepts what its schema accepts, and gives it back.

``suite/`` has half of the required tests of https://github.com/json-schema-org/JSON-Schema-Test-Suite at
44401e0, under the licence beside them: for draft 2020-12 and draft-07, those that need no other document.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.jsontree import tokens
from enkaku_codegen.planning.names import constant_name
from schema.faults import fault
from schema.protocols import URIS, document, package
from schema.values import text_of

_SUITE = Path(__file__).with_name("suite")
_BATCH = 40


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
    for file in ("open.json", "open-draft7.json"):
        for number, each in enumerate(json.loads((_SUITE / file).read_text(encoding="utf-8"))):
            yield Entry(f"{each['draft'].removeprefix('draft')[:1]}x{number}", **each)


ENTRIES = list(_entries())
SAMPLE = ENTRIES[::4]


@dataclass
class Packages:
    """Generates the packages with the entries, many at once."""

    stack: ExitStack
    _known: dict[str, ModuleType | Exception] = field(default_factory=dict)

    def slots(self, entry: Entry, kind: str, *names: str) -> list[Any]:
        if entry.key not in self._known:
            alike = [each for each in ENTRIES if each.draft == entry.draft]
            start = alike.index(entry) // _BATCH * _BATCH
            self._generate(alike[start : start + _BATCH])
        module = self._known[entry.key]
        if isinstance(module, Exception):
            raise module
        procedure = getattr(module, constant_name(f"{kind}{entry.key}"))
        return [getattr(procedure, name) for name in names]

    def _generate(self, entries: list[Entry]) -> None:
        procedures = {key: each for entry in entries for key, each in entry.procedures().items()}
        definitions = {key: each for entry in entries for key, each in entry.definitions().items()}
        content = document(entries[0].draft, procedures, definitions)
        failure = None
        try:
            module = self.stack.enter_context(package(content))
            self._known |= {entry.key: module for entry in entries}
        except Exception as error:  # noqa: BLE001 - told by the tests that need it
            failure = error
        if failure is not None and len(entries) == 1:
            self._known[entries[0].key] = failure
        elif failure is not None:
            alone = _at_fault(failure, entries)
            for each in alone:
                self._generate([each])
            self._generate([each for each in entries if each not in alone] or entries[:1])


def _at_fault(error: Exception, entries: list[Entry]) -> list[Entry]:
    """Give the entries that a protocol can't have together with others; all, if it is not said which."""
    pointers = [issue.pointer for issue in error.issues] if isinstance(error, ProtocolError) else []
    keys = {token[1:] for each in pointers for token in tokens(each)[1:2]}
    return [entry for entry in entries if entry.key in keys] or entries


@pytest.fixture(scope="module")
def packages() -> Iterator[Packages]:
    with ExitStack() as stack:
        yield Packages(stack)


def _check(slot: Any, tests: list[Mapping[str, Any]]) -> None:
    for test in tests:
        text = text_of(test["data"])
        found = fault(slot, text, test["data"], accepts=test["valid"])
        assert found is None, f"{test['description']}: {text}: {': '.join(found)}"


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_a_param_is_accepted_if_and_only_if_it_is_valid(entry: Entry, packages: Packages) -> None:
    (slot,) = packages.slots(entry, "p", "param")
    _check(slot, entry.tests)


@pytest.mark.parametrize("entry", SAMPLE, ids=str)
def test_every_slot_is_checked_alike(entry: Entry, packages: Packages) -> None:
    for slot in packages.slots(entry, "s", "receive", "result"):
        _check(slot, entry.tests)


@pytest.mark.parametrize("entry", [each for each in ENTRIES if each.moves], ids=str)
def test_a_definition_is_as_good_as_its_schema(entry: Entry, packages: Packages) -> None:
    (slot,) = packages.slots(entry, "d", "param")
    _check(slot, entry.tests)


def test_the_texts_are_what_the_suite_means() -> None:
    """No number of the suite is beyond a double, so that reading and writing the file loses nothing."""
    for file in ("open.json", "open-draft7.json"):
        text = (_SUITE / file).read_text(encoding="utf-8")
        exact = json.loads(text, parse_float=Decimal)
        again = json.loads(json.dumps(json.loads(text)), parse_float=Decimal)
        assert exact == again
