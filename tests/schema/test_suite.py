"""A slot accepts what its schema accepts, and gives it back: by the tests of JSON Schema's own suite."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from decimal import Decimal
from types import ModuleType
from typing import Any

import pytest
from enkaku_codegen.planning.names import constant_name
from schema import suite
from schema.faults import fault
from schema.suite import BATCHES, ENTRIES, FILES, SAMPLE, Entry
from schema.values import text_of

_NUMBERS = {entry.key: number for number, batch in enumerate(BATCHES) for entry in batch}


class Packages:
    """Generates the packages with the entries when they are asked for, many entries at once."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._known: dict[str, ModuleType | Exception] = {}

    def slots(self, entry: Entry, kind: str, *names: str) -> list[Any]:
        if entry.key not in self._known:
            batch = BATCHES[_NUMBERS[entry.key]]
            self._known |= suite.packages(batch, self._stack, formatted=False)
        module = self._known[entry.key]
        if isinstance(module, Exception):
            raise module
        procedure = getattr(module, constant_name(f"{kind}{entry.key}"))
        return [getattr(procedure, name) for name in names]


@pytest.fixture(scope="module")
def packages() -> Iterator[Packages]:
    with ExitStack() as stack:
        yield Packages(stack)


def _parameters(entries: Iterable[Entry]) -> list[Any]:
    """Return the parameters for tests, so that one process has all that need the same package."""
    return [
        pytest.param(
            entry, id=str(entry), marks=pytest.mark.xdist_group(f"suite {_NUMBERS[entry.key]}")
        )
        for entry in entries
    ]


def _check(slot: Any, tests: list[Mapping[str, Any]]) -> None:
    for test in tests:
        text = text_of(test["data"])
        found = fault(slot, text, test["data"], accepts=test["valid"])
        assert found is None, f"{test['description']}: {text}: {': '.join(found)}"


@pytest.mark.parametrize("entry", _parameters(ENTRIES))
def test_suite_param_slot_agrees_with_schema(entry: Entry, packages: Packages) -> None:
    (slot,) = packages.slots(entry, "p", "param")
    _check(slot, entry.tests)


@pytest.mark.parametrize("entry", _parameters(SAMPLE))
def test_suite_other_slots_agree_with_schema(entry: Entry, packages: Packages) -> None:
    for slot in packages.slots(entry, "s", "receive", "result"):
        _check(slot, entry.tests)


@pytest.mark.parametrize("entry", _parameters(each for each in ENTRIES if each.moves))
def test_suite_definition_agrees_with_schema(entry: Entry, packages: Packages) -> None:
    (slot,) = packages.slots(entry, "d", "param")
    _check(slot, entry.tests)


def test_suite_numbers_survive_python_json() -> None:
    """No number of the suite is beyond a double, so that reading and writing the file loses nothing."""
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        exact = json.loads(text, parse_float=Decimal)
        again = json.loads(json.dumps(json.loads(text)), parse_float=Decimal)
        assert exact == again
