"""Callers of the runs: one task opens and leaves each call, others use it."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from enkaku import (
    CallClosed,
    CallError,
    ClientChannel,
    ClientStream,
    Connection,
    ConnectionLost,
    DeadlineExceeded,
    EnkakuError,
    NotSupported,
)

from .calls import CLIENT_OPEN, CallModel, End
from .model import Model
from .protocol import ASK, TALK, TELL, WATCH, item_text

__all__ = ["Caller"]


class Caller:
    """One call, at the client.

    Args:
        call: The model of the call.
        timeout: Its timeout in seconds; None for none.
    """

    def __init__(
        self, model: Model, connection: Connection, call: CallModel, timeout: float | None
    ) -> None:
        self.model = model
        self.call = call
        self.stream: ClientStream[str, int] | None = None
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._connection = connection
        self._timeout = timeout
        self._items = 0
        self._leave = asyncio.Event()
        self._in_block = False
        self.start("own", self._run())

    @property
    def usable(self) -> bool:
        """Whether it is an open stream or channel."""
        return self._in_block

    @property
    def dropped(self) -> int:
        """How many items were dropped."""
        return self.stream.dropped if self.stream is not None and self._in_block else 0

    def start(self, name: str, work: Coroutine[object, object, None]) -> None:
        """Start a task."""
        self.tasks[name] = asyncio.get_running_loop().create_task(work, name=name)

    def busy(self, name: str) -> bool:
        return name in self.tasks and not self.tasks[name].done()

    def leave(self) -> None:
        """Leave the context manager of the call."""
        self._leave.set()

    def cancel(self) -> None:
        """Cancel the task that opened the call."""
        self.call.wants_abort = True
        self.tasks["own"].cancel()

    def abort(self) -> None:
        if self.stream is not None:
            self.call.wants_abort = True
            self.stream.abort("enough")
            self.model.require(self.call.client == "ENDED", "an abort did nothing", self.call)

    def do(self, name: str, size: int = 0) -> bool:
        """Start to use the call in one way, unless it is already used in this way."""
        if not self._in_block or self.busy(name) or self.stream is None:
            return False
        stream = self.stream
        if name in ("send", "end") and not isinstance(stream, ClientChannel):
            return False
        match name:
            case "take" | "take all":
                if self.busy("take") or self.busy("take all"):
                    return False
                self.start(name, self._take(stream, all_of_them=name == "take all"))
            case "send":
                self.start(name, self._send(stream, self._items, size))
                self._items += 1
            case "end":
                self.start(name, self._end(stream))
            case _:
                self.start(name, self._finish(stream, name))
        return True

    async def _run(self) -> None:
        if self._timeout is not None:
            self.call.due = self.model.now() + self._timeout
        match self.call.kind:
            case "request":
                await self._request()
            case "event":
                await self._event()
            case _:
                await self._block()

    async def _request(self) -> None:
        call = self.call
        try:
            value = await self._connection.request(ASK, call.number, timeout=self._timeout)
        except asyncio.CancelledError:
            over = call.client in ("NEW", "ENDED")
            self.model.require(over, "cancelled, but not aborted", call)
        except EnkakuError as error:
            self._require_end(error)
        else:
            self._require_result(value)

    async def _event(self) -> None:
        try:
            await self._connection.event(TELL, self.call.number, timeout=self._timeout)
        except (asyncio.CancelledError, ConnectionLost):
            pass
        except CallError as error:
            due = self.call.due is not None and self.call.due <= self.model.now()
            self.model.require(due and error.code == "EK05", f"an event ended in {error}")

    async def _block(self) -> None:
        call = self.call
        if call.kind == "stream":
            self.stream = self._connection.stream(
                WATCH, call.number, timeout=self._timeout, when_full=call.when_full
            )
        else:
            self.stream = self._connection.channel(
                TALK, call.number, timeout=self._timeout, when_full=call.when_full
            )
        try:
            async with self.stream:
                self._in_block = True
                try:
                    await self._leave.wait()
                finally:
                    call.wants_abort = True
        except asyncio.CancelledError:
            pass
        except EnkakuError as error:
            self._require_end(error)
        self.model.require(
            call.client not in CLIENT_OPEN, "it is open after its context manager was left", call
        )

    async def _take(self, stream: ClientStream[str, int], *, all_of_them: bool) -> None:
        call, way = self.call, self.call.down
        call.iterated = True
        while True:
            try:
                text = await anext(stream)
            except StopAsyncIteration:
                self.model.require(call.client_end == ("result", ""), "a plain end", call)
                self._require_all_items()
                return
            except EnkakuError as error:
                self._require_end(error)
                if call.client_end != ("aborted", ""):
                    self._require_all_items()
                return
            lossy = call.lossy or call.when_full != "wait"
            right = way.take(int(text.partition(":")[0]), lossy=lossy)
            self.model.require(right, f"expected the next item, got {text[:8]}", call)
            if not all_of_them:
                return

    def _require_all_items(self) -> None:
        call, way = self.call, self.call.down
        dropped = self.dropped
        promised = not call.lossy and call.when_full == "wait"
        self.model.require(not (promised and dropped), f"{dropped} items were dropped", call)
        self.model.require(
            len(way.taken) + dropped == len(way.arrived),
            f"of {len(way.arrived)} items, {dropped} were dropped and {len(way.taken)} read",
            call,
        )

    async def _send(self, stream: ClientStream[str, int], item: int, size: int) -> None:
        assert isinstance(stream, ClientChannel)
        channel: ClientChannel[str, str, int] = stream
        call = self.call
        try:
            await channel.send(item_text(item, size))
        except CallClosed:
            refused = call.client != "OPEN"
            self.model.require(refused, "a send was rejected while the call was open", call)
        except ConnectionLost:
            self.model.require(self.model.client_lost, "a send lost its connection", call)
        except DeadlineExceeded:
            late = call.client_end == ("error", "EK05")
            self.model.require(late, "a send raised DeadlineExceeded too early", call)
        except CallError as error:
            right = call.client_end == ("error", error.code)
            self.model.require(right, "a send raised another error than the call", call)
        except asyncio.CancelledError:
            pass
        else:
            self.model.require(item in call.up.written[-1:], "a sent item was not written", call)
            return
        self.model.require(item not in call.up.written[-1:], "a rejected item was written", call)

    async def _end(self, stream: ClientStream[str, int]) -> None:
        assert isinstance(stream, ClientChannel)
        call = self.call
        call.wants_end = True
        try:
            await stream.end()
        except NotSupported:
            self.model.reached["a half-close without known flow control"] += 1
            self.model.require(
                not self.model.credits_known, "NotSupported, though flow control is known", call
            )
        except ConnectionLost:
            self.model.require(self.model.client_lost, "an end lost its connection", call)
        else:
            self.model.require(call.client != "OPEN", "an end did nothing", call)

    async def _finish(self, stream: ClientStream[str, int], name: str) -> None:
        call = self.call
        if name == "close":
            call.wants_close = call.lossy = True
        elif not call.iterated:
            call.lossy = True
        try:
            value = await (stream.close() if name == "close" else stream.result())
        except EnkakuError as error:
            self._require_end(error)
        else:
            self._require_result(value)

    def _require_result(self, value: int) -> None:
        self.model.require(self.call.client_end == ("result", ""), "an early result", self.call)
        self.model.require(self.call.value == value, "another result", self.call)

    def _require_end(self, error: EnkakuError) -> None:
        end = _end_of(error)
        right = end == self.call.client_end or (
            self.call.client == "NEW" and end == ("lost", "") and self.model.client_lost
        )
        self.model.require(right, f"expected {self.call.client_end}, got {error!r}", self.call)


def _end_of(error: Any) -> End:
    if isinstance(error, CallError):
        return "error", error.code
    return ("lost", "") if isinstance(error, ConnectionLost) else ("aborted", "")
