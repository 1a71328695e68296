"""Rules for keywords that apply to the properties of objects."""

import json
from collections.abc import Iterator, Mapping
from typing import Final

from enkaku_codegen.json_values import Json
from enkaku_codegen.planning.pattern import portable
from enkaku_codegen.reading.simple_schema import (
    ANYTHING,
    SimpleSchema,
    as_dict,
    as_list,
    reference_name,
)

from .case import Case, Proof, Reason, Rule
from .value_sets import Constant, Map, Object, ValueSet

__all__ = ["RULES"]

_ANY_TEXT: Final[SimpleSchema] = {"type": "string"}
_DEEPEST: Final = 20


def _properties(case: Case, value: Json) -> Iterator[Reason]:
    for key, schema in as_dict(value).items():
        match case.values:
            case Object(plan):
                field = next((each for each in plan.fields if each.key == key), None)
                if field is not None:
                    yield from case.below(field.schema, schema, key)
                elif not plan.closed:
                    yield from case.below(ANYTHING, schema, key)
            case Map(values):
                yield from case.below(values, schema, key)
            case _:
                pass


def _required(case: Case, value: Json) -> Iterator[Reason]:
    match case.values:
        case Object(plan):
            there = {field.key for field in plan.fields if field.required}
        case Map():
            there = set[str]()
        case _:
            return
    for key in as_list(value):
        if key not in there:
            yield from case.reason(f"the type does not require the property {json.dumps(key)}")


def _additional_properties(case: Case, value: Json) -> Iterator[Reason]:
    known = as_dict(case.schema.get("properties"))
    match case.values:
        case Object(plan):
            for field in plan.fields:
                if field.key not in known:
                    yield from case.below(field.schema, value)
            if not plan.closed:
                yield from case.below(ANYTHING, value)
        case Map(values, keys) if keys.get("pattern") not in _patterns(case.schema):
            yield from case.below(values, value)
        case _:
            pass


def _patterns(schema: SimpleSchema) -> set[str]:
    texts = map(portable, as_dict(schema.get("patternProperties")))
    return {text for text in texts if text is not None}


def _pattern_properties(case: Case, value: Json) -> Iterator[Reason]:
    for pattern, schema in as_dict(value).items():
        match case.values:
            case Object(plan):
                for field in plan.fields:
                    yield from case.below(field.schema, schema, pattern)
                if not plan.closed:
                    yield from case.below(ANYTHING, schema, pattern)
            case Map(values):
                yield from case.below(values, schema, pattern)
            case _:
                pass


def _property_names(case: Case, value: Json) -> Iterator[Reason]:
    match case.values:
        case Object(plan):
            for field in plan.fields:
                yield from case.proof.reasons_for_values(Constant(field.key), value, case.path)
            if not plan.closed:
                yield from case.below(_ANY_TEXT, value)
        case Map(_, keys):
            yield from case.below(keys, value)
        case _:
            pass


def _may_have(values: ValueSet, key: str) -> bool:
    match values:
        case Object(plan):
            return not plan.closed or any(field.key == key for field in plan.fields)
        case Map():
            return True
        case _:
            return False


def _dependent_required(case: Case, value: Json) -> Iterator[Reason]:
    for key, names in as_dict(value).items():
        if _may_have(case.values, key):
            yield from _required(case, names)


def _dependent_schemas(case: Case, value: Json) -> Iterator[Reason]:
    for key, schema in as_dict(value).items():
        if _may_have(case.values, key):
            yield from case.same(schema, key)


def _unevaluated_properties(case: Case, value: Json) -> Iterator[Reason]:
    if case.values.kind != "object" or value in (True, {}):
        return
    closed = isinstance(case.values, Object) and case.values.plan.closed
    keys = (
        {field.key for field in case.values.plan.fields}
        if isinstance(case.values, Object)
        else set[str]()
    )
    if not (closed and keys <= _evaluated(case.proof, case.schema)):
        yield from case.reason("depends on other keywords, which a Python type cannot express")


def _evaluated(proof: Proof, schema: Json, depth: int = 0) -> set[str]:
    """Return the names of the properties that a schema always evaluates, with its ``allOf`` and reference."""
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return set()
    names = {*as_dict(schema.get("properties"))}
    parts = as_list(schema.get("allOf"))
    reference = reference_name(schema)
    if reference is not None:
        parts = [*parts, proof.definitions.get(reference, False)]
    return names.union(*(_evaluated(proof, each, depth + 1) for each in parts))


RULES: Final[Mapping[str, Rule]] = {
    "additionalProperties": _additional_properties,
    "dependentRequired": _dependent_required,
    "dependentSchemas": _dependent_schemas,
    "patternProperties": _pattern_properties,
    "properties": _properties,
    "propertyNames": _property_names,
    "required": _required,
    "unevaluatedProperties": _unevaluated_properties,
}
"""The rule for each keyword."""
