"""Names of the files of a package, which are known before a template is rendered."""

from typing import Final

from enkaku_codegen.planning.plan import Plan
from enkaku_codegen.proving.checks import Checks

__all__ = ["PYTHON_FILES", "TYPESCRIPT_FILES", "python_files", "typescript_files"]

_SCHEMAS: Final = "schemas.py"
_CALLBACKS: Final = "callbacks.py"
_SYNC_CLIENT: Final = "sync_client.py"
_TYPES: Final = "client.d.ts"

PYTHON_FILES: Final = (
    "__init__.py",
    _CALLBACKS,
    "client.py",
    "description.py",
    "models.py",
    "procedures.py",
    "py.typed",
    _SCHEMAS,
    "server.py",
    _SYNC_CLIENT,
)
"""All that a package in Python can have."""

TYPESCRIPT_FILES: Final = ("client.js", _TYPES, "protocol.ts")
"""All that a package in TypeScript can have."""

_FILES_OF_TYPES: Final = ("__init__.py", "models.py", "py.typed")


def python_files(plan: Plan, checks: Checks, *, sync: bool) -> list[str]:
    """Return the names of the files of a package in Python."""
    left_out = {_SCHEMAS} if not checks.slots else set[str]()
    left_out |= {_CALLBACKS} if not plan.callbacks else set()
    left_out |= {_SYNC_CLIENT} if not sync else set()
    files = PYTHON_FILES if plan.procedures else _FILES_OF_TYPES
    return [name for name in files if name not in left_out]


def typescript_files(plan: Plan) -> list[str]:
    """Return the names of the files of a package in TypeScript."""
    return [*TYPESCRIPT_FILES] if plan.both_ways else [_TYPES]
