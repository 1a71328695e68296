"""Stopwatch that checks a duration against its limits."""

import asyncio

SLACK = 4.0
"""Seconds that a busy machine may be late."""


class Stopwatch:
    """Measures from its making on, by the clock of the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()

    @property
    def passed(self) -> float:
        return self._loop.time() - self._start

    def require(self, seconds: float, *, or_more: float = 0.0) -> None:
        """It has taken so long, and not less; ``or_more`` as a part of it, and what a busy machine takes."""
        passed = self.passed
        assert seconds - 0.02 <= passed <= seconds * (1 + or_more) + SLACK, f"{passed:.3f} s"


async def pass_time(seconds: float) -> None:
    """Let time pass in which nothing may happen, which no event could tell."""
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=seconds)
