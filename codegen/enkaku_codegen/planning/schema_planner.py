"""Planner of the types of one schema: it simplifies the schema recursively, and names the types in it."""

import json
from dataclasses import dataclass, field, replace
from typing import Final

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
from .imported import imported_modules
from .names import Namespace, attribute_name, is_attribute_name, own_class_name, pascal
from .plan import AliasPlan, FieldPlan, ObjectPlan, TypePlan
from .simplify import alternatives, map_keys
from .union_names import suffixes

__all__ = ["PlanScope", "SchemaPlanner", "unless_taken"]

# More than any file has. Only joins of joins can exceed it, and their types would be too many to read.
_MOST_SCHEMAS: Final = 100_000
_DEEPEST: Final = 64
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
    """

    name: str
    pointer: str
    owner: str = "a type"
    within: frozenset[str] = frozenset()
    depth: int = 0
    taken: frozenset[str] = frozenset()

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


@dataclass(slots=True)
class SchemaPlanner:
    """Plans the schemas of one package.

    Attributes:
        issues: The errors in them; each call may add some.
        package: The names of the package.
        types: The types planned so far, by name.
    """

    protocol: Protocol
    issues: list[Issue] = field(default_factory=list[Issue])
    package: Namespace = field(default_factory=lambda: Namespace("the package"))
    types: dict[str, TypePlan] = field(default_factory=dict[str, TypePlan])
    _count: int = 0

    def reserve(self, namespace: Namespace, name: str, owner: str, where: str) -> None:
        """Reserve a name; add an issue if it is reserved already."""
        self.issues.extend(namespace.reserve(name, owner, where))

    def add(self, type_: TypePlan, scope: PlanScope) -> None:
        """Add a type, and reserve its name."""
        self.reserve(self.package, type_.name, scope.owner, scope.pointer)
        self.types.setdefault(type_.name, type_)

    def simplified(self, schema: Schema, scope: PlanScope, *, named: bool = False) -> SimpleSchema:
        """Plan the types in a schema, and return the simple schema.

        Args:
            schema: Any schema.
            scope: Its location and name.
            named: Whether the scope's name is for the whole, so that no alternative may have it.
        """
        self._count += 1
        if self._count > _MOST_SCHEMAS:
            message = (
                f"joining schemas (allOf, or $ref with other keywords) gives more than {_MOST_SCHEMAS} "
                "schemas of one; give what they join a name in $defs, and refer to it"
            )
            raise ProtocolError([Issue(None, None, scope.pointer, message)])
        if scope.depth > _DEEPEST:
            return ANYTHING
        choices, within = alternatives(
            schema, self.protocol.definitions, scope.within, self.protocol.formats
        )
        scope = replace(scope, within=within)
        several = sum(choice != NULL for choice in choices) > 1
        suffixed = several or (named and len(choices) > 1)
        endings = suffixes(choices) if suffixed else dict[int, str]()
        parts: list[SimpleSchema] = []
        for index, choice in enumerate(choices):
            inner = scope.below(endings[index]) if index in endings else scope
            text = "" if several else schema_text(schema, inner.name)
            simple = self._alternative(choice, inner, text or schema_text(choice, inner.name))
            if is_long_enum(simple) and not several and not named:
                self.add(AliasPlan(scope.name, simple, schema_text(schema, scope.name)), scope)
                simple = SimpleSchema({"$ref": scope.name})
            parts.append(simple)
        return any_of(parts)

    def _alternative(self, choice: SimpleSchema, scope: PlanScope, text: str) -> SimpleSchema:
        definition = reference_name(choice)
        if definition is not None:
            return {"$ref": own_class_name(definition)}
        if choice.get("type") == "array":
            return self._array(choice, scope)
        if choice.get("type") != "object":
            return choice
        if not is_class(choice):
            return self._map(choice, scope)
        fields = self._fields(choice, scope)
        self.add(ObjectPlan(scope.name, fields, is_closed(choice), text), scope)
        return {"$ref": scope.name}

    def _fields(self, schema: SimpleSchema, scope: PlanScope) -> tuple[FieldPlan, ...]:
        """Plan the properties of a class."""
        properties = as_dict(schema.get("properties"))
        required = as_list(schema.get("required"))
        attributes = Namespace(scope.name, f'rename one of them, or give one an "{NAME_IN_PYTHON}"')
        for module in imported_modules(self.protocol.formats.values()):
            self.reserve(attributes, module, "a module that formats need", "")
        fields: list[FieldPlan] = []
        # A required property becomes a field even if it has no schema.
        for key in dict.fromkeys([*properties, *required]):
            if not isinstance(key, str):
                continue
            inner = scope.below(pascal(key), "properties", key)
            value = _schema(properties.get(key, True))
            attribute = self._attribute(key, value, inner)
            self.reserve(attributes, attribute, f"the property {json.dumps(key)}", inner.pointer)
            simple = self.simplified(value, inner)
            default = () if key in required else self._default(value, inner)
            # A class or an alias for the property alone already has the text.
            described = inner.name in self.types
            text = property_text(value, key, described=described, filled=bool(default))
            deprecated = True in annotation_values(value, "deprecated")
            fields.append(
                FieldPlan(attribute, key, simple, key in required, text, default, deprecated)
            )
        return tuple(fields)

    def _attribute(self, key: str, schema: Schema, scope: PlanScope) -> str:
        """Return the name of the attribute for a property: from its schema, else from its key."""
        for wanted in annotation_values(schema, NAME_IN_PYTHON)[:1]:
            if isinstance(wanted, str) and is_attribute_name(wanted):
                return wanted
            such = attribute_name(wanted if isinstance(wanted, str) else key)
            message = f'expected a name for an attribute, such as "{such}", got {describe(wanted)}'
            self.issues.append(Issue(None, None, f"{scope.pointer}/{NAME_IN_PYTHON}", message))
        return attribute_name(key)

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
