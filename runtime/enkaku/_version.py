"""The version of this runtime, and the check that generated code makes when it is imported."""

from typing import Final

from .errors import IncompatibleRuntime

__all__ = ["VERSION", "require_runtime"]

VERSION: Final = "0.1.0"


def require_runtime(oldest: str) -> None:
    """Refuse to go on with a runtime older than generated code needs.

    Args:
        oldest: The lowest version that will do, as numbers with dots, such as ``"0.1"``.

    Raises:
        IncompatibleRuntime: This runtime is older.
    """
    if _numbers(VERSION) < _numbers(oldest):
        raise IncompatibleRuntime(
            f"this generated code needs enkaku {oldest} or newer, and {VERSION} is installed: "
            f"run pip install 'enkaku>={oldest}', or generate the code again"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
