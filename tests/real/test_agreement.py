"""The types made of real schemas accept what jsonschema accepts, refuse the rest, and lose nothing on the way."""

import json
from pathlib import Path
from random import Random

import pytest
from enkaku_codegen.planning.planner import make_plan
from enkaku_codegen.proving.checks import make_checks
from enkaku_codegen.reading.definition import read_protocol
from real.collection import (
    HERE,
    NAMES,
    Collection,
    Judge,
    chosen,
    examples,
    extended,
    has_examples,
    read,
    schemas,
)
from real.values import Maker, changed

pytestmark = pytest.mark.timeout(600)

PROVED = {
    "acp": 171,
    "cdp": 328,
    "cyclonedx": 84,
    "debug": 185,
    "github": 335,
    "lsp": 389,
    "mcp": 145,
    "metamask": 69,
    "obs": 63,
}
"""Of how many definitions the type alone decides on a value, without a validator; it may become more."""


@pytest.mark.parametrize("name", chosen(NAMES))
def test_real_definitions_mostly_need_no_validator(name: str, tmp_path: Path) -> None:
    file = extended(read(HERE / "protocols" / f"{name}.json"))
    path = tmp_path / "protocol.json"
    path.write_text(json.dumps(file), encoding="utf-8")
    protocol = read_protocol(path)
    checked = make_checks(make_plan(protocol), protocol).slots
    constants = [f"DEFINITION_{index}" for index in range(len(file["$defs"]))]
    proved = [constant for constant in constants if (constant, "param") not in checked]
    assert len(proved) == PROVED[name]


exemplified = pytest.mark.parametrize(
    "collection", chosen(filter(has_examples, NAMES)), indirect=True, scope="session"
)


@exemplified
def test_real_examples_agree_with_validator(collection: Collection) -> None:
    judge = Judge(collection)
    for example in examples(collection.name):
        accepted = judge.compare(f"{example.procedure} {example.slot}", example.value)
        assert accepted is example.accepted
    judge.conclude()


@exemplified
def test_real_mutated_examples_agree_with_validator(collection: Collection) -> None:
    random, judge = Random(collection.name), Judge(collection)
    for example in examples(collection.name):
        for _ in range(5):
            judge.compare(f"{example.procedure} {example.slot}", changed(example.value, random))
    judge.conclude()


def test_real_generated_values_agree_with_validator(collection: Collection) -> None:
    random, judge = Random(collection.name), Judge(collection)
    maker = Maker(collection.file["$defs"], random)
    for name, schema in schemas(collection.file):
        for _ in range(3):
            value = maker.value(schema)
            judge.compare(name, value)
            judge.compare(name, changed(value, random))
    judge.conclude()


@pytest.mark.parametrize("collection", chosen(["acp"]), indirect=True, scope="session")
def test_discriminated_union_decodes_to_matching_class(collection: Collection) -> None:
    slot, seen = collection.slot("session/update data"), set[str]()
    for example in examples("acp"):
        if example.procedure == "session/update":
            read_as = slot.decode(json.dumps(example.value).encode()).update
            tag = example.value["update"]["sessionUpdate"].replace("_", "")
            assert type(read_as).__name__.lower() == f"sessionupdate{tag}"
            seen.add(tag)
    assert len(seen) > 5


@pytest.mark.parametrize("collection", chosen(["obs"]), indirect=True, scope="session")
def test_stream_of_all_events_decodes_each_to_its_class(collection: Collection) -> None:
    slot, random = collection.slot("Events receive"), Random("events")
    maker, definitions = Maker(collection.file["$defs"], random), collection.file["$defs"]
    names = [name for name in definitions if name.endswith("Event")]
    assert len(collection.file["procedures"]["Events"]["receive"]["oneOf"]) == len(names) > 50
    for name in names:
        value = json.dumps(maker.value(definitions[name])).encode()
        assert type(slot.decode(value)).__name__ == name
