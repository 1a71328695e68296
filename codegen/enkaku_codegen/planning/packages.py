"""Packages that a package imports: the plans that they were generated from, and the names of their types.

In simple schemas, the name of an imported type begins with its module, so that it differs from all types of the package itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.json_values import Schema
from enkaku_codegen.reading.definition import Protocol
from enkaku_codegen.reading.simple_schema import reference_name

from .one_class import with_names
from .plan import ImportedType, Plan

__all__ = ["imported_types", "package_plans", "with_imported"]


def package_plans(protocol: Protocol, make_plan: Callable[[Protocol], Plan]) -> Mapping[str, Plan]:
    """Return the plans of the packages that a protocol refers to, by module.

    Raises:
        ProtocolError: One of them can't be generated.
    """
    used = {each.package for each in protocol.imported.values()}
    errors = (error for procedure in protocol.both_ways for error in procedure.errors)
    used |= {each.package for each in errors if each.package is not None}
    plans: dict[str, Plan] = {}
    for each in used:
        try:
            plans[each.module] = make_plan(each.protocol)
        except ProtocolError as error:
            raise each.document.locate(each.protocol.located(error)) from None
    return dict(sorted(plans.items()))


def imported_types(packages: Mapping[str, Plan]) -> Mapping[str, ImportedType]:
    """Return the types of packages, and those that these import, by their names in simple schemas."""
    found: dict[str, ImportedType] = {}
    for module, plan in packages.items():
        found |= plan.imported
        names = {each.name: f"{module}.{each.name}" for each in plan.types}
        for each in plan.types:
            type_ = replace(with_names(each, names), name=names[each.name])
            found[type_.name] = ImportedType(module, type_)
    return found


def with_imported(
    own: Mapping[str, str], protocol: Protocol, packages: Mapping[str, Plan]
) -> Mapping[str, str]:
    """Return the name of each definition's type in simple schemas.

    A definition that only refers to an imported one with the same name is that one.

    Args:
        own: The names of the types that the package has.
        protocol: The protocol.
        packages: The plans of the packages that it imports.
    """
    names = dict(own)
    for definition, imported in protocol.imported.items():
        module = imported.package.module
        type_ = packages[module].definitions[imported.name]
        names[definition] = type_ if "." in type_ else f"{module}.{type_}"
    for definition, type_ in own.items():
        target = _target(protocol.definitions[definition])
        if target in protocol.imported and names[target].endswith(f".{type_}"):
            names[definition] = names[target]
    return names


def _target(schema: Schema) -> str:
    """Return the definition that a schema only refers to, or nothing."""
    if isinstance(schema, dict) and schema.keys() == {"$ref"}:
        return reference_name(schema) or ""
    return ""
