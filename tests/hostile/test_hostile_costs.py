"""What a hostile peer can cost a server: the bounds of docs/security.md, attack by attack; ``make bench-hostile`` prints all figures."""

import sys
from pathlib import Path

import pytest
from soak.search import PARAMS, Search, search_lines, search_values

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from hostile.attacks import ATTACKS, Attack
from hostile.measuring import measure
from hostile.signed import SIGNED_ATTACKS
from hostile.sizes import EXCEPTIONS, RATIOS, ratios

_RUNS = 5  # what disturbs one of them, such as another process, is not the attack's

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="memory is read from /proc"
)


@needs_proc
@pytest.mark.hostile
@pytest.mark.timeout(180)
@pytest.mark.parametrize("attack", [*ATTACKS, *SIGNED_ATTACKS], ids=lambda each: each.name)
def test_attack_stays_within_bounds(attack: Attack) -> None:
    broken: list[list[str]] = []
    for _ in range(_RUNS):
        broken.append(measure(attack, "asyncio", seconds=0.3).broken(attack))
        if not broken[-1]:
            return
    assert not broken


@pytest.mark.hostile
@pytest.mark.parametrize("search_in", [search_lines, search_values])
def test_search_finds_no_costly_message(search_in: object) -> None:
    for each in PARAMS.values():
        each.prepare()
    assert callable(search_in)
    search = Search()
    search_in(search, 150)
    assert search.worst > 0


def test_decoded_size_is_near_memory_of_value() -> None:
    least, most = RATIOS
    for name, _, estimate, size in ratios():
        assert least <= estimate / size, name
        assert estimate / size <= EXCEPTIONS.get(name, most), name
