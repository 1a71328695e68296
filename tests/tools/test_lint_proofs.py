"""The proofs of ``enkaku lint`` on random schemas: what is said to accept nothing accepts no value, and so on."""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

import pytest
from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.json_values import Json, Schema, Tokens
from enkaku_codegen.linting.correctness import correctness
from enkaku_codegen.linting.coverage import Coverage
from enkaku_codegen.linting.proofs import Proofs, parts_of
from enkaku_codegen.linting.subject import Subject, TimeLimit
from enkaku_codegen.reading.bundle import without_annotations
from enkaku_codegen.reading.definition import read_protocol
from enkaku_codegen.reading.load import load
from schema.fuzz.cases import random_cases
from schema.fuzz.instances import InstanceMaker
from schema.fuzz.judge import Judge
from schema.fuzz.schemas import escaped
from slow import slow_but

_CASES = 40
_MOST_SCHEMAS = 25  # of one protocol
_INSTANCES = 30
_ROUNDS = 6


def subjects(seed: int, directory: Path) -> Iterator[Subject]:
    """Yield protocols with one random schema each."""
    for case in random_cases(Random(seed), "draft2020-12", _CASES):
        path = directory / "p.json"
        path.write_text(json.dumps(case.protocol()))
        try:
            protocol = read_protocol(path)
        except ProtocolError:
            continue
        yield Subject(protocol, load(path), TimeLimit(60))


def bare(subject: Subject, schema: Schema) -> tuple[Schema, Mapping[str, Schema]]:
    definitions = subject.protocol.definitions
    return without_annotations(schema), {
        name: without_annotations(each) for name, each in definitions.items()
    }


def judge(subject: Subject, schema: Schema) -> Judge:
    return Judge("draft2020-12", *bare(subject, schema), second=False)


def instances(subject: Subject, schema: Schema, pick: Random) -> Iterator[Any]:
    known = {escaped(name): each for name, each in subject.protocol.definitions.items()}
    return InstanceMaker(pick, "draft2020-12", schema, known).instances(_INSTANCES)


@pytest.mark.parametrize("seed", slow_but([0], range(_ROUNDS)))
def test_contradiction_accepts_no_random_value(seed: int, tmp_path: Path) -> None:
    pick, proved = Random(seed), 0
    for subject in subjects(seed, tmp_path):
        proofs = Proofs(subject)
        for each in subject.visited:
            if not proofs.why_empty(each.path, each.schema):
                continue
            proved += 1
            judging = judge(subject, each.schema)
            for value in instances(subject, each.schema, pick):
                assert judging.failure or not judging.accepts(value), (each.schema, value)
    assert proved


def loosened(schema: Json, pick: Random) -> Json:
    """Return a schema with a keyword changed or left out, which often is wider."""
    new = deepcopy(schema)
    within = [new]
    for each in within:
        if isinstance(each, dict):
            within += [below for below in each.values() if isinstance(below, dict | list)]
        elif isinstance(each, list):
            within += [below for below in each if isinstance(below, dict)]
    objects = [each for each in within if isinstance(each, dict) and each]
    for _ in range(pick.choice((1, 1, 2))):
        chosen = pick.choice(objects) if objects else {}
        if not chosen:
            continue
        key = pick.choice([*chosen])
        match chosen[key]:
            case int() | float() as number if not isinstance(number, bool) and pick.random() < 0.5:
                chosen[key] = number + pick.choice((-1, 1, 0.5)) if "imum" in key else number + 1
            case _:
                del chosen[key]
    return new


@pytest.mark.parametrize("seed", slow_but([0], range(_ROUNDS)))
def test_covering_schema_accepts_values_of_covered(seed: int, tmp_path: Path) -> None:
    pick, proved = Random(seed), 0
    for subject in subjects(seed, tmp_path):
        coverage = Coverage(subject)
        for each in subject.visited[:_MOST_SCHEMAS]:
            wide = loosened(each.schema, pick)
            if not isinstance(wide, dict) or not coverage.covers(wide, each.schema):
                continue
            proved += 1
            narrow, wider = judge(subject, each.schema), judge(subject, wide)
            if narrow.failure or wider.failure:
                continue
            for value in instances(subject, each.schema, pick):
                if narrow.accepts(value):
                    assert wider.accepts(value) is not False, (wide, each.schema, value)
    assert proved > _CASES


@pytest.mark.parametrize("seed", slow_but([0], range(_ROUNDS)))
def test_alternatives_told_apart_have_no_common_object(seed: int, tmp_path: Path) -> None:
    pick, proved = Random(seed), 0
    for subject in subjects(seed, tmp_path):
        proofs = Proofs(subject)
        objects = [
            each for each in subject.visited[:_MOST_SCHEMAS] if each.schema.get("type") == "object"
        ]
        for one in objects:
            other = pick.choice(objects)
            parts = [parts_of(subject, each.path, each.schema) for each in (one, other)]
            if None in parts or not proofs.tells_apart(parts[0] or [], parts[1] or []):
                continue
            proved += 1
            first, second = judge(subject, one.schema), judge(subject, other.schema)
            for value in instances(subject, one.schema, pick):
                assert not (first.accepts(value) and second.accepts(value)), (one, other, value)
    assert proved


@pytest.mark.parametrize("seed", slow_but([0], range(_ROUNDS)))
def test_rules_find_existing_locations_in_random_schemas(seed: int, tmp_path: Path) -> None:
    found: set[Tokens] = set()
    for subject in subjects(seed, tmp_path):
        for hit in correctness(subject):
            issue = subject.issue(hit.path, hit.message)
            assert issue.line
            found.add(hit.path)
    assert found
