"""The guard against becoming slower: ``make bench-check``. It counts instructions, so that it holds on a busy machine.

Enkaku and the floor go through the same workloads under valgrind's callgrind, and what is compared is how many times
the floor's instructions Enkaku needs for them: with ``benchmarks/baseline.json``, which holds for a version of Python
and of what the runtime is built on. Whoever changes the cost on purpose renews it: ``make bench-renew``.
"""

import argparse
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, TypeAlias

from pydantic import BaseModel, ConfigDict

from compare.counted import COUNTS, MARK
from compare.environments import ROOT
from compare.results import FLOOR
from compare.workloads import WORKLOADS

__all__: list[str] = []

OURS: Final = "enkaku"
TOLERANCE: Final = 0.03
BASELINE: Final = ROOT / "benchmarks" / "baseline.json"
_TIMEOUT: Final = 600.0  # seconds
_LIBRARIES: Final = ("pydantic", "pydantic-core", "msgspec")

Counts: TypeAlias = dict[str, float]
"""Instructions for a message, by workload."""


class Baseline(BaseModel):
    """What Enkaku has cost.

    Attributes:
        python: The version that this holds for: the first two numbers.
        libraries: The versions of what the runtime is built on.
        ratios: Instructions of Enkaku for one of the floor, by workload.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    python: str
    libraries: dict[str, str]
    ratios: dict[str, float]


def count() -> dict[str, Counts]:
    """Count the instructions of both peers, at the same time."""
    if shutil.which("valgrind") is None:
        raise SystemExit("bench-check counts instructions with valgrind, which is not installed")
    with tempfile.TemporaryDirectory(prefix="enk-") as directory:
        processes = {peer: _start(peer, Path(directory)) for peer in (FLOOR, OURS)}
        try:
            for peer, process in processes.items():
                _, errors = process.communicate(timeout=_TIMEOUT)
                if process.returncode:
                    raise SystemExit(f"{peer} failed under valgrind:\n{errors}")
        finally:
            for process in processes.values():
                process.kill()
        return {peer: _read(Path(directory), peer) for peer in processes}


def _start(peer: str, directory: Path) -> subprocess.Popen[str]:
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={directory}/{peer}"]
    options = [f"--dump-before={MARK}", sys.executable, "-m", "compare.counted", peer]
    # Neither the order of sets nor that of dictionaries of objects may differ from run to run.
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "benchmarks"), "PYTHONHASHSEED": "0"}
    return subprocess.Popen(  # noqa: S603 # ours
        [*command, *options],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _read(directory: Path, peer: str) -> Counts:
    """Read the counts between each two marks: the first file is what came before all of them."""
    found: Counts = {}
    for place, (name, messages) in enumerate(COUNTS.items()):
        path = directory / f"{peer}.{2 * place + 2}"
        match = re.search(r"^(?:summary|totals): (\d+)", path.read_text(), re.MULTILINE)
        if match is None:
            raise SystemExit(f"{path.name}: callgrind has written no sum")
        found[name] = int(match[1]) / messages
    return found


def judge(baseline: Baseline, counts: dict[str, Counts]) -> list[str]:
    """Print what was counted, and give the workloads that have become slower."""
    slower: list[str] = []
    heads = ("floor", OURS, "x floor", "baseline", "change")
    print(f"  {'instructions a message':<24}" + "".join(f"{head:>12}" for head in heads))
    for name, ours in counts[OURS].items():
        floor, expected = counts[FLOOR][name], baseline.ratios[name]
        change = ours / floor / expected - 1
        if change > TOLERANCE:
            slower.append(name)
        title = WORKLOADS[name].title.rpartition(", ")[0]
        figures = f"{floor:12,.0f}{ours:12,.0f}{ours / floor:12.3f}{expected:12.3f}{change:+12.1%}"
        print(f"  {title:<24}{figures}{'  SLOWER' if name in slower else ''}")
    return slower


def check() -> int:
    """Compare with the baseline; give the exit code."""
    baseline, here = Baseline.model_validate_json(BASELINE.read_bytes()), _versions()
    if baseline.python != here.python:
        wanted = f"The baseline holds for Python {baseline.python}, and this is {here.python}"
        print(f"{wanted}: nothing is checked.")
        return 0
    if baseline.libraries != here.libraries:
        print(f"  (The baseline is of {baseline.libraries}, and this is {here.libraries}.)")
    slower = judge(baseline, count())
    for name in slower:
        print(f"{name} has become slower by more than {TOLERANCE:.0%}", file=sys.stderr)
    return 1 if slower else 0


def renew() -> int:
    """Write the baseline anew; give the exit code."""
    counts = count()
    ratios = {name: round(counts[OURS][name] / counts[FLOOR][name], 4) for name in COUNTS}
    baseline = _versions().model_copy(update={"ratios": ratios})
    BASELINE.write_text(json.dumps(baseline.model_dump(), indent=2) + "\n")
    judge(baseline, counts)
    return 0


def _versions() -> Baseline:
    return Baseline(
        python=".".join(map(str, sys.version_info[:2])),
        libraries={name: importlib.metadata.version(name) for name in _LIBRARIES},
        ratios={},
    )


def main() -> int:
    """Check, or renew the baseline."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renew", action="store_true", help="write the baseline anew")
    return renew() if parser.parse_args().renew else check()


if __name__ == "__main__":
    sys.exit(main())
