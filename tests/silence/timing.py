"""Stopwatch that checks a duration against its limits."""

import asyncio

SLACK = 4.0
"""Tolerance in seconds, for a busy machine."""


class Stopwatch:
    """Measures the time since its creation, by the clock of the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()

    @property
    def passed(self) -> float:
        return self._loop.time() - self._start

    def require(self, seconds: float, *, or_more: float = 0.0) -> None:
        """Check that the given time has passed, and at most ``or_more`` of it in addition, with a tolerance."""
        passed = self.passed
        assert seconds - 0.02 <= passed <= seconds * (1 + or_more) + SLACK, f"{passed:.3f} s"


async def pass_time(seconds: float) -> None:
    """Let time pass, to check that nothing happens: there is no event to wait for."""
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=seconds)
