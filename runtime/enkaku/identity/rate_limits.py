"""Rate limits: a token bucket for each identity.

A bucket holds ``burst`` tokens and gets ``rate`` new ones a second; a call takes one. Of each bucket, only the moment is kept at
which it will be full again; a bucket that is full is forgotten. The number of buckets is bounded: callers for whom there is no
bucket of their own share one, so that nobody escapes a limit by appearing under many names.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from enkaku.errors import UsageError

__all__ = ["RateLimiter"]

_MOST: Final = 10_000


class RateLimiter:
    """Limits how many calls each identity makes.

    Args:
        rate: How many calls a second.
        burst: How many at once, after a pause.
        most: For how many identities there are buckets; further ones share one.
        clock: Returns the time in seconds, which must not go back.

    Raises:
        UsageError: A number is not positive.
    """

    def __init__(
        self,
        rate: float,
        burst: int,
        *,
        most: int = _MOST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for name, value in (("rate", rate), ("burst", burst), ("most", most)):
            if not 0 < value < float("inf"):
                raise UsageError(f"{name} must be a positive number; got {value!r}")
        self._interval: Final = 1 / rate
        self._span: Final = burst / rate  # how long an empty bucket takes to be full
        self._most: Final = most
        self._clock: Final = clock
        self._full_at: Final[OrderedDict[str, float]] = (
            OrderedDict()
        )  # the least recently used first
        self._shared_full_at = 0.0

    @property
    def buckets(self) -> int:
        """For how many identities there is a bucket."""
        return len(self._full_at)

    def take(self, identity: str) -> float:
        """Take a token from the bucket of an identity.

        Returns:
            0.0 if there was one; else after how many seconds there will be one.
        """
        now = self._clock()
        self._forget_full(now)
        is_own = identity in self._full_at or len(self._full_at) < self._most
        full_at = self._full_at.get(identity, now) if is_own else self._shared_full_at
        full_at = max(full_at, now) + self._interval
        wait = full_at - now - self._span
        if wait > self._interval * 1e-9:  # a rounding error is no wait
            return wait
        if is_own:
            self._full_at[identity] = full_at
            self._full_at.move_to_end(identity)
        else:
            self._shared_full_at = full_at
        return 0.0

    def give_back(self, identity: str) -> None:
        """Return the token that ``take`` has just taken, since what was to be counted does not come from this identity."""
        if identity in self._full_at:
            self._full_at[identity] -= self._interval
        else:
            self._shared_full_at -= self._interval

    def _forget_full(self, now: float) -> None:
        """Remove buckets that are full, beginning with the least recently used: two at a time, so that it never takes long."""
        for _ in range(2):
            if not self._full_at:
                return
            identity, full_at = next(iter(self._full_at.items()))
            if full_at > now:
                return
            del self._full_at[identity]
