"""Random programs on a client and a server, which must both do what a model says; ``make soak`` runs many more."""

import pytest
from enkaku.calls.states import CLIENT, SERVER, Step
from stateful.mutations import MISTAKES, TABLES, Mutation
from stateful.search import search, search_batch
from stateful.steps import STEPS
from stateful.wire import Mistake

_SOME = 300  # programs
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


def test_model_agrees_for_some_programs() -> None:
    outcome = search_batch(0, "some", _SOME)
    assert not outcome.found, outcome.found[0]
    assert outcome.programs >= _SOME


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_model_agrees_for_all_programs_and_covers_states() -> None:
    outcome = search(_PROGRAMS, "ci")
    assert not outcome.found, outcome.found[0]
    assert outcome.programs >= _PROGRAMS
    missing = [what for what in _SEEN if not outcome.reached[what]]
    assert not missing, f"no program has come to {missing}"
    tables = {("client", table[0].name, after.name) for table, after in CLIENT.items()} | {
        ("server", table[0].name, after.name)
        for table, after in SERVER.items()
        if table[1] is not Step.SUCCEED  # which counts as the two steps that it is
    }
    assert tables == set(outcome.steps), "these transitions are in the tables, or taken, alone"


@pytest.mark.parametrize("mutation", TABLES.values(), ids=TABLES.keys())
def test_model_finds_mutated_state_table(mutation: Mutation) -> None:
    with mutation():
        assert search_batch(0, "mutations", _ENOUGH, shorten=False).found


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_model_finds_mutated_wire_message(mistake: Mistake) -> None:
    assert search_batch(0, "mutations", _ENOUGH, shorten=False, mistake=mistake).found


@pytest.mark.parametrize("heard", [False, True])
@pytest.mark.parametrize("side", ["client", "server"])
def test_model_accepts_reencoded_messages(side: str, heard: bool) -> None:
    same = Mistake(side, heard, begin=lambda: lambda message: [dict(message)])
    assert not search_batch(0, "mutations", 20, shorten=False, mistake=same).found


def test_model_maps_every_byte_to_a_step() -> None:
    assert len(STEPS) == 256
