"""Spoilt lines, to a server and to a client; ``make soak`` sends a million."""

import secrets
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from soak.fuzz.run import LINES_A_BATCH, SIDES, fuzz


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("batches", [6, pytest.param(60, marks=pytest.mark.slow)])
def test_fuzzed_lines_leave_peer_unharmed_and_leak_nothing(side: str, batches: int) -> None:
    seed = secrets.token_hex(4)
    # A process of its own: what other tests have left to be collected is not counted.
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        outcome = pool.submit(fuzz, side, seed, range(batches)).result(timeout=50)
    assert outcome.found == (), f"again: python -m soak.fuzz --seed {seed} --batch {side}:N"
    assert outcome.reached > batches, "the lines are too bad to reach anything"
    assert outcome.lines == batches * LINES_A_BATCH
