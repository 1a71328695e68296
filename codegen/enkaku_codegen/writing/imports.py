"""Import statements of each module of a package, and the exports of the package."""

import ast
import builtins
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final

from enkaku_codegen.json_values import Json, LongNumber
from enkaku_codegen.planning.imported import IMPORTED
from enkaku_codegen.planning.plan import Plan, ProcedurePlan
from enkaku_codegen.proving.checks import Checks

from .models import Types

__all__ = ["exports", "imports"]

_WIDEST: Final = 100
_LATE: Final = frozenset({"TYPE_CHECKING", "TypeAliasType"})
_BUILTIN: Final = frozenset(dir(builtins))


def exports(plan: Plan, *, sync: bool) -> list[str]:
    """Return the names that the package exports, in isort's order."""
    ends = [plan.client, plan.handler] if plan.procedures else []
    ends += [plan.callbacks_client, plan.callbacks_handler] if plan.callbacks else []
    if plan.procedures and sync:
        ends.append(plan.sync_client)
    names = [each.name for each in (*plan.types, *plan.errors)]
    constants = [each.constant for each in plan.both_ways]
    return sorted([*names, *constants, *ends], key=_constants_first)


def imports(plan: Plan, types: Types, checks: Checks, *, sync: bool) -> dict[str, list[str]]:
    """Return the import statements of each module, with empty lines between their groups."""
    named = {each.name for each in plan.types}
    slots = [annotation for each in types.slots.values() for annotation in each.values()]
    in_slots = _used([*slots, *types.errors.values(), *types.values.values()]) - _BUILTIN
    constants = {each.constant for each in plan.both_ways}
    errors = {each.name for each in plan.imported_errors}
    outside = partial(_outside, modules=plan.modules)

    def of_methods(
        procedures: Iterable[ProcedurePlan], *others: str, runtime: str = "enkaku"
    ) -> list[str]:
        """Return the imports of a module with a method for each procedure, and the other names that it needs."""
        wanted = {each.constant for each in procedures}
        used = _used(each for name in wanted for each in types.slots[name].values())
        own = [*_import("from .models", used & named), *_import("from .procedures", wanted)]
        return outside({runtime} | (used - named) | set(others if wanted else ()), own)

    return {
        "__init__.py": _groups(
            [
                *_import(
                    "from .callbacks",
                    {plan.callbacks_client, plan.callbacks_handler} if plan.callbacks else (),
                ),
                *_import("from .client", {plan.client} if plan.procedures else ()),
                *_import("from .models", named),
                *_import("from .procedures", constants | {each.name for each in plan.errors}),
                *_import("from .server", {plan.handler} if plan.procedures else ()),
                *_import(
                    "from .sync_client", {plan.sync_client} if plan.procedures and sync else ()
                ),
            ]
        ),
        "callbacks.py": of_methods(plan.callbacks, "Unpack", "abstractmethod"),
        "client.py": of_methods(plan.procedures, "Unpack"),
        "models.py": outside(_in_models(types) - named),
        "procedures.py": outside(
            {"enkaku"} | (in_slots - named) | errors | ({"Final"} if constants else set()),
            [
                *_import("from .", {"schemas"} if checks.slots else ()),
                *_import("from .models", in_slots & named),
            ],
        ),
        "schemas.py": outside({"Final"} | ({"Decimal"} if _has_long_numbers(checks) else set())),
        "server.py": of_methods(plan.procedures, "abstractmethod"),
        "sync_client.py": of_methods(plan.procedures, "Unpack", runtime="enkaku.sync"),
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


def _in_models(types: Types) -> set[str]:
    used: set[str] = set()
    for each in types.named:
        if each.kind == "model":
            used |= {"Model"} | _used(field.annotation for field in each.fields)
            used |= _used(field.default for field in each.fields if field.default is not None)
        else:
            used |= {"TypeAlias"} | (_LATE if each.late else set())
            used |= _used([each.annotation])
    return used


def _outside(used: set[str], own: Iterable[str] = (), *, modules: Mapping[str, str]) -> list[str]:
    """Return the import statements of a module in isort's order: whole modules first, and relative ones last.

    Args:
        used: The names that are used and not the package's own.
        own: The statements for those of the package itself.
        modules: The modules of the names of other generated packages.
    """
    starts: dict[str, set[str]] = {}
    for name in used - _BUILTIN:
        start = f"from {modules[name]}" if name in modules else IMPORTED[name]
        starts.setdefault(start, set()).add(name)
    standard: list[str] = []
    others: list[str] = []
    relative: list[str] = []
    for start in sorted(starts, key=lambda start: (start.startswith("from "), start)):
        module = start.split()[1]
        absolute = standard if module in sys.stdlib_module_names else others
        (relative if module.startswith(".") else absolute).extend(_import(start, starts[start]))
    return _groups(standard, others, [*relative, *own])


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


def _import(start: str, names: Iterable[str]) -> list[str]:
    """Return the lines of a statement that starts with ``from MODULE``, or is ``import MODULE``."""
    ordered = sorted(names, key=_constants_first)
    if not ordered:
        return []
    if not start.startswith("from "):
        return [start]
    statement = f"{start} import {', '.join(ordered)}"
    if len(statement) <= _WIDEST:
        return [statement]
    # In black's style: black is faster if it has nothing to change.
    return [f"{start} import (", *(f"    {name}," for name in ordered), ")"]


def _constants_first(name: str) -> tuple[bool, str, str]:
    """Return isort's sort key: constants, then classes, each without regard to case."""
    return not (name.isupper() and len(name) > 1), name.lower(), name
