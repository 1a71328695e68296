"""Decides on the types below one schema, and makes it simple all the way down.

It knows JSON Schema and names, but no Python types.
"""

import json
from dataclasses import dataclass, field, replace
from typing import Final

from enkaku_codegen.errors import Issue, ProtocolError
from enkaku_codegen.jsontree import Json, Schema, pointer
from enkaku_codegen.reading.definition import Protocol
from enkaku_codegen.reading.lint import NAME_IN_PYTHON
from enkaku_codegen.reading.simple_schema import (
    ANYTHING,
    NULL,
    Node,
    any_of,
    as_dict,
    as_list,
    is_class,
    is_closed,
    is_long_enum,
    referred,
    sized,
)
from enkaku_codegen.reading.validation_text import describe

from .defaults import constant
from .docstrings import text_of, text_of_property, told
from .names import Claims, attribute_name, is_attribute_name, own_class_name, pascal
from .plan import AliasPlan, FieldPlan, ObjectPlan, TypePlan
from .simplify import alternatives, map_keys
from .stdlib import imported_modules
from .union_names import suffixes

__all__ = ["Place", "SchemaPlanner", "unless_taken"]

# A file holds fewer schemas than that, and those that it joins are joined for a person to read.
_MOST_NODES: Final = 100_000
_DEEPEST: Final = 64
# A tuple with optional places is a union of so many tuples.
_MOST_TUPLES: Final = 4


@dataclass(frozen=True, slots=True)
class Place:
    """Where a schema stands.

    Attributes:
        name: What a type there is called.
        owner: What that name stands for, in words.
        within: The definitions that a schema around it was joined with.
        depth: How many schemas are around it.
        taken: The names of the classes of definitions, which go before.
    """

    name: str
    pointer: str
    owner: str = "a type"
    within: frozenset[str] = frozenset()
    depth: int = 0
    taken: frozenset[str] = frozenset()

    def below(self, suffix: str, *path: str) -> "Place":
        """Go down.

        Args:
            suffix: What the way adds to the name.
            path: What it adds to the pointer.
        """
        name = own_class_name(self.name.removesuffix("_") + suffix)
        return replace(
            self,
            name=unless_taken(name, self.taken),
            pointer=self.pointer + pointer(path),
            owner="a type",
            depth=self.depth + 1,
        )


def unless_taken(name: str, taken: frozenset[str]) -> str:
    """Give a name that follows from a path another form where a definition has it."""
    return f"{name}Inline" if name in taken else name


