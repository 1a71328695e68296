"""Handler of the fuzzed server: serves the recordings' procedures; its handlers end soon, or when they are closed."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, Literal, TypeAlias

import enkaku

from .values import Members, Text
from .watch import Expected

__all__ = ["GOOD", "PROCEDURES", "VOID", "Bounded"]

_ITEMS_MOST: Final = 40
Json: TypeAlias = dict[str, object]


class Span(enkaku.Model):
    """The number of items, and the interval between them."""

    max: float
    interval: float | None = None


class Level(enkaku.Model):
    """A small model with an enumeration."""

    level: Literal["debug", "info", "warn", "error"]


ECHO: Final = enkaku.Request[Json, Json]("echo", param=Json, result=Json)
ANY: Final = enkaku.Request[object, object]("any/echo", param=object, result=object)
DIVIDE: Final = enkaku.Request[dict[str, float], float](
    "math/divide", param=dict[str, float], result=float
)
FAIL: Final = enkaku.Request[Json, Json]("fail", param=Json, result=Json)
SLOW: Final = enkaku.Request[None, Json]("slow", result=Json)
VOID: Final = enkaku.Request[None, None]("void")
NULL: Final = enkaku.Request[None, None]("null/result", result=type(None))
COUNTER: Final = enkaku.Stream[Span, dict[str, int], dict[str, float]](
    "counter", param=Span, receive=dict[str, int], result=dict[str, float]
)
FLOOD: Final = enkaku.Stream[Json, str, int]("flood", param=Json, receive=str, result=int)
BROKEN: Final = enkaku.Stream[Json, int, int]("stream/fail", param=Json, receive=int, result=int)
TICKER: Final = enkaku.Stream[Json, int, Json]("ticker", param=Json, receive=int, result=Json)
LOGS: Final = enkaku.Channel[Level, Level, Level, int](
    "logs/watch", param=Level, send=Level, receive=Level, result=int
)
CHAT: Final = enkaku.Channel[Json, Json, Json, dict[str, int]](
    "chat", param=Json, send=Json, receive=Json, result=dict[str, int]
)
NOTE: Final = enkaku.Event[Json]("note", data=Json)
PING: Final = enkaku.Event[None]("ping")

_ALL: Final[tuple[enkaku.Procedure, ...]] = (
    *(ECHO, ANY, DIVIDE, FAIL, SLOW, VOID, NULL),
    *(COUNTER, FLOOD, BROKEN, TICKER),
    *(LOGS, CHAT),
    *(NOTE, PING),
)
PROCEDURES: Final = {procedure.name: procedure.kind for procedure in _ALL}
_SPAN: Final = Members([("max", 5), ("interval", 0)])
_LEVEL: Final = Members([("level", "info")])
_SMALL: Final = Members([("a", 1), ("b", Text("[1,2.5,null,true]"))])
GOOD: Final[dict[str, object]] = {
    **dict.fromkeys(PROCEDURES.keys() - {"void", "null/result", "slow", "ping"}, _SMALL),
    "math/divide": Members([("numerator", 1), ("denominator", 2)]),
    "counter": _SPAN,
    "logs/watch": _LEVEL,
}
"""Valid params, data and items, by procedure."""


class Bounded(enkaku.Handler):
    """Counts the handlers that start and end."""

    def __init__(self) -> None:
        self.began = 0
        self.ended = 0

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        route = enkaku.Route
        return (
            route.request(ECHO, self._echo),
            route.request(ANY, self._any),
            route.request(DIVIDE, self._divide),
            route.request(FAIL, self._fail),
            route.request(SLOW, self._slow),
            route.request(VOID, self._nothing),
            route.request(NULL, self._nothing),
            route.stream(COUNTER, self._count),
            route.stream(FLOOD, self._flood),
            route.stream(BROKEN, self._break),
            route.stream(TICKER, self._tick),
            route.channel(LOGS, self._logs),
            route.channel(CHAT, self._chat),
            route.event(NOTE, self._note),
            route.event(PING, self._nothing),
        )

    @contextmanager
    def _counted(self) -> Generator[None, None, None]:
        self.began += 1
        try:
            yield
        finally:
            self.ended += 1

    async def _echo(self, param: Json) -> Json:
        with self._counted():
            await asyncio.sleep(0)
            return param

    async def _any(self, param: object) -> object:
        with self._counted():
            return param

    async def _divide(self, param: dict[str, float]) -> float:
        with self._counted():
            if "numerator" not in param or not param.get("denominator"):
                raise enkaku.HandlerError("DIVISION", "Cannot divide", {"given": len(param)})
            return 0.5

    async def _fail(self, param: Json) -> Json:
        with self._counted():
            raise Expected(str(param)[:100])

    async def _slow(self) -> Json:
        with self._counted():
            async with enkaku.current_call().until_closed():
                await asyncio.Event().wait()
            return {}

    async def _nothing(self) -> None:
        with self._counted():
            return

    async def _note(self, data: Json) -> None:
        with self._counted():
            await asyncio.sleep(0)

    async def _count(
        self, param: Span, stream: enkaku.ServerStream[dict[str, int]]
    ) -> dict[str, float]:
        with self._counted():
            async with stream.until_closed():
                for number in range(int(max(0, min(param.max, _ITEMS_MOST)))):
                    await stream.send({"count": number})
                    await asyncio.sleep(0)
            return {"total": param.max}

    async def _flood(self, param: Json, stream: enkaku.ServerStream[str]) -> int:
        with self._counted():
            stream.when_full = "latest" if len(param) % 2 else "drop_oldest"
            async with stream.until_closed():
                for number in range(_ITEMS_MOST):
                    await stream.send("x" * 50 * number)
            return _ITEMS_MOST

    async def _break(self, param: Json, stream: enkaku.ServerStream[int]) -> int:
        with self._counted():
            async with stream.until_closed():
                await stream.send(1)
            raise enkaku.HandlerError("STREAM_BROKEN", "stream broke", {"after": 1})

    async def _tick(self, param: Json, stream: enkaku.ServerStream[int]) -> Json:
        with self._counted():
            async with stream.until_closed():
                await stream.send(1)
                await asyncio.Event().wait()
            return {}

    async def _logs(self, param: Level, channel: enkaku.ServerChannel[Level, Level]) -> int:
        with self._counted():
            async with channel.until_closed():
                async for level in channel:
                    await channel.send(level)
            return 1

    async def _chat(self, param: Json, channel: enkaku.ServerChannel[Json, Json]) -> dict[str, int]:
        with self._counted():
            received = 0
            try:
                async for item in channel:
                    received += 1
                    await channel.send(item)
            except enkaku.CallClosed:
                pass
            return {"received": received}
