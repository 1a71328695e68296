"""Looks for values that a generated package and JSON Schema judge differently, for as long as it is told to.

It says which seed it uses: with the same one, and the number of a package, it does the same again.
"""

import argparse
import os
import secrets
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

from .compare import Tally, compare_numbered
from .report import describe, summary
from .shrink import shrunk

_PER_PACKAGE = 3900  # some schemas are refused, and on some instances the judges differ

_PER_POOL = 60


def _say(text: str = "") -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m schema.fuzz", description=__doc__)
    parser.add_argument("--instances", type=int, default=1_000_000)
    parser.add_argument("--seed", default=secrets.token_hex(4))
    parser.add_argument("--stop-after", type=int, default=10, metavar="DISAGREEMENTS")
    parser.add_argument("--package", type=int, metavar="NUMBER", help="only this one")
    parser.add_argument("--second", type=float, default=0.5, help="share for the slow judge")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


def _tallies(options: argparse.Namespace) -> Iterator[tuple[int, Tally]]:
    work = partial(compare_numbered, options.seed, second=options.second)
    if options.package is not None:
        yield options.package, work(options.package)
        return
    packages = -(-options.instances // _PER_PACKAGE)
    for start in range(0, packages, _PER_POOL):
        numbers = range(start, min(start + _PER_POOL, packages))
        # New processes now and then: what one has imported stays with it.
        pool = ProcessPoolExecutor(options.workers, get_context("spawn"))
        try:
            yield from zip(numbers, pool.map(work, numbers), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)


def main() -> int:
    options = _arguments()
    _say(f"seed {options.seed}, {options.instances} instances, {options.workers} processes")
    total, start = Tally(), time.monotonic()
    told: list[tuple[str, Any]] = []
    for number, tally in _tallies(options):
        total.add(tally)
        for found in tally.disagreements:
            if len(told) >= options.stop_after:
                break
            small = shrunk(found)
            if (small.kind, small.case.protocol()) not in told:
                told.append((small.kind, small.case.protocol()))
                again = f"--seed {options.seed} --second {options.second} --package {number}"
                _say(f'\n{describe(small)}\n  again: make fuzz FUZZ="{again}"\n')
        rate = total.instances / (time.monotonic() - start)
        _say(
            f"{total.instances} instances of {total.schemas} schemas, {rate:.0f} a second, "
            f"{len(total.disagreements)} disagreements"
        )
        if len(told) >= options.stop_after:
            break
    _say("\n".join(summary(total)))
    return 1 if total.disagreements else 0


if __name__ == "__main__":
    sys.exit(main())
