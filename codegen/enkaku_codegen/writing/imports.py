"""Import statements of each module of a package, and the exports of the package."""

import ast
from collections.abc import Iterable
from typing import Final

from enkaku_codegen.json_values import Json, LongNumber
from enkaku_codegen.planning.plan import Plan
from enkaku_codegen.planning.stdlib import SOURCES
from enkaku_codegen.proving.checks import Checks

from .models import Types, at_run_time

__all__ = ["exports", "imports"]

_WIDEST: Final = 100


def exports(plan: Plan) -> list[str]:
    """Return the names that the package exports, in isort's order."""
    names = [each.name for each in (*plan.types, *plan.errors)]
    constants = [each.constant for each in plan.procedures]
    return sorted([*names, *constants, plan.client, plan.handler], key=_constants_first)


def imports(plan: Plan, types: Types, checks: Checks) -> dict[str, list[str]]:
    """Return the import statements of each module, with empty lines between their groups."""
    named = {each.name for each in plan.types}
    slots = [annotation for each in types.slots.values() for annotation in each.values()]
    data = [*types.errors.values()]
    constants = {each.constant for each in plan.procedures}
    of_methods = [
        *_import(".models", _used(slots) & named),
        *_import(".procedures", constants),
    ]
    runtime = ["import enkaku"]
    return {
        "__init__.py": _groups(
            [
                *_import(".client", {plan.client}),
                *_import(".models", named),
                *_import(".procedures", constants | {each.name for each in plan.errors}),
                *_import(".server", {plan.handler}),
            ]
        ),
        "client.py": _groups(
            _of_library(_used(slots), *_import("typing", {"Unpack"} if constants else ())),
            runtime,
            of_methods,
        ),
        "models.py": _of_models(types),
        "procedures.py": _groups(
            _of_library(
                _used([*slots, *data]),
                *_import("types", {"NoneType"} & {at_run_time(each) for each in (*slots, *data)}),
                *_import("typing", {"Final"} if constants else ()),
            ),
            runtime,
            [
                *_import(".", {"schemas"} if checks.slots else ()),
                *_import(".models", _used([*slots, *data]) & named),
            ],
        ),
        "schemas.py": [
            *_import("decimal", {"Decimal"} if _has_long_numbers(checks) else ()),
            *_import("typing", {"Final"}),
        ],
        "server.py": _groups(
            _of_library(_used(slots), *_import("abc", {"abstractmethod"} if constants else ())),
            runtime,
            of_methods,
        ),
    }


def _has_long_numbers(checks: Checks) -> bool:
    waiting: list[Json] = [each.schema for each in checks.slots.values()]
    waiting += checks.definitions.values()
    while waiting:
        match waiting.pop():
            case LongNumber():
                return True
            case dict() as properties:
                waiting += properties.values()
            case list() as items:
                waiting += items
            case _:
                pass
    return False


def _of_models(types: Types) -> list[str]:
    used: set[str] = set()
    for each in types.named:
        if each.kind == "model":
            used |= {"Model"} | _used(field.annotation for field in each.fields)
            used |= {"ABSENT" for field in each.fields if field.default == "ABSENT"}
        else:
            used |= {"TypeAliasType" if each.late else "TypeAlias"}
            used |= _used([each.annotation])
    return _groups(
        _of_library(
            used, *_import("typing", used & {"Annotated", "Literal", "TypeAlias", "Union"})
        ),
        [
            *_import("enkaku", used & {"ABSENT", "Absent", "Model"}),
            *_import("pydantic", used & {"Field"}),
            *_import("typing_extensions", used & {"TypeAliasType"}),
        ],
    )


def _of_library(used: set[str], *others: str) -> list[str]:
    """Return the imports for formats, and others, in isort's order: whole modules first."""
    return sorted([*others, *(SOURCES[each] for each in used & SOURCES.keys())], key=_modules_first)


def _modules_first(statement: str) -> tuple[bool, str]:
    return statement.startswith("from "), statement


def _groups(*groups: list[str]) -> list[str]:
    """Return groups of statements with an empty line between them."""
    lines: list[str] = []
    for group in groups:
        lines += ["", *group] if lines and group else group
    return lines


def _used(annotations: Iterable[str]) -> set[str]:
    return {
        node.id
        for annotation in annotations
        for node in ast.walk(ast.parse(annotation, mode="eval"))
        if isinstance(node, ast.Name)
    }


def _import(module: str, names: Iterable[str]) -> list[str]:
    ordered = sorted(names, key=_constants_first)
    if not ordered:
        return []
    statement = f"from {module} import {', '.join(ordered)}"
    if len(statement) <= _WIDEST:
        return [statement]
    # In black's style: black is faster if it has nothing to change.
    return [f"from {module} import (", *(f"    {name}," for name in ordered), ")"]


def _constants_first(name: str) -> tuple[bool, str, str]:
    """Return isort's sort key: constants, then classes, each without regard to case."""
    return not (name.isupper() and len(name) > 1), name.lower(), name
