"""Discriminator of a union of classes: the property whose constants are different in each class."""

from collections.abc import Mapping

from enkaku_codegen.planning.plan import FieldPlan, ObjectPlan, TypePlan
from enkaku_codegen.proving.value_sets import Constant, Object, Plain, value_sets
from enkaku_codegen.reading.simple_schema import SimpleSchema

__all__ = ["discriminator"]


def discriminator(simple: SimpleSchema, types: Mapping[str, TypePlan]) -> str | None:
    """Return the attribute that is the discriminator of a union; None if there is none.

    Each class must require the property, with string constants that no other class has. A property whose
    attribute has another name is not used: pydantic's errors would have the name of the attribute.
    """
    if "anyOf" not in simple:
        return None
    parts = [*value_sets(simple, types)]
    classes = [each.plan for each in parts if isinstance(each, Object)]
    nulls = sum(each == Plain("null") for each in parts)
    if len(classes) < 2 or len(classes) + nulls < len(parts):
        return None
    for field in classes[0].fields:
        seen: set[str] = set()
        named_alike = field.key == field.attribute
        if named_alike and all(_has_own_constants(each, field, seen, types) for each in classes):
            return field.attribute
    return None


def _has_own_constants(
    plan: ObjectPlan, field: FieldPlan, seen: set[str], types: Mapping[str, TypePlan]
) -> bool:
    same = [each for each in plan.fields if each.key == field.key and each.required]
    if not same or same[0].attribute != field.attribute:
        return False
    for values in value_sets(same[0].schema, types):
        if (
            not (isinstance(values, Constant) and isinstance(values.value, str))
            or values.value in seen
        ):
            return False
        seen.add(values.value)
    return True
