"""Decides on every name and every type of a package.

Above it: generate. Below it: names, widen, plan. It knows JSON Schema and names, but no Python types.
"""

import json
from dataclasses import dataclass, field, replace
from typing import Final

from jsonschema_rs import Draft202012Validator

from .bundle import needed
from .definition import ErrorDefinition, Procedure, Protocol, SlotName
from .errors import Issue, ProtocolError
from .jsontree import Json, Schema, as_text, pointer
from .names import (
    Claims,
    attribute_name,
    class_name,
    constant_name,
    method_name,
    own_class_name,
    pascal,
)
from .nodes import (
    ANYTHING,
    NULL,
    Node,
    any_of,
    as_dict,
    as_list,
    is_class,
    is_closed,
    is_long_enum,
    reads_well,
    referred,
    sized,
)
from .notes import text_of, text_of_property
from .plan import (
    AliasPlan,
    ErrorPlan,
    FieldPlan,
    ObjectPlan,
    Plan,
    ProcedurePlan,
    TypePlan,
    without_loops,
)
from .stdlib import imported_classes, imported_modules
from .variants import suffixes
from .widen import alternatives, map_keys

__all__ = ["make_plan"]

# A file holds fewer schemas than that, and those that it joins are joined for a person to read.
_MOST_NODES: Final = 100_000
_DEEPEST: Final = 64
# A tuple with optional places is a union of so many tuples.
_MOST_TUPLES: Final = 4
# What a property may say to have another name in Python than the one that follows from its own.
_NAME: Final = "x-python-name"


def make_plan(protocol: Protocol) -> Plan:
    """Decide on every name and every type of a package.

    Raises:
        ProtocolError: Some names are the same in Python; all such pairs are told.
    """
    taken = frozenset(own_class_name(each) for each in protocol.definitions)
    return _Planner(protocol, taken).plan()


@dataclass(frozen=True, slots=True)
class _Spot:
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

    def below(self, suffix: str, *path: str) -> "_Spot":
        """Go down.

        Args:
            suffix: What the way adds to the name.
            path: What it adds to the pointer.
        """
        name = own_class_name(self.name.removesuffix("_") + suffix)
        return replace(
            self,
            name=_unless_taken(name, self.taken),
            pointer=self.pointer + pointer(path),
            owner="a type",
            depth=self.depth + 1,
        )


def _unless_taken(name: str, taken: frozenset[str]) -> str:
    """Give a name that follows from a path another form where a definition has it."""
    return f"{name}Inline" if name in taken else name


