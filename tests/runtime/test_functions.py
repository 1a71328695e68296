"""How many functions of the runtime a message enters: a measure of simplicity that repeats itself exactly."""

import importlib.util
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
    counts = {
        name: entered.total() / program.TIMES
        for name, entered in (await program.count_all()).items()
    }
    assert 30 < counts["request"] < 46
    assert 5 < counts["item"] < 11
    assert 30 < counts["round trip"] < 46
    assert 50 < counts["abort"] < 76
