"""Soak test: many users call a server for a long time while processes are killed.

It exits with 1 if a call, task or descriptor leaked, if memory grew, or if a reply was wrong.
"""

import argparse
import asyncio
import secrets
import sys

from .report import evaluate, faults, table
from .run import Plan, soak

_SHOWN = 10


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=600.0)
    parser.add_argument("--connections", type=int, default=1_000)
    parser.add_argument("--clients", type=int, default=4, help="processes, at least two")
    parser.add_argument("--think", type=float, default=10.0, help="seconds between two actions")
    parser.add_argument("--seed", default=secrets.token_hex(4))
    return parser.parse_args()


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    options = _arguments()
    plan = Plan(**vars(options))
    _print(f"{plan.connections} connections for {plan.seconds:g} s, seed {plan.seed}")
    record = asyncio.run(soak(plan))
    rows = evaluate(plan, record)
    _print("\n".join(table(rows)))
    for fault in list(faults(record))[:_SHOWN]:
        _print(f"\n{fault}")
    return 1 if any(row.right is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
