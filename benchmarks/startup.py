"""Startup benchmark: CPU time of imports and of the command line, in fresh interpreters.

    make bench-startup

The processes of a round run one after the other, so that other load affects all alike. The figures are medians and the range.
The package ``ten`` has ten procedures: six requests, two streams, a channel and an event. ``many`` has nine hundred, each with
classes of its own: 600 requests and 300 streams.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_MODEL: Final = """\
from pydantic import BaseModel, Field
class Point(BaseModel, defer_build=True):
    x: float = Field(alias="X")
"""
PROGRAMS: Final = {
    "the interpreter": "pass",
    "import asyncio": "import asyncio",
    "import pydantic": "import pydantic",
    "from pydantic import BaseModel": "from pydantic import BaseModel",
    "a program with one model": _MODEL,
    "... and asyncio": f"import asyncio\n{_MODEL}",
    "import enkaku": "import enkaku",
    "... and ten procedures": "import enkaku, ten",
    "... and a server": "import enkaku, ten; enkaku.serve_unix, enkaku.connect_unix",
    "... and nine hundred procedures": "import enkaku, many",
}
COMMANDS: Final = {
    "enkaku --help": ["--help"],
    "enkaku check, up to date": ["check", "ten.json", "--out", "ten"],
}
_CPU: Final = "\nimport time; print(time.process_time())"
UNTRACED: Final = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}


def record(*names: str) -> dict[str, object]:
    """Return the schema of an object with these numbers, and a label."""
    members = {name: {"type": "number"} for name in names} | {"label": {"type": "string"}}
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


def protocol() -> Mapping[str, object]:
    """Return a protocol of ten procedures, with objects of a few properties each."""
    param, value = record("from", "until"), record("cpu", "memory", "timestamp")
    requests: dict[str, object] = {
        f"records/{verb}": {"type": "request", "param": param, "result": value}
        for verb in ("add", "change", "count", "find", "join", "split")
    }
    streams: dict[str, object] = {
        f"watch/{what}": {"type": "stream", "param": param, "receive": value, "result": value}
        for what in ("all", "one")
    }
    channel = {"type": "channel", "param": param, "send": value, "receive": value}
    return requests | streams | {"talk": channel, "note": {"type": "event", "data": value}}


def large_protocol() -> Mapping[str, object]:
    """Return a protocol of nine hundred procedures, with objects whose properties have different JSON names."""
    procedures: dict[str, object] = {}
    for number in range(900):
        param = record(f"fromTime{number}", "until")
        value = record("cpu", f"memoryOf{number}", "timestamp")
        slots = {"param": param, "result": value}
        procedures[f"part{number % 30}/use{number}"] = (
            {"type": "stream", **slots, "receive": value}
            if number % 3 == 0
            else {"type": "request", **slots}
        )
    return procedures


def program(code: str, directory: str) -> float:
    """Run code in a fresh interpreter; return its CPU time in ms, without the interpreter's shutdown."""
    command = [sys.executable, "-c", code + _CPU]
    done = subprocess.run(  # noqa: S603 # ours
        command, cwd=directory, env=UNTRACED, check=True, capture_output=True, text=True
    )
    return float(done.stdout) * 1e3


def command_line(arguments: list[str], directory: str) -> float:
    """Run the command line, and return its whole CPU time in ms."""
    command = [sys.executable, str(Path(sys.executable).with_name("enkaku")), *arguments]
    with subprocess.Popen(  # noqa: S603 # ours
        command, cwd=directory, env=UNTRACED, stdout=subprocess.DEVNULL
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)}: exited with {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1e3


def measure(directory: str, rounds: int) -> dict[str, list[float]]:
    """Run everything in turn, a number of times after a warm-up round."""
    times: dict[str, list[float]] = {name: [] for name in (*PROGRAMS, *COMMANDS)}
    for number in range(rounds + 1):
        for name, taken in times.items():
            if name in PROGRAMS:
                took = program(PROGRAMS[name], directory)
            else:
                took = command_line(COMMANDS[name], directory)
            if number:  # the first round writes the bytecode
                taken.append(took)
    return times


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="enk-") as directory:
        Path(directory, "ten.json").write_text(json.dumps(protocol()))
        Path(directory, "many.json").write_text(json.dumps(large_protocol()))
        for name in ("ten", "many"):
            command_line(["generate", f"{name}.json", "--out", name], directory)
        times = measure(directory, options.rounds)
    medians = {name: statistics.median(each) for name, each in times.items()}
    for name, each in times.items():
        print(f"  {name:<34}{medians[name]:7.1f} ms ({min(each):.1f} to {max(each):.1f})")
    package = "... and ten procedures"
    print("enkaku and ten procedures, by medians, and by the best rounds:")
    for name in ("import pydantic", "a program with one model", "... and asyncio"):
        more, least = medians[package] - medians[name], min(times[package]) - min(times[name])
        print(f"  {more:.1f} and {least:.1f} ms more than: {name}")


if __name__ == "__main__":
    main()
