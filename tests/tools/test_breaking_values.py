"""Property: where a comparison says "compatible", the reader accepts every value that the writer accepts.

Real changes: mutations of the schemas in the golden protocols. Values are random, near the borders of both schemas, and
judged by validators that the comparison does not use.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

import pytest
from enkaku_codegen.comparing.source import compare_code
from enkaku_codegen.comparing.wire import compare_messages
from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.json_values import pointer
from enkaku_codegen.reading.definition import Procedure, Protocol, read_protocol
from enkaku_codegen.reading.load import load
from schema.fuzz.instances import InstanceMaker
from schema.fuzz.judge import Judge

GOLDEN = sorted((Path(__file__).parent.parent / "golden" / "protocols").iterdir())
ROUNDS = 4
VALUES = 40


def schemas(value: Any) -> Iterator[dict[str, Any]]:
    """Yield what may be a schema in a protocol file, however deep."""
    if isinstance(value, dict):
        if "type" in value or "enum" in value or "const" in value or "$ref" in value:
            yield value
        for each in value.values():
            yield from schemas(each)
    elif isinstance(value, list):
        for each in value:
            yield from schemas(each)


def nullable(schema: dict[str, Any], pick: Random) -> None:
    if isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]


def anything(schema: dict[str, Any], pick: Random) -> None:
    schema.clear()


def documented(schema: dict[str, Any], pick: Random) -> None:
    schema["description"] = "Documented."


def property_added(schema: dict[str, Any], pick: Random) -> None:
    schema["properties"]["added"] = pick.choice([True, {"type": "integer"}, {"enum": ["x"]}])


def property_dropped(schema: dict[str, Any], pick: Random) -> None:
    name = pick.choice([*schema["properties"]])
    del schema["properties"][name]
    schema["required"] = [each for each in schema.get("required", []) if each != name]


def required(schema: dict[str, Any], pick: Random) -> None:
    schema["required"] = sorted({*schema.get("required", []), pick.choice([*schema["properties"]])})


def relaxed(schema: dict[str, Any], pick: Random) -> None:
    schema["required"] = schema.get("required", [])[1:]


def closed_or_opened(schema: dict[str, Any], pick: Random) -> None:
    schema["additionalProperties"] = schema.get("additionalProperties", True) is False


def value_added(schema: dict[str, Any], pick: Random) -> None:
    schema["enum"] = [*schema["enum"], "another", 77]


def value_dropped(schema: dict[str, Any], pick: Random) -> None:
    schema["enum"] = schema["enum"][1:] or schema["enum"]


def bounded(schema: dict[str, Any], pick: Random) -> None:
    bound = pick.choice(["minimum", "maximum"])
    schema[bound] = schema.get(bound, pick.choice([0, 100])) + pick.choice([-1, 1, 10])


def retyped(schema: dict[str, Any], pick: Random) -> None:
    schema["type"] = "number" if schema["type"] == "integer" else "integer"


def sized(schema: dict[str, Any], pick: Random) -> None:
    word = "Length" if schema["type"] == "string" else "Items"
    schema[pick.choice(["min", "max"]) + word] = pick.choice([0, 1, 3])


def mutate(schema: dict[str, Any], pick: Random) -> None:
    """Change a schema as people do."""
    changes = [nullable, anything, documented]
    if schema.get("properties"):
        changes += [property_added, property_dropped, required, relaxed, closed_or_opened]
    if "enum" in schema:
        changes += [value_added, value_dropped]
    if schema.get("type") in ("integer", "number"):
        changes += [bounded, retyped]
    if schema.get("type") in ("string", "array"):
        changes += [sized]
    pick.choice(changes)(schema, pick)


def is_error(schema: dict[str, Any]) -> bool:
    return "code" in schema.get("properties", {})


def changed(path: Path, pick: Random, directory: Path) -> Protocol | None:
    """Return a protocol with a few changes; None if they are no protocol."""
    content: Any = deepcopy(load(path).value)
    within: list[Any] = [*content.get("$defs", {}).values()]
    for key in ("procedures", "callbacks"):
        for procedure in content.get(key, {} if "procedures" in content else content).values():
            within += [each for slot, each in procedure.items() if slot != "error"]
    places = [each for part in within for each in schemas(part) if not is_error(each)]
    for _ in range(pick.choice([1, 1, 2])):
        mutate(pick.choice(places), pick)
    new = directory / f"{path.stem}.json"
    new.write_text(json.dumps(content))
    try:
        return read_protocol(new)
    except ProtocolError:
        return None


def slots(old: Protocol, new: Protocol) -> Iterator[tuple[str, Protocol, Any, Protocol, Any]]:
    """Yield each slot that both versions have: pointer, writer and its schema, reader and its schema."""
    for callbacks in (False, True):
        caller, callee = (new, old) if callbacks else (old, new)
        served = {each.name: each for each in _listed(callee, callbacks=callbacks)}
        for called in _listed(caller, callbacks=callbacks):
            other = served.get(called.name)
            if other is None or other.kind != called.kind:
                continue
            for slot in called.slots.keys() & other.slots.keys():
                where = called.pointer + pointer((slot,))
                ends = (caller, called.slots[slot]), (callee, other.slots[slot])
                if slot in ("receive", "result"):
                    ends = ends[::-1]
                yield where, *ends[0], *ends[1]


def _listed(protocol: Protocol, *, callbacks: bool) -> tuple[Procedure, ...]:
    return protocol.callbacks if callbacks else protocol.procedures


def judge(protocol: Protocol, schema: Any) -> Judge:
    return Judge("draft2020-12", schema, protocol.definitions, second=False)


def values(pick: Random, *sides: tuple[Protocol, Any]) -> Iterator[Any]:
    for protocol, schema in sides:
        definitions: Mapping[str, Any] = protocol.definitions
        try:
            yield from InstanceMaker(pick, "draft2020-12", schema, definitions).instances(VALUES)
        except KeyError:  # a pattern that the fuzzer does not know
            continue


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_breaking_same_protocol_has_no_finding(path: Path, tmp_path: Path) -> None:
    old = read_protocol(path)
    # The order of keys means nothing, and neither does the format of the file.
    new = tmp_path / f"{path.stem}.json"
    new.write_text(json.dumps(load(path).value, sort_keys=True))
    for other in (old, read_protocol(new)):
        assert compare_messages(old, other, "either") == []
        assert compare_code(old, other) == []


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        pytest.param(path.name, seed, marks=[] if seed < 1 else pytest.mark.slow)
        for path in GOLDEN
        for seed in range(12)
    ],
)
def test_breaking_compatible_accepts_all_values(name: str, seed: int, tmp_path: Path) -> None:
    path = next(each for each in GOLDEN if each.name == name)
    pick = Random(f"{name} {seed}")
    old = read_protocol(path)
    for _ in range(ROUNDS):
        new = changed(path, pick, tmp_path)
        if new is None:
            continue
        found = compare_messages(old, new)
        with suppress(ProtocolError):  # names of the new version that collide in Python
            compare_code(old, new)
        broken = {each.pointer: each for each in found if each.severity == "error"}
        for where, writer, written, reader, read in slots(old, new):
            writes, reads = judge(writer, written), judge(reader, read)
            change = broken.get(where)
            if change is None:
                for value in values(pick, (writer, written), (reader, read)):
                    assert not (writes.accepts(value) and reads.accepts(value) is False), (
                        where,
                        value,
                    )
            elif change.value and not old.formats and not old.encodings:
                assert writes.accepts(change.value[0]) is not False, change
                assert reads.accepts(change.value[0]) is not True, change
