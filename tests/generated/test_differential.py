"""Random protocols of odd pieces: whatever jsonschema accepts, the generated types accept.

They may accept more, and that is all in which they may differ.
"""

import json
import random
from pathlib import Path
from typing import Any

import enkaku
import pytest
from enkaku_codegen.definition import read_protocol
from enkaku_codegen.errors import ProtocolError
from generated.packages import imported
from jsonschema import Draft202012Validator

KEYS = (
    *("a", "b", "A", "a_", "_a", "aB", "a-b", "", "*", "+1", "ﬁ", "fi", "µ", "e\u0301", "\u202e", "💩", "日本"),
    *("\x00", "\n", "__class__", "__init__", "__dict__", "__slots__", "__private", "model_post_init"),
    *("model_config", "self", "cls", "class", "None", "str", "list", "Field", "Model", "copy", "$ref"),
)  # fmt: skip
NAMES = (
    "A",
    "Node",
    "Field",
    "Model",
    "str",
    "None",
    "class",
    "x y",
    "💩",
    "ﬁ",
    "a/b",
    "a~b",
    "P0Param",
)
TEXTS = ("", "a", "b", "ab", "é", "💩", "null", "\u2028", '"', "'", "\\", "{{ 1 }}", "\x00")
NUMBERS = (0, 1, -1, 2, 1.5, -0.5, 10**20, -(10**30), 2**53, 2**64, 5e-324, 1e-7)
TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
PATTERNS = ("^a", "^[a-z]+$", "\\w", "(?=a)", "[^\\d]", "a|b", "^.{1,3}$")


class Maker:
    """Makes schemas, and values that may fit them."""

    def __init__(self, seed: str) -> None:
        self.pick = random.Random(seed)
        self.definitions: dict[str, Any] = {}
        for name in self.pick.sample(NAMES, 3):
            self.definitions[name] = self.schema(0)

    def chance(self, share: float) -> bool:
        return self.pick.random() < share

    def value(self, depth: int = 0) -> Any:
        kind = self.pick.random()
        if depth > 2 or kind < 0.6:
            return self.pick.choice([None, True, False, *NUMBERS, *TEXTS])
        several = range(self.pick.randint(0, 3))
        if kind < 0.8:
            return [self.value(depth + 1) for _ in several]
        return {self.pick.choice(KEYS): self.value(depth + 1) for _ in several}

    def schema(self, depth: int) -> Any:
        if depth > 3 or self.chance(0.05):
            return self.pick.choice([True, False, {}, {"type": "string"}, {"const": self.value(2)}])
        made: dict[str, Any] = {}
        if self.definitions and self.chance(0.2):
            name = self.pick.choice([*self.definitions]).replace("~", "~0").replace("/", "~1")
            made["$ref"] = f"#/$defs/{name}"
        kinds = [
            self.object,
            self.object,
            self.array,
            self.scalar,
            self.literal,
            self.choice,
            self.all,
        ]
        for make in self.pick.sample(kinds, self.pick.choice([1, 1, 1, 2])):
            made |= make(depth + 1)
        return made

    def object(self, depth: int) -> dict[str, Any]:
        keys = self.pick.sample(KEYS, self.pick.randint(0, 4))
        made: dict[str, Any] = {"properties": {key: self.schema(depth) for key in keys}}
        if self.chance(0.8):
            made["type"] = "object"
        if self.chance(0.5):
            made["required"] = keys[: self.pick.randint(0, 3)]
        if self.chance(0.5):
            made["additionalProperties"] = self.pick.choice([False, self.schema(depth)])
        return made

    def array(self, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {"type": "array", "items": self.schema(depth)}
        if self.chance(0.4):
            made |= {"prefixItems": [self.schema(depth)], "minItems": self.pick.randint(0, 2)}
        if self.chance(0.2):
            made["maxItems"] = self.pick.randint(0, 2)
        return made

    def scalar(self, _: int) -> dict[str, Any]:
        made: dict[str, Any] = {"type": self.pick.sample(TYPES, self.pick.randint(1, 3))}
        for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            if self.chance(0.2):
                made[key] = self.pick.choice(NUMBERS)
        if self.chance(0.3):
            made["pattern"] = self.pick.choice(PATTERNS)
        return made

    def literal(self, _: int) -> dict[str, Any]:
        return self.pick.choice(
            [{"const": self.value(1)}, {"enum": [self.value(1), self.value(1)]}]
        )

    def choice(self, depth: int) -> dict[str, Any]:
        return {self.pick.choice(["anyOf", "oneOf"]): [self.schema(depth), self.schema(depth)]}

    def all(self, depth: int) -> dict[str, Any]:
        return {"allOf": [self.schema(depth), self.schema(depth)]}

    def fitting(self, schema: Any, depth: int = 0) -> Any:
        """Make a value that often, but not always, fits the schema."""
        if depth > 6 or not isinstance(schema, dict) or self.chance(0.05):
            return self.value(1)
        if "$ref" in schema and self.chance(0.8):
            name = schema["$ref"].removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")
            return self.fitting(self.definitions[name], depth + 1)
        for key in ("anyOf", "oneOf", "allOf"):
            if key in schema and self.chance(0.6):
                return self.fitting(self.pick.choice(schema[key]), depth + 1)
        if "const" in schema or "enum" in schema:
            return schema["const"] if "const" in schema else self.pick.choice(schema["enum"])
        if "properties" in schema:
            return {
                key: self.fitting(each, depth + 1)
                for key, each in schema["properties"].items()
                if key in schema.get("required", ()) or self.chance(0.6)
            }
        if schema.get("type") == "array":
            parts = [*schema.get("prefixItems", ()), schema["items"], schema["items"]]
            return [self.fitting(each, depth + 1) for each in parts[: self.pick.randint(0, 3)]]
        return self.value()


@pytest.mark.parametrize("seed", range(20))
def test_what_jsonschema_accepts_is_accepted(seed: int, tmp_path: Path) -> None:
    for attempt in range(100):
        maker = Maker(f"{seed}.{attempt}")
        schemas = {f"p{index}": maker.schema(0) for index in range(6)}
        procedures = {name: {"type": "request", "param": each} for name, each in schemas.items()}
        path = tmp_path / "protocol.json"
        path.write_text(json.dumps({"$defs": maker.definitions, "procedures": procedures}))
        try:
            protocol = read_protocol(path)
            with imported(protocol, tmp_path) as package:
                assert _compared(package, maker, schemas) > 0
        except ProtocolError:
            continue  # two of these keys are one name in Python
        else:
            return
    pytest.fail("no protocol was accepted")


def _compared(package: Any, maker: Maker, schemas: dict[str, Any]) -> int:
    compared = 0
    for name, schema in schemas.items():
        validator = Draft202012Validator({"$defs": maker.definitions, "allOf": [schema]})
        slot = getattr(package, name.upper()).param
        for value in [maker.fitting(schema) for _ in range(25)]:
            if validator.is_valid(value):
                compared += 1
                try:
                    slot.decode(json.dumps(value).encode())
                except enkaku.DecodeError as error:
                    pytest.fail(f"{schema} accepts {value!r}: {error}")
    return compared
