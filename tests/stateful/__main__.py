"""Model-based test: runs random programs on a client and a server, and compares both with a model after each step.

It prints its seed; the same seed and batch number run the same programs.
"""

import argparse
import os
import secrets
import sys

from .loop import Clock, SteppedLoop
from .program import run
from .search import search, search_batch

_SHOWN = 3


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m stateful", description=__doc__)
    parser.add_argument("--programs", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", default=secrets.token_hex(4))
    parser.add_argument("--batch", type=int, help="only this one")
    parser.add_argument("--program", metavar="HEX", help="only this one, as printed with a failure")
    return parser.parse_args()


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    options = _arguments()
    if options.program:
        run(SteppedLoop(Clock()), bytes.fromhex(options.program))
        return 0
    _print(f"seed {options.seed}, {options.programs} programs")
    if options.batch is not None:
        outcome = search_batch(options.batch, options.seed)
    else:
        outcome = search(options.programs, options.seed, processes=options.processes, loudly=True)
    _print(f"{outcome.programs} programs, {len(outcome.found)} findings")
    for what, count in [*sorted(outcome.steps.items()), *sorted(outcome.reached.items())]:
        _print(f"{count:12}  {what if isinstance(what, str) else ' '.join(what)}")
    for found in outcome.found[:_SHOWN]:
        _print(f"\n{found}")
    return 1 if outcome.found else 0


if __name__ == "__main__":
    sys.exit(main())
