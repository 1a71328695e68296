"""Event loop with a simulated clock, which only tests advance."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import TypeVarTuple, Unpack

__all__ = ["Clock", "SteppedLoop"]

Ts = TypeVarTuple("Ts")


class Clock:
    """The simulated time of a run, which ``time.monotonic`` returns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class SteppedLoop(asyncio.SelectorEventLoop):
    """Runs on a simulated clock, and records its timers and unhandled exceptions."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.unhandled: list[str] = []
        self._timers: list[asyncio.TimerHandle] = []
        self.set_exception_handler(lambda _, context: self.unhandled.append(str(context)))

    def time(self) -> float:
        return self.clock.now

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = super().call_at(when, callback, *args, context=context)
        self._timers.append(timer)
        return timer

    def live_timers(self) -> list[asyncio.TimerHandle]:
        """Return the timers that have not fired."""
        now = self.clock.now
        self._timers = [
            timer for timer in self._timers if not timer.cancelled() and timer.when() > now
        ]
        return self._timers
