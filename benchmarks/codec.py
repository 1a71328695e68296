"""Codec benchmark: decoding and encoding 100 bytes and 2 KB, compared with pydantic, msgspec and jsonschema-rs alone.

    make bench-codec

Rounds are interleaved, so that other load on the machine affects all alike. A figure is the CPU time of the best round,
in nanoseconds, with the ratio to plain pydantic. The libraries do not do the same work: plain pydantic and msgspec round
large integers, accept null for optional properties, and check bounds and patterns only if the program declares them.
jsonschema-rs only reports whether a parsed value is valid.

The last tables compare bytes, which are base64 strings in JSON, with plain strings of the same content.
"""

import argparse
import base64
import importlib
import json
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import jsonschema_rs
import msgspec
import pydantic
from enkaku_codegen.commands.main import run
from pydantic_core import from_json

HERE = Path(__file__).parent
Level = Literal["debug", "info", "warn", "error"]


class PlainSample(pydantic.BaseModel):
    """The sample as a plain pydantic model."""

    cpu: float
    memory: float
    timestamp: int
    label: str
    level: Level | None = None


class PlainBatch(pydantic.BaseModel):
    """The batch as a plain pydantic model."""

    host: str
    samples: list[PlainSample]
    tags: dict[str, str] | None = None


class StructSample(msgspec.Struct, omit_defaults=True):
    """The sample for msgspec."""

    cpu: float
    memory: float
    timestamp: int
    label: str
    level: Level | None = None


class StructBatch(msgspec.Struct, omit_defaults=True):
    """The batch for msgspec."""

    host: str
    samples: list[StructSample]
    tags: dict[str, str] | None = None


SAMPLE = {
    "cpu": 12.75,
    "memory": 2048.5,
    "timestamp": 1763870400,
    "label": "host-17",
    "level": "info",
}
BATCH = {
    "host": "rack-3",
    "samples": [SAMPLE | {"cpu": place + 0.5, "label": f"host-{place}"} for place in range(22)],
    "tags": {"region": "north", "owner": "storage"},
}
PAYLOADS = {
    "small": json.dumps(SAMPLE, separators=(",", ":")).encode(),
    "large": json.dumps(BATCH, separators=(",", ":")).encode(),
}
PLAIN: Mapping[str, type[pydantic.BaseModel]] = {"small": PlainSample, "large": PlainBatch}
STRUCTS: Mapping[str, type[msgspec.Struct]] = {"small": StructSample, "large": StructBatch}

CONTENTS = {size: bytes(each % 256 for each in range(size)) for size in (60, 6_000, 600_000)}

Work = Callable[[], object]


def contenders(package: str, size: str) -> dict[str, dict[str, Work]]:
    """Return the functions to measure, by direction and library, after one test run of each."""
    generated = importlib.import_module(package)
    schemas = importlib.import_module(f"{package}.schemas")
    payload = PAYLOADS[size]
    procedure = getattr(generated, size.upper())
    proved, checked = procedure.param, procedure.result
    plain, struct = PLAIN[size], STRUCTS[size]
    decoder, encoder = msgspec.json.Decoder(struct), msgspec.json.Encoder()
    schema = getattr(schemas, f"{size.upper()}_RESULT")
    validator = jsonschema_rs.Draft202012Validator({**schema, "$defs": schemas.DEFINITIONS})
    value, model, record = (
        proved.decode(payload),
        plain.model_validate_json(payload),
        decoder.decode(payload),
    )
    found: dict[str, dict[str, Work]] = {
        "decode": {
            "enkaku, proved": lambda: proved.decode(payload),
            "enkaku, validated": lambda: checked.decode(payload),
            "pydantic": lambda: plain.model_validate_json(payload),
            "msgspec": lambda: decoder.decode(payload),
            "jsonschema-rs": lambda: validator.is_valid(from_json(payload)),
        },
        "encode": {
            "enkaku, proved": lambda: proved.encode(value),
            "enkaku, validated": lambda: checked.encode(value),
            "pydantic": lambda: model.model_dump_json(exclude_none=True),
            "msgspec": lambda: encoder.encode(record),
        },
    }
    _require_same(found["encode"], payload)
    return found


def contents(package: str, content: bytes) -> tuple[bytes, dict[str, dict[str, Work]]]:
    """Return a payload with binary content, and the functions to measure, by direction and type."""
    procedure = importlib.import_module(package).CONTENT
    payload = b'{"content":"' + base64.b64encode(content) + b'"}'
    as_bytes, as_string = procedure.param, procedure.result
    value, text = as_bytes.decode(payload), as_string.decode(payload)
    found: dict[str, dict[str, Work]] = {
        "decode": {
            "bytes": lambda: as_bytes.decode(payload),
            "string": lambda: as_string.decode(payload),
        },
        "encode": {
            "bytes": lambda: as_bytes.encode(value),
            "string": lambda: as_string.encode(text),
        },
    }
    _require_same(found["encode"], payload)
    return payload, found


def _require_same(encoders: Mapping[str, Work], payload: bytes) -> None:
    for name, work in encoders.items():
        text = work()
        if json.loads(text if isinstance(text, str | bytes) else b"") != json.loads(payload):
            raise SystemExit(f"{name}: the encoded value differs from the decoded one")


def measured(works: Mapping[str, Work], rounds: int, seconds: float) -> dict[str, float]:
    """Return the CPU time of each function in its best round, in nanoseconds."""
    numbers = {name: max(1, int(seconds / _of_each(work, 200))) for name, work in works.items()}
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(_of_each(work, numbers[name]))
    return {name: min(each) * 1e9 for name, each in times.items()}


def _of_each(work: Work, number: int) -> float:
    return timeit.timeit(work, timer=time.process_time, number=number) / number


def report(
    title: str, works: Mapping[str, Work], reference: str, rounds: int, seconds: float
) -> None:
    """Measure functions, and print their times with the ratio to that of one of them."""
    print(f"\n{title}")
    figures = measured(works, rounds, seconds)
    for name, figure in figures.items():
        print(f"  {name:<20}{figure:>10,.0f} ns{figure / figures[reference]:>8.2f} x {reference}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument(
        "--seconds", type=float, default=0.02, help="of each contender in each round"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        if run(["generate", str(HERE / "codec.yaml"), "--out", f"{directory}/codec_protocol"]):
            raise SystemExit(1)
        sys.path.insert(0, directory)
        for size, payload in PAYLOADS.items():
            for direction, works in contenders("codec_protocol", size).items():
                title = f"{direction}, {len(payload)} bytes"
                report(title, works, "pydantic", options.rounds, options.seconds)
        for content in CONTENTS.values():
            payload, found = contents("codec_protocol", content)
            for direction, works in found.items():
                title = f"{direction}, base64 in {len(payload)} bytes"
                report(title, works, "string", options.rounds, options.seconds)


if __name__ == "__main__":
    main()
