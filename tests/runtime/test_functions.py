"""How many functions of the runtime a message enters: a measure of simplicity that repeats itself exactly."""

import importlib.util
import math
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "functions.py"


async def test_message_enters_bounded_number_of_functions() -> None:
    spec = importlib.util.spec_from_file_location("functions", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    if sys.getprofile() is not None:
        pytest.fail("a profiler is set, and would count as well")
    most = {"request": 42, "item": 10, "round trip": 50, "abort": 77}
    counts = dict.fromkeys(most, math.inf)
    for _ in range(5):  # a machine with other load delays messages, which then take other ways
        for name, entered in (await program.count_all()).items():
            counts[name] = min(counts[name], entered.total() / program.TIMES)
        if all(counts[name] < most[name] for name in most):
            break
    for name, count in counts.items():
        assert most[name] / 2 < count < most[name], name
