"""Entry point of ``enkaku`` and ``python -m enkaku_codegen``."""

import gc
import sys

__all__ = ["main"]


def main() -> int:
    """Run the command line, and return the exit code."""
    # With the default thresholds, garbage collection takes half the time of a large package. The heap stays below
    # a few hundred megabytes without it.
    gc.set_threshold(50_000, 20, 50)
    try:
        # Imported here, so that SIGINT during the import prints no traceback.
        from .commands.main import run  # noqa: PLC0415 # see above

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
