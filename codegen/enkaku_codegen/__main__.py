"""Entry point of ``enkaku`` and ``python -m enkaku_codegen``."""

import gc
import sys

from .commands.main import run

__all__ = ["main"]


def main() -> int:
    """Run the command line; report what to install if a dependency of the generator is missing."""
    # With the default thresholds, garbage collection takes half the time of a large package. The heap stays below
    # a few hundred megabytes without it.
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
