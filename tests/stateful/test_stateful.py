"""Random programs on a client and a server, which must both do what a model says; ``make soak`` runs many more."""

import pytest
from enkaku.states import CLIENT, SERVER
from stateful.mutations import MUTATIONS, Mutation
from stateful.search import search, search_batch
from stateful.steps import STEPS

_PROGRAMS = 10_000
_ENOUGH = 1_000  # programs, to find any of the mistakes; most are found by the first ten

_SEEN = (
    "all calls had to end well",
    "items that a client took",
    "items that a handler took",
    "items that were dropped",
    "a client's send waited",
    "a client's take waited",
    "a handler's send waited",
    "an event waited for its turn",
    "refused by EK03",
    "refused by EK04",
    "refused by EKP01",
    "ignored its cancellation",
    "reported as stuck",
    "asked for a sign of life",
    "lost by silence",
)


@pytest.mark.timeout(600)
def test_both_sides_do_what_the_model_says_whatever_happens() -> None:
    outcome = search(_PROGRAMS, "ci")
    assert not outcome.found, outcome.found[0]
    assert outcome.programs >= _PROGRAMS
    missing = [what for what in _SEEN if not outcome.reached[what]]
    assert not missing, f"no program has come to {missing}"
    tables = {("client", table[0].name, after.name) for table, after in CLIENT.items()} | {
        ("server", table[0].name, after.name) for table, after in SERVER.items()
    }
    assert tables == set(outcome.steps), "these transitions are in the tables, or taken, alone"


@pytest.mark.parametrize("mistake", MUTATIONS.values(), ids=MUTATIONS.keys())
def test_a_mistake_is_found(mistake: Mutation) -> None:
    with mistake():
        assert search_batch(0, "mutations", _ENOUGH, shorten=False).found


def test_every_byte_is_a_step() -> None:
    assert len(STEPS) == 256
