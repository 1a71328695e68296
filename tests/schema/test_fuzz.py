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
def test_fuzz_slot_agrees_with_schema_and_round_trips(seed: int) -> None:
    tally = compare_package(f"ci.{seed}", instances=_INSTANCES)
    if tally.disagreements:
        small = shrunk(tally.disagreements[0], tries=100)
        pytest.fail(f"{len(tally.disagreements)} disagreements, such as:\n{describe(small)}")
    assert tally.instances > 40 * _INSTANCES
    assert 0.2 < tally.accepted / tally.instances < 0.8
    assert tally.skipped < 0.05 * tally.instances
