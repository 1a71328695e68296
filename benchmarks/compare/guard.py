"""Performance regression check: ``make bench-check``. It counts instructions, so that other load on the machine has no effect.

Enkaku and the baseline run the same workloads under valgrind's callgrind. For each workload, the ratio of their instructions
is compared with the recorded one in ``benchmarks/ratios.json``, which is valid for one version of Python and of the
runtime's dependencies. After an intended change of the cost, ``make bench-renew`` records the ratios again.
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
from compare.suites import SUITES
from compare.workloads import WORKLOADS

__all__: list[str] = []

OURS: Final = "enkaku"
BASELINE: Final = SUITES["compare"].baseline
TOLERANCE: Final = 0.03
RATIOS: Final = ROOT / "benchmarks" / "ratios.json"
_TIMEOUT: Final = 600.0  # seconds
_LIBRARIES: Final = ("pydantic", "pydantic-core", "msgspec")

Counts: TypeAlias = dict[str, float]
"""Instructions for a message, by workload."""


class Recorded(BaseModel):
    """The recorded ratios, and the versions that they are valid for.

    Attributes:
        python: The version of Python: major and minor.
        libraries: The versions of the runtime's dependencies.
        ratios: Instructions of Enkaku divided by those of the baseline, by workload.
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
        processes = {peer: _start(peer, Path(directory)) for peer in (BASELINE, OURS)}
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
    # A fixed hash seed, so that the order of sets does not differ from run to run.
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "benchmarks"), "PYTHONHASHSEED": "0"}
    return subprocess.Popen(  # noqa: S603 # ours
        [*command, *options],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _read(directory: Path, peer: str) -> Counts:
    """Read the counts between each two marks; the first file has the instructions before them."""
    found: Counts = {}
    for index, (name, messages) in enumerate(COUNTS.items()):
        path = directory / f"{peer}.{2 * index + 2}"
        match = re.search(r"^(?:summary|totals): (\d+)", path.read_text(), re.MULTILINE)
        if match is None:
            raise SystemExit(f"{path.name}: callgrind has written no summary or totals line")
        found[name] = int(match[1]) / messages
    return found


def find_slower(recorded: Recorded, counts: dict[str, Counts]) -> list[str]:
    """Print the counts, and return the workloads that have become slower."""
    slower: list[str] = []
    heads = (BASELINE, OURS, f"x {BASELINE}", "recorded", "change")
    print(f"  {'instructions a message':<24}" + "".join(f"{head:>12}" for head in heads))
    for name, ours in counts[OURS].items():
        baseline, expected = counts[BASELINE][name], recorded.ratios[name]
        ratio = ours / baseline
        change = ratio / expected - 1
        if change > TOLERANCE:
            slower.append(name)
        title = WORKLOADS[name].title.rpartition(", ")[0]
        figures = f"{baseline:12,.0f}{ours:12,.0f}{ratio:12.3f}{expected:12.3f}{change:+12.1%}"
        print(f"  {title:<24}{figures}{'  SLOWER' if name in slower else ''}")
    return slower


def check() -> int:
    """Compare the ratios with the recorded ones, and return the exit code."""
    recorded, here = Recorded.model_validate_json(RATIOS.read_bytes()), _versions()
    if recorded.python != here.python:
        print(f"skipped: recorded for Python {recorded.python}, but this is {here.python}")
        return 0
    if recorded.libraries != here.libraries:
        print(f"  (recorded with {recorded.libraries}, but these are {here.libraries})")
    slower = find_slower(recorded, count())
    for name in slower:
        print(f"{name}: slower by more than {TOLERANCE:.0%}", file=sys.stderr)
    return 1 if slower else 0


def renew() -> int:
    """Record the ratios again, and return the exit code."""
    counts = count()
    ratios = {name: round(counts[OURS][name] / counts[BASELINE][name], 4) for name in COUNTS}
    recorded = _versions().model_copy(update={"ratios": ratios})
    RATIOS.write_text(json.dumps(recorded.model_dump(), indent=2) + "\n")
    find_slower(recorded, counts)
    return 0


def _versions() -> Recorded:
    return Recorded(
        python=".".join(map(str, sys.version_info[:2])),
        libraries={name: importlib.metadata.version(name) for name in _LIBRARIES},
        ratios={},
    )


def main() -> int:
    """Check the ratios, or record them again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renew", action="store_true", help="record the ratios again")
    return renew() if parser.parse_args().renew else check()


if __name__ == "__main__":
    sys.exit(main())
