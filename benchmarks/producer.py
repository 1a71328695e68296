"""Server process of the backpressure benchmark: serves endless streams."""

import asyncio
import sys
import time
from typing import Final

import enkaku

ASK: Final = enkaku.Request[int, int]("ask", param=int, result=int)
POUR: Final = enkaku.Stream[int, str, int]("pour", param=int, receive=str, result=int)
LOOP: Final = enkaku.Stream[int, str, int]("loop", param=int, receive=str, result=int)
COUNT: Final = enkaku.Stream[int, str, int]("count", param=int, receive=str, result=int)
SENT: Final = enkaku.Request[None, int]("sent", result=int)
CANCELLED: Final = enkaku.Request[None, float]("cancelled", result=float)
ITEM: Final = 100  # characters of an item of COUNT


class Producer(enkaku.Handler):
    """Sends as fast as flow control allows."""

    def __init__(self) -> None:
        self._sent = 0
        self._cancelled: asyncio.Queue[float] = asyncio.Queue()

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return (
            enkaku.Route.request(ASK, self._ask),
            enkaku.Route.stream(POUR, self._pour),
            enkaku.Route.stream(LOOP, self._loop),
            enkaku.Route.stream(COUNT, self._count),
            enkaku.Route.request(SENT, self._get_sent),
            enkaku.Route.request(CANCELLED, self._wait_cancelled),
        )

    async def _ask(self, number: int) -> int:
        return number

    async def _pour(self, size: int, stream: enkaku.ServerStream[str]) -> int:
        """Send items of ``size`` characters without end."""
        item = "x" * size
        while True:
            await stream.send(item)

    async def _loop(self, size: int, stream: enkaku.ServerStream[str]) -> int:
        """Send without end, and record the time of the cancellation."""
        try:
            return await self._pour(size, stream)
        except asyncio.CancelledError:
            # The monotonic clock is the same in both processes.
            self._cancelled.put_nowait(time.monotonic())
            raise

    async def _count(self, items: int, stream: enkaku.ServerStream[str]) -> int:
        """Send numbered items."""
        self._sent = 0
        for number in range(items):
            await stream.send(f"{number}".ljust(ITEM))
            self._sent += 1
        return items

    async def _get_sent(self) -> int:
        return self._sent

    async def _wait_cancelled(self) -> float:
        return await self._cancelled.get()


async def serve(path: str) -> None:
    """Serve until SIGTERM."""
    async with enkaku.serve_unix(Producer(), path) as server:
        print("ready", flush=True)
        await server.serve_forever(grace=0)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