@dataclass(slots=True)
class _Planner:
    protocol: Protocol
    taken: frozenset[str]
    issues: list[Issue] = field(default_factory=list[Issue])
    nodes: int = 0
    package: Claims = field(default_factory=lambda: Claims("the package"))
    methods: Claims = field(default_factory=lambda: Claims("the client"))
    types: dict[str, TypePlan] = field(default_factory=dict[str, TypePlan])
    errors: list[ErrorPlan] = field(default_factory=list[ErrorPlan])
    shared_errors: dict[tuple[str, str | None], str] = field(
        default_factory=dict[tuple[str, str | None], str]
    )

    def plan(self) -> Plan:
        prefix = own_class_name(self.protocol.name)
        client, handler = f"{prefix}Client", f"{prefix}Handler"
        self.claim(self.package, client, "the client class", "")
        self.claim(self.package, handler, "the handler class", "")
        for each in imported_classes(self.protocol.formats.values()):
            self.claim(self.package, each, "the type of a format", "")
        for name, schema in self.protocol.definitions.items():
            self.definition(name, schema)
        procedures = tuple(self.procedure(each) for each in self.protocol.procedures)
        if self.issues:
            raise ProtocolError(self.issues)
        return Plan(
            client=client,
            handler=handler,
            description=self.protocol.description,
            types=without_loops(tuple(self.types.values())),
            errors=tuple(self.errors),
            procedures=procedures,
        )

    def claim(self, claims: Claims, name: str, owner: str, where: str) -> None:
        self.issues.extend(claims.claim(name, owner, where))

    def spot(self, name: str, where: str) -> _Spot:
        return _Spot(_unless_taken(name, self.taken), where, taken=self.taken)

    def definition(self, name: str, schema: Schema) -> None:
        owner = f"the definition {json.dumps(name)}"
        spot = _Spot(own_class_name(name), pointer(("$defs", name)), owner, taken=self.taken)
        node = self.node(schema, spot, named=True)
        if node != {"$ref": spot.name} or spot.name not in self.types:
            self.add(AliasPlan(spot.name, node, text_of(schema, spot.name)), spot)

    def procedure(self, procedure: Procedure) -> ProcedurePlan:
        name = procedure.name
        method, constant = method_name(name), constant_name(name)
        owner = f"the procedure {json.dumps(name)}"
        known = len(self.issues)
        self.claim(self.methods, method, owner, procedure.pointer)
        if len(self.issues) == known:
            # Two methods with one name have one name for their constants, too: told once.
            self.claim(self.package, constant, owner, procedure.pointer)
        slots: dict[SlotName, Node] = {}
        for slot, schema in procedure.slots.items():
            spot = self.spot(class_name(name, slot), procedure.pointer + pointer((slot,)))
            slots[slot] = self.slot(schema, spot)
        errors = tuple(self.error(procedure, each) for each in procedure.errors)
        return ProcedurePlan(procedure, method, constant, slots, errors)

    def slot(self, schema: Schema, spot: _Spot) -> Node:
        """Plan a slot's type, and name it unless it reads well without a name."""
        choices, _ = alternatives(schema, self.protocol.definitions, formats=self.protocol.formats)
        several = sum(choice != NULL for choice in choices) > 1
        node = self.node(schema, spot, named=several)
        if not several and reads_well(node):
            return node
        self.add(AliasPlan(spot.name, node, text_of(schema, spot.name)), spot)
        return {"$ref": spot.name}

    def error(self, procedure: Procedure, error: ErrorDefinition) -> str:
        """Plan an error's class; one that several procedures refer to is one class."""
        if error.definition is None:
            name = class_name(procedure.name, error.code or "error")
        else:
            known = self.shared_errors.get((error.definition, error.code))
            if known is not None:
                return known
            codes = [each for each in procedure.errors if each.definition == error.definition]
            suffix = pascal(error.code) if error.code and len(codes) > 1 else ""
            name = own_class_name(own_class_name(error.definition).removesuffix("_") + suffix)
            self.shared_errors[error.definition, error.code] = name
        owner = f"the error {json.dumps(error.definition or error.code or 'error')}"
        self.claim(self.package, name, owner, error.pointer)
        data = None
        if error.data is not None:
            data = self.slot(error.data, self.spot(f"{name}Data", error.pointer))
        self.errors.append(ErrorPlan(name, error, data))
        return name

    def add(self, type_: TypePlan, spot: _Spot) -> None:
        self.claim(self.package, type_.name, spot.owner, spot.pointer)
        self.types.setdefault(type_.name, type_)

    def node(self, schema: Schema, spot: _Spot, *, named: bool = False) -> Node:
        """Plan the types below a schema, and make it simple all the way down.

        Args:
            schema: Any schema.
            spot: Where it stands.
            named: The spot's name is for the whole: no alternative among others has it.
        """
        self.nodes += 1
        if self.nodes > _MOST_NODES:
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
            node = self.alternative(choice, place, text or text_of(choice, place.name))
            if is_long_enum(node) and not several and not named:
                self.add(AliasPlan(spot.name, node, text_of(schema, spot.name)), spot)
                node = Node({"$ref": spot.name})
            nodes.append(node)
        return any_of(nodes)

    def alternative(self, choice: Node, spot: _Spot, text: str) -> Node:
        definition = referred(choice)
        if definition is not None:
            return {"$ref": own_class_name(definition)}
        if choice.get("type") == "array":
            return self.array(choice, spot)
        if choice.get("type") != "object":
            return choice
        if not is_class(choice):
            return self.map(choice, spot)
        fields = self.fields(choice, spot)
        self.add(ObjectPlan(spot.name, fields, is_closed(choice), text), spot)
        return {"$ref": spot.name}

    def fields(self, schema: Node, spot: _Spot) -> tuple[FieldPlan, ...]:
        properties = as_dict(schema.get("properties"))
        required = as_list(schema.get("required"))
        attributes = Claims(spot.name, f'rename one of them, or give one an "{_NAME}"')
        for module in imported_modules(self.protocol.formats.values()):
            self.claim(attributes, module, "a module that formats need", "")
        fields: list[FieldPlan] = []
        # A required property without a schema is a property, too.
        for key in dict.fromkeys([*properties, *required]):
            if not isinstance(key, str):
                continue
            place = spot.below(pascal(key), "properties", key)
            value = _schema(properties.get(key, True))
            wanted = as_text(value.get(_NAME)) if isinstance(value, dict) else ""
            attribute = attribute_name(wanted or key)
            owner = f"the property {json.dumps(key)}"
            self.claim(attributes, attribute, owner, place.pointer)
            node = self.node(value, place)
            # A class or an alias of its own has the text already.
            default = () if key in required else self.default(value, node, place)
            described = place.name in self.types
            text = text_of_property(value, key, described=described, filled=bool(default))
            deprecated = isinstance(value, dict) and value.get("deprecated") is True
            fields.append(
                FieldPlan(attribute, key, node, key in required, text, default, deprecated)
            )
        return tuple(fields)

    def default(self, schema: Schema, node: Node, spot: _Spot) -> tuple[Json, ...]:
        """Give the default that is to be filled in: a constant, since nobody can change it."""
        if not self.protocol.defaults or isinstance(schema, bool):
            return ()
        default = schema.get("default")
        if default is None or isinstance(default, list | dict) or "format" in node:
            return ()
        definitions = needed(schema, self.protocol.definitions)
        whole: dict[str, Json] = {**schema, "$defs": {**definitions}}
        if Draft202012Validator(whole, validate_formats=False).is_valid(default):
            return (default,)
        message = f"the default {json.dumps(default)} does not fit the schema beside it"
        self.issues.append(Issue(None, None, spot.pointer, message))
        return ()

    def map(self, schema: Node, spot: _Spot) -> Node:
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

    def array(self, schema: Node, spot: _Spot) -> Node:
        prefix = as_list(schema.get("prefixItems"))
        rest = _schema(schema.get("items", True))
        if prefix:
            return self.tuple(schema, prefix, rest, spot)
        items = self.node(rest, spot.below("Item", "items"))
        return sized({"type": "array", "items": items}, schema, "minItems", "maxItems")

    def tuple(self, schema: Node, prefix: list[Json], rest: Schema, spot: _Spot) -> Node:
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
