"""Random protocols, and random values near their borders, against two implementations of JSON Schema.

``make fuzz`` does the same for as long as one likes.
"""

import pytest
from schema.fuzz.compare import compare_package
from schema.fuzz.report import describe
from schema.fuzz.shrink import shrunk
from slow import slow_but

_PACKAGES = 7
_INSTANCES = 50


@pytest.mark.parametrize("seed", slow_but([0], range(_PACKAGES)))
def test_a_slot_accepts_what_its_schema_accepts_and_gives_it_back(seed: int) -> None:
    tally = compare_package(f"ci.{seed}", instances=_INSTANCES)
    if tally.disagreements:
        small = shrunk(tally.disagreements[0], tries=100)
        pytest.fail(f"{len(tally.disagreements)} disagreements, such as:\n{describe(small)}")
    assert tally.instances > 40 * _INSTANCES
    assert 0.2 < tally.accepted / tally.instances < 0.8
    assert tally.skipped < 0.05 * tally.instances
