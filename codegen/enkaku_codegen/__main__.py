"""``enkaku`` and ``python -m enkaku_codegen``."""

import gc
import sys

from .commands.main import run

__all__ = ["main"]


def main() -> int:
    """Run the command line; say what to install where the generator's dependencies are missing."""
    # The heap grows to hundreds of megabytes at most, and collecting it early would take half the time.
    gc.set_threshold(50_000, 20, 50)
    try:
        return run()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in {"enkaku", "enkaku_codegen"}:
            raise
        print(  # noqa: T201 # the command line without its dependencies
            f"enkaku: the generator needs {error.name}: run pip install 'enkaku[codegen]'",
            file=sys.stderr,
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
