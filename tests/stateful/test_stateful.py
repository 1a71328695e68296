"""Model-based tests: random programs on a client and a server, compared with a model; ``make soak`` runs many more."""

import pytest
from enkaku.calls.states import CLIENT, SERVER, Step
from stateful.mutations import MISTAKES, TABLES, Mutation
from stateful.search import search, search_batch
from stateful.steps import STEPS
from stateful.wire import Mistake

_SOME = 300  # programs
_PROGRAMS = 10_000
_ENOUGH = 1_000  # programs, in which every mutation is found; most are found by the first ten

_SEEN = (
    "all calls had to succeed",
    "items that a client took",
    "items that a handler took",
    "items that were dropped",
    "a client's send waited",
    "a client's take waited",
    "a handler's send waited",
    "an event waited for a handler",
    "a request waited for a handler",
    "refused by EK03",
    "refused by EKP01",
    "ignored its cancellation",
    "reported as stuck",
    "pinged",
    "lost by idle timeout",
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
    assert not missing, f"no program has reached {missing}"
    tables = {("client", table[0].name, after.name) for table, after in CLIENT.items()} | {
        ("server", table[0].name, after.name)
        for table, after in SERVER.items()
        if table[1] is not Step.SUCCEED  # recorded as the two transitions that it consists of
    }
    assert tables == set(outcome.steps), "the transitions in the tables and those taken differ"


@pytest.mark.parametrize("mutation", TABLES.values(), ids=TABLES.keys())
def test_model_finds_mutated_state_table(mutation: Mutation) -> None:
    with mutation():
        assert search_batch(0, "mutations", _ENOUGH, shorten=False).found


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_model_finds_mutated_wire_message(mistake: Mistake) -> None:
    assert search_batch(0, "mutations", _ENOUGH, shorten=False, mistake=mistake).found


@pytest.mark.parametrize("received", [False, True])
@pytest.mark.parametrize("side", ["client", "server"])
def test_model_accepts_reencoded_messages(side: str, received: bool) -> None:
    same = Mistake(side, received, begin=lambda: lambda message: [dict(message)])
    assert not search_batch(0, "mutations", 20, shorten=False, mistake=same).found


def test_model_maps_every_byte_to_a_step() -> None:
    assert len(STEPS) == 256
