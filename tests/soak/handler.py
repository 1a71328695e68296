"""Handler of the soak's server: counts the handlers that start and end."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager

import enkaku

from .protocol import COLLECT, COUNT, ECHO, ENDLESS, FIGURES, RELAY, TELL, WAIT, Figures, Job, Span

__all__ = ["Soaked"]


class Soaked(enkaku.Handler):
    """Serves calls of every kind.

    Args:
        figures: Returns the server's figures.
    """

    def __init__(self, figures: Callable[["Soaked"], Figures]) -> None:
        self.began = 0
        self.ended = 0
        self._figures = figures

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        route = enkaku.Route
        return (
            route.request(FIGURES, self._tell_figures),
            route.request(ECHO, self._echo),
            route.request(WAIT, self._wait),
            route.event(TELL, self._take),
            route.stream(COUNT, self._count),
            route.stream(ENDLESS, self._send_on),
            route.channel(RELAY, self._relay),
            route.channel(COLLECT, self._collect),
        )

    @contextmanager
    def _counted(self) -> Generator[None, None, None]:
        self.began += 1
        try:
            yield
        finally:
            self.ended += 1

    async def _tell_figures(self) -> Figures:
        return self._figures(self)

    async def _echo(self, job: Job) -> str:
        with self._counted():
            await asyncio.sleep(job.seconds)
            return job.text

    async def _wait(self) -> None:
        with self._counted():
            await asyncio.Event().wait()

    async def _take(self, data: str) -> None:
        with self._counted():
            await asyncio.sleep(0)

    async def _count(self, span: Span, stream: enkaku.ServerStream[str]) -> int:
        with self._counted():
            async with stream.until_closed():
                for number in range(span.items):
                    await stream.send(f"{number}".ljust(span.size))
            return span.items

    async def _send_on(self, span: Span, stream: enkaku.ServerStream[str]) -> int:
        with self._counted():
            number = 0
            stream.when_full = span.when_full
            async with stream.until_closed():
                while True:
                    await stream.send(f"{number}".ljust(span.size))
                    number += 1
                    if number % span.items == 0:
                        await asyncio.sleep(0.01)
            return number

    async def _relay(self, channel: enkaku.ServerChannel[str, str]) -> int:
        with self._counted():
            number = 0
            async for item in channel:
                await channel.send(item)
                number += 1
            return number

    async def _collect(self, pause: float, channel: enkaku.ServerChannel[str, int]) -> int:
        """Read items slowly."""
        with self._counted():
            number = 0
            async for _ in channel:
                number += 1
                if number % 10 == 0:
                    await asyncio.sleep(pause)
            return number
