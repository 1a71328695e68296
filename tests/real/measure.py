"""Prints the time and memory that it takes to generate, import and type-check packages of real schemas.

For example::

    PYTHONPATH=tests python -m real.measure cdp obs lsp

Each step is a process of its own. Its memory is the largest resident size of that process, or of one that it started.
This module imports little: Linux counts the size of the starting process, too.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

PROTOCOLS: Final = Path(__file__).parent / "protocols"
STEPS: Final = {
    "generate": ["-m", "enkaku_codegen", "generate", "{protocol}", "--out", "{package}"],
    "import": ["-c", "import {package}"],
    "pyright": ["-m", "pyright", "--pythonpath", sys.executable],
    "mypy": ["-m", "mypy", "--strict", "--config-file", "", "--cache-dir", "cache", "."],
}
SETTINGS: Final = {"include": ["."], "typeCheckingMode": "strict", "pythonVersion": "3.11"}


def measured(command: list[str], directory: Path) -> tuple[float, int]:
    """Run Python with a command line, and return how many seconds and megabytes it took."""
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, *command], cwd=directory) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return time.perf_counter() - began, used.ru_maxrss // 1024


def main(*names: str) -> None:
    for name in names:
        with tempfile.TemporaryDirectory() as directory:
            package = f"real_{name}"
            (Path(directory) / "pyrightconfig.json").write_text(json.dumps(SETTINGS))
            for step, command in STEPS.items():
                places = {"protocol": str(PROTOCOLS / f"{name}.json"), "package": package}
                filled = [each.format_map(places) for each in command]
                seconds, megabytes = measured(filled, Path(directory))
                sys.stdout.write(f"{name:10} {step:10} {seconds:6.1f} s {megabytes:6} MB\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main(*(sys.argv[1:] or sorted(path.stem for path in PROTOCOLS.glob("*.json"))))
