"""Waiting for changes of files, by polling: it works on every file system, and over those of containers."""

import time
from collections.abc import Callable
from typing import Final, NoReturn

from enkaku_codegen.inputs import Inputs, recorded, state

__all__ = ["watch"]

_INTERVAL: Final = 0.3
_PAUSE: Final = 0.05
_MOST_PAUSES: Final = 20


def watch(run: Callable[[], object]) -> NoReturn:
    """Run something again whenever a file has changed that its last run has read, or has looked for. SIGINT ends it."""
    while True:
        with recorded() as inputs:
            run()
        _wait_for_change(inputs)


def _wait_for_change(inputs: Inputs) -> None:
    while all(state(path) == known for path, known in inputs.items()):
        time.sleep(_INTERVAL)
    # An editor writes a file in several steps, and Git several files: the run begins when they have finished.
    for _ in range(_MOST_PAUSES):
        before = {path: state(path) for path in inputs}
        time.sleep(_PAUSE)
        if all(state(path) == known for path, known in before.items()):
            return
