"""Names of the client's methods in TypeScript; all other names are those of the Python package."""

import json
from collections.abc import Mapping

from enkaku_codegen.errors import Issue, ProtocolError

from .names import Namespace, typescript_method_name
from .plan import Plan

__all__ = ["method_names"]


def method_names(plan: Plan) -> Mapping[str, str]:
    """Return the name of the method for each procedure, by the procedure's constant.

    Raises:
        ProtocolError: Some procedures have one name; it has all such pairs.
    """
    methods, issues = Namespace("the client"), list[Issue]()
    names: dict[str, str] = {}
    for each in plan.procedures:
        procedure = each.procedure
        wanted = procedure.python_name
        name = typescript_method_name(wanted if isinstance(wanted, str) else procedure.name)
        owner = f"the procedure {json.dumps(procedure.name)}"
        issues += methods.reserve(name, owner, procedure.pointer)
        names[each.constant] = name
    if issues:
        raise ProtocolError(issues)
    return names
