"""Version of the runtime, and the check that generated code makes when it is imported."""

from typing import Final

from .errors import IncompatibleRuntime

__all__ = ["VERSION", "require_runtime"]

VERSION: Final = "0.1.0"


def require_runtime(oldest: str) -> None:
    """Raise IncompatibleRuntime if this runtime is older than generated code requires.

    Args:
        oldest: The lowest version that suffices, as numbers with dots, such as ``"0.1"``.

    Raises:
        IncompatibleRuntime: This runtime is older.
    """
    if _numbers(VERSION) < _numbers(oldest):
        raise IncompatibleRuntime(
            f"this generated code needs enkaku {oldest} or newer; {VERSION} is installed. "
            f"Run pip install 'enkaku>={oldest}', or generate the code again"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