@dataclass(slots=True)
class SchemaPlanner:
    """Plans schemas of one package.

    Attributes:
        issues: What is wrong with them; grows with each call.
        package: The names that the package has.
        types: The types that are planned, by name.
    """

    protocol: Protocol
    issues: list[Issue] = field(default_factory=list[Issue])
    package: Claims = field(default_factory=lambda: Claims("the package"))
    types: dict[str, TypePlan] = field(default_factory=dict[str, TypePlan])
    _nodes: int = 0

    def claim(self, claims: Claims, name: str, owner: str, where: str) -> None:
        """Take a name, which is an issue if something else has it."""
        self.issues.extend(claims.claim(name, owner, where))

    def add(self, type_: TypePlan, spot: Place) -> None:
        """Take in a type, under the name of its place."""
        self.claim(self.package, type_.name, spot.owner, spot.pointer)
        self.types.setdefault(type_.name, type_)

    def node(self, schema: Schema, spot: Place, *, named: bool = False) -> Node:
        """Plan the types below a schema, and make it simple all the way down.

        Args:
            schema: Any schema.
            spot: Where it stands.
            named: The spot's name is for the whole: no alternative among others has it.
        """
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            message = (
                f"joins of schemas (allOf, or $ref with more beside it) make more than {_MOST_NODES} "
                "schemas of one; give what they join a name in $defs, and refer to it"
            )
            raise ProtocolError([Issue(None, None, spot.pointer, message)])
        if spot.depth > _DEEPEST:
            return ANYTHING
        choices, within = alternatives(
            schema, self.protocol.definitions, spot.within, self.protocol.formats
        )
        spot = replace(spot, within=within)
        several = sum(choice != NULL for choice in choices) > 1
        apart = several or (named and len(choices) > 1)
        endings = suffixes(choices) if apart else dict[int, str]()
        nodes: list[Node] = []
        for index, choice in enumerate(choices):
            place = spot.below(endings[index]) if index in endings else spot
            text = "" if several else text_of(schema, place.name)
            node = self._alternative(choice, place, text or text_of(choice, place.name))
            if is_long_enum(node) and not several and not named:
                self.add(AliasPlan(spot.name, node, text_of(schema, spot.name)), spot)
                node = Node({"$ref": spot.name})
            nodes.append(node)
        return any_of(nodes)

    def _alternative(self, choice: Node, spot: Place, text: str) -> Node:
        definition = referred(choice)
        if definition is not None:
            return {"$ref": own_class_name(definition)}
        if choice.get("type") == "array":
            return self._array(choice, spot)
        if choice.get("type") != "object":
            return choice
        if not is_class(choice):
            return self._map(choice, spot)
        fields = self._fields(choice, spot)
        self.add(ObjectPlan(spot.name, fields, is_closed(choice), text), spot)
        return {"$ref": spot.name}

    def _fields(self, schema: Node, spot: Place) -> tuple[FieldPlan, ...]:
        """Plan the properties of a class."""
        properties = as_dict(schema.get("properties"))
        required = as_list(schema.get("required"))
        attributes = Claims(spot.name, f'rename one of them, or give one an "{NAME_IN_PYTHON}"')
        for module in imported_modules(self.protocol.formats.values()):
            self.claim(attributes, module, "a module that formats need", "")
        fields: list[FieldPlan] = []
        # A required property without a schema is a property, too.
        for key in dict.fromkeys([*properties, *required]):
            if not isinstance(key, str):
                continue
            place = spot.below(pascal(key), "properties", key)
            value = _schema(properties.get(key, True))
            attribute = self._attribute(key, value, place)
            self.claim(attributes, attribute, f"the property {json.dumps(key)}", place.pointer)
            node = self.node(value, place)
            default = () if key in required else self._default(value, place)
            # A class or an alias of its own has the text already.
            described = place.name in self.types
            text = text_of_property(value, key, described=described, filled=bool(default))
            deprecated = True in told(value, "deprecated")
            fields.append(
                FieldPlan(attribute, key, node, key in required, text, default, deprecated)
            )
        return tuple(fields)

    def _attribute(self, key: str, schema: Schema, spot: Place) -> str:
        """Name the attribute for a property: as its schema says, else by its key."""
        for wanted in told(schema, NAME_IN_PYTHON)[:1]:
            if isinstance(wanted, str) and is_attribute_name(wanted):
                return wanted
            such = attribute_name(wanted if isinstance(wanted, str) else key)
            message = (
                f'expected a name for an attribute, such as "{such}", found {describe(wanted)}'
            )
            self.issues.append(Issue(None, None, f"{spot.pointer}/{NAME_IN_PYTHON}", message))
        return attribute_name(key)

    def _default(self, schema: Schema, spot: Place) -> tuple[Json, ...]:
        """Give the default that is to be filled in, in a list of one; empty if there is none."""
        if not self.protocol.defaults:
            return ()
        try:
            return constant(schema, self.protocol)
        except ValueError as error:
            self.issues.append(Issue(None, None, spot.pointer, str(error)))
            return ()

    def _map(self, schema: Node, spot: Place) -> Node:
        patterns = as_dict(schema.get("patternProperties"))
        rest = _schema(schema.get("additionalProperties", True))
        value: Schema = rest
        if patterns:
            value = {"anyOf": [*patterns.values(), *([] if rest is False else [rest])]}
        # Where no member is allowed at all, any value is as good as another.
        node = ANYTHING
        if not isinstance(value, bool):
            node = self.node(value, spot.below("Value", "additionalProperties"))
        values: Node = {"type": "object", "additionalProperties": node}
        keys = map_keys(schema, rest)
        if keys is not None:
            values["propertyNames"] = keys
        return sized(values, schema, "minProperties", "maxProperties")

    def _array(self, schema: Node, spot: Place) -> Node:
        prefix = as_list(schema.get("prefixItems"))
        rest = _schema(schema.get("items", True))
        if prefix:
            return self._tuple(schema, prefix, rest, spot)
        items = self.node(rest, spot.below("Item", "items"))
        return sized({"type": "array", "items": items}, schema, "minItems", "maxItems")

    def _tuple(self, schema: Node, prefix: list[Json], rest: Schema, spot: Place) -> Node:
        """Plan a tuple where its length is fixed; else a list whose items fit one place or another."""
        nodes = [
            self.node(_schema(each), spot.below(f"Item{place}", "prefixItems", str(place - 1)))
            for place, each in enumerate(prefix, start=1)
        ]
        length, least, most = len(nodes), schema.get("minItems", 0), schema.get("maxItems")
        most = min(most, length) if isinstance(most, int) else length
        closed = rest is False or schema.get("maxItems") == most
        if closed and isinstance(least, int) and 0 <= most - least < _MOST_TUPLES:
            return any_of([_tuple(nodes[:size]) for size in range(least, most + 1)])
        if rest is not False:
            nodes.append(self.node(rest, spot.below("Item", "items")))
        items = ANYTHING if ANYTHING in nodes else any_of(nodes)
        return sized({"type": "array", "items": items}, schema, "minItems", "maxItems")


def _tuple(nodes: list[Node]) -> Node:
    if not nodes:
        return {"type": "array", "items": ANYTHING, "maxItems": 0}
    return {
        "type": "array",
        "prefixItems": [*nodes],
        "minItems": len(nodes),
        "maxItems": len(nodes),
    }


def _schema(value: Json) -> Schema:
    return value if isinstance(value, bool | dict) else True
