"""Fuzzer: sends malformed messages to a server and to a client, each in its own process.

It prints its seed; the same seed and batch reproduce the same bytes.
"""

import argparse
import secrets
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Final

from .run import LINES_A_BATCH, SIDES, Outcome, fuzz

_SHOWN: Final = 10


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m soak.fuzz", description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000, help="half to the server")
    parser.add_argument("--seed", default=secrets.token_hex(4))
    parser.add_argument("--batch", metavar="SIDE:NUMBER", help="only this one")
    return parser.parse_args()


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _show(outcome: Outcome, seed: str) -> None:
    blocks, size = outcome.grown
    _print(
        f"{outcome.side}: {outcome.lines} lines in {outcome.seconds:.0f} s, "
        f"{outcome.reached} calls reached; "
        f"memory: {blocks:+d} blocks, {size / 2**20:+.1f} MiB; {len(outcome.found)} findings"
    )
    for found in outcome.found[:_SHOWN]:
        _print(f"  {found}")
    if outcome.found:
        _print(f"  again: --seed {seed} --batch {outcome.found[0].partition(': ')[0]}")


def main() -> int:
    options = _arguments()
    _print(f"seed {options.seed}, {options.lines} lines")
    if options.batch:
        side, _, number = options.batch.partition(":")
        outcomes = [fuzz(side, options.seed, range(int(number), int(number) + 1))]
        _show(outcomes[0], options.seed)
    else:
        batches = range(-(-options.lines // 2 // LINES_A_BATCH))
        outcomes = []
        with ProcessPoolExecutor(len(SIDES), get_context("spawn")) as pool:
            for work in as_completed(
                [pool.submit(fuzz, side, options.seed, batches) for side in SIDES]
            ):
                outcomes.append(work.result())
                _show(outcomes[-1], options.seed)
    return 1 if any(outcome.found for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
