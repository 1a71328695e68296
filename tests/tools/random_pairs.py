"""Random pairs of schemas, the second most often the first with a few things changed, and values near their borders."""

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.reading.definition import Protocol, read_protocol
from schema.fuzz.cases import Case, random_cases
from schema.fuzz.instances import InstanceMaker
from schema.fuzz.judge import Judge
from schema.fuzz.schemas import SchemaMaker
from schema.fuzz.words import PATTERNS
from schema.protocols import document

__all__ = ["RandomPair", "random_pairs"]


@dataclass(frozen=True)
class RandomPair:
    """A pair as it stands in two protocol files, and as they are read.

    Attributes:
        seed: What it was made from.
    """

    seed: str
    writer: Case
    reader: Case
    written: Protocol
    read: Protocol

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of ``contains``."""
        sides = [
            each.procedures[0].dynamic_schemas.get("param", each.procedures[0].slots["param"])
            for each in (self.written, self.read)
        ]
        return {
            "writer": sides[0],
            "reader": sides[1],
            "writer_definitions": self.written.definitions,
            "reader_definitions": self.read.definitions,
        }

    def values(self, count: int) -> Iterator[Any]:
        """Yield values near the borders of both schemas."""
        for case in (self.writer, self.reader):
            pick = Random(f"{self.seed} values")
            yield from InstanceMaker(pick, case.draft, case.schema, case.known).instances(count)

    def judges(self, *, second: bool = False) -> tuple[Judge, Judge]:
        """Return what the schemas accept, as others read them."""
        return (
            Judge(self.writer.draft, self.writer.schema, self.writer.definitions, second=second),
            Judge(self.reader.draft, self.reader.schema, self.reader.definitions, second=second),
        )


def random_pairs(seed: str, count: int, directory: Path) -> Iterator[RandomPair]:
    """Yield pairs whose schemas the reader of protocols accepts."""
    pick = Random(seed)
    draft = pick.choice(["draft2020-12", "draft2020-12", "draft7"])
    cases = random_cases(pick, draft, count)
    maker = SchemaMaker(pick, draft)
    for number, case in enumerate(cases):
        definitions = copy.deepcopy(case.definitions)
        schema = copy.deepcopy(case.schema)
        if isinstance(schema, dict):
            schema.pop("$defs", None)
        original = copy.deepcopy(schema)
        for _ in range(pick.choice([1, 1, 1, 2, 3])):
            box = [schema]
            change(pick, maker, box, definitions)
            schema = box[0]
        writer = Case("echo", draft, original, case.definitions)
        reader = Case("echo", draft, schema, definitions)
        if pick.random() < 0.5:
            writer, reader = reader, writer
        try:
            protocols = [_read(each, directory) for each in (writer, reader)]
        except ProtocolError:
            continue
        yield RandomPair(f"{seed}.{number}", writer, reader, *protocols)


def _read(case: Case, directory: Path) -> Protocol:
    procedures = {"echo": {"type": "request", "param": case.schema}}
    content = document(case.draft, procedures, case.definitions)
    path = directory / "protocol.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return read_protocol(path)


def change(pick: Random, maker: SchemaMaker, box: list[Any], definitions: dict[str, Any]) -> None:
    """Change one thing somewhere in a schema, or in a definition."""
    if definitions and pick.random() < 0.2:
        name = pick.choice(sorted(definitions))
        inner = [definitions[name]]
        change(pick, maker, inner, {})
        definitions[name] = inner[0]
        return
    holder, key = pick.choice([*_places(box)])
    schema = holder[key]
    if not isinstance(schema, dict) or not schema or pick.random() < 0.1:
        holder[key] = pick.choice(
            [True, False, {}, maker.leaf(0), {"anyOf": [schema, maker.leaf(0)]}]
        )
        return
    if pick.random() < 0.25:
        _add(pick, maker, schema)
        return
    _alter(pick, maker, schema, pick.choice(sorted(schema)))


def _add(pick: Random, maker: SchemaMaker, schema: dict[str, Any]) -> None:
    extra = [
        ("minLength", pick.randint(0, 3)),
        ("maxLength", pick.randint(0, 5)),
        ("minimum", pick.randint(-3, 3)),
        ("maximum", pick.randint(0, 300)),
        ("multipleOf", pick.choice([2, 3, 0.5])),
        ("minItems", pick.randint(0, 2)),
        ("maxItems", pick.randint(0, 3)),
        ("uniqueItems", True),
        ("minProperties", pick.randint(0, 2)),
        ("maxProperties", pick.randint(0, 3)),
        ("additionalProperties", pick.choice([False, {"type": "string"}])),
        ("pattern", maker.pattern()),
        ("required", [maker.key()]),
        ("type", pick.choice(["string", "integer", "object", ["string", "null"]])),
        ("not", maker.leaf(0)),
    ]
    key, value = pick.choice(extra)
    schema[key] = value


def _alter(pick: Random, maker: SchemaMaker, schema: dict[str, Any], key: str) -> None:
    value = schema[key]
    match key, value:
        case _, bool():
            schema[key] = not value
        case _, int() | float():
            schema[key] = max(value + pick.choice([-1, 1, 1]), 1 if key == "multipleOf" else 0)
        case "pattern", _:
            schema[key] = pick.choice(list(PATTERNS))
        case "type", str():
            wider = {"integer": "number"}.get(value, [value, "null"])
            schema[key] = pick.choice([wider, "integer" if value == "number" else value])
        case ("enum" | "required" | "anyOf" | "oneOf" | "allOf" | "type"), list() if len(value) > 1:
            schema[key] = [*value]
            schema[key].pop(pick.randrange(len(value)))
        case "required", _:
            schema[key] = [maker.key()]
        case ("anyOf" | "oneOf"), list():
            schema[key] = [*value, maker.leaf(0)]
        case "properties", dict():
            if value and pick.random() < 0.5:
                del value[pick.choice(sorted(value))]
            else:
                value[maker.key()] = maker.leaf(0)
        case ("$ref" | "const" | "enum"), _:
            pass
        case _:
            del schema[key]


def _places(box: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield where schemas stand: what holds each, and at which index or key."""
    waiting: list[tuple[Any, Any]] = [(box, 0)]
    while waiting:
        holder, key = waiting.pop()
        yield holder, key
        schema: Mapping[str, Any] = holder[key] if isinstance(holder[key], dict) else {}
        one = ("items", "additionalProperties", "not", "if", "then", "else", "contains")
        waiting += [(schema, name) for name in one if isinstance(schema.get(name), dict)]
        for name in ("properties", "patternProperties", "dependentSchemas"):
            if isinstance(schema.get(name), dict):
                waiting += [(schema[name], each) for each in schema[name]]
        for name in ("allOf", "anyOf", "oneOf", "prefixItems"):
            if isinstance(schema.get(name), list):
                waiting += [(schema[name], index) for index in range(len(schema[name]))]
