"""Simplifier: a schema becomes a choice of alternatives that Python types can express.

Keywords that no type expresses are left out, so the result accepts every value that the schema accepts, and
sometimes more. It works on one level: the schemas of properties and items stay as they are.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from enkaku_codegen.json_values import Json, Schema, distinct
from enkaku_codegen.reading.options import STRING_KEYWORDS, StringTypes
from enkaku_codegen.reading.simple_schema import (
    ANYTHING,
    SimpleSchema,
    as_dict,
    as_list,
    reference_name,
)

from .all_of import merge, type_names, with_enum
from .pattern import portable
from .type_forms import converted, forms, with_one_enum

__all__ = ["MAX_ALTERNATIVES", "MAX_JOINS", "MAX_PROPERTIES", "alternatives", "map_keys"]

# With more alternatives, the type is object: such a union is slow to import, and type checkers give up.
MAX_ALTERNATIVES: Final = 2000
MAX_JOINS: Final = 30
MAX_PROPERTIES: Final = 50_000
_TOO_MANY: Final = f"more than {MAX_ALTERNATIVES} alternatives"
_TOO_LARGE: Final = f"alternatives with more than {MAX_PROPERTIES} properties in all"
_TOO_DEEP: Final = f"allOf, anyOf or oneOf nested more than {MAX_JOINS} levels deep"

_TEXTS: Final[tuple[str, ...]] = ("description", "title")
# Keywords that constrain a value beyond its type. Next to a reference, all others are ignored.
_SHAPING: Final = frozenset(
    {
        "$ref",
        "additionalProperties",
        "allOf",
        "anyOf",
        "const",
        "enum",
        "items",
        "oneOf",
        "patternProperties",
        "prefixItems",
        "properties",
    }
)

# Keywords other than properties that evaluate properties.
_EVALUATING: Final = frozenset(
    {
        *("additionalProperties", "anyOf", "dependentSchemas", "else", "if", "not", "oneOf"),
        *("patternProperties", "then", "$dynamicRef"),
    }
)


def map_keys(schema: SimpleSchema, rest: Json) -> SimpleSchema | None:
    """Return the simple schema of the keys of a map; None if any string is a key, or no type expresses which.

    Args:
        schema: The simple schema of the map.
        rest: The schema of the values whose keys match no pattern.
    """
    patterns = [*as_dict(schema.get("patternProperties"))]
    if patterns:
        text = portable(patterns[0]) if len(patterns) == 1 and rest is False else None
        return None if text is None else {"type": "string", "pattern": text}
    names = schema.get("propertyNames")
    if not isinstance(names, dict) or "$ref" in names:
        return None
    choices, _ = alternatives({**names, "type": "string"}, {})
    match choices:
        case [{"enum": [*_]} as form]:
            return form
        case [{"type": "string", **rest} as form] if rest:
            return form
        case _:
            return None


def alternatives(
    schema: Schema,
    definitions: Mapping[str, Schema],
    within: frozenset[str] = frozenset(),
    string_types: StringTypes = MappingProxyType({}),
    on_limit: Callable[[str], None] | None = None,
) -> tuple[list[SimpleSchema], frozenset[str]]:
    """Return the simple schemas whose union a schema is: at least one, without duplicates, ``{}`` only alone.

    Args:
        schema: Any schema.
        definitions: The targets of its references.
        within: The definitions that were joined with schemas around it. They are not joined again, since that
            might not terminate for recursive definitions.
        string_types: The Python types for strings; the result has them as its ``format``.
        on_limit: Called with the limit by which the result accepts any value.

    Returns:
        The simple schemas; and ``within`` for their subschemas.
    """
    simplifier = _Simplifier(definitions, within, string_types)
    schemas: list[SimpleSchema] = []
    properties = 0
    for form in simplifier.alternatives(schema):
        for simple in converted(form, string_types):
            properties += len(as_dict(simple.get("properties")))
            exceeded = simplifier.exceeded
            if len(schemas) >= MAX_ALTERNATIVES:
                exceeded = _TOO_MANY
            elif schemas and properties > MAX_PROPERTIES:
                exceeded = _TOO_LARGE
            if exceeded and on_limit is not None:
                on_limit(exceeded)
            if exceeded or not simple:
                return [ANYTHING], within
            schemas.append(simple)
    schemas = with_one_enum(distinct(schemas))
    if {"type": "number"} in schemas:
        schemas = [simple for simple in schemas if simple.get("type") != "integer"]
    return schemas or [ANYTHING], within | simplifier.joined


class _Simplifier:
    """Simplifies one schema.

    Args:
        definitions: The targets of its references.
        within: The definitions that were joined with schemas around it.
        string_types: The Python types for strings.

    Attributes:
        joined: The definitions that were joined with other schemas.
        exceeded: The limit by which a schema accepts any value, or ``""``.
    """

    def __init__(
        self, definitions: Mapping[str, Schema], within: frozenset[str], string_types: StringTypes
    ) -> None:
        self._string_types = string_types
        self._definitions = definitions
        self._within = within
        self.joined: set[str] = set()
        self.exceeded = ""

    def alternatives(self, schema: Schema, depth: int = 0) -> Iterator[SimpleSchema]:
        if isinstance(schema, bool) or depth > MAX_JOINS:
            # A schema that rejects everything has no type either.
            self.exceeded = self.exceeded if isinstance(schema, bool) else _TOO_DEEP
            yield ANYTHING
            return
        parts = self._parts(schema)
        references = [part for part in parts if "$ref" in part]
        shaping = [part for part in parts if _SHAPING & part.keys() or self._conversion(part)]
        again = [part for part in references if reference_name(part) in self._within]
        if again or (len(references) == 1 and len(shaping) == 1):
            yield {"$ref": (again or references)[0]["$ref"]}
            return
        merged = self._merged(parts)
        is_last = (
            schema.get("unevaluatedProperties") is merged.get("unevaluatedProperties") is False
        )
        if is_last and not _EVALUATING & merged.keys():
            # Only the joined properties are evaluated, so no other is allowed.
            merged = {**merged, "additionalProperties": False}
        yield from self._choices(merged, depth + 1)

    def _conversion(self, schema: SimpleSchema) -> SimpleSchema:
        """Return the keywords of a schema that give its strings a Python type."""
        return {
            key: value
            for key in STRING_KEYWORDS
            if isinstance(value := schema.get(key), str) and (key, value) in self._string_types
        }

    def _parts(self, schema: SimpleSchema) -> list[SimpleSchema]:
        """Return the schemas that must all hold: the schema itself, its reference, its ``allOf``."""
        rest = {key: value for key, value in schema.items() if key not in {"$ref", "allOf"}}
        parts: list[SimpleSchema] = [rest] if rest else []
        if isinstance(schema.get("$ref"), str):
            parts.append({"$ref": schema["$ref"]})
        for part in as_list(schema.get("allOf")):
            if isinstance(part, dict):
                parts.extend(self._parts(part))
        return parts

    def _merged(self, parts: Sequence[SimpleSchema]) -> SimpleSchema:
        """Return the parts joined; their own texts take precedence over those of referenced definitions."""
        merged: SimpleSchema = {}
        texts: SimpleSchema = {}
        seen: set[str] = set()
        pending = [(part, False) for part in reversed(parts)]
        while pending:
            part, is_referred = pending.pop()
            name = reference_name(part)
            if name is None:
                if is_referred:
                    texts = SimpleSchema({key: part[key] for key in _TEXTS if key in part}) | texts
                    part = {key: value for key, value in part.items() if key not in _TEXTS}
                merged = merge(merged, with_enum(part))
            elif name not in seen:
                seen.add(name)
                self.joined.add(name)
                target = self._definitions.get(name)
                if isinstance(target, dict):
                    pending.extend((each, True) for each in reversed(self._parts(target)))
        return merged if any(key in merged for key in _TEXTS) else merged | texts

    def _choices(self, schema: SimpleSchema, depth: int) -> Iterator[SimpleSchema]:
        keyword = "oneOf" if "oneOf" in schema else "anyOf"
        branches = [branch for branch in as_list(schema.get(keyword)) if branch is not False]
        base = {key: value for key, value in schema.items() if key not in {"anyOf", "oneOf"}}
        constrains = any(
            branch is True
            or not isinstance(branch, dict)
            or (_SHAPING | {"type"}) & branch.keys()
            or self._conversion(branch)
            for branch in branches
        )
        if not branches or "enum" in base or (not constrains and "type" in base):
            yield from forms(base)
        elif _SHAPING & base.keys():
            yield from self._distributed(base, branches, depth)
        else:
            yield from self._branches(base, branches, depth)

    def _branches(
        self, base: SimpleSchema, branches: Sequence[Json], depth: int
    ) -> Iterator[SimpleSchema]:
        types = {"type": base["type"]} if "type" in base else {}
        conversion = self._conversion(base)
        for branch in branches:
            if self._is_disjoint(branch, type_names(types.get("type"))):
                continue
            if isinstance(branch, dict) and (types or conversion) and "$ref" not in branch:
                yield from self.alternatives(merge({**types, **conversion}, branch), depth)
            elif isinstance(branch, dict) and conversion:
                yield from self.alternatives({**conversion, **branch}, depth)
            elif isinstance(branch, dict | bool):
                yield from self.alternatives(branch, depth)

    def _is_disjoint(self, branch: Json, names: list[str]) -> bool:
        """Return whether a branch leads to a definition whose type is none of those named."""
        seen: set[str] = set()
        while names and isinstance(branch, dict):
            others = {*type_names(branch.get("type"))}
            related = {"integer", "number"} if {"integer", "number"} & others else set[str]()
            if others and not {*names} & (others | related):
                return True
            name = reference_name(branch)
            if name is None or name in seen:
                break
            seen.add(name)
            branch = self._definitions.get(name, True)
        return False

    def _distributed(
        self, base: SimpleSchema, branches: Sequence[Json], depth: int
    ) -> Iterator[SimpleSchema]:
        """Yield each branch joined with the keywords next to the choice, except texts."""
        base = {key: value for key, value in base.items() if key not in {"description", "title"}}
        for branch in branches:
            if not isinstance(branch, dict):
                yield from forms(base)
                continue
            parts = self._parts(branch)
            merged = self._merged(parts)
            again = any(reference_name(part) in self._within for part in parts)
            if again or depth > MAX_JOINS:
                # Joined already: the branch alone accepts more values, and terminates.
                yield from self.alternatives(branch, depth)
            else:
                yield from self._choices(merge(base, merged), depth + 1)
