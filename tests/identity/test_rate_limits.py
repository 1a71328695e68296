"""Rate limits: token buckets, in a bounded number."""

from typing import Any

import pytest
from enkaku import UsageError
from enkaku.identity.rate_limits import RateLimiter
from hypothesis import given
from hypothesis import strategies as st
from identity.peers import Clock


class Limited:
    def __init__(self, rate: float, burst: int, **options: Any) -> None:
        self.clock = Clock(0.0)
        self.limiter = RateLimiter(rate, burst, clock=self.clock, **options)

    def take(self, identity: str = "alice") -> float:
        return self.limiter.take(identity)


def test_take_burst_then_rate() -> None:
    limited = Limited(rate=2, burst=3)
    assert [limited.take() for _ in range(4)] == [0, 0, 0, 0.5]
    limited.clock.now = 0.4
    assert limited.take() == pytest.approx(0.1)
    limited.clock.now = 0.5
    assert [limited.take(), limited.take()] == [0, 0.5]
    limited.clock.now = 100
    assert [limited.take() for _ in range(4)] == [0, 0, 0, 0.5]


def test_take_after_the_told_time_succeeds() -> None:
    limited = Limited(rate=3, burst=7)
    for _ in range(200):
        wait = limited.take()
        if wait:
            limited.clock.now += wait
            assert limited.take() == 0


def test_take_identities_have_buckets_of_their_own() -> None:
    limited = Limited(rate=1, burst=1)
    assert [limited.take("alice"), limited.take("bob"), limited.take("alice")] == [0, 0, 1]


@pytest.mark.parametrize("most", [1, 10])
def test_give_back_returns_a_token(most: int) -> None:
    limited = Limited(rate=1, burst=2, most=most)
    limited.take("other")
    assert [limited.take(), limited.take()] == [0, 0]
    limited.limiter.give_back("alice")
    assert [limited.take(), limited.take()] == [0, 1]


def test_take_full_buckets_are_forgotten() -> None:
    limited = Limited(rate=1, burst=2)
    for number in range(100):
        limited.clock.now = float(number)
        limited.take(str(number))
    assert limited.limiter.buckets <= 2


def test_take_identities_beyond_the_most_share_a_bucket() -> None:
    limited = Limited(rate=1, burst=2, most=3)
    for identity in "abc":
        assert limited.take(identity) == limited.take(identity) == 0
    assert [limited.take("d"), limited.take("e"), limited.take("f")] == [0, 0, 1]
    assert limited.take("a") == 1  # it keeps its own
    assert limited.limiter.buckets == 3
    limited.clock.now = 10
    assert limited.take("f") == limited.take("f") == 0


@pytest.mark.parametrize(
    "options", [{"rate": 0}, {"rate": -1}, {"burst": 0}, {"most": 0}, {"rate": float("nan")}]
)
def test_limiter_other_number_raises_usage_error(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(options))} must be a positive number"):
        RateLimiter(**{"rate": 1, "burst": 1, **options})


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20)), max_size=60), st.integers(1, 4)
)
def test_take_never_lets_more_through(steps: list[tuple[str, int]], burst: int) -> None:
    limited = Limited(rate=4, burst=burst)
    buckets = dict.fromkeys("abc", float(burst))  # the model: tokens, counted
    for identity, sixteenths in steps:
        limited.clock.now += sixteenths / 16
        buckets = {name: min(burst, tokens + sixteenths / 4) for name, tokens in buckets.items()}
        allowed = limited.take(identity) == 0
        assert allowed == (buckets[identity] >= 1)
        buckets[identity] -= allowed
