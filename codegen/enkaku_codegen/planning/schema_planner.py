"""Planner of the types of one schema: it simplifies the schema recursively, and names the types in it."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Final, TypeVar

from enkaku_codegen.errors import Issue, ProtocolError
from enkaku_codegen.json_values import Json, Schema, pointer
from enkaku_codegen.reading.definition import Protocol
from enkaku_codegen.reading.lint import NAME_IN_PYTHON
from enkaku_codegen.reading.simple_schema import (
    ANYTHING,
    NULL,
    SimpleSchema,
    any_of,
    as_dict,
    as_list,
    is_class,
    is_closed,
    is_long_enum,
    reference_name,
    sized,
)
from enkaku_codegen.reading.validation_text import describe

from .defaults import constant
from .docstrings import annotation_values, property_text, schema_text
from .imported import names_in_annotations
from .names import Namespace, attribute_name, is_attribute_name, own_class_name, pascal
from .one_class import Kind, kind_of, reachable, renamed, shared_names, with_names
from .plan import AliasPlan, FieldPlan, ObjectPlan, TypePlan
from .secrets import Secrets
from .simplify import alternatives, map_keys
from .union_names import suffixes

__all__ = ["MAX_NESTING", "MAX_SCHEMAS", "PlanScope", "SchemaPlanner", "unless_taken"]

Key = TypeVar("Key")
Value = TypeVar("Value")

# More than any file has. Only joins of joins can exceed it, and their types would be too many to read.
MAX_SCHEMAS: Final = 100_000
MAX_NESTING: Final = 64
# A tuple with optional items is a union of tuples, at most this many.
_MOST_TUPLES: Final = 4


@dataclass(frozen=True, slots=True)
class PlanScope:
    """The location of a schema in the plan, and the name for its type.

    Attributes:
        name: The name of a type there.
        owner: The thing that the name is for, in words.
        within: The definitions that were joined with schemas around it.
        depth: The number of schemas around it.
        taken: The class names of definitions, which take precedence.
        secret: Whether a schema around it is secret.
    """

    name: str
    pointer: str
    owner: str = "a type"
    within: frozenset[str] = frozenset()
    depth: int = 0
    taken: frozenset[str] = frozenset()
    secret: bool = False

    def below(self, suffix: str, *path: str) -> "PlanScope":
        """Return the scope of a subschema.

        Args:
            suffix: The subschema's addition to the name.
            path: Its path from here.
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
    """Return a name made from a path, or another form of it if a definition has the name."""
    return f"{name}Inline" if name in taken else name


@dataclass(frozen=True, slots=True)
class _Union:
    """The union that a class is an alternative of, or the class alone.

    Attributes:
        common: The identities of the schemas of properties that several alternatives have.
    """

    scope: PlanScope
    common: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Planned:
    """The type of a property. It keeps the schema alive, whose identity is its key."""

    schema: Schema
    scope: PlanScope
    simple: SimpleSchema


