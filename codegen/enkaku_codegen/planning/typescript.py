"""Names of methods in TypeScript, and of what makes a handler; all other names are those of the Python package."""

import json
from collections.abc import Mapping

from enkaku_codegen.errors import Issue, ProtocolError

from .names import Namespace, typescript_method_name
from .plan import Plan

__all__ = ["method_names", "serve_name"]


def method_names(plan: Plan) -> Mapping[str, str]:
    """Return the name of the method for each procedure and callback, by its constant.

    Raises:
        ProtocolError: Some procedures have one name; it has all such pairs.
    """
    issues: list[Issue] = []
    names: dict[str, str] = {}
    for where, noun, procedures in (
        ("the client", "procedure", plan.procedures),
        ("the handler of the callbacks", "callback", plan.callbacks),
    ):
        methods = Namespace(where)
        for each in procedures:
            procedure = each.procedure
            wanted = procedure.python_name
            name = typescript_method_name(wanted if isinstance(wanted, str) else procedure.name)
            owner = f"the {noun} {json.dumps(procedure.name)}"
            issues += methods.reserve(name, owner, procedure.pointer)
            names[each.constant] = name
    if issues:
        raise ProtocolError(issues)
    return names


def serve_name(plan: Plan) -> str:
    """Return the name of the function that makes a handler for the callbacks."""
    return f"serve{plan.callbacks_handler.removesuffix('Handler')}"
