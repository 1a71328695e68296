"""Durations of command lines, such as ``30s``."""

import argparse
import re
from typing import Final

__all__ = ["duration"]

_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)?")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST: Final = 86_400.0 * 365


def duration(text: str) -> float:
    """Read a duration in seconds, which is more than 0: for ``type=`` of argparse.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    match = _DURATION.fullmatch(text)
    seconds = 0.0 if match is None else float(match[1]) * _SECONDS[match[2] or "s"]
    if not 0 < seconds <= _LONGEST:
        raise argparse.ArgumentTypeError(
            f"expected a time, such as 2.5 (seconds), 500ms, 30s, 5m or 1h; got {text!r}"
        )
    return seconds
