"""Random schemas, weighted by what real protocols hold.

A schema refers to shared ones by ``#/$defs/NAME``. Those that apply to the same value as the reference stand
earlier among the definitions, so that no schema means itself.
"""

from collections.abc import Callable
from random import Random
from typing import Any, Final, Literal
from urllib.parse import quote

from .words import FORMATS, INTEGERS, KEYS, NUMBERS, PATTERNS, TAGS, TEXTS

__all__ = ["Draft", "Schema", "SchemaMaker", "escaped"]

Schema = dict[str, Any] | bool
Draft = Literal["draft2020-12", "draft7"]

_DEEPEST: Final = 4
_TYPES: Final = ("null", "boolean", "integer", "number", "string", "array", "object")
_FEW: Final = (0, 1, 1, 2, 2, 3, 4, 6)
_NAMES: Final = (
    *("Node", "Tree", "Item", "Tagged", "Text", "Either", "Meta", "Page", "Order", "User", "Event"),
    *("Any", "Model", "Field", "str", "None", "class", "x y", "a/b", "c~d", "💩", "ﬁ", "P0Param"),
)


def escaped(name: str) -> str:
    """Write a name as it stands in a reference."""
    return quote(name.replace("~", "~0").replace("/", "~1"))


class SchemaMaker:
    """Makes schemas.

    Attributes:
        definitions: What they refer to, by name.
    """

    def __init__(self, pick: Random, draft: Draft, shared: int = 6) -> None:
        self.pick = pick
        self.draft = draft
        self.definitions: dict[str, Schema] = {}
        self._parts: list[str] = []
        self._names = pick.sample(_NAMES, shared)
        for reach, name in enumerate(self._names):
            self.definitions[name] = self.schema(0, reach)
        # Only when these are complete: so that none of them refers to a part of itself.
        self._parts = [
            f"{escaped(name)}/properties/{key}"
            for name, each in self.definitions.items()
            for key in (each.get("properties", ()) if isinstance(each, dict) else ())
            if key.isidentifier() and key.isascii()
        ]

    # What is drawn by chance.

    def chance(self, share: float) -> bool:
        return self.pick.random() < share

    def integer(self) -> int:
        return self.pick.choice(INTEGERS if self.chance(0.3) else INTEGERS[:8])

    def number(self) -> int | float:
        return self.pick.choice(NUMBERS) if self.chance(0.4) else self.integer()

    def scalar_value(self) -> Any:
        kind = self.pick.random()
        if kind < 0.6:
            return self.pick.choice(TEXTS)
        if kind < 0.85:
            return self.number()
        return self.pick.choice([None, True, False])

    def value(self, depth: int = 0) -> Any:
        """Make any value, most often a scalar."""
        kind = self.pick.random()
        if depth > 2 or kind < 0.75:
            return self.scalar_value()
        several = range(self.pick.randint(0, 3))
        if kind < 0.87:
            return [self.value(depth + 1) for _ in several]
        return {self.key(): self.value(depth + 1) for _ in several}

    def key(self) -> str:
        return self.pick.choice(KEYS[:16] if self.chance(0.75) else KEYS)

    def keys(self, most: int) -> list[str]:
        wanted = min(self.pick.choice(_FEW), most)
        return list(dict.fromkeys(self.key() for _ in range(wanted)))

    def pattern(self) -> str:
        return self.pick.choice(list(PATTERNS))

    def length(self) -> int | float:
        length = self.pick.choice(_FEW)
        return float(length) if self.chance(0.03) else length

    # Schemas.

    def schema(self, depth: int = 0, reach: int | None = None) -> Schema:
        """Make a schema.

        Args:
            depth: How many schemas are around it.
            reach: How many of the definitions may apply to the same value; None for all.
        """
        if depth >= _DEEPEST:
            return self.leaf(reach)
        reach = len(self._names) if reach is None else reach
        made = self.pick.choices(_MAKERS, _WEIGHTS)[0](self, depth + 1, reach)
        if isinstance(made, dict) and self.chance(0.06):
            self.annotate(made)
        return made

    def leaf(self, reach: int | None) -> Schema:
        kind = self.pick.random()
        if kind < 0.6:
            return {"type": self.pick.choice(_TYPES)}
        if kind < 0.7:
            return self.string(0, 0)
        if kind < 0.8:
            return self.numeric(0, 0)
        return self.reference(0, len(self._names) if reach is None else reach)

    def annotate(self, schema: dict[str, Any]) -> None:
        schema |= self.pick.choice(
            [
                {"title": "A title"},
                {"description": 'Says "what" it is.\n\nAnd more: {{ it }} \\ """.'},
                {"default": self.value(1)},
                {"examples": [self.value(1)]},
                {"$comment": "none"},
                {"readOnly": True} if self.draft == "draft7" else {"deprecated": True},
                {"x-own": {"type": "string"}},
            ]
        )

    def anything(self, _depth: int, _reach: int) -> Schema:
        return self.pick.choice([True, True, {}, False])

    def null(self, _depth: int, _reach: int) -> Schema:
        return {"type": "null"}

    def boolean(self, _depth: int, _reach: int) -> Schema:
        return {"type": "boolean"}

    def reference(self, _depth: int, reach: int) -> Schema:
        if not reach:
            return {"type": self.pick.choice(_TYPES)}
        parts = self._parts if self.chance(0.1) else []
        targets = parts or [escaped(name) for name in self._names[:reach]]
        made = {"$ref": f"#/$defs/{self.pick.choice(targets)}"}
        # Draft-07 has no eyes for what stands beside a reference.
        return {**_as_dict(self.untyped(_DEEPEST - 1, 0)), **made} if self.chance(0.08) else made

    def string(self, _depth: int, _reach: int) -> Schema:
        made: dict[str, Any] = {"type": "string"}
        if self.chance(0.25):
            made["minLength"] = self.length()
        if self.chance(0.25):
            made["maxLength"] = made.get("minLength", 0) + self.length()
        if self.chance(0.3):
            made["pattern"] = self.pattern()
        if self.chance(0.15):
            made["format"] = self.pick.choice(FORMATS)
        if self.chance(0.03):
            made |= {"contentEncoding": "base64", "contentMediaType": "application/json"}
        return made

    def numeric(self, _depth: int, _reach: int) -> Schema:
        made: dict[str, Any] = {"type": self.pick.choice(["integer", "integer", "number"])}
        return made | self.bounds()

    def bounds(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if self.chance(0.35):
            made[self.pick.choice(["minimum", "minimum", "exclusiveMinimum"])] = self.number()
        if self.chance(0.35):
            low = next(iter(made.values()), self.number())
            over = low + self.pick.choice([0, 1, 2, 5, 0.5, 100])
            made[self.pick.choice(["maximum", "maximum", "exclusiveMaximum"])] = over
        if self.chance(0.12):
            made["multipleOf"] = self.pick.choice([1, 2, 3, 5, 10, 1.0, 0.5, 0.25, 2.5, 0.1, 0.01])
        return made

    def enum(self, _depth: int, _reach: int) -> Schema:
        kind = self.pick.random()
        size = self.pick.randint(1, 4)
        if kind < 0.55:
            made: dict[str, Any] = {"enum": self.pick.sample(TEXTS, size)}
            return made | ({"type": "string"} if self.chance(0.5) else {})
        if kind < 0.7:
            made = {"enum": self.pick.sample(INTEGERS, size)}
            return made | ({"type": "integer"} if self.chance(0.5) else {})
        values = [self.value(1) for _ in range(size)]
        made = {"enum": [each for at, each in enumerate(values) if each not in values[:at]]}
        return made | ({"type": self.types()} if self.chance(0.15) else {})

    def const(self, _depth: int, _reach: int) -> Schema:
        return {"const": self.scalar_value() if self.chance(0.8) else self.value()}

    def types(self) -> list[str]:
        return self.pick.sample(_TYPES, self.pick.randint(1, 3))

    def several_types(self, depth: int, _reach: int) -> Schema:
        made: dict[str, Any] = {"type": self.types()}
        for name in made["type"]:
            maker = _OF_TYPE.get(name)
            if maker and self.chance(0.4):
                extra = maker(self, depth, 0)
                assert isinstance(extra, dict)
                made = extra | made
        return made

    def untyped(self, depth: int, _reach: int) -> Schema:
        """Make keywords that mean something for some types only, without a type beside them."""
        made: dict[str, Any] = {}
        for maker in self.pick.sample(list(_OF_TYPE.values()), self.pick.choice([1, 1, 2])):
            extra = maker(self, depth, 0)
            assert isinstance(extra, dict)
            made |= extra
        made.pop("type", None)
        return made

    def nullable(self, depth: int, reach: int) -> Schema:
        made = self.schema(depth, reach)
        kind = made.get("type") if isinstance(made, dict) else None
        if isinstance(made, dict) and isinstance(kind, str) and kind != "null" and self.chance(0.5):
            return {**made, "type": self.pick.choice([[kind, "null"], ["null", kind]])}
        choices: list[Schema] = [made, {"type": "null"}]
        return {self.pick.choice(["anyOf", "anyOf", "oneOf"]): choices}

    # Objects.

    def object(self, depth: int, reach: int) -> Schema:
        keys = self.keys(5)
        made: dict[str, Any] = {"type": "object"}
        if self.chance(0.05):
            made["type"] = ["object", "null"]
        if keys or self.chance(0.3):
            made["properties"] = {key: self.schema(depth) for key in keys}
        if self.chance(0.6):
            made["required"] = [key for key in keys if self.chance(0.5)]
            if self.chance(0.06):
                made["required"] = list({**dict.fromkeys(made["required"]), self.key(): None})
        rest = self.pick.random()
        if rest < 0.3:
            made["additionalProperties"] = False
        elif rest < 0.45:
            made["additionalProperties"] = self.schema(depth)
        if self.chance(0.25):
            self.constrain_object(made, keys, depth, reach)
        return made

    def constrain_object(
        self, made: dict[str, Any], keys: list[str], depth: int, reach: int
    ) -> None:
        """Add what is rarely said of an object."""
        kind = self.pick.random()
        if kind < 0.25:
            made["patternProperties"] = self.patterns(depth)
        elif kind < 0.4:
            made["propertyNames"] = self.member_names(depth)
        elif kind < 0.55:
            made["minProperties"] = self.pick.randint(0, 3)
            if self.chance(0.4):
                made["maxProperties"] = made["minProperties"] + self.pick.randint(0, 2)
        elif kind < 0.65:
            made["maxProperties"] = self.pick.randint(0, 4)
        elif kind < 0.8:
            self.depend(made, {key: [self.key()] for key in (keys or ["id"])[:2]}, "Required")
        elif kind < 0.92 or self.draft == "draft7":
            schemas = {key: self.schema(depth, reach) for key in (keys or ["id"])[:1]}
            self.depend(made, schemas, "Schemas")
        else:
            made["unevaluatedProperties"] = self.pick.choice([False, self.schema(depth)])

    def depend(self, made: dict[str, Any], values: dict[str, Any], kind: str) -> None:
        made["dependencies" if self.draft == "draft7" else f"dependent{kind}"] = values

    def patterns(self, depth: int) -> dict[str, Schema]:
        return {self.pattern(): self.schema(depth) for _ in range(self.pick.choice([1, 1, 2]))}

    def member_names(self, depth: int) -> Schema:
        return self.pick.choice(
            [
                {"pattern": self.pattern()},
                {"type": "string", "maxLength": self.pick.randint(1, 4)},
                {"minLength": 1},
                {"enum": self.pick.sample(KEYS, 3)},
                {"const": self.key()},
                self.schema(depth + 1),
            ]
        )

    def map(self, depth: int, _reach: int) -> Schema:
        made: dict[str, Any] = {"type": "object"}
        if self.chance(0.75):
            made["additionalProperties"] = self.schema(depth)
        if self.chance(0.25):
            made["patternProperties"] = self.patterns(depth)
            if self.chance(0.5):
                made["additionalProperties"] = False
        if self.chance(0.15):
            made["propertyNames"] = self.member_names(depth)
        if self.chance(0.15):
            made["minProperties"] = self.pick.randint(0, 2)
        if self.chance(0.15):
            made["maxProperties"] = self.pick.randint(0, 3)
        if self.chance(0.1):
            made["required"] = self.keys(2)
        return made

    # Arrays.

    def array(self, depth: int, _reach: int) -> Schema:
        made: dict[str, Any] = {"type": "array"}
        if self.chance(0.9):
            made["items"] = self.schema(depth)
        self.size_array(made)
        if self.chance(0.08):
            made["uniqueItems"] = True
        if self.chance(0.08):
            made |= self.containing(depth)
        return made

    def size_array(self, made: dict[str, Any]) -> None:
        if self.chance(0.2):
            made["minItems"] = self.length()
        if self.chance(0.2):
            made["maxItems"] = made.get("minItems", 0) + self.pick.randint(0, 3)

    def containing(self, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {"contains": self.schema(depth)}
        if self.draft != "draft7" and self.chance(0.5):
            made["minContains"] = self.pick.randint(0, 2)
        if self.draft != "draft7" and self.chance(0.4):
            made["maxContains"] = self.pick.randint(1, 3)
        return made

    def tuple(self, depth: int, _reach: int) -> Schema:
        parts = [self.schema(depth) for _ in range(self.pick.choice([1, 2, 2, 3]))]
        first, rest = (
            ("items", "additionalItems") if self.draft == "draft7" else ("prefixItems", "items")
        )
        made: dict[str, Any] = {"type": "array", first: parts}
        if self.chance(0.7):
            made[rest] = False if self.chance(0.6) else self.schema(depth)
        if self.chance(0.6):
            made["minItems"] = len(parts)
            if self.chance(0.4):
                made["maxItems"] = len(parts)
        else:
            self.size_array(made)
        if self.chance(0.05):
            made |= self.containing(depth)
        if self.draft != "draft7" and rest not in made and self.chance(0.15):
            made["unevaluatedItems"] = self.pick.choice([False, self.schema(depth)])
        return made

    # Combinations.

    def scalars(self, depth: int, reach: int) -> Schema:
        makers = [self.string, self.numeric, self.boolean, self.null, self.enum, self.const]
        chosen = self.pick.choices(makers, k=self.pick.choice([2, 2, 3]))
        choices = [each(depth, reach) for each in chosen]
        return {self.pick.choice(["anyOf", "anyOf", "oneOf"]): choices}

    def choice(self, depth: int, reach: int) -> Schema:
        choices = [self.schema(depth, reach) for _ in range(self.pick.choice([1, 2, 2, 3]))]
        return {self.pick.choice(["anyOf", "oneOf"]): choices}

    def tagged(self, depth: int, _reach: int) -> Schema:
        """Make a union of objects that a constant member tells apart; now and then it doesn't quite."""
        tag = self.pick.choice(TAGS)
        tags = self.pick.sample(["a", "b", "c", "GET", "", 1, 2, True, None, "1"], 3)
        if self.chance(0.1):
            tags[1] = tags[0]
        closed = self.chance(0.5)
        choices: list[Schema] = []
        for each in tags[: self.pick.choice([2, 2, 3])]:
            keys = self.keys(3)
            value: Schema = {"const": each} if self.chance(0.85) else {"enum": [each, "z"]}
            branch: dict[str, Any] = {
                "type": "object",
                "properties": {**{key: self.schema(depth + 1) for key in keys}, tag: value},
                "required": [tag, *(key for key in keys if key != tag and self.chance(0.5))],
            }
            if self.chance(0.08):
                branch.pop("required")
            if self.chance(0.05):
                branch.pop("type")
            if closed or self.chance(0.1):
                branch["additionalProperties"] = False
            choices.append(branch)
        return {self.pick.choice(["oneOf", "oneOf", "anyOf"]): choices}

    def all(self, depth: int, reach: int) -> Schema:
        parts = [self.reference(depth, reach), self.object(depth, reach)]
        if self.chance(0.3):
            parts = [self.schema(depth, reach) for _ in range(self.pick.choice([1, 2, 2, 3]))]
        kind = self.pick.random()
        if kind < 0.6 or self.draft == "draft7":
            made: dict[str, Any] = {"allOf": parts}
            if self.chance(0.2):
                made["type"] = "object"
            return made
        own = self.object(depth, reach)
        assert isinstance(own, dict)
        if kind < 0.8:
            return {**own, **_as_dict(self.reference(depth, reach))}
        return {**own, "allOf": parts[:1]}

    def unevaluated(self, depth: int, reach: int) -> Schema:
        """Make a schema that has a say over what the others left."""
        if self.draft == "draft7":
            return self.all(depth, reach)
        around = self.pick.choice([self.all, self.choice, self.tagged, self.condition, self.object])
        made = _as_dict(around(depth, reach))
        word = "unevaluatedProperties" if self.chance(0.7) else "unevaluatedItems"
        return {**made, word: False if self.chance(0.75) else self.schema(depth)}

    def condition(self, depth: int, reach: int) -> Schema:
        made = _as_dict(self.object(depth, reach)) if self.chance(0.7) else {}
        keys = [*made.get("properties", {}), "kind"]
        key = self.pick.choice(keys)
        test: dict[str, Any] = {"properties": {key: _as_dict(self.const(depth, reach))}}
        if self.chance(0.6):
            test["required"] = [key]
        made["if"] = test if self.chance(0.7) else self.schema(depth, reach)
        for word in ("then", "else"):
            if self.chance(0.65):
                other = self.pick.choice(keys)
                made[word] = (
                    {"required": [other]} if self.chance(0.5) else self.schema(depth, reach)
                )
        return made

    def negation(self, depth: int, reach: int) -> Schema:
        made = _as_dict(self.schema(depth, reach)) if self.chance(0.5) else {}
        return {**made, "not": self.schema(depth, reach)}

    def odd(self, depth: int, reach: int) -> Schema:
        """Put two schemas into one, whatever that means."""
        return {**_as_dict(self.schema(depth, reach)), **_as_dict(self.schema(depth, reach))}


def _as_dict(schema: Schema) -> dict[str, Any]:
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    return schema


_Maker = Callable[[SchemaMaker, int, int], Schema]
_CHOICES: Final[dict[_Maker, float]] = {
    SchemaMaker.object: 26,
    SchemaMaker.string: 12,
    SchemaMaker.numeric: 10,
    SchemaMaker.boolean: 3,
    SchemaMaker.null: 1,
    SchemaMaker.enum: 8,
    SchemaMaker.const: 4,
    SchemaMaker.array: 10,
    SchemaMaker.tuple: 4,
    SchemaMaker.map: 6,
    SchemaMaker.reference: 10,
    SchemaMaker.nullable: 6,
    SchemaMaker.scalars: 4,
    SchemaMaker.tagged: 5,
    SchemaMaker.choice: 3,
    SchemaMaker.all: 4,
    SchemaMaker.unevaluated: 2,
    SchemaMaker.condition: 2,
    SchemaMaker.negation: 2,
    SchemaMaker.several_types: 3,
    SchemaMaker.untyped: 3,
    SchemaMaker.odd: 1.5,
    SchemaMaker.anything: 4,
}
_MAKERS: Final = list(_CHOICES)
_WEIGHTS: Final = list(_CHOICES.values())
_OF_TYPE: Final[dict[str, _Maker]] = {
    "string": SchemaMaker.string,
    "number": SchemaMaker.numeric,
    "integer": SchemaMaker.numeric,
    "array": SchemaMaker.array,
    "object": SchemaMaker.object,
}
