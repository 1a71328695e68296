"""Generated handler with the behaviour of the recorded handlers.

Import it after the package ``recorded`` was generated: see ``conftest.py``.
"""

import asyncio
import itertools
import time
from collections.abc import Iterator
from typing import Any, Final

from enkaku import HandlerError, ServerChannel, ServerStream, current_call
from recorded import (
    AnyEchoParam,
    AnyEchoResult,
    ChatParam,
    ChatResult,
    CounterParam,
    CounterReceive,
    CounterResult,
    FailParam,
    FloodParam,
    FloodResult,
    LogsWatchParam,
    LogsWatchReceive,
    LogsWatchResult,
    LogsWatchSend,
    MathDivideParam,
    MathDivideResult,
    MetricsStreamParam,
    MetricsStreamReceive,
    MetricsStreamResult,
    RecordedHandler,
    StreamFailParam,
    StreamFailReceive,
    SystemRestartParam,
    SystemRestartResult,
    TickerParam,
    TickerReceive,
    TickerResult,
)

LEVELS: Final = ("debug", "info", "warn", "error")


class Recorder(RecordedHandler):
    """The handlers of one server; notes and aborts are recorded across its connections."""

    def __init__(self) -> None:
        self._notes: list[dict[str, object]] = []
        self._aborts: list[dict[str, object]] = []

    async def metrics_stream(
        self, param: MetricsStreamParam, stream: ServerStream[MetricsStreamReceive]
    ) -> MetricsStreamResult:
        samples = 0
        try:
            async with stream.until_closed():
                while True:
                    await asyncio.sleep(param.interval / 1000)
                    await stream.send(_measure())
                    samples += 1
        except asyncio.CancelledError:
            self._remember_abort("Cancelled")
            raise
        self._remember_abort("Close")
        return MetricsStreamResult(total_samples=samples)

    async def logs_watch(
        self, param: LogsWatchParam, channel: ServerChannel[LogsWatchSend, LogsWatchReceive]
    ) -> LogsWatchResult:
        lowest = param.level
        sent = 0

        async def follow_level() -> None:
            nonlocal lowest
            async for update in channel:
                lowest = update.level

        async with channel.until_closed(), asyncio.TaskGroup() as group:
            group.create_task(follow_level())
            for log in _logs():
                await asyncio.sleep(0.05)
                if LEVELS.index(log.level) >= LEVELS.index(lowest):
                    await channel.send(log)
                    sent += 1
        return LogsWatchResult(total_logs=sent)

    async def system_restart(self, param: SystemRestartParam) -> SystemRestartResult:
        await asyncio.sleep(0.05)
        return SystemRestartResult(
            success=True, message=f"Service {param.service} restarted successfully"
        )

    async def echo(self, param: dict[str, object]) -> dict[str, object]:
        return param

    async def any_echo(self, param: AnyEchoParam) -> AnyEchoResult:
        return param

    async def math_divide(self, param: MathDivideParam) -> MathDivideResult:
        if param.denominator == 0:
            raise HandlerError(
                "DIVISION_BY_ZERO", "Cannot divide by zero", {"numerator": param.numerator}
            )
        return MathDivideResult(quotient=param.numerator / param.denominator)

    async def fail(self, param: FailParam) -> dict[str, object]:
        raise RuntimeError(f"an undeclared error: {param.kind}")

    async def slow(self) -> dict[str, object]:
        async with current_call().until_closed():
            await asyncio.Event().wait()
        return {"aborted": True}

    async def void(self) -> None:
        return None

    async def null_result(self) -> None:
        return None

    async def counter(
        self, param: CounterParam, stream: ServerStream[CounterReceive]
    ) -> CounterResult:
        for count in range(1, int(param.max) + 1):
            if count > 1 and param.interval is not None:
                await asyncio.sleep(param.interval / 1000)
            await stream.send(CounterReceive(count=count))
        return CounterResult(total=param.max)

    async def flood(
        self, param: FloodParam, stream: ServerStream[dict[str, object]]
    ) -> FloodResult:
        for i in range(int(param.count)):
            await stream.send({"i": i, "data": "x" * int(param.size)})
        return FloodResult(total=param.count)

    async def stream_fail(
        self, param: StreamFailParam, stream: ServerStream[StreamFailReceive]
    ) -> dict[str, object]:
        for count in range(1, int(param.after) + 1):
            await stream.send(StreamFailReceive(count=count))
        raise HandlerError("STREAM_BROKEN", "stream broke", {"after": param.after})

    async def ticker(self, param: TickerParam, stream: ServerStream[TickerReceive]) -> TickerResult:
        ticks = 0
        async with stream.until_closed():
            while True:
                await asyncio.sleep(param.interval / 1000)
                await stream.send(TickerReceive(tick=ticks + 1))
                ticks += 1
        return TickerResult(ticks=ticks)

    async def chat(
        self, param: ChatParam, channel: ServerChannel[dict[str, object], dict[str, object]]
    ) -> ChatResult:
        received = 0
        async for item in channel:
            received += 1
            if item.get("end") is True:
                break
            await channel.send(item)
        return ChatResult(received=received)

    async def note(self, data: dict[str, object]) -> None:
        self._notes.append(data)

    async def ping(self) -> None:
        self._notes.append({"ping": True})

    async def notes_list(self) -> dict[str, object]:
        return {"notes": self._notes}

    async def aborts_list(self) -> dict[str, object]:
        return {"aborts": self._aborts}

    def _remember_abort(self, reason: str) -> None:
        self._aborts.append({"procedure": current_call().procedure.name, "reason": reason})


def _measure() -> MetricsStreamReceive:
    return MetricsStreamReceive(
        cpu=time.process_time() * 1000, memory=6.36, timestamp=time.time_ns() // 1_000_000
    )


def _logs() -> Iterator[Any]:
    for level in itertools.cycle(LEVELS):
        yield LogsWatchReceive(
            level=level,
            message=f"{level.upper()}: Sample log message",
            timestamp=time.time_ns() // 1_000_000,
        )