@dataclass(slots=True)
class SchemaPlanner:
    """Plans the schemas of one package.

    Attributes:
        definitions: The name of the type of each definition.
        issues: The errors in them; each call may add some.
        secrets: Finds their secrets.
        package: The names of the package.
        types: The types planned so far, by name.
        widened: Why the types of schemas are object, by location: they exceed a limit.
    """

    protocol: Protocol
    definitions: Mapping[str, str]
    issues: list[Issue] = field(default_factory=list[Issue])
    secrets: Secrets = field(init=False)
    package: Namespace = field(default_factory=lambda: Namespace("the package"))
    types: dict[str, TypePlan] = field(default_factory=dict[str, TypePlan])
    widened: dict[str, str] = field(default_factory=dict[str, str])
    _count: int = 0
    # The types of properties, by the identities of their schemas and their names.
    _planned: dict[tuple[int, str], "_Planned"] = field(
        default_factory=dict[tuple[int, str], "_Planned"]
    )
    _kinds: dict[str, Kind] = field(default_factory=dict[str, Kind])
    _numbered: bool = False

    def __post_init__(self) -> None:
        """Find the secrets of the protocol."""
        self.secrets = Secrets(self.protocol)

    def reserve(self, namespace: Namespace, name: str, owner: str, where: str) -> None:
        """Reserve a name; add an issue if it is reserved already."""
        self.issues.extend(namespace.reserve(name, owner, where))

    def add(self, type_: TypePlan, scope: PlanScope) -> None:
        """Add a type, and reserve its name."""
        self.reserve(self.package, type_.name, scope.owner, scope.pointer)
        self.types.setdefault(type_.name, type_)

    def root(self, schema: Schema, scope: PlanScope, *, named: bool) -> SimpleSchema:
        """Plan the types in the schema of a definition or slot, and return the simple schema.

        Equal classes of one kind become one, with the shortest name. Where names made from contents collide,
        alternatives are numbered.

        Args:
            schema: Any schema.
            scope: Its location and name.
            named: Whether the scope's name is for the whole, so that no alternative may have it.
        """
        if self.protocol.names == 1:
            return self.simplified(schema, scope, named=named)
        issues, types, planned = len(self.issues), len(self.types), len(self._planned)
        simple = self.simplified(schema, scope, named=named)
        if len(self.issues) > issues:
            del self.issues[issues:]
            for name in _after(self.types, types):
                self.discard(name)
            for each in _after(self._planned, planned):
                del self._planned[each]
            self._numbered = True
            simple = self.simplified(schema, scope, named=named)
            self._numbered = False
        return self._shared(simple, _after(self.types, types), _after(self._planned, planned))

    def _shared(
        self, simple: SimpleSchema, own: list[str], planned: list[tuple[int, str]]
    ) -> SimpleSchema:
        """Make one of equal classes of one kind.

        Args:
            simple: The simple schema that the types are for.
            own: The names of the types.
            planned: The keys of the properties in them.
        """
        names = shared_names([self.types[each] for each in own], self._kinds)
        if not names:
            return simple
        simple = renamed(simple, names)
        for name in own:
            self.types[name] = with_names(self.types[name], names)
        for key in planned:
            each = self._planned[key]
            scope = replace(each.scope, name=names.get(each.scope.name, each.scope.name))
            self._planned[key] = _Planned(each.schema, scope, renamed(each.simple, names))
        used = [simple, *(self._planned[key].simple for key in planned)]
        reached = reachable(used, {name: self.types[name] for name in own})
        for name in own:
            if name not in reached:
                self.discard(name)
        return simple

    def discard(self, name: str) -> None:
        """Remove a type, and make its name free again."""
        del self.types[name]
        self.package.release(name)

    def simplified(self, schema: Schema, scope: PlanScope, *, named: bool = False) -> SimpleSchema:
        """Plan the types in a schema, and return the simple schema.

        Args:
            schema: Any schema.
            scope: Its location and name.
            named: Whether the scope's name is for the whole, so that no alternative may have it.
        """
        self._count += 1
        if self._count > MAX_SCHEMAS:
            message = (
                f"joining schemas (allOf, or $ref with other keywords) gives more than {MAX_SCHEMAS} "
                "schemas of one; give what they join a name in $defs, and refer to it"
            )
            raise ProtocolError([Issue(None, None, scope.pointer, message)])
        if scope.depth > MAX_NESTING:
            self._on_limit(scope, f"nested more than {MAX_NESTING} levels deep")
            return ANYTHING
        choices, within = alternatives(
            schema,
            self.protocol.definitions,
            scope.within,
            self.protocol.string_types,
            partial(self._on_limit, scope),
        )
        scope = replace(scope, within=within, secret=scope.secret or self.secrets.holds(schema))
        several = sum(choice != NULL for choice in choices) > 1
        endings = self._endings(choices, scope, several=several, named=named)
        union = _Union(scope, _common(choices))
        parts: list[SimpleSchema] = []
        for index, choice in enumerate(choices):
            inner = scope.below(endings[index]) if index in endings else scope
            text = "" if several else schema_text(schema, inner.name)
            simple = self._alternative(
                choice, inner, text or schema_text(choice, inner.name), union
            )
            if simple == {"$ref": inner.name}:
                text = "" if several else schema_text(schema)
                self._kinds[inner.name] = kind_of(choice, text or schema_text(choice))
            if is_long_enum(simple) and not several and not named:
                self.add(AliasPlan(scope.name, simple, schema_text(schema, scope.name)), scope)
                simple = SimpleSchema({"$ref": scope.name})
            parts.append(simple)
        return any_of(parts)

    def _on_limit(self, scope: PlanScope, reason: str) -> None:
        self.widened.setdefault(scope.pointer, f"{scope.name} is object: {reason}")

    def _endings(
        self, choices: list[SimpleSchema], scope: PlanScope, *, several: bool, named: bool
    ) -> Mapping[int, str]:
        """Return the additions to the scope's name for alternatives, by index."""
        rules = self.protocol.names
        if not (several or (named and len(choices) > 1)):
            return {}
        if rules > 1 and not named and sum(map(is_class, choices)) == 1:
            # The class may have the name: no other type has it.
            choices = [ANYTHING if is_class(choice) else choice for choice in choices]
        return suffixes(choices, scope.name, rules, numbered=self._numbered)

    def _alternative(
        self, choice: SimpleSchema, scope: PlanScope, text: str, union: "_Union"
    ) -> SimpleSchema:
        definition = reference_name(choice)
        if definition is not None:
            return {"$ref": self.definitions[definition]}
        if choice.get("type") == "array":
            return self._array(choice, scope)
        if choice.get("type") != "object":
            return choice
        if not is_class(choice):
            return self._map(choice, scope)
        fields = self._fields(choice, scope, union)
        self.add(ObjectPlan(scope.name, fields, is_closed(choice), text), scope)
        return {"$ref": scope.name}

    def _fields(
        self, schema: SimpleSchema, scope: PlanScope, union: "_Union"
    ) -> tuple[FieldPlan, ...]:
        """Plan the properties of a class, which is an alternative of a union."""
        properties = as_dict(schema.get("properties"))
        required = as_list(schema.get("required"))
        attributes = Namespace(scope.name, f'rename one of them, or give one an "{NAME_IN_PYTHON}"')
        fields: list[FieldPlan] = []
        # A required property becomes a field even if it has no schema.
        for key in dict.fromkeys([*properties, *required]):
            if not isinstance(key, str):
                continue
            inner = scope.below(pascal(key, self.protocol.names), "properties", key)
            value = _schema(properties.get(key, True))
            attribute = self._attribute(key, value, inner)
            self.reserve(attributes, attribute, f"the property {json.dumps(key)}", inner.pointer)
            inner, simple = self._property(key, value, inner, union)
            default = () if key in required else self._default(value, inner)
            # A class or an alias for the property alone already has the text.
            described = inner.name in self.types
            text = property_text(value, key, described=described, filled=bool(default))
            deprecated = True in annotation_values(value, "deprecated")
            secret = scope.secret or self.secrets.holds(value)
            fields.append(
                FieldPlan(
                    attribute, key, simple, key in required, text, default, deprecated, secret
                )
            )
        return tuple(fields)

    def _property(
        self, key: str, value: Schema, scope: PlanScope, union: "_Union"
    ) -> tuple[PlanScope, SimpleSchema]:
        """Plan the type of a property, and return it with the scope that it is named by.

        A schema that several classes have in common gets its types once: alternatives share what stands next to
        the choice, and classes share what they join.
        """
        if self.protocol.names == 1 or not isinstance(value, dict):
            return scope, self.simplified(value, scope)
        known = self._planned.get((id(value), key))
        if known is None:
            if id(value) in union.common:
                suffix = pascal(key, self.protocol.names)
                scope = union.scope.below(suffix, "properties", key)
            known = _Planned(value, scope, self.simplified(value, scope))
            self._planned[id(value), key] = known
        return known.scope, known.simple

    def _attribute(self, key: str, schema: Schema, scope: PlanScope) -> str:
        """Return the name of the attribute for a property: from its schema, else from its key."""
        reserved = names_in_annotations(self.protocol.string_types.values())
        for wanted in annotation_values(schema, NAME_IN_PYTHON)[:1]:
            if isinstance(wanted, str) and is_attribute_name(wanted, reserved):
                return wanted
            such = (
                attribute_name(wanted, 1, reserved)
                if isinstance(wanted, str)
                else attribute_name(key, reserved=reserved)
            )
            message = f'expected a name for an attribute, such as "{such}", got {describe(wanted)}'
            self.issues.append(Issue(None, None, f"{scope.pointer}/{NAME_IN_PYTHON}", message))
        return attribute_name(key, self.protocol.names, reserved)

    def _default(self, schema: Schema, scope: PlanScope) -> tuple[Json, ...]:
        """Return the default to fill in, in a tuple of one; empty if there is none."""
        if not self.protocol.defaults:
            return ()
        try:
            return constant(schema, self.protocol)
        except ValueError as error:
            self.issues.append(Issue(None, None, scope.pointer, str(error)))
            return ()

    def _map(self, schema: SimpleSchema, scope: PlanScope) -> SimpleSchema:
        patterns = as_dict(schema.get("patternProperties"))
        rest = _schema(schema.get("additionalProperties", True))
        value: Schema = rest
        if patterns:
            value = {"anyOf": [*patterns.values(), *([] if rest is False else [rest])]}
        # If no property is allowed at all, the type of the values does not matter.
        simple = ANYTHING
        if not isinstance(value, bool):
            simple = self.simplified(value, scope.below("Value", "additionalProperties"))
        values: SimpleSchema = {"type": "object", "additionalProperties": simple}
        keys = map_keys(schema, rest)
        if keys is not None:
            values["propertyNames"] = keys
        return sized(values, schema, "minProperties", "maxProperties")

    def _array(self, schema: SimpleSchema, scope: PlanScope) -> SimpleSchema:
        prefix = as_list(schema.get("prefixItems"))
        rest = _schema(schema.get("items", True))
        if prefix:
            return self._tuple(schema, prefix, rest, scope)
        items = self.simplified(rest, scope.below("Item", "items"))
        return sized({"type": "array", "items": items}, schema, "minItems", "maxItems")

    def _tuple(
        self, schema: SimpleSchema, prefix: list[Json], rest: Schema, scope: PlanScope
    ) -> SimpleSchema:
        """Plan a tuple if its length is fixed, else a list whose items may have the type of any position."""
        parts = [
            self.simplified(
                _schema(each), scope.below(f"Item{number}", "prefixItems", str(number - 1))
            )
            for number, each in enumerate(prefix, start=1)
        ]
        length, least, most = len(parts), schema.get("minItems", 0), schema.get("maxItems")
        most = min(most, length) if isinstance(most, int) else length
        closed = rest is False or schema.get("maxItems") == most
        if closed and isinstance(least, int) and 0 <= most - least < _MOST_TUPLES:
            return any_of([_tuple(parts[:size]) for size in range(least, most + 1)])
        if rest is not False:
            parts.append(self.simplified(rest, scope.below("Item", "items")))
        items = ANYTHING if ANYTHING in parts else any_of(parts)
        return sized({"type": "array", "items": items}, schema, "minItems", "maxItems")


def _after(mapping: dict[Key, Value], count: int) -> list[Key]:
    """Return the keys that were added after the first so many."""
    return [*islice(reversed(mapping), len(mapping) - count)][::-1]


def _common(choices: list[SimpleSchema]) -> frozenset[int]:
    """Return the identities of the schemas of properties that several classes have."""
    counts = Counter(
        id(each)
        for choice in choices
        if is_class(choice)
        for each in as_dict(choice.get("properties")).values()
        if isinstance(each, dict)
    )
    return frozenset(each for each, count in counts.items() if count > 1)


def _tuple(parts: list[SimpleSchema]) -> SimpleSchema:
    if not parts:
        return {"type": "array", "items": ANYTHING, "maxItems": 0}
    return {
        "type": "array",
        "prefixItems": [*parts],
        "minItems": len(parts),
        "maxItems": len(parts),
    }


def _schema(value: Json) -> Schema:
    return value if isinstance(value, bool | dict) else True
