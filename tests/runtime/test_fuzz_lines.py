"""Spoilt lines, a few thousand of them, to a server and to a client; ``make soak`` sends a million."""

import secrets
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from soak.fuzz.run import LINES_A_BATCH, SIDES, fuzz

_BATCHES = 30


@pytest.mark.parametrize("side", SIDES)
def test_no_line_upsets_a_peer_or_stays_in_its_memory(side: str) -> None:
    seed = secrets.token_hex(4)
    # A process of its own: what other tests have left to be collected is not counted.
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        outcome = pool.submit(fuzz, side, seed, range(_BATCHES)).result(timeout=50)
    assert outcome.found == (), f"again: python -m soak.fuzz --seed {seed} --batch {side}:N"
    assert outcome.reached > _BATCHES, "the lines are too bad to reach anything"
    assert outcome.lines == _BATCHES * LINES_A_BATCH
