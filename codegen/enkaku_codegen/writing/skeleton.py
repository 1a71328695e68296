"""Skeleton of a plan: one JSON Schema in which every name, pattern and enum is a token.

A token ends in a letter, because datamodel-code-generator makes names of its own by adding digits. A type that is
part of another is a ``customTypePath``, so that each type is handled by itself: neither a long chain of types nor a
cycle takes more time. Schemas that are equal are in it once, and those that are only a type not at all: most fields of
a large protocol are like others.
"""

import json
from typing import Final

from enkaku_codegen.json_values import Json
from enkaku_codegen.planning.imported import written
from enkaku_codegen.planning.plan import ObjectPlan, Plan, name_in_code
from enkaku_codegen.reading.simple_schema import SimpleSchema

__all__ = ["CARRIER", "Skeleton"]

CARRIER: Final = "Carrier"
"""The object with a property for each different annotation."""

_ELSEWHERE: Final = "elsewhere."
_SIZES: Final = frozenset({"minProperties", "maxProperties"})


class Skeleton:
    """The tokens of a plan, and what they stand for.

    Attributes:
        names: The name of each type, by its token.
        literals: Patterns, and the values of enums; the token of each is ``literal`` and its index.
        carried: The property of the carrier for each alias, ``(constant, slot)``, ``(error, "data")``, and
            ``(class, index of the field)``; or a token, if that is the whole annotation.
        hoisted: The same for each token that stands for a part of another type.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._tokens = {name: f"Type{index}X" for index, name in enumerate(plan.known)}
        self.names = {token: name_in_code(name) for name, token in self._tokens.items()}
        self.literals: list[Json] = []
        self.carried: dict[str | tuple[str, str | int], str] = {}
        self.hoisted: dict[str, str] = {}
        self._carrier: dict[str, Json] = {}
        self._known: dict[str, str] = {}
        self._known_literals: dict[str, str] = {}

    def document(self) -> str:
        """Return the JSON Schema."""
        for each in self._plan.types:
            if isinstance(each, ObjectPlan):
                for index, field in enumerate(each.fields):
                    self._carry((each.name, index), field.schema)
            else:
                self._carry(each.name, each.schema)
        for procedure in self._plan.both_ways:
            for slot, schema in procedure.slots.items():
                self._carry((procedure.constant, slot), schema)
        for error in self._plan.errors:
            if error.data is not None:
                self._carry((error.name, "data"), error.data)
        # All are required: the template writes the defaults.
        carrier: Json = {
            "type": "object",
            "properties": self._carrier,
            "required": [*self._carrier],
        }
        return json.dumps({"$defs": {CARRIER: carrier}})

    def _carry(self, key: str | tuple[str, str | int], schema: SimpleSchema) -> None:
        tokenized = self._tokenized(schema)
        self.carried[key] = self._add(tokenized)

    def _add(self, tokenized: Json) -> str:
        """Return the property of the carrier for a schema, or its token if it is nothing else."""
        match tokenized:
            case {"customTypePath": str(path), **rest} if not rest:
                return path.removeprefix(_ELSEWHERE)
            case _:
                token = self._known.setdefault(json.dumps(tokenized), f"f{len(self._carrier)}")
                self._carrier[token] = tokenized
                return token

    def _hoist(self, schema: SimpleSchema) -> Json:
        """Return a token for a map, which becomes a property of its own: nested, its size limits would be lost."""
        tokenized = self._tokenized(schema)
        token = f"Part{len(self.hoisted)}X"
        self.hoisted[token] = self._add(tokenized)
        return {"customTypePath": f"{_ELSEWHERE}{token}"}

    def _tokenized_part(self, schema: Json) -> Json:
        if isinstance(schema, list):
            return [self._tokenized_part(each) for each in schema]
        if not isinstance(schema, dict):
            return schema
        if _SIZES & schema.keys():
            return self._hoist(schema)
        return self._tokenized(schema)

    def _tokenized(self, schema: SimpleSchema) -> Json:
        tokenized: dict[str, Json] = {}
        for key, value in schema.items():
            match key, value:
                case "$ref", str():
                    tokenized["customTypePath"] = f"{_ELSEWHERE}{self._tokens[value]}"
                case "format", str():
                    token = f"Format{value}X"
                    self.names[token] = written(value)
                    tokenized["customTypePath"] = f"{_ELSEWHERE}{token}"
                case "enum", list():
                    tokenized[key] = [self._literal(value)]
                case "pattern", str():
                    tokenized[key] = self._literal(value)
                case _:
                    tokenized[key] = self._tokenized_part(value)
        return tokenized

    def _literal(self, value: Json) -> str:
        token = self._known_literals.setdefault(json.dumps(value), f"literal{len(self.literals)}")
        if len(self._known_literals) > len(self.literals):
            self.literals.append(value)
        return token
