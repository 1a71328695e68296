"""Handlers of the runs: a program controls each one step by step."""

import asyncio
from collections.abc import Coroutine

import enkaku
from enkaku import CallClosed, ConnectionLost, Route, ServerChannel, ServerStream

from .calls import SERVER_OPEN, CallModel, End
from .model import Model
from .protocol import ASK, TALK, TELL, WATCH, item_text

__all__ = ["Served", "Serving"]


class Served:
    """A running handler.

    Args:
        call: The model of the call.
        stream: Its stream or channel; None for requests and events.
        graceful: Whether it waits inside ``until_closed()``, so that a close ends it.
    """

    def __init__(
        self, model: Model, call: CallModel, stream: ServerStream[str] | None, *, graceful: bool
    ) -> None:
        self.model = model
        self.call = call
        self.stream = stream
        self.graceful = graceful
        self.stubborn = False
        self.error: Exception | None = None
        self.sender: asyncio.Task[None] | None = None
        self.taker: asyncio.Task[None] | None = None
        self.sent = 0  # items whose send has returned
        self._items = 0
        self._ending = False
        self._decided = asyncio.Event()

    async def run(self) -> int:
        self.call.begun = True
        try:
            await self._decide()
        finally:
            await self._end_tasks()
        if self.error is not None:
            code = getattr(self.error, "code", "EK01")
            self.call.raised = code if self.call.kind != "event" else "EK01"
            self._finish_event(("error", "EK01"))
            raise self.error
        self.call.returned = 1000 + self.call.number
        self._finish_event(("result", ""))
        return 1000 + self.call.number

    def decide(self, error: Exception | None = None) -> None:
        """Make the handler return, or raise."""
        self.stubborn = False
        self.error = error
        self._decided.set()

    def _finish_event(self, end: End) -> None:
        if self.call.kind == "event":  # without a message on the wire
            self.model.step_server(self.call, "FINISH", end)

    def send(self, size: int) -> bool:
        if self._ending or _busy(self.sender) or self.stream is None:
            return False
        self.sender = self._start(self._send(self.stream, self._items, size))
        self._items += 1
        return True

    def take(self, *, all_of_them: bool = False) -> bool:
        if self._ending or _busy(self.taker) or not isinstance(self.stream, ServerChannel):
            return False
        self.taker = self._start(self._take(self.stream, all_of_them=all_of_them))
        return True

    async def _decide(self) -> None:
        decided = False
        while not decided:
            try:
                if self.graceful and self.stream is not None:
                    async with self.stream.until_closed():
                        await self._decided.wait()
                else:
                    await self._decided.wait()
                decided = True
            except asyncio.CancelledError:
                self.call.cancelled = True
                reason = self.model.may_cancel(self.call)
                self.model.require(reason, "cancelled without a reason", self.call)
                if not self.stubborn:
                    raise
                self.model.reached["ignored its cancellation"] += 1

    async def _end_tasks(self) -> None:
        self._ending = True  # a handler must end the tasks that it has started
        tasks = {task for task in (self.sender, self.taker) if task is not None}
        for task in tasks:
            task.cancel()
        try:
            if tasks:
                await asyncio.wait(tasks)
        except asyncio.CancelledError:
            self.call.cancelled = True
            raise
        finally:
            self.call.finished = True

    async def _send(self, stream: ServerStream[str], item: int, size: int) -> None:
        kept = stream.when_full != "wait"
        try:
            await stream.send(item_text(item, size))
        except CallClosed:
            right = self.call.server not in ("RUNNING", "HALF_CLOSED")
            self.model.require(right, "a send was rejected while the call was open", self.call)
        except ConnectionLost:
            over = self.model.is_server_ended()
            self.model.require(over, "a send lost its connection", self.call)
        except asyncio.CancelledError:
            pass
        else:
            self.sent += 1
            self.model.require(
                kept or self._is_written(item), "a sent item was not written", self.call
            )
            return
        self.model.require(not self._is_written(item), "a rejected item was written", self.call)

    def _is_written(self, item: int) -> bool:
        return item in self.call.down.written[-3:]

    async def _take(self, channel: ServerChannel[str, str], *, all_of_them: bool) -> None:
        way = self.call.up
        while True:
            try:
                text = await anext(channel)
            except StopAsyncIteration:
                over = self.call.server != "RUNNING"
                self.model.require(over, "its items ended while it was open", self.call)
                self.model.require(
                    len(way.taken) == len(way.arrived), "items of the client were lost", self.call
                )
                return
            right = way.take(int(text.partition(":")[0]), lossy=False)
            self.model.require(right, f"expected the next item, got {text[:8]}", self.call)
            if not all_of_them:
                return

    def _start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)


def _busy(task: asyncio.Task[None] | None) -> bool:
    return task is not None and not task.done()


class Serving(enkaku.Handler):
    """Serves the calls of a run.

    Attributes:
        served: The started handlers, by the numbers of their calls.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self.served: dict[int, Served] = {}

    def __routes__(self) -> tuple[Route, ...]:
        return (
            Route.request(ASK, self._serve),
            Route.stream(WATCH, self._serve),
            Route.channel(TALK, self._serve),
            Route.event(TELL, self._take_event),
        )

    async def _take_event(self, number: int) -> None:
        await self._serve(number)

    async def _serve(self, number: int, stream: ServerStream[str] | None = None) -> int:
        call = self._model.calls[number]
        if call.kind == "event":
            self._model.server_accepted(call)
        handled = sum(
            each.call.kind == call.kind and not each.call.finished for each in self.served.values()
        )
        most = self._model.limits.handlers if call.kind in ("event", "request") else handled + 1
        self._model.require(handled < most, "one handler too many", call)
        self._model.require(
            call.server in SERVER_OPEN, f"its handler began while {call.server}", call
        )
        self._model.require(not call.begun, "its handler began twice", call)
        graceful = call.graceful
        self.served[number] = Served(self._model, call, stream, graceful=graceful)
        return await self.served[number].run()
