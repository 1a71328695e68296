"""Command line of the comparison: ``PYTHONPATH=benchmarks python -m compare``, or ``make bench``, ``make bench-web``."""

import argparse
import os
import platform
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from compare.environments import ROOT, Failed, missing_of, python_of
from compare.measuring import measure
from compare.peer import MODULES
from compare.plot import draw
from compare.results import Case, Comparison
from compare.serve import LOOPS
from compare.suites import SUITES
from compare.table import render
from compare.workloads import WORKLOADS

_RESULTS: Final = ROOT / "benchmarks" / "results"


def compare(options: argparse.Namespace) -> Comparison:
    """Measure, and save the results after each round.

    Rounds are interleaved over peers, so that other load on the machine affects all alike.
    """
    found = Comparison(
        suite=options.suite,
        python=platform.python_version(),
        machine=f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
    )
    pythons = dict[str, Path]()
    for peer in options.peers:
        try:
            pythons[peer] = python_of(peer)
        except Failed as error:
            found.problems[peer] = f"cannot be installed: {error}"
    found.cases = [
        Case(
            peer=peer,
            loop=loop,
            workload=workload,
            missing=missing_of(peer).get(workload, ""),
        )
        for loop in options.loops
        for workload in options.workloads
        for peer in pythons
    ]
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", flush=True)
        run_round(found.cases, pythons, options.scale)
        (_RESULTS / f"{options.name}.json").write_text(found.model_dump_json(indent=1) + "\n")
    return found


def run_round(cases: Iterable[Case], pythons: dict[str, Path], scale: float) -> None:
    """Measure every case once; skip those that have failed, or cannot run."""
    for case in cases:
        if case.problem or case.missing:
            continue
        try:
            measured = measure(pythons[case.peer], case.peer, case.loop, case.workload, scale)
        except Failed as error:
            case.problem = str(error)
            print(f"  {case.peer}, {case.workload}, {case.loop}: {error}", flush=True)
        else:
            case.rounds.append(measured)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="compare", description=__doc__)
    parser.add_argument("--suite", choices=SUITES, default="compare")
    parser.add_argument("--peers", nargs="+", choices=MODULES, help="default: those of the suite")
    parser.add_argument(
        "--workloads", nargs="+", choices=WORKLOADS, help="default: those of the suite"
    )
    parser.add_argument("--loops", nargs="+", choices=LOOPS, default=list(LOOPS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=0.5, help="CPU seconds of a round, about")
    parser.add_argument("--name", help="of the files in benchmarks/results; default: the suite's")
    parser.add_argument(
        "--show", type=Path, metavar="JSON", help="print the results of an earlier run"
    )
    options = parser.parse_args()
    suite = SUITES[options.suite]
    options.peers = options.peers or list(suite.peers)
    options.workloads = options.workloads or list(suite.workloads)
    options.name = options.name or options.suite
    return options


def main() -> None:
    """Measure, print and save the results."""
    options = parse_options()
    # As Ctrl-C does: otherwise the peers' processes would outlive this one.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if options.show:
        found = Comparison.model_validate_json(options.show.read_bytes())
    else:
        _RESULTS.mkdir(exist_ok=True)
        found = compare(options)
        draw(found, _RESULTS / options.name)
    print(render(found))


if __name__ == "__main__":
    main()
