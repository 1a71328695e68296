"""For tests: protocols from plain data, and generated packages on disk."""

import importlib
import itertools
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import enkaku
from enkaku_codegen.generate import generate
from enkaku_codegen.json_values import pointer
from enkaku_codegen.planning.planner import make_plan
from enkaku_codegen.proving.checks import make_checks
from enkaku_codegen.reading.definition import ErrorDefinition, Procedure, Protocol
from enkaku_codegen.writing.render import render

_SLOTS = ("data", "param", "send", "receive", "result")
_numbers = itertools.count()


def make_protocol(
    procedures: Mapping[str, Any],
    definitions: Mapping[str, Any] | None = None,
    *,
    name: str = "Test",
    description: str = "",
    callbacks: Mapping[str, Any] | None = None,
) -> Protocol:
    """Make a protocol without a file, and without the checks that reading one brings.

    Args:
        procedures: As in a file; ``errors`` has a list of ErrorDefinition.
        callbacks: The same for the calls of the server.
    """
    return Protocol(
        name,
        description,
        _made(procedures),
        dict(sorted((definitions or {}).items())),
        callbacks=_made(callbacks or {}),
    )


def _made(procedures: Mapping[str, Any]) -> tuple[Procedure, ...]:
    return tuple(
        Procedure(
            name=key,
            kind=each["type"],
            description=each.get("description", ""),
            slots={slot: each[slot] for slot in _SLOTS if slot in each},
            errors=tuple(each.get("errors", ())),
            pointer=pointer((key,)),
            idempotent=each.get("idempotent", False),
        )
        for key, each in sorted(procedures.items())
    )


def one_param(schema: Any, definitions: Mapping[str, Any] | None = None) -> Protocol:
    """Make a protocol of one request, ``echo``, whose param has the schema."""
    return make_protocol({"echo": {"type": "request", "param": schema}}, definitions)


def an_error(code: str | None, **fields: Any) -> ErrorDefinition:
    return ErrorDefinition(
        definition=fields.get("definition"),
        code=code,
        data=fields.get("data"),
        description=fields.get("description", ""),
        pointer=fields.get("pointer", f"/errors/{code}"),
    )


def put(files: Mapping[str, str], directory: Path) -> Path:
    directory.mkdir(parents=True)
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")
    return directory


def unformatted(protocol: Protocol, *, source: str, sync: bool = False) -> dict[str, str]:
    """Generate a package and leave out black, which takes more than half of the time."""
    plan = make_plan(protocol)
    checks = make_checks(plan, protocol)
    return render(plan, checks, protocol, source=source, sync=sync)


@contextmanager
def importing(name: str, directory: Path) -> Iterator[ModuleType]:
    """Import a package from a directory, which is at the top of ``sys.path`` while the block lasts."""
    sys.path.insert(0, str(directory))
    try:
        yield importlib.import_module(name)
    finally:
        sys.path.remove(str(directory))
        for module in [each for each in sys.modules if each.split(".")[0] == name]:
            del sys.modules[module]


@contextmanager
def imported(
    protocol: Protocol, directory: Path, *, formatted: bool = True
) -> Iterator[ModuleType]:
    """Generate a package, and import it for as long as the block lasts.

    Args:
        formatted: Whether black formats it, as the command has it done. Tests of what types accept do without.
    """
    name = f"package{next(_numbers)}"
    make = generate if formatted else unformatted
    put(make(protocol, source="protocol.json"), directory / name)
    with importing(name, directory) as module:
        yield module


def accepts(slot: Any, value: object) -> bool:
    """Tell whether a slot reads a value, and gives it back unchanged if so."""
    try:
        read = slot.decode(json.dumps(value).encode())
    except enkaku.DecodeError:
        return False
    assert json.loads(slot.encode(read)) == value
    return True
